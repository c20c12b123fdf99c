// What `gemm_blocked` and `gemm_rows` share: their parameters and bindings, and the end of a sum.
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
    batches: u32,
    alpha: f32,
    beta: f32,
    activation: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<Weight4>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
// Where the x and the W of each product begin.
@group(0) @binding(5) var<storage, read> offsets: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

// The activation, which `activate` asks for.
var<private> ACTIVATION: u32;

// Ends the sum of a column, and stores it at `place` in y.
fn store(place: u32, column: u32, sum: f32) {
    var value = sum * parameters.alpha;
    if (parameters.has_bias != 0u) {
        value = value + parameters.beta * bias[parameters.first_column + column];
    }
    value = activate(value);
    if (parameters.has_residual != 0u) {
        value = value + parameters.beta * residual[place];
    }
    y[place] = value;
}
