//! Mutants of `shaders/elementwise/`.

use crate::mutant::{Mutants, mutant};

pub const ACTIVATE: Mutants = Mutants {
    kernel: "elementwise/activate",
    constants: &[],
    faults: &[&[
        mutant("the activation twice", "select(activate(value)", "select(activate(activate(value))")
            .on("activation=2"),
        mutant("all is a NaN but NaN", "value, is_nan(value))", "value, !is_nan(value))").on("activation=4"),
    ]],
    once: &[],
};

pub const CAST: Mutants = Mutants {
    kernel: "elementwise/cast",
    constants: &["TO_F16"],
    faults: &[&[
        mutant("words lie two apart", "y[pair] = word", "y[first] = word").on("to_f16"),
        mutant("words lie two apart", "let word = x[pair]", "let word = x[first]").on("!to_f16"),
    ]],
    once: &[&[
        mutant(
            "the exponents' bias is one off",
            "0x38000000u;\n    var shift",
            "0x37800000u;\n    var shift",
        )
        .on("to_f16"),
        mutant("the largest f16 is infinite", "0x477ff000u", "0x477fe000u").on("to_f16"),
        mutant(
            "a NaN is infinite",
            "return sign | 0x7e00u | ((magnitude >> 13u) & 0x3ffu)",
            "return sign | 0x7c00u",
        )
        .on("to_f16"),
        mutant("a signaling NaN stays one", "sign | 0x7e00u | ((", "sign | 0x7c00u | ((").on("to_f16"),
        mutant("the largest subnormals are normal", "magnitude < 0x38800000u", "magnitude < 0x38000000u")
            .on("to_f16"),
        mutant("subnormals are twice as large", "5.9604645e-8", "1.1920929e-7").on("!to_f16"),
        mutant("the exponents' bias is one off", "<< 13u) + 0x38000000u", "<< 13u) + 0x38800000u")
            .on("!to_f16"),
    ]],
};

pub const STRIDED_COPY: Mutants = Mutants {
    kernel: "elementwise/strided_copy",
    constants: &[],
    faults: &[&[
        mutant("x is read as it lies", "x[walk.place]", "x[index]"),
        mutant(
            "the rows of y lie one after the other",
            "row * parameters.y_row",
            "row * parameters.y_columns",
        ),
        mutant(
            "rows are as long as y's",
            "index / parameters.y_columns",
            "index / max(parameters.y_row, 1u)",
        ),
    ]],
    once: &[],
};

pub const BINARY: Mutants = Mutants {
    kernel: "elementwise/binary",
    constants: &["OPERATION"],
    faults: &[&[
        mutant(
            "the operands are exchanged",
            "combined(a[a_place], b[b_place])",
            "combined(b[b_place], a[a_place])",
        )
        .on("operation=1"),
        mutant("the sum for the product", "left * right", "left + right").on("operation=2"),
        mutant("b is read as a lies", "b[b_place]", "b[a_place]"),
        mutant("a is read as b lies", "a[a_place]", "a[b_place]"),
        mutant("a is read as y lies", "a[a_place]", "a[element]"),
    ]],
    once: &[],
};
