// y = activation(alpha · x · W + beta · bias) + beta · residual for `batches` products of a few rows (up to ROWS), W as
// [columns, depth] (RIGHT_TRANSPOSED: x · Wᵀ, as checkpoints store it) or as [depth, columns]. Rows of x and W are whole
// vec4s.
//
// W crosses memory once, and nothing else counts. A workgroup has 4 columns for each of COLUMN_LANES lanes; its lanes share
// the depth, 4 k at a time each, and add their sums at the end.

#import component
#import indexing
#import linear/lane_sums_subgroup if subgroups
#import linear/lane_sums_workgroup if !subgroups
#import linear/parameters
#import linear/product
#import linear/weight4
#import linear/x4_buffer
#import quad

// The lanes that share the depth.
const DEPTH_LANES: u32 = WORKGROUP / COLUMN_LANES;

// Where a lane's columns (transposed), or the rows of its first k, begin in W, in vec4s. Columns beyond the end are the
// last one again, and are not stored.
fn places_of(first_column: u32) -> vec4<u32> {
    let numbers = vec4<u32>(0u, 1u, 2u, 3u);
    if (RIGHT_TRANSPOSED) {
        return min(first_column + numbers, vec4<u32>(parameters.columns - 1u)) * (parameters.depth / 4u);
    }
    let row = parameters.columns / 4u;
    return min(first_column / 4u, row - 1u) + row * numbers;
}

fn load_weights(at: vec4<u32>) -> Quad {
    let weights = Quad(weight4_at(at.x), weight4_at(at.y), weight4_at(at.z), weight4_at(at.w));
    if (RIGHT_TRANSPOSED) {
        return transposed(weights);
    }
    return weights;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    ACTIVATION = parameters.activation;
    let blocks = (parameters.columns + 4u * COLUMN_LANES - 1u) / (4u * COLUMN_LANES);
    let index = workgroup_index(id, count);
    let batch = index / blocks;
    if (batch >= parameters.batches) {
        return;
    }
    let block_column = index % blocks * 4u * COLUMN_LANES;
    let depth4 = parameters.depth / 4u;
    let places = offsets[2u * batch + 1u] / 4u + places_of(block_column + 4u * (invocation % COLUMN_LANES));
    // From one k4 to the next: one vec4 along a column, or four rows of W.
    let step = select(parameters.columns, 1u, RIGHT_TRANSPOSED);
    // Where the rows of x begin, in vec4s. Rows beyond the end are the last one again.
    let x_start = offsets[2u * batch] / 4u;
    let last = parameters.rows - 1u;
    let x_row = parameters.x_row / 4u;
    let near = x_start + x_row * min(vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last));
    let far = x_start + x_row * min(vec4<u32>(4u, 5u, 6u, 7u), vec4<u32>(last));
    var row0 = vec4<f32>();
    var row1 = vec4<f32>();
    var row2 = vec4<f32>();
    var row3 = vec4<f32>();
    var row4 = vec4<f32>();
    var row5 = vec4<f32>();
    var row6 = vec4<f32>();
    var row7 = vec4<f32>();
    for (var k4 = invocation / COLUMN_LANES; k4 < depth4; k4 = k4 + DEPTH_LANES) {
        let weights = load_weights(places + step * k4);
        row0 = multiply(row0, x[near.x + k4], weights);
        if (ROWS >= 4u) {
            row1 = multiply(row1, x[near.y + k4], weights);
            row2 = multiply(row2, x[near.z + k4], weights);
            row3 = multiply(row3, x[near.w + k4], weights);
        }
        if (ROWS >= 8u) {
            row4 = multiply(row4, x[far.x + k4], weights);
            row5 = multiply(row5, x[far.y + k4], weights);
            row6 = multiply(row6, x[far.z + k4], weights);
            row7 = multiply(row7, x[far.w + k4], weights);
        }
    }
    keep(0u, row0, invocation);
    if (ROWS >= 4u) {
        keep(1u, row1, invocation);
        keep(2u, row2, invocation);
        keep(3u, row3, invocation);
    }
    if (ROWS >= 8u) {
        keep(4u, row4, invocation);
        keep(5u, row5, invocation);
        keep(6u, row6, invocation);
        keep(7u, row7, invocation);
    }
    add_kept(invocation);
    let y_start = batch * parameters.rows * parameters.y_row + parameters.first_column;
    for (var element = invocation; element < ROWS * 4u * COLUMN_LANES; element = element + WORKGROUP) {
        let row = element / (4u * COLUMN_LANES);
        let number = element % (4u * COLUMN_LANES);
        let column = block_column + number;
        if (row < parameters.rows && column < parameters.columns) {
            let sum = component(added(row, number / 4u), number % 4u);
            store(y_start + row * parameters.y_row + column, column, sum);
        }
    }
}
