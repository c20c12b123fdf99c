// control = [the factor that clips gradients to largest_norm, their norm √Σ x, 1 where that is finite], x the sums of squares of
// their blocks; by one workgroup. [0, NaN, 0] where it is not.

#import indexing
#import kinds
#import reduce/rows

struct Parameters {
    elements: u32,
    clips: u32,
    largest_norm: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> control: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    if (row_of(workgroup_index(id, count), invocation) > 0u) {
        return;
    }
    let lane = lane_of(invocation);
    var sum = 0.0;
    var seen = NOTHING;
    for (var place = lane; place < parameters.elements; place = place + LANES) {
        sum = sum + x[place];
        seen = max(seen, kind_of(x[place]));
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
