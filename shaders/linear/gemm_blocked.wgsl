// y = activation(alpha · x · W + beta · bias) + beta · residual for `batches` products, W as [columns, depth]
// (RIGHT_TRANSPOSED: x · Wᵀ, as checkpoints store it) or as [depth, columns]. Rows of x and W are whole vec4s.
// With SPLIT the batches are parts of one product's depth, whose sums follow each other in y.
//
// A workgroup computes a tile of TILE_ROWS × TILE_COLUMNS, which are the same, each invocation EACH × EACH of it in
// registers. Each invocation loads one vec4 of x and one of W a panel, while it multiplies the panel before.

#import component
#import indexing
#import linear/parameters
#import linear/product
#import linear/weight4
#import linear/x4_buffer
#import quad

// Invocations side by side in a tile, and of a workgroup.
const GROUPS: u32 = TILE_COLUMNS / EACH;
const INVOCATIONS: u32 = TILE_ROWS / EACH * GROUPS;
// vec4s of a panel's depth, so many that each invocation loads one of each side.
const DEPTH4: u32 = INVOCATIONS / TILE_ROWS;
// From one row of a panel to the next: an odd number of vec4s, so that neighbours lie in other banks.
const STRIDE: u32 = DEPTH4 + 1u;

// For each row the vec4s of its k.
var<workgroup> left_panel: array<vec4<f32>, TILE_ROWS * STRIDE>;
// The same for each column; not transposed, for each k the vec4s of its columns.
var<workgroup> right_panel: array<vec4<f32>, TILE_COLUMNS * STRIDE>;

// The tile's column that is number `number` of an invocation's EACH. Apart where neighbouring invocations read
// neighbouring columns' vec4s, and side by side by fours where a vec4 is of columns.
fn column_of(group: u32, number: u32) -> u32 {
    if (RIGHT_TRANSPOSED) {
        return group + GROUPS * number;
    }
    return 4u * (group + GROUPS * (number / 4u)) + number % 4u;
}

fn panel_of(group: u32, k4: u32, fours: u32) -> Quad {
    if (RIGHT_TRANSPOSED) {
        let at = STRIDE * (group + GROUPS * 4u * fours) + k4;
        let next = STRIDE * GROUPS;
        return transposed(Quad(
            right_panel[at],
            right_panel[at + next],
            right_panel[at + next * 2u],
            right_panel[at + next * 3u],
        ));
    }
    let row = TILE_COLUMNS / 4u;
    let at = 4u * k4 * row + group + GROUPS * fours;
    return Quad(right_panel[at], right_panel[at + row], right_panel[at + 2u * row], right_panel[at + 3u * row]);
}

// 0 behind the end, where both sides are: nothing is added there.
fn load_left(place: u32, k4: u32, end4: u32) -> vec4<f32> {
    var values = vec4<f32>();
    if (k4 < end4) {
        values = x[place];
    }
    return values;
}

