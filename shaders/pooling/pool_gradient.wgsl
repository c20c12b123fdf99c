// dx[b, l, :] of a pooling of x[b, 0..length_b, :] (pool.wgsl), for each token: its share of the gradient of pooled[b, :], which is
// upstream[b, :] itself, or, where the pooled row was divided by its L2 norm, (upstream − p·(p · upstream)) / norm with the unit
// row p. Tokens from the length on get zeros.

#import indexing
#import reduce/rows

struct Parameters {
    // Tokens of all items, padding included.
    rows: u32,
    length: u32,
    columns: u32,
    // 0 mean, 1 first (CLS), 2 max.
    kind: u32,
    normalize: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> upstream: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> lengths: array<u32>;
// What was pooled, not yet divided by its norm.
@group(0) @binding(4) var<storage, read> pooled: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

// Whether the token is the first that has the largest value of its column.
fn is_first(item: u32, token: u32, column: u32) -> bool {
    let largest = pooled[item * parameters.columns + column];
    let base = item * parameters.length * parameters.columns + column;
    if (x[base + token * parameters.columns] != largest) {
        return false;
    }
    for (var earlier = 0u; earlier < token; earlier = earlier + 1u) {
        if (x[base + earlier * parameters.columns] == largest) {
            return false;
        }
    }
    return true;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let row = row_of(workgroup_index(id, count), invocation);
    if (row >= parameters.rows) {
        return;
    }
    let lane = lane_of(invocation);
    let item = row / parameters.length;
    let token = row % parameters.length;
    let tokens = min(lengths[item], parameters.length);
    let base = item * parameters.columns;
    var scale: f32;
    var along: f32;
    if (parameters.normalize != 0u) {
        var squares = 0.0;
        var product = 0.0;
        for (var column = lane; column < parameters.columns; column = column + LANES) {
            let value = pooled[base + column];
            squares = squares + value * value;
            product = product + value * upstream[base + column];
        }
        let norm = sqrt(reduce_add(squares, lane));
        // A row of zeros has no direction, and gives nothing.
        scale = select(1.0 / norm, 0.0, norm < 1e-12);
        along = reduce_add(product, lane) * scale * scale;
    }
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        var share = 0.0;
        if (token < tokens) {
            share = upstream[base + column];
            if (parameters.normalize != 0u) {
                share = (share - pooled[base + column] * along) * scale;
            }
            if (parameters.kind == 0u) {
                share = share / f32(tokens);
            } else if (parameters.kind == 1u) {
                share = select(0.0, share, token == 0u);
            } else if (!is_first(item, token, column)) {
                share = 0.0;
            }
        }
        dx[row * parameters.columns + column] = share;
    }
}
