// What all products share: their parameters, and all bindings but x's and W's.
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
    // In the general form: products side by side, what the product is multiplied by, and what bias and residual are.
    batches: u32,
    alpha: f32,
    beta: f32,
    // Its code, where it is no constant.
    activation: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read> offsets: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
