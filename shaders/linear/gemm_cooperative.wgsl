// y = activation(x · W + bias) + residual by cooperative matrices, W in f16 as [columns, depth] (RIGHT_TRANSPOSED: x · Wᵀ, as
// checkpoints store it) or as [depth, columns]. x is rounded to f16 as it is staged, sums are f32. Rows of x and W are whole
// vec4s.
//
// A workgroup is 2 × 2 subgroups, each with FRAGMENTS × FRAGMENTS (2 or 4) matrices of sums, and goes over the depth in
// panels of 2 matrices. The sums have names: an array might be indexed in memory. What lies beyond x and W is 0.

#import activation
#import linear/parameters
#import matrices/matrices

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f16>>;

const LANES: u32 = 4u * SUBGROUP_SIZE;
const SPAN: u32 = FRAGMENTS * SIDE;
const TILE: u32 = 2u * SPAN;
const TILE_DEPTH: u32 = 2u * SIDE;
// From one row of a panel to the next: 16 bytes more than it has, against bank conflicts. x lies as [row][k], W as
// [column][k] or [k][column].
const PITCH: u32 = TILE_DEPTH + 8u;
const COLUMNS_PITCH: u32 = TILE + 8u;
const RIGHT_AT: u32 = TILE * PITCH;
const PANEL_ELEMENTS: u32 = 2u * TILE * PITCH;
// Of a matrix of sums on its way out.
const OUT_PITCH: u32 = SIDE + 4u;
const OUT_ELEMENTS: u32 = SIDE * OUT_PITCH;

var<workgroup> out_tile: array<f32, 4u * OUT_ELEMENTS>;

fn x_block(row: u32, k: u32) -> vec4<f16> {
    if (row < parameters.rows && k < parameters.depth) {
        return vec4<f16>(x[(row * parameters.x_row + k) / 4u]);
    }
    return vec4<f16>();
}

// 4 k of a column, or 4 columns of a k.
fn weight_block(k: u32, column: u32) -> vec4<f16> {
    if (k < parameters.depth && column < parameters.columns) {
        if (RIGHT_TRANSPOSED) {
            return weight[(column * parameters.depth + k) / 4u];
        }
        return weight[(k * parameters.columns + column) / 4u];
    }
    return vec4<f16>();
}

fn stage(first_row: u32, first_column: u32, first_k: u32, invocation: u32) {
    for (var element = invocation; element < TILE * TILE_DEPTH / 4u; element = element + LANES) {
        let row = element / (TILE_DEPTH / 4u);
        let k = 4u * (element % (TILE_DEPTH / 4u));
        put(row * PITCH + k, x_block(first_row + row, first_k + k));
    }
    for (var element = invocation; element < TILE * TILE_DEPTH / 4u; element = element + LANES) {
        if (RIGHT_TRANSPOSED) {
            let column = element / (TILE_DEPTH / 4u);
            let k = 4u * (element % (TILE_DEPTH / 4u));
            put(RIGHT_AT + column * PITCH + k, weight_block(first_k + k, first_column + column));
        } else {
            let k = element / (TILE / 4u);
            let column = 4u * (element % (TILE / 4u));
            put(RIGHT_AT + k * COLUMNS_PITCH + column, weight_block(first_k + k, first_column + column));
        }
    }
}

