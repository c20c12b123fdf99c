// The end of a sum in `gemm_blocked` and `gemv`, which are general and have one pipeline for all activations.

#import activation
#import linear/parameters

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
