// A register tile of left · right: a workgroup computes TILE_ROWS × TILE_COLUMNS, each invocation 4 × 4 of them.
// The kernel gives the elements by load_left(row, k) and load_right(k, column), 0 outside their matrices.
//
// Both panels lie in workgroup memory with k as the slow index, so that an invocation reads its four rows and its
// four columns side by side.
const TILE_DEPTH: u32 = 16u;
const TILE_LANES: u32 = TILE_ROWS * TILE_COLUMNS / 16u;
const COLUMN_GROUPS: u32 = TILE_COLUMNS / 4u;

struct Registers {
    row0: vec4<f32>,
    row1: vec4<f32>,
    row2: vec4<f32>,
    row3: vec4<f32>,
}

var<workgroup> left_panel: array<f32, TILE_DEPTH * TILE_ROWS>;
var<workgroup> right_panel: array<f32, TILE_DEPTH * TILE_COLUMNS>;

// With SKIP_ZEROS a zero on the left takes nothing from the right, not even a NaN or an infinity.
fn product(left: f32, right: vec4<f32>) -> vec4<f32> {
    if (SKIP_ZEROS) {
        return select(left * right, vec4<f32>(), left == 0.0);
    }
    return left * right;
}

fn multiply_tile(first_row: u32, first_column: u32, depth: u32, invocation: u32) -> Registers {
    let my_row = 4u * (invocation / COLUMN_GROUPS);
    let my_column = 4u * (invocation % COLUMN_GROUPS);
    var sums = Registers();
    for (var first_k = 0u; first_k < depth; first_k = first_k + TILE_DEPTH) {
        for (var element = invocation; element < TILE_DEPTH * TILE_ROWS; element = element + TILE_LANES) {
            let k = element % TILE_DEPTH;
            let row = element / TILE_DEPTH;
            left_panel[k * TILE_ROWS + row] = load_left(first_row + row, first_k + k);
        }
        for (var element = invocation; element < TILE_DEPTH * TILE_COLUMNS; element = element + TILE_LANES) {
            // Neighbouring invocations read neighbouring words, whichever way the matrix lies.
            let k = select(element / TILE_COLUMNS, element % TILE_DEPTH, RIGHT_TRANSPOSED);
            let column = select(element % TILE_COLUMNS, element / TILE_DEPTH, RIGHT_TRANSPOSED);
            right_panel[k * TILE_COLUMNS + column] = load_right(first_k + k, first_column + column);
        }
        workgroupBarrier();
        for (var k = 0u; k < TILE_DEPTH; k = k + 1u) {
            let a = k * TILE_ROWS + my_row;
            let b = k * TILE_COLUMNS + my_column;
            let right = vec4<f32>(right_panel[b], right_panel[b + 1u], right_panel[b + 2u], right_panel[b + 3u]);
            sums.row0 += product(left_panel[a], right);
            sums.row1 += product(left_panel[a + 1u], right);
            sums.row2 += product(left_panel[a + 2u], right);
            sums.row3 += product(left_panel[a + 3u], right);
        }
        workgroupBarrier();
    }
    return sums;
}
