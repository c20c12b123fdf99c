// 4 columns of 8 rows, in a lane's registers. For subgroups of exactly 8: each lane has a row's left side.

#import quad

struct Eight {
    #for i in 0..8
    r{i}: vec4<f32>,
    #end
}

// sums + left · right, for 4 k of the rows: `left` is that of row i in lane i.
fn multiply_eight(sums: Eight, left: vec4<f32>, right: Quad) -> Eight {
    return Eight(
        #for i in 0..8
        multiply(sums.r{i}, subgroupBroadcast(left, {i}u), right),
        #end
    );
}
