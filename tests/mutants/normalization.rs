//! Mutants of `shaders/normalization/`.

use crate::mutant::{Mutants, mutant};

pub const LAYER_NORM: Mutants = Mutants {
    kernel: "normalization/layer_norm",
    constants: &[],
    faults: &[&[
        mutant(
            "the unbiased variance",
            "reduce_add(squares, lane) / size",
            "reduce_add(squares, lane) / (size - 1.0)",
        ),
        mutant(
            "E[a²] − mean²",
            "let deviation = summand(base + column) - mean;",
            "let deviation = summand(base + column);\n        squares = squares - mean * mean;",
        ),
        mutant("each lane has an origin of its own", "summand(base);", "summand(base + lane);")
            .on("!invocation"),
        mutant("γ is read as if there were one for each row", "row * parameters.gamma_row", "base"),
        mutant("γ's rows are taken for β's", "row * parameters.beta_row", "gamma_base"),
        mutant(
            "the variance for the deviation",
            "inv_std_devs[row] = scale",
            "inv_std_devs[row] = scale * scale",
        ),
    ]],
    once: &[],
};

pub const RMS_NORM: Mutants = Mutants {
    kernel: "normalization/rms_norm",
    constants: &[],
    faults: &[&[
        mutant("the unbiased mean", "/ f32(parameters.columns)", "/ (f32(parameters.columns) - 1.0)"),
        mutant("each row has a γ of its own", "row * parameters.gamma_row", "base"),
    ]],
    once: &[],
};

pub const SOFTMAX: Mutants = Mutants {
    kernel: "normalization/softmax",
    constants: &[],
    faults: &[&[mutant(
        "exp is not held above −110",
        "exp(max(number_or_lowest(value, kind) - largest, -110.0))",
        "exp(number_or_lowest(value, kind) + largest)",
    )]],
    once: &[],
};

pub const NORM_GRADIENT: Mutants = Mutants {
    kernel: "normalization/norm_gradient",
    constants: &["CENTERED"],
    faults: &[&[
        mutant(
            "the unbiased variance",
            "reduce_add(squares, lane) / size",
            "reduce_add(squares, lane) / (size - 1.0)",
        ),
        mutant("γ is read as if there were one for each row", "row * parameters.gamma_row", "base"),
        mutant(
            "the variance for the deviation",
            "- normalized * along) * scale;",
            "- normalized * along) * scale * scale;",
        ),
    ]],
    once: &[],
};
