//! Mutants of `shaders/ceiling/`.

use crate::mutant::{Mutants, mutant};
use crate::shared;

pub const COPY: Mutants = Mutants {
    kernel: "ceiling/copy",
    constants: &["VECTORS"],
    faults: &[
        &[
            mutant("one vector too many", "index < parameters.vectors", "index <= parameters.vectors"),
            mutant(
                "the last vector is left out",
                "index < parameters.vectors",
                "index + 1u < parameters.vectors",
            ),
            mutant("x begins one later", "= x[index]", "= x[index + 1u]"),
            mutant("y begins one later", "y[index] =", "y[index + 1u] ="),
            mutant("two words of a vector are exchanged", "= x[index]", "= x[index].yxzw"),
            mutant("a vector's words are its first", "= x[index]", "= x[index].xxxx"),
            mutant("all vectors of an invocation are its first", "step * WORKGROUP", "step * 0u")
                .on("vectors=4"),
            mutant("an invocation's vectors lie beside each other", "step * WORKGROUP", "step")
                .on("vectors=4"),
            mutant("the last vector of an invocation is left out", "step < VECTORS", "step + 1u < VECTORS"),
            mutant("workgroups overlap", "(VECTORS * WORKGROUP)", "WORKGROUP").on("vectors=4"),
            mutant("workgroups lie too far apart", "(VECTORS * WORKGROUP)", "(VECTORS * WORKGROUP + 1u)"),
        ],
        shared::INDEXING,
    ],
    once: &[],
};

pub const MULTIPLY_ADD: Mutants = Mutants {
    kernel: "ceiling/multiply_add",
    constants: &["FUSED"],
    faults: &[
        &[
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
                "the term is taken away",
                "* parameters.factor + parameters.term",
                "* parameters.factor - parameters.term",
            )
            .on("!fused"),
            mutant("one step of the left chains too few", "step(left), step(right)", "left, step(right)"),
            mutant(
                "a quarter of the steps is left out",
                "steps(steps(steps(steps(chains))))",
                "steps(steps(steps(chains)))",
            ),
            mutant("one trip too many", "trip < parameters.trips", "trip <= parameters.trips"),
            mutant("the first trip is left out", "var trip = 0u", "var trip = 1u"),
            mutant(
                "the right chains go on from where they began",
                "step(left), step(right)",
                "step(left), chains.right",
            ),
            mutant("two chains begin at the same number", "(0.0, 1.0, 2.0, 3.0)", "(0.0, 1.0, 1.0, 3.0)"),
            mutant("the right chains are left out of the sum", "chains.left + chains.right", "chains.left"),
            mutant(
                "a chain is left out of the sum",
                "both.x + both.y + both.z + both.w",
                "both.x + both.y + both.z",
            ),
            mutant("x begins one later", "= x[index]", "= x[index + 1u]"),
            mutant("y begins one later", "y[index] =", "y[index + 1u] ="),
            mutant(
                "one element too many",
                "index >= parameters.invocations",
                "index > parameters.invocations",
            ),
            mutant(
                "the last element is left out",
                "index >= parameters.invocations",
                "index + 1u >= parameters.invocations",
            ),
        ],
        shared::INDEXING,
    ],
    once: &[],
};
