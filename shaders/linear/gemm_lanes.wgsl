// y = activation(x · W + bias) + residual, W as [columns, depth] (RIGHT_TRANSPOSED: x · Wᵀ, as checkpoints store it) or
// as [depth, columns], for subgroups of exactly 8 and rows of x and W that are whole vec4s.
//
// A workgroup is one subgroup and computes TILE_ROWS × TILE_COLUMNS (8, 16 or 32 × 32): each lane has 4 columns of every row in registers. In each
// trip over 4 k a lane loads x for one row of every 8 and W for its own columns; x then goes round by broadcasts from
// constant lanes. Rows and columns beyond the end load the last one again, and are not stored.
// With GENERAL it is y = alpha · x · W + beta · (bias + residual), for many x and W at once.
struct Parameters {
    rows: u32,
    columns: u32,
    depth: u32,
    x_row: u32,
    y_row: u32,
    // Where this part of the columns begins in bias, residual and y: a weight above the binding limit comes in parts.
    first_column: u32,
    has_bias: u32,
    has_residual: u32,
    // With GENERAL: products side by side, what the product is multiplied by, and what bias and residual are.
    batches: u32,
    alpha: f32,
    beta: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<Weight4>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read> offsets: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

// Where a lane's columns begin in W, in vec4s: columns may be far apart (transposed) or side by side.
fn places_of(first_column: u32) -> vec4<u32> {
    if (RIGHT_TRANSPOSED) {
        let columns = first_column + vec4<u32>(0u, 1u, 2u, 3u);
        return min(columns, vec4<u32>(parameters.columns - 1u)) * (parameters.depth / 4u);
    }
    let row = parameters.columns / 4u;
    return min(first_column / 4u, row - 1u) + row * vec4<u32>(0u, 1u, 2u, 3u);
}

fn load_panel(places: vec4<u32>, k4: u32) -> Panel {
    // From one k4 to the next: one vec4 along a column, or four rows.
    let at = places + select(parameters.columns, 1u, RIGHT_TRANSPOSED) * k4;
    let a = weight4_at(at.x);
    let b = weight4_at(at.y);
    let c = weight4_at(at.z);
    let d = weight4_at(at.w);
    if (RIGHT_TRANSPOSED) {
        return Panel(
            vec4<f32>(a.x, b.x, c.x, d.x),
            vec4<f32>(a.y, b.y, c.y, d.y),
            vec4<f32>(a.z, b.z, c.z, d.z),
            vec4<f32>(a.w, b.w, c.w, d.w),
        );
    }
    return Panel(a, b, c, d);
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

// `start`: where y begins.
fn store(start: u32, first_column: u32, values: vec4<f32>) {
    for (var column = 0u; column < 4u; column = column + 1u) {
        if (first_column + column < parameters.columns) {
            var value = activate(values[column]);
            if (parameters.has_residual != 0u) {
                value = value + scaled(residual[start + column]);
            }
            y[start + column] = value;
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
    var row0 = vec4<f32>();
    var row1 = vec4<f32>();
    var row2 = vec4<f32>();
    var row3 = vec4<f32>();
    var row4 = vec4<f32>();
    var row5 = vec4<f32>();
    var row6 = vec4<f32>();
    var row7 = vec4<f32>();
    var row8 = vec4<f32>();
    var row9 = vec4<f32>();
    var row10 = vec4<f32>();
    var row11 = vec4<f32>();
    var row12 = vec4<f32>();
    var row13 = vec4<f32>();
    var row14 = vec4<f32>();
    var row15 = vec4<f32>();
    var row16 = vec4<f32>();
    var row17 = vec4<f32>();
    var row18 = vec4<f32>();
    var row19 = vec4<f32>();
    var row20 = vec4<f32>();
    var row21 = vec4<f32>();
    var row22 = vec4<f32>();
    var row23 = vec4<f32>();
    var row24 = vec4<f32>();
    var row25 = vec4<f32>();
    var row26 = vec4<f32>();
    var row27 = vec4<f32>();
    var row28 = vec4<f32>();
    var row29 = vec4<f32>();
    var row30 = vec4<f32>();
    var row31 = vec4<f32>();
    for (var k4 = 0u; k4 < depth4; k4 = k4 + 1u) {
        let right = load_panel(places, k4);
        let left0 = x[left_places.x + k4];
        row0 = multiply(row0, subgroupBroadcast(left0, 0u), right);
        row1 = multiply(row1, subgroupBroadcast(left0, 1u), right);
        row2 = multiply(row2, subgroupBroadcast(left0, 2u), right);
        row3 = multiply(row3, subgroupBroadcast(left0, 3u), right);
        row4 = multiply(row4, subgroupBroadcast(left0, 4u), right);
        row5 = multiply(row5, subgroupBroadcast(left0, 5u), right);
        row6 = multiply(row6, subgroupBroadcast(left0, 6u), right);
        row7 = multiply(row7, subgroupBroadcast(left0, 7u), right);
        if (TILE_ROWS >= 16u) {
            let left8 = x[left_places.y + k4];
            row8 = multiply(row8, subgroupBroadcast(left8, 0u), right);
            row9 = multiply(row9, subgroupBroadcast(left8, 1u), right);
            row10 = multiply(row10, subgroupBroadcast(left8, 2u), right);
            row11 = multiply(row11, subgroupBroadcast(left8, 3u), right);
            row12 = multiply(row12, subgroupBroadcast(left8, 4u), right);
            row13 = multiply(row13, subgroupBroadcast(left8, 5u), right);
            row14 = multiply(row14, subgroupBroadcast(left8, 6u), right);
            row15 = multiply(row15, subgroupBroadcast(left8, 7u), right);
        }
        if (TILE_ROWS >= 32u) {
            let left16 = x[left_places.z + k4];
            row16 = multiply(row16, subgroupBroadcast(left16, 0u), right);
            row17 = multiply(row17, subgroupBroadcast(left16, 1u), right);
            row18 = multiply(row18, subgroupBroadcast(left16, 2u), right);
            row19 = multiply(row19, subgroupBroadcast(left16, 3u), right);
            row20 = multiply(row20, subgroupBroadcast(left16, 4u), right);
            row21 = multiply(row21, subgroupBroadcast(left16, 5u), right);
            row22 = multiply(row22, subgroupBroadcast(left16, 6u), right);
            row23 = multiply(row23, subgroupBroadcast(left16, 7u), right);
            let left24 = x[left_places.w + k4];
            row24 = multiply(row24, subgroupBroadcast(left24, 0u), right);
            row25 = multiply(row25, subgroupBroadcast(left24, 1u), right);
            row26 = multiply(row26, subgroupBroadcast(left24, 2u), right);
            row27 = multiply(row27, subgroupBroadcast(left24, 3u), right);
            row28 = multiply(row28, subgroupBroadcast(left24, 4u), right);
            row29 = multiply(row29, subgroupBroadcast(left24, 5u), right);
            row30 = multiply(row30, subgroupBroadcast(left24, 6u), right);
            row31 = multiply(row31, subgroupBroadcast(left24, 7u), right);
        }
    }
    // An array from here on: an epilogue for each row in a loop compiles in half the time.
    var rows = array<vec4<f32>, 32>(
        row0, row1, row2, row3, row4, row5, row6, row7,
        row8, row9, row10, row11, row12, row13, row14, row15,
        row16, row17, row18, row19, row20, row21, row22, row23,
        row24, row25, row26, row27, row28, row29, row30, row31,
    );
    var addend = load_bias(first_column);
    var factor = 1.0;
    if (GENERAL) {
        addend = addend * parameters.beta;
        factor = parameters.alpha;
    }
    let start = starts.z + parameters.first_column + first_column;
    let end = min(TILE_ROWS, parameters.rows - first_row);
    for (var row = 0u; row < end; row = row + 1u) {
        store(start + (first_row + row) * parameters.y_row, first_column, rows[row] * factor + addend);
    }
}
