// The gradient of attention's scores: of the logits, g[r, j] = w[r, j] · (u[r, j] − Σ_k w[r, k] · u[r, k]), or of the products,
// g[r, j] · softcap′ · scale. A key of weight 0 has none, whatever is in u there.

#import indexing
#import reduce/rows

const NONE: u32 = 0xffffffffu;

struct Parameters {
    rows: u32,
    keys: u32,
    // Rows of one head.
    queries: u32,
    first_batch_head: u32,
    heads: u32,
    scale: f32,
    // c in c·tanh(s / c); 0 for none.
    softcap: f32,
    // Where in head_terms the heads' factors of the scale stand; or NONE.
    scales_at: u32,
    // 1 for the products', 0 for the logits'.
    of_products: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read> upstream: array<f32>;
@group(0) @binding(3) var<storage, read> products: array<f32>;
@group(0) @binding(4) var<storage, read> head_terms: array<f32>;
@group(0) @binding(5) var<storage, read_write> gradient: array<f32>;

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
    let base = row * parameters.keys;
    var sum = 0.0;
    for (var key = lane; key < parameters.keys; key = key + LANES) {
        let weight = weights[base + key];
        sum = sum + select(weight * upstream[base + key], 0.0, weight == 0.0);
    }
    let mean = reduce_add(sum, lane);
    var scale = parameters.scale;
    if (parameters.scales_at != NONE) {
        let head = (parameters.first_batch_head + row / parameters.queries) % parameters.heads;
        scale = scale * head_terms[parameters.scales_at + head];
    }
    for (var key = lane; key < parameters.keys; key = key + LANES) {
        let weight = weights[base + key];
        var value = weight * (upstream[base + key] - mean);
        if (parameters.of_products != 0u) {
            value = value * scale;
            if (parameters.softcap > 0.0) {
                // 1 − tanh², which so does not cancel.
                let e = exp(-2.0 * abs(products[base + key] * scale / parameters.softcap));
                value = value * 4.0 * e / ((1.0 + e) * (1.0 + e));
            }
        }
        gradient[base + key] = select(value, 0.0, weight == 0.0);
    }
}
