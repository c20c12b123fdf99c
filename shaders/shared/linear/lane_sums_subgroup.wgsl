// Sums of vec4s over the lanes of a subgroup, which is the workgroup, for up to ROWS rows. All lanes have the same columns.
var<private> lane_sums: array<vec4<f32>, ROWS>;

fn keep(row: u32, value: vec4<f32>, invocation: u32) {
    lane_sums[row] = subgroupAdd(value);
}

fn add_kept(invocation: u32) {
}

fn added(row: u32, column_lane: u32) -> vec4<f32> {
    return lane_sums[row];
}
