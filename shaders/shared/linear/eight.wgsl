// 4 columns of 8 rows, in a lane's registers. For subgroups of exactly 8: each lane has a row's left side.

#import panel

struct Eight {
    r0: vec4<f32>,
    r1: vec4<f32>,
    r2: vec4<f32>,
    r3: vec4<f32>,
    r4: vec4<f32>,
    r5: vec4<f32>,
    r6: vec4<f32>,
    r7: vec4<f32>,
}

// sums + left · right, for 4 k of the rows: `left` is that of row i in lane i.
fn multiply_eight(sums: Eight, left: vec4<f32>, right: Panel) -> Eight {
    return Eight(
        multiply(sums.r0, subgroupBroadcast(left, 0u), right),
        multiply(sums.r1, subgroupBroadcast(left, 1u), right),
        multiply(sums.r2, subgroupBroadcast(left, 2u), right),
        multiply(sums.r3, subgroupBroadcast(left, 3u), right),
        multiply(sums.r4, subgroupBroadcast(left, 4u), right),
        multiply(sums.r5, subgroupBroadcast(left, 5u), right),
        multiply(sums.r6, subgroupBroadcast(left, 6u), right),
        multiply(sums.r7, subgroupBroadcast(left, 7u), right),
    );
}
