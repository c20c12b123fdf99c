// One row for each workgroup: its lanes are all WORKGROUP invocations, reduced through workgroup memory.
const LANES: u32 = WORKGROUP;

var<workgroup> partial: array<f32, WORKGROUP>;

fn row_of(workgroup: u32, invocation: u32) -> u32 {
    return workgroup;
}

fn lane_of(invocation: u32) -> u32 {
    return invocation;
}

// The barrier before the store keeps a slower lane's last read of the reduction before this one.
fn reduce_add(value: f32, lane: u32) -> f32 {
    workgroupBarrier();
    partial[lane] = value;
    workgroupBarrier();
    for (var stride = WORKGROUP / 2u; stride > 0u; stride = stride / 2u) {
        if (lane < stride) {
            partial[lane] = partial[lane] + partial[lane + stride];
        }
        workgroupBarrier();
    }
    return partial[0];
}

fn reduce_max(value: f32, lane: u32) -> f32 {
    workgroupBarrier();
    partial[lane] = value;
    workgroupBarrier();
    for (var stride = WORKGROUP / 2u; stride > 0u; stride = stride / 2u) {
        if (lane < stride) {
            partial[lane] = max(partial[lane], partial[lane + stride]);
        }
        workgroupBarrier();
    }
    return partial[0];
}
