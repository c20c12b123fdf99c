//! Mutants of `shaders/pooling/`.

use crate::mutant::{Mutants, mutant};

pub const POOL: Mutants = Mutants {
    kernel: "pooling/pool",
    constants: &[],
    faults: &[&[
        mutant("the mean over the padding too", "value / f32(count)", "value / f32(parameters.length)"),
        mutant("the first for the mean", "parameters.kind == 1u", "parameters.kind <= 1u"),
        mutant("the largest is at least 0", "max(value, next)", "max(max(value, next), 0.0)"),
    ]],
    once: &[],
};

pub const MEAN_MAX: Mutants = Mutants {
    kernel: "pooling/mean_max",
    constants: &[],
    faults: &[&[
        mutant("the unbiased mean", "/ f32(parameters.columns)", "/ (f32(parameters.columns) - 1.0)"),
        mutant(
            "the mean for the maximum",
            "maximum[row] = select(largest, sum",
            "maximum[row] = select(mean[row], sum",
        ),
    ]],
    once: &[],
};

pub const POOL_GRADIENT: Mutants = Mutants {
    kernel: "pooling/pool_gradient",
    constants: &[],
    faults: &[&[
        mutant("the mean over the padding too", "share / f32(tokens)", "share / f32(parameters.length)"),
        mutant("the norm is taken for its square", "* scale * scale;", "* scale;"),
    ]],
    once: &[],
};
