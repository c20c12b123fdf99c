// f32 and f16 by their bits. In integers alone: WGSL's own conversions may round either way, flush subnormals and lose
// infinities and NaNs.
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
