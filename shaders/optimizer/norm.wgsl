// control = [the factor that clips gradients to largest_norm, their norm √Σ x, 1 where that is finite], x the sums of squares of
// their blocks; by one workgroup. [0, NaN, 0] where it is not.

#import kinds
#import reduce/rows_workgroup

struct Parameters {
    elements: u32,
    clips: u32,
    largest_norm: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> control: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    var seen = NOTHING;
    for (var place = lane; place < parameters.elements; place = place + LANES) {
        let kind = kind_of(x[place]);
        sum = sum + select(0.0, x[place], kind == NUMBERS);
        seen = max(seen, kind);
    }
    sum = reduce_add(sum, lane);
    seen = u32(reduce_max(f32(seen), lane));
    if (lane == 0u) {
        // Finite sums may be too large together.
        let lost = makes_nan(max(seen, kind_of(sum)));
        let norm = sqrt(sum);
        var factor = 1.0;
        if (parameters.clips != 0u) {
            factor = min(1.0, parameters.largest_norm / (norm + 1e-6));
        }
        let nan = bitcast<f32>(select(0u, NAN_BITS, lost));
        control[0] = select(factor, 0.0, lost);
        control[1] = select(norm, nan, lost);
        control[2] = select(1.0, 0.0, lost);
    }
}
