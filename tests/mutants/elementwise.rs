//! Mutants of `shaders/elementwise/`.

use crate::mutant::{Mutants, all_on, mutant};
use crate::shared;

pub const ACTIVATE: Mutants = Mutants {
    kernel: "elementwise/activate",
    constants: &[],
    faults: &[
        &[
            mutant("x passes as it is", "activate(value), value, is_nan(", "value, value, is_nan(")
                .on("activation=1"),
            mutant("the activation twice", "select(activate(value)", "select(activate(activate(value))")
                .on("activation=2"),
            mutant("y begins one later", "y[index] =", "y[index + 1u] ="),
            mutant("x begins one later", "let value = x[index]", "let value = x[index + 1u]"),
            mutant("one element too many", "index >= parameters.elements", "index > parameters.elements"),
            mutant(
                "the last element is left out",
                "index >= parameters.elements",
                "index + 1u >= parameters.elements",
            ),
            mutant("workgroups overlap", "* WORKGROUP + invocation", "* (WORKGROUP / 2u) + invocation"),
            mutant("all is a NaN but NaN", "value, is_nan(value))", "value, !is_nan(value))")
                .on("activation=4"),
        ],
        shared::ACTIVATION,
    ],
    once: &[shared::INDEXING],
};

pub const CAST: Mutants = Mutants {
    kernel: "elementwise/cast",
    constants: &["TO_F16"],
    faults: &[
        &[
            mutant("the second half is left out", "word = word | (narrow(x[first + 1u]) << 16u);", "")
                .on("to_f16"),
            mutant("both halves are the first", "narrow(x[first + 1u])", "narrow(x[first])").on("to_f16"),
            mutant("the halves lie on each other", "narrow(x[first + 1u]) << 16u", "narrow(x[first + 1u])")
                .on("to_f16"),
            mutant("words lie two apart", "y[pair] = word", "y[first] = word").on("to_f16"),
            mutant("the halves are exchanged", "widen(word & 0xffffu)", "widen(word >> 16u)").on("!to_f16"),
            mutant("both are the first half", "widen(word >> 16u)", "widen(word & 0xffffu)").on("!to_f16"),
            mutant("words lie two apart", "let word = x[pair]", "let word = x[first]").on("!to_f16"),
            mutant("an odd element has a partner", "first + 1u < parameters.elements", "true"),
            mutant(
                "the last element has no partner",
                "first + 1u < parameters.elements",
                "first + 2u < parameters.elements",
            ),
            mutant("one pair too many", "first >= parameters.elements", "first > parameters.elements"),
            mutant(
                "an odd element is left out",
                "first >= parameters.elements",
                "first + 1u >= parameters.elements",
            ),
        ],
        shared::INDEXING,
    ],
    once: &[&all_on(shared::NARROW, "to_f16"), &all_on(shared::NARROW_EDGES, "to_f16"), shared::WIDEN],
};

