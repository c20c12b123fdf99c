// y = activation(x · W + bias) + residual, W as [columns, depth] (RIGHT_TRANSPOSED: x · Wᵀ, as checkpoints store it) or
// as [depth, columns], for subgroups of exactly 8 and rows of x and W that are whole vec4s.
//
// A workgroup is one subgroup and computes TILE_ROWS (8, 16 or 32) × TILE_COLUMNS (32): each lane has 4 columns of
// every row, in registers. In each trip over 4 k a lane loads x for one row of every 8 and W for its own columns; x then
// goes round by broadcasts from constant lanes. Rows and columns beyond the end load the last one again, and are not
// stored.
// With GENERAL it is y = alpha · x · W + beta · (bias + residual), for many x and W at once.

#import activation
#import indexing
#import linear/eight
#import linear/parameters
#import linear/weight4 if !IMAGES
#import linear/weight4_f16_image if IMAGES && HALF_WEIGHTS
#import linear/weight4_f32_image if IMAGES && !HALF_WEIGHTS
#import linear/x4_buffer if !IMAGES
#import linear/x4_image if IMAGES
#import quad

// Where a lane's columns begin in W, in vec4s: columns may be far apart (transposed) or side by side.
fn places_of(first_column: u32) -> vec4<u32> {
    if (RIGHT_TRANSPOSED) {
        let columns = first_column + vec4<u32>(0u, 1u, 2u, 3u);
        return min(columns, vec4<u32>(parameters.columns - 1u)) * (parameters.depth / 4u);
    }
    let row = parameters.columns / 4u;
    return min(first_column / 4u, row - 1u) + row * vec4<u32>(0u, 1u, 2u, 3u);
}

fn load_weights(places: vec4<u32>, k4: u32) -> Quad {
    // From one k4 to the next: one vec4 along a column, or four rows.
    let at = places + select(parameters.columns, 1u, RIGHT_TRANSPOSED) * k4;
    let weights = Quad(weight4_at(at.x), weight4_at(at.y), weight4_at(at.z), weight4_at(at.w));
    if (RIGHT_TRANSPOSED) {
        return transposed(weights);
    }
    return weights;
}

fn load_bias(first_column: u32) -> vec4<f32> {
    if (parameters.has_bias == 0u) {
        return vec4<f32>();
    }
    let columns = first_column + vec4<u32>(0u, 1u, 2u, 3u);
    let at = parameters.first_column + min(columns, vec4<u32>(parameters.columns - 1u));
    return vec4<f32>(bias[at.x], bias[at.y], bias[at.z], bias[at.w]);
}

fn scaled(addend: f32) -> f32 {
    if (GENERAL) {
        return addend * parameters.beta;
    }
    return addend;
}

struct Epilogue {
    // Where its columns begin in y's first row.
    first: u32,
    first_column: u32,
    factor: f32,
    addend: vec4<f32>,
}

// Stores 4 columns of a row, as far as they are there.
fn store(by: Epilogue, row: u32, sums: vec4<f32>) {
    if (row < parameters.rows) {
        let values = sums * by.factor + by.addend;
        let start = by.first + row * parameters.y_row;
        for (var column = 0u; column < 4u; column = column + 1u) {
            if (by.first_column + column < parameters.columns) {
                var value = activate(values[column]);
                if (parameters.has_residual != 0u) {
                    value = value + scaled(residual[start + column]);
                }
                y[start + column] = value;
            }
        }
    }
}

@compute @workgroup_size(SUBGROUP_SIZE)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile_columns = (parameters.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    var tile = workgroup_index(id, count);
    // Where this product's x, W (in vec4s) and y begin.
    var starts = vec3<u32>();
    if (GENERAL) {
        let tiles = (parameters.rows + TILE_ROWS - 1u) / TILE_ROWS * tile_columns;
        let batch = tile / tiles;
        if (batch >= parameters.batches) {
            return;
        }
        tile = tile % tiles;
        starts = vec3<u32>(
            offsets[2u * batch] / 4u,
            offsets[2u * batch + 1u] / 4u,
            batch * parameters.rows * parameters.y_row,
        );
    }
    let first_row = tile / tile_columns * TILE_ROWS;
    if (first_row >= parameters.rows) {
        return;
    }
    let first_column = tile % tile_columns * TILE_COLUMNS + 4u * lane;
    let places = starts.y + places_of(first_column);
    // Where the rows that this lane loads begin in x, in vec4s.
    let left_rows = min(first_row + lane + vec4<u32>(0u, 8u, 16u, 24u), vec4<u32>(parameters.rows - 1u));
    let left_places = starts.x + left_rows * (parameters.x_row / 4u);
    let depth4 = parameters.depth / 4u;
    // Of 8 rows each, from row 0, 8, 16 and 24 on.
    var sums0 = Eight();
    var sums8 = Eight();
    var sums16 = Eight();
    var sums24 = Eight();
    for (var k4 = 0u; k4 < depth4; k4 = k4 + 1u) {
        let right = load_weights(places, k4);
        sums0 = multiply_eight(sums0, x4_at(left_places.x + k4), right);
        if (TILE_ROWS > 8u) {
            sums8 = multiply_eight(sums8, x4_at(left_places.y + k4), right);
        }
        if (TILE_ROWS > 16u) {
            sums16 = multiply_eight(sums16, x4_at(left_places.z + k4), right);
            sums24 = multiply_eight(sums24, x4_at(left_places.w + k4), right);
        }
    }
    var addend = load_bias(first_column);
    var factor = 1.0;
    if (GENERAL) {
        addend = addend * parameters.beta;
        factor = parameters.alpha;
    }
    let by = Epilogue(starts.z + parameters.first_column + first_column, first_column, factor, addend);
    // A loop over a few rows: one for each of them takes long to compile, an array and its index long to run.
    for (var part = 0u; part < TILE_ROWS; part = part + 8u) {
        var eight = sums0;
        if (part == 8u) {
            eight = sums8;
        }
        if (part == 16u) {
            eight = sums16;
        }
        if (part == 24u) {
            eight = sums24;
        }
        store(by, first_row + part + 0u, eight.r0);
        store(by, first_row + part + 1u, eight.r1);
        store(by, first_row + part + 2u, eight.r2);
        store(by, first_row + part + 3u, eight.r3);
        store(by, first_row + part + 4u, eight.r4);
        store(by, first_row + part + 5u, eight.r5);
        store(by, first_row + part + 6u, eight.r6);
        store(by, first_row + part + 7u, eight.r7);
    }
}