// What the subgroup has put into its part of out_tile, into y from that row and column on.
fn finish(first_row: u32, first_column: u32, subgroup: u32, lane: u32) {
    workgroupBarrier();
    for (var element = lane; element < SIDE * SIDE; element = element + SUBGROUP_SIZE) {
        let row = first_row + element / SIDE;
        let own = first_column + element % SIDE;
        if (row < parameters.rows && own < parameters.columns) {
            let column = parameters.first_column + own;
            let place = row * parameters.y_row + column;
            var value = out_tile[subgroup * OUT_ELEMENTS + element / SIDE * OUT_PITCH + element % SIDE];
            if (parameters.has_bias != 0u) {
                value = value + bias[column];
            }
            value = activate(value);
            if (parameters.has_residual != 0u) {
                value = value + residual[place];
            }
            y[place] = value;
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile_columns = (parameters.columns + TILE - 1u) / TILE;
    // Not by workgroup_index(): naga takes what a function gives for different in each invocation, and matrices must be
    // met by all of them.
    let tile = id.y * count.x + id.x;
    let first_row = tile / tile_columns * TILE;
    if (first_row >= parameters.rows) {
        return;
    }
    let first_column = tile % tile_columns * TILE;
    let own_row = subgroup / 2u * SPAN;
    let own_column = subgroup % 2u * SPAN;
    var sums00 = Sums();
    var sums01 = Sums();
    var sums02 = Sums();
    var sums03 = Sums();
    var sums10 = Sums();
    var sums11 = Sums();
    var sums12 = Sums();
    var sums13 = Sums();
    var sums20 = Sums();
    var sums21 = Sums();
    var sums22 = Sums();
    var sums23 = Sums();
    var sums30 = Sums();
    var sums31 = Sums();
    var sums32 = Sums();
    var sums33 = Sums();
    for (var first_k = 0u; first_k < parameters.depth; first_k = first_k + TILE_DEPTH) {
        stage(first_row, first_column, first_k, invocation);
        workgroupBarrier();
        for (var k = 0u; k < TILE_DEPTH; k = k + SIDE) {
            let left = own_row * PITCH + k;
            let right = RIGHT_AT + select(k * COLUMNS_PITCH + own_column, own_column * PITCH + k, RIGHT_TRANSPOSED);
            // From one matrix to the next.
            let below = SIDE * PITCH;
            let beside = select(SIDE, SIDE * PITCH, RIGHT_TRANSPOSED);
            let x0 = coopLoadT<Left>(&panels[left / PANEL_WORD], PITCH / PANEL_WORD);
            let x1 = coopLoadT<Left>(&panels[(left + below) / PANEL_WORD], PITCH / PANEL_WORD);
            var x2 = Left();
            var x3 = Left();
            if (FRAGMENTS > 2u) {
                x2 = coopLoadT<Left>(&panels[(left + 2u * below) / PANEL_WORD], PITCH / PANEL_WORD);
                x3 = coopLoadT<Left>(&panels[(left + 3u * below) / PANEL_WORD], PITCH / PANEL_WORD);
            }
            var w = Right();
            if (RIGHT_TRANSPOSED) {
                w = coopLoad<Right>(&panels[right / PANEL_WORD], PITCH / PANEL_WORD);
            } else {
                w = coopLoadT<Right>(&panels[right / PANEL_WORD], COLUMNS_PITCH / PANEL_WORD);
            }
            sums00 = coopMultiplyAdd(x0, w, sums00);
            sums10 = coopMultiplyAdd(x1, w, sums10);
            if (FRAGMENTS > 2u) {
                sums20 = coopMultiplyAdd(x2, w, sums20);
                sums30 = coopMultiplyAdd(x3, w, sums30);
            }
            if (RIGHT_TRANSPOSED) {
                w = coopLoad<Right>(&panels[(right + beside) / PANEL_WORD], PITCH / PANEL_WORD);
            } else {
                w = coopLoadT<Right>(&panels[(right + beside) / PANEL_WORD], COLUMNS_PITCH / PANEL_WORD);
            }
            sums01 = coopMultiplyAdd(x0, w, sums01);
            sums11 = coopMultiplyAdd(x1, w, sums11);
            if (FRAGMENTS > 2u) {
                sums21 = coopMultiplyAdd(x2, w, sums21);
                sums31 = coopMultiplyAdd(x3, w, sums31);
            }
            if (FRAGMENTS > 2u) {
                if (RIGHT_TRANSPOSED) {
                    w = coopLoad<Right>(&panels[(right + 2u * beside) / PANEL_WORD], PITCH / PANEL_WORD);
                } else {
                    w = coopLoadT<Right>(&panels[(right + 2u * beside) / PANEL_WORD], COLUMNS_PITCH / PANEL_WORD);
                }
                sums02 = coopMultiplyAdd(x0, w, sums02);
                sums12 = coopMultiplyAdd(x1, w, sums12);
                sums22 = coopMultiplyAdd(x2, w, sums22);
                sums32 = coopMultiplyAdd(x3, w, sums32);
                if (RIGHT_TRANSPOSED) {
                    w = coopLoad<Right>(&panels[(right + 3u * beside) / PANEL_WORD], PITCH / PANEL_WORD);
                } else {
                    w = coopLoadT<Right>(&panels[(right + 3u * beside) / PANEL_WORD], COLUMNS_PITCH / PANEL_WORD);
                }
                sums03 = coopMultiplyAdd(x0, w, sums03);
                sums13 = coopMultiplyAdd(x1, w, sums13);
                sums23 = coopMultiplyAdd(x2, w, sums23);
                sums33 = coopMultiplyAdd(x3, w, sums33);
            }
        }
        workgroupBarrier();
    }
    let row = first_row + own_row;
    let column = first_column + own_column;
    let out_at = subgroup * OUT_ELEMENTS;
    coopStoreT(sums00, &out_tile[out_at], OUT_PITCH);
    finish(row, column, subgroup, lane);
    coopStoreT(sums01, &out_tile[out_at], OUT_PITCH);
    finish(row, column + SIDE, subgroup, lane);
    coopStoreT(sums10, &out_tile[out_at], OUT_PITCH);
    finish(row + SIDE, column, subgroup, lane);
    coopStoreT(sums11, &out_tile[out_at], OUT_PITCH);
    finish(row + SIDE, column + SIDE, subgroup, lane);
    if (FRAGMENTS > 2u) {
        coopStoreT(sums02, &out_tile[out_at], OUT_PITCH);
        finish(row, column + 2u * SIDE, subgroup, lane);
        coopStoreT(sums03, &out_tile[out_at], OUT_PITCH);
        finish(row, column + 3u * SIDE, subgroup, lane);
        coopStoreT(sums12, &out_tile[out_at], OUT_PITCH);
        finish(row + SIDE, column + 2u * SIDE, subgroup, lane);
        coopStoreT(sums13, &out_tile[out_at], OUT_PITCH);
        finish(row + SIDE, column + 3u * SIDE, subgroup, lane);
        coopStoreT(sums20, &out_tile[out_at], OUT_PITCH);
        finish(row + 2u * SIDE, column, subgroup, lane);
        coopStoreT(sums21, &out_tile[out_at], OUT_PITCH);
        finish(row + 2u * SIDE, column + SIDE, subgroup, lane);
        coopStoreT(sums22, &out_tile[out_at], OUT_PITCH);
        finish(row + 2u * SIDE, column + 2u * SIDE, subgroup, lane);
        coopStoreT(sums23, &out_tile[out_at], OUT_PITCH);
        finish(row + 2u * SIDE, column + 3u * SIDE, subgroup, lane);
        coopStoreT(sums30, &out_tile[out_at], OUT_PITCH);
        finish(row + 3u * SIDE, column, subgroup, lane);
        coopStoreT(sums31, &out_tile[out_at], OUT_PITCH);
        finish(row + 3u * SIDE, column + SIDE, subgroup, lane);
        coopStoreT(sums32, &out_tile[out_at], OUT_PITCH);
        finish(row + 3u * SIDE, column + 2u * SIDE, subgroup, lane);
        coopStoreT(sums33, &out_tile[out_at], OUT_PITCH);
        finish(row + 3u * SIDE, column + 3u * SIDE, subgroup, lane);
    }
}
