// Activations, chosen by the constant ACTIVATION (the order of ops::Activation).

#import is_nan
#import tanh

// erf to 1.4e-7 (about two units in the last place): an odd polynomial up to 1, 1 − exp(−a·q(a)) beyond. Both were
// fitted for the smallest largest error in f64 (Lawson's iteration); from 4 on, erf is 1 in f32.
fn erf(x: f32) -> f32 {
    let a = min(abs(x), 4.0);
    let t = x * x;
    var p = 7.889119e-05;
    p = p * t - 0.0008020841;
    p = p * t + 0.005189535;
    p = p * t - 0.026854444;
    p = p * t + 0.112836;
    p = p * t - 0.37612626;
    p = p * t + 1.1283791;
    var q = -1.8607166e-06;
    q = q * a + 3.0197845e-05;
    q = q * a - 0.0001918064;
    q = q * a + 0.00042187996;
    q = q * a + 0.002004033;
    q = q * a - 0.021538997;
    q = q * a + 0.10441471;
    q = q * a + 0.63597834;
    q = q * a + 1.128489;
    let beyond = select(1.0, -1.0, x < 0.0) * (1.0 - exp(-a * q));
    return select(x * p, beyond, a > 1.0);
}

fn activate(x: f32) -> f32 {
    switch (ACTIVATION) {
        case 1u: { // GELU, erf form
            return 0.5 * x * (1.0 + erf(x * 0.70710678));
        }
        case 2u: { // GELU, tanh form
            return 0.5 * x * (1.0 + tanh_stable(0.7978846 * (x + 0.044715 * x * x * x)));
        }
        case 3u: { // ReLU; a NaN stays one
            return select(x, 0.0, x < 0.0);
        }
        case 4u: { // SiLU
            return x / (1.0 + exp(-x));
        }
        case 5u: {
            return tanh_stable(x);
        }
        case 6u: { // sigmoid, by an exponential that does not overflow
            let e = exp(-abs(x));
            // exp may make a number of a NaN.
            return select(select(1.0, e, x < 0.0) / (1.0 + e), x, is_nan(x));
        }
        default: {
            return x;
        }
    }
}
