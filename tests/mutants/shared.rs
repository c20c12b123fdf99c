//! Faults in `shaders/shared/`, for the kernels that use those files.

use crate::mutant::{Mutant, mutant};

/// `kinds`, where a row's scores are told one by one.
pub const KINDS: &[Mutant] = &[
    mutant(
        "a NaN is a number",
        "(bits & INFINITY_BITS) == INFINITY_BITS",
        "(bits & 0x7fffffffu) == INFINITY_BITS",
    ),
    mutant("−∞ is a NaN", "select(POISON, INFINITIES, bits", "select(POISON, POISON, bits"),
    mutant("a NaN is −∞", "select(POISON, INFINITIES, bits", "select(INFINITIES, INFINITIES, bits"),
    mutant("−∞ is nothing", "select(POISON, INFINITIES, bits", "select(POISON, NOTHING, bits"),
    mutant("+∞ is −∞", "bits == NEGATIVE_INFINITY_BITS)", "(bits & 0x7fffffffu) == INFINITY_BITS)"),
    mutant(
        "f32's lowest number is nothing",
        "select(NUMBERS, strange,",
        "select(select(NUMBERS, NOTHING, score == LOWEST), strange,",
    ),
    mutant(
        "−3.4e38 is −∞",
        "select(NUMBERS, strange,",
        "select(select(NUMBERS, INFINITIES, score <= -3.4e38), strange,",
    ),
    mutant(
        "3.4e38 is +∞",
        "select(NUMBERS, strange,",
        "select(select(NUMBERS, POISON, score >= 3.4e38), strange,",
    ),
];

/// `multiply_tile`, for any two matrices.
pub const MULTIPLY_TILE: &[Mutant] = &[
    mutant("the depth's tail is left out", "first_k < depth;", "first_k + TILE_DEPTH <= depth;"),
    mutant(
        "the right panel is filled in two orders",
        "select(element / TILE_COLUMNS, element % TILE_DEPTH, RIGHT_TRANSPOSED)",
        "select(element % TILE_DEPTH, element / TILE_COLUMNS, RIGHT_TRANSPOSED)",
    ),
];
