// One row for each workgroup, and one subgroup for each workgroup: WORKGROUP is the adapter's subgroup size, so the
// reductions see every lane and no other, however the adapter numbers them.
const LANES: u32 = WORKGROUP;

fn row_of(workgroup: u32, invocation: u32) -> u32 {
    return workgroup;
}

fn lane_of(invocation: u32) -> u32 {
    return invocation;
}

fn reduce_add(value: f32, lane: u32) -> f32 {
    return subgroupAdd(value);
}

fn reduce_max(value: f32, lane: u32) -> f32 {
    return subgroupMax(value);
}
