//! Mutants of `shaders/ceiling/`.

use crate::mutant::{Mutants, mutant};

pub const COPY: Mutants = Mutants {
    kernel: "ceiling/copy",
    constants: &["VECTORS"],
    faults: &[&[
        mutant("two words of a vector are exchanged", "= x[index]", "= x[index].yxzw"),
        mutant("a vector's words are its first", "= x[index]", "= x[index].xxxx"),
        mutant("workgroups lie too far apart", "(VECTORS * WORKGROUP)", "(VECTORS * WORKGROUP + 1u)"),
    ]],
    once: &[],
};

pub const MULTIPLY_ADD: Mutants = Mutants {
    kernel: "ceiling/multiply_add",
    constants: &["FUSED"],
    faults: &[&[
        mutant(
            "the factor is added",
            "* parameters.factor + parameters.term",
            "* parameters.term + parameters.factor",
        )
        .on("!fused"),
        mutant(
            "the factor is added",
            "fma(a, vec4<f32>(parameters.factor), vec4<f32>(parameters.term))",
            "fma(a, vec4<f32>(parameters.term), vec4<f32>(parameters.factor))",
        )
        .on("fused"),
        mutant(
            "the right chains go on from where they began",
            "step(left), step(right)",
            "step(left), chains.right",
        ),
    ]],
    once: &[],
};
