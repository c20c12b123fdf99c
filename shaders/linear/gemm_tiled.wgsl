// y = activation(x · W + bias) + residual, W as [columns, depth] (TRANSPOSED: x · Wᵀ, as checkpoints store it) or as
// [depth, columns]. With GENERAL it is y = alpha · x · W + beta · (bias + residual), for many x and W at once.

#import activation
#import component
#import indexing
#import linear/multiply_tile
#import linear/parameters
#import linear/weight

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<WeightWord>;

// Where this product's x, W and y begin: 0, and no more than that, unless GENERAL.
var<private> starts: vec3<u32>;

fn x_start() -> u32 {
    if (GENERAL) {
        return starts.x;
    }
    return 0u;
}

fn weight_start() -> u32 {
    if (GENERAL) {
        return starts.y;
    }
    return 0u;
}

fn y_start() -> u32 {
    if (GENERAL) {
        return starts.z;
    }
    return 0u;
}

fn load_left(row: u32, k: u32) -> f32 {
    if (row < parameters.rows && k < parameters.depth) {
        return x[x_start() + row * parameters.x_row + k];
    }
    return 0.0;
}

fn load_right(k: u32, column: u32) -> f32 {
    if (k < parameters.depth && column < parameters.columns) {
        if (RIGHT_TRANSPOSED) {
            return weight_at(weight_start() + column * parameters.depth + k);
        }
        return weight_at(weight_start() + k * parameters.columns + column);
    }
    return 0.0;
}

fn scaled(addend: f32) -> f32 {
    if (GENERAL) {
        return addend * parameters.beta;
    }
    return addend;
}

fn store(row: u32, first_column: u32, values: vec4<f32>) {
    if (row < parameters.rows) {
        for (var lane = 0u; lane < 4u; lane = lane + 1u) {
            if (first_column + lane < parameters.columns) {
                let column = parameters.first_column + first_column + lane;
                let place = y_start() + row * parameters.y_row + column;
                var value = component(values, lane);
                if (GENERAL) {
                    value = value * parameters.alpha;
                }
                if (parameters.has_bias != 0u) {
                    value = value + scaled(bias[column]);
                }
                value = activate(value);
                if (parameters.has_residual != 0u) {
                    value = value + scaled(residual[place]);
                }
                y[place] = value;
            }
        }
    }
}

@compute @workgroup_size(TILE_LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let tile_columns = (parameters.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    var tile = workgroup_index(id, count);
    if (GENERAL) {
        let tiles = (parameters.rows + TILE_ROWS - 1u) / TILE_ROWS * tile_columns;
        let batch = tile / tiles;
        if (batch >= parameters.batches) {
            return;
        }
        tile = tile % tiles;
        starts = vec3<u32>(
            offsets[2u * batch],
            offsets[2u * batch + 1u],
            batch * parameters.rows * parameters.y_row,
        );
    }
    let first_row = tile / tile_columns * TILE_ROWS;
    if (first_row >= parameters.rows) {
        return;
    }
    let first_column = tile % tile_columns * TILE_COLUMNS;
    let sums = multiply_tile(first_row, first_column, parameters.depth, invocation);
    let row = first_row + 4u * (invocation / COLUMN_GROUPS);
    let column = first_column + 4u * (invocation % COLUMN_GROUPS);
    store(row, column, sums.row0);
    store(row + 1u, column, sums.row1);
    store(row + 2u, column, sums.row2);
    store(row + 3u, column, sums.row3);
}