fn load_right(place: u32, k4: u32, end4: u32) -> vec4<f32> {
    var values = vec4<f32>();
    if (k4 < end4) {
        values = weight4_at(place);
    }
    return values;
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    ACTIVATION = parameters.activation;
    let tile_columns = (parameters.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    let tiles = (parameters.rows + TILE_ROWS - 1u) / TILE_ROWS * tile_columns;
    let index = workgroup_index(id, count);
    let batch = index / tiles;
    if (batch >= parameters.batches) {
        return;
    }
    let tile = index % tiles;
    let first_row = tile / tile_columns * TILE_ROWS;
    let first_column = tile % tile_columns * TILE_COLUMNS;

    // Where x and W begin, and the part of the depth, all in vec4s.
    var starts = vec2<u32>();
    var first4 = 0u;
    var end4 = parameters.depth / 4u;
    if (SPLIT) {
        let panels = (end4 + DEPTH4 - 1u) / DEPTH4;
        let share = (panels + parameters.batches - 1u) / parameters.batches * DEPTH4;
        first4 = batch * share;
        end4 = min(end4, first4 + share);
    } else {
        starts = vec2<u32>(offsets[2u * batch], offsets[2u * batch + 1u]) / 4u;
    }

    // What this invocation loads. Rows and columns beyond the end load the last one again, and are not stored.
    let left_row = invocation / DEPTH4;
    let left_k4 = invocation % DEPTH4;
    let left_place = starts.x + min(first_row + left_row, parameters.rows - 1u) * (parameters.x_row / 4u) + left_k4;
    let left_slot = left_row * STRIDE + left_k4;
    // From one k4 to the next: one vec4 along a column, or four rows of W.
    let right_step = select(parameters.columns, 1u, RIGHT_TRANSPOSED);
    var right_k4 = left_k4;
    var right_slot = left_slot;
    var right_place = starts.y;
    if (RIGHT_TRANSPOSED) {
        right_place += min(first_column + left_row, parameters.columns - 1u) * (parameters.depth / 4u) + left_k4;
    } else {
        let row = TILE_COLUMNS / 4u;
        let k = invocation / row;
        let columns4 = parameters.columns / 4u;
        right_k4 = k / 4u;
        right_slot = invocation;
        right_place += k * columns4 + min(first_column / 4u + invocation % row, columns4 - 1u);
    }
    // What it multiplies.
    let my_row = invocation / GROUPS * EACH;
    let group = invocation % GROUPS;

    // Rows of sums: the first four columns of each in a, the other four in b.
    #for i in 0..8
    var a{i} = vec4<f32>();
    #end
    #for i in 0..8
    var b{i} = vec4<f32>();
    #end
    var next_left = load_left(left_place + first4, first4 + left_k4, end4);
    var next_right = load_right(right_place + first4 * right_step, first4 + right_k4, end4);
    for (var panel4 = first4; panel4 < end4; panel4 = panel4 + DEPTH4) {
        left_panel[left_slot] = next_left;
        right_panel[right_slot] = next_right;
        workgroupBarrier();
        let next4 = panel4 + DEPTH4;
        next_left = load_left(left_place + next4, next4 + left_k4, end4);
        next_right = load_right(right_place + next4 * right_step, next4 + right_k4, end4);
        for (var k4 = 0u; k4 < DEPTH4; k4 = k4 + 1u) {
            let at = my_row * STRIDE + k4;
            let near = panel_of(group, k4, 0u);
            let left0 = left_panel[at];
            let left1 = left_panel[at + STRIDE];
            let left2 = left_panel[at + 2u * STRIDE];
            let left3 = left_panel[at + 3u * STRIDE];
            #for i in 0..4
            a{i} = multiply(a{i}, left{i}, near);
            #end
            if (EACH == 8u) {
                let far = panel_of(group, k4, 1u);
                #for i in 0..4
                b{i} = multiply(b{i}, left{i}, far);
                #end
                #for i in 4..8
                let left{i} = left_panel[at + {i}u * STRIDE];
                #end
                #for i in 4..8
                a{i} = multiply(a{i}, left{i}, near);
                #end
                #for i in 4..8
                b{i} = multiply(b{i}, left{i}, far);
                #end
            }
        }
        workgroupBarrier();
    }

    // An array from here on: an epilogue for each element in a loop, since activations are long.
    var sums = array<vec4<f32>, 16>(a0, b0, a1, b1, a2, b2, a3, b3, a4, b4, a5, b5, a6, b6, a7, b7);
    let y_start = batch * parameters.rows * parameters.y_row + parameters.first_column;
    for (var element = 0u; element < EACH * EACH; element = element + 1u) {
        let row = first_row + my_row + element / EACH;
        let number = element % EACH;
        let column = first_column + column_of(group, number);
        if (row < parameters.rows && column < parameters.columns) {
            let sum = component(sums[2u * (element / EACH) + number / 4u], number % 4u);
            store(y_start + row * parameters.y_row + column, column, sum);
        }
    }
}
