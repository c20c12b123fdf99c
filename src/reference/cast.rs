//! f16 by its definition: no bit of an f32 is looked at, save of a NaN's.

/// The bits of positive infinity; those of the finite magnitudes are below.
const INFINITY: u16 = 0x7c00;

/// The value of an f16: ±m·2⁻²⁴ for an exponent field of 0, else ±(1024 + m)·2^(e − 25) (IEEE 754-2019, section 3.4).
pub fn from_f16(bits: u16) -> f64 {
    let value = match bits & 0x7fff {
        INFINITY => f64::INFINITY,
        nan if nan > INFINITY => f64::NAN,
        finite => from_f16_or_next(finite),
    };
    if bits >> 15 == 1 { -value } else { value }
}

/// [`from_f16`] of a magnitude; for infinity 2¹⁶, which would follow the largest were exponents not at their end.
pub(crate) fn from_f16_or_next(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10), f64::from(bits & 0x3ff));
    match exponent {
        0 => fraction * 2_f64.powi(-24),
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    }
}

/// The bits of the f16 nearest to x, of two the one with an even last bit (IEEE 754-2019, section 4.3.1), found by
/// bisection over all of them. A NaN gives a quiet NaN of its sign, with the head of its payload.
pub fn to_f16(x: f32) -> u16 {
    let sign = u16::from(x.is_sign_negative()) << 15;
    if x.is_nan() {
        return sign | 0x7e00 | (x.to_bits() >> 13) as u16 & 0x3ff;
    }
    let magnitude = f64::from(x.abs());
    // The least that is not below it, infinity for those beyond the largest.
    let (mut low, mut high) = (0, INFINITY);
    while low < high {
        let middle = low + (high - low) / 2;
        if from_f16_or_next(middle) < magnitude {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let Some(below) = low.checked_sub(1) else { return sign };
    let (down, up) = (magnitude - from_f16_or_next(below), from_f16_or_next(low) - magnitude);
    sign | if down < up || (down == up && below % 2 == 0) { below } else { low }
}

/// The bits of the f32 that an f16 is; a NaN as [`to_f16`] takes it.
pub fn to_f32_bits(bits: u16) -> u32 {
    let value = from_f16(bits);
    if value.is_nan() {
        return u32::from(bits >> 15) << 31 | 0x7fc0_0000 | u32::from(bits & 0x3ff) << 13;
    }
    (value as f32).to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let pairs = [
            (0x0000, 0.0),
            (0x0001, 5.960464477539063e-8),
            (0x03ff, 6.097555160522461e-5),
            (0x0400, 6.103515625e-5),
            (0x3555, 0.333251953125),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x7c00, f64::INFINITY),
            (0xfc00, f64::NEG_INFINITY),
        ];
        for (bits, value) in pairs {
            assert_eq!(from_f16(bits), value, "{bits:04x}");
            assert_eq!(to_f16(value as f32), bits, "{value}");
        }
        assert_eq!(to_f16(-0.0), 0x8000);
        // Halfway: to the even one. 65,520 is halfway to what is beyond the largest.
        for (value, bits) in [(2049.0, 0x6800), (2051.0, 0x6802), (65519.0, 0x7bff), (65520.0, 0x7c00)] {
            assert_eq!(to_f16(value), bits, "{value}");
        }
        assert_eq!((to_f16(2_f32.powi(-25)), to_f16(2_f32.powi(-25).next_up())), (0, 1));
        assert!(from_f16(0x7c01).is_nan() && to_f16(f32::NAN) == 0x7e00 && to_f16(f32::MAX) == INFINITY);
    }

    #[test]
    fn as_the_half_crate_has_it() {
        for bits in 0..=u16::MAX {
            let half = half::f16::from_bits(bits);
            assert_eq!(to_f32_bits(bits), half.to_f32().to_bits(), "{bits:04x}");
            // Signalling NaNs come back quiet.
            let quiet = if half.is_nan() { bits | 0x200 } else { bits };
            assert_eq!(to_f16(f32::from_bits(to_f32_bits(bits))), quiet, "{bits:04x}");
        }
        // Every 9,973rd f32, of all there are.
        for word in (0..=u32::MAX).step_by(9_973) {
            let value = f32::from_bits(word);
            assert_eq!(to_f16(value), half::f16::from_f32(value).to_bits(), "{word:08x}");
        }
    }
}
