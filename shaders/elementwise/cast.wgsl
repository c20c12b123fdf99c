// y = x as f16 (TO_F16: from f32) or as f32 (from f16), two f16 in a word.
//
// In integers alone: WGSL's own conversions may round either way, flush subnormals and lose infinities and NaNs.
struct Parameters {
    elements: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

const INFINITY: u32 = 0x7f800000u;

// The f16 nearest to an f32, ties to even; a NaN keeps its sign and the head of its payload, and is quiet.
fn narrow(word: u32) -> u32 {
    let sign = (word >> 16u) & 0x8000u;
    let magnitude = word & 0x7fffffffu;
    if (magnitude > INFINITY) {
        return sign | 0x7e00u | ((magnitude >> 13u) & 0x3ffu);
    }
    // 65,520 lies halfway between the largest f16 and what would follow it.
    if (magnitude >= 0x477ff000u) {
        return sign | 0x7c00u;
    }
    // Exponents of f16 are biased by 15, those of f32 by 127.
    var bits = magnitude - 0x38000000u;
    var shift = 13u;
    if (magnitude < 0x38800000u) {
        // Below 2⁻¹⁴: in units of 2⁻²⁴, without an exponent. From a shift of 25 on nothing is left.
        bits = (magnitude & 0x7fffffu) | 0x800000u;
        shift = min(126u - (magnitude >> 23u), 25u);
    }
    let odd = (bits >> shift) & 1u;
    return sign | ((bits + (1u << (shift - 1u)) - 1u + odd) >> shift);
}

fn widen(bits: u32) -> u32 {
    let sign = (bits & 0x8000u) << 16u;
    let exponent = bits & 0x7c00u;
    let magnitude = bits & 0x7fffu;
    if (exponent == 0x7c00u) {
        return sign | INFINITY | select(0u, 0x400000u, magnitude > 0x7c00u) | ((bits & 0x3ffu) << 13u);
    }
    if (exponent == 0u) {
        // In units of 2⁻²⁴: exact, and no subnormal f32.
        return sign | bitcast<u32>(f32(magnitude) * 5.9604645e-8);
    }
    return sign | ((magnitude << 13u) + 0x38000000u);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    // Two elements for each invocation: no two write the same word.
    let pair = workgroup_index(id, count) * WORKGROUP + invocation;
    let first = 2u * pair;
    if (first >= parameters.elements) {
        return;
    }
    let both = first + 1u < parameters.elements;
    if (TO_F16) {
        var word = narrow(x[first]);
        if (both) {
            word = word | (narrow(x[first + 1u]) << 16u);
        }
        y[pair] = word;
    } else {
        let word = x[pair];
        y[first] = widen(word & 0xffffu);
        if (both) {
            y[first + 1u] = widen(word >> 16u);
        }
    }
}
