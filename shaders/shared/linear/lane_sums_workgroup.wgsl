// Sums of vec4s over the lanes of a workgroup that share columns, for up to ROWS rows: through workgroup memory. Lanes are
// numbered with the columns first: COLUMN_LANES of them side by side.
var<workgroup> lane_sums: array<vec4<f32>, ROWS * WORKGROUP>;

fn keep(row: u32, value: vec4<f32>, invocation: u32) {
    lane_sums[row * WORKGROUP + invocation] = value;
}

fn add_kept(invocation: u32) {
    workgroupBarrier();
    for (var lanes = WORKGROUP / 2u; lanes >= COLUMN_LANES; lanes = lanes / 2u) {
        for (var element = invocation; element < ROWS * lanes; element = element + WORKGROUP) {
            let at = element / lanes * WORKGROUP + element % lanes;
            lane_sums[at] = lane_sums[at] + lane_sums[at + lanes];
        }
        workgroupBarrier();
    }
}

fn added(row: u32, column_lane: u32) -> vec4<f32> {
    return lane_sums[row * WORKGROUP + column_lane];
}
