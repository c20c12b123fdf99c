// One row for each invocation: nothing to reduce. Pays where rows are many and short.
const LANES: u32 = 1u;

fn row_of(workgroup: u32, invocation: u32) -> u32 {
    return workgroup * WORKGROUP + invocation;
}

fn lane_of(invocation: u32) -> u32 {
    return 0u;
}

fn reduce_add(value: f32, lane: u32) -> f32 {
    return value;
}

fn reduce_max(value: f32, lane: u32) -> f32 {
    return value;
}
