// y = activation(alpha · Σ parts + beta · bias) + beta · residual: the end of a product whose depth was shared out. The
// parts are [splits, rows, columns]; an invocation takes one element of y.

#import activation
#import indexing

struct Parameters {
    rows: u32,
    columns: u32,
    splits: u32,
    // From one row of y, and of the residual, to the next.
    y_row: u32,
    // Where this part of the columns begins in bias, residual and y.
    first_column: u32,
    has_bias: u32,
    has_residual: u32,
    alpha: f32,
    beta: f32,
    activation: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// The activation, which `activate` asks for.
var<private> ACTIVATION: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    ACTIVATION = parameters.activation;
    let element = workgroup_index(id, count) * WORKGROUP + invocation;
    let elements = parameters.rows * parameters.columns;
    if (element >= elements) {
        return;
    }
    var sum = 0.0;
    for (var split = 0u; split < parameters.splits; split = split + 1u) {
        sum = sum + parts[split * elements + element];
    }
    let column = parameters.first_column + element % parameters.columns;
    let place = element / parameters.columns * parameters.y_row + column;
    var value = sum * parameters.alpha;
    if (parameters.has_bias != 0u) {
        value = value + parameters.beta * bias[column];
    }
    value = activate(value);
    if (parameters.has_residual != 0u) {
        value = value + parameters.beta * residual[place];
    }
    y[place] = value;
}