pub const STRIDED_COPY: Mutants = Mutants {
    kernel: "elementwise/strided_copy",
    constants: &[],
    faults: &[
        &[
            mutant("the last axis has the stride before it", "parameters.stride_0)", "parameters.stride_1)"),
            mutant(
                "the sizes of two axes are exchanged",
                "walk, parameters.size_1,",
                "walk, parameters.size_2,",
            ),
            mutant(
                "the third axis is left out",
                "walk = walk_axis(walk, parameters.size_2, parameters.stride_2);",
                "",
            ),
            mutant("the fourth axis has the fifth's stride", "parameters.stride_3)", "parameters.stride_4)"),
            mutant("the fifth axis has the fourth's stride", "parameters.stride_4)", "parameters.stride_3)"),
            mutant(
                "the sixth axis is left out",
                "walk = walk_axis(walk, parameters.size_5, parameters.stride_5);",
                "",
            ),
            mutant(
                "the seventh axis has the eighth's size",
                "walk, parameters.size_6,",
                "walk, parameters.size_7,",
            ),
            mutant(
                "the eighth axis is left out",
                "walk = walk_axis(walk, parameters.size_7, parameters.stride_7);",
                "",
            ),
            mutant("the place is the last axis's alone", "walk.place + walk.rest % size", "walk.rest % size"),
            mutant("each axis sees the whole index", "Walk(walk.rest / size,", "Walk(walk.rest,"),
            mutant(
                "quotient and rest are exchanged",
                "walk.rest % size * stride",
                "walk.rest / size * stride",
            ),
            mutant("x is read as it lies", "x[walk.place]", "x[index]"),
            mutant("x is read from its beginning", "Walk(index, parameters.x_first)", "Walk(index, 0u)"),
            mutant("y is written from its beginning", "y[parameters.y_first + row", "y[row"),
            mutant(
                "the rows of y lie one after the other",
                "row * parameters.y_row",
                "row * parameters.y_columns",
            ),
            mutant("all is the first row", "row * parameters.y_row + column", "column"),
            mutant("the column is the whole index", "index % parameters.y_columns", "index"),
            mutant(
                "rows are as long as y's",
                "index / parameters.y_columns",
                "index / max(parameters.y_row, 1u)",
            ),
            mutant("one element too many", "index >= parameters.elements", "index > parameters.elements"),
            mutant(
                "the last element is left out",
                "index >= parameters.elements",
                "index + 1u >= parameters.elements",
            ),
        ],
        shared::INDEXING,
    ],
    once: &[],
};

pub const BINARY: Mutants = Mutants {
    kernel: "elementwise/binary",
    constants: &["OPERATION"],
    faults: &[&[
        mutant("a is left out", "combined(a[a_place], b[b_place])", "b[b_place]"),
        mutant("b is left out", "combined(a[a_place], b[b_place])", "a[a_place]"),
        mutant(
            "the operands are exchanged",
            "combined(a[a_place], b[b_place])",
            "combined(b[b_place], a[a_place])",
        )
        .on("operation=1"),
        mutant("the difference for the sum", "left + right", "left - right").on("operation=0"),
        mutant("the sum for the difference", "left - right", "left + right").on("operation=1"),
        mutant("the sum for the product", "left * right", "left + right").on("operation=2"),
        mutant("b is read as a lies", "b[b_place]", "b[a_place]"),
        mutant("a is read as b lies", "a[a_place]", "a[b_place]"),
        mutant("a is read as y lies", "a[a_place]", "a[element]"),
        mutant("the last axis of a repeats", "index_0 * parameters.a_stride_0", "index_0 * 0u"),
        mutant("the third axis of a repeats", "index_1 * parameters.a_stride_1", "index_1 * 0u"),
        mutant("the second axis of a repeats", "index_2 * parameters.a_stride_2", "index_2 * 0u"),
        mutant("the first axis of a repeats", "index_3 * parameters.a_stride_3", "index_3 * 0u"),
        mutant("the last axis of b repeats", "index_0 * parameters.b_stride_0", "index_0 * 0u"),
        mutant("the third axis of b repeats", "index_1 * parameters.b_stride_1", "index_1 * 0u"),
        mutant("the second axis of b repeats", "index_2 * parameters.b_stride_2", "index_2 * 0u"),
        mutant("the first axis of b repeats", "index_3 * parameters.b_stride_3", "index_3 * 0u"),
        mutant(
            "two axes of b are exchanged",
            "index_2 * parameters.b_stride_2",
            "index_2 * parameters.b_stride_3",
        ),
        mutant("the first axis goes over the end", "rest / parameters.size_2", "rest"),
        mutant("the third axis sees the whole index", "element / parameters.size_0", "element"),
        mutant("one element too many", "element >= parameters.elements", "element > parameters.elements"),
        mutant(
            "the last element is left out",
            "element >= parameters.elements",
            "element + 1u >= parameters.elements",
        ),
        mutant("workgroups overlap", "* WORKGROUP + invocation", "* (WORKGROUP / 2u) + invocation"),
    ]],
    once: &[shared::INDEXING],
};
