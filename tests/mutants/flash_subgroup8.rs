//! Mutants of `shaders/attention/flash_subgroup8.wgsl`.

use crate::flash::{SPLITS, TILES};
use crate::mutant::{Mutants, mutant};
use crate::placing;

pub const FLASH_SUBGROUP8: Mutants = Mutants {
    kernel: "attention/flash_subgroup8",
    constants: &[],
    faults: &[placing::HEADS],
    once: &[
        &[
            mutant("the fourth query begins where the third does", "c.begin, d.begin", "c.begin, c.begin"),
            mutant("the third query ends where the second does", "b.end, c.end", "b.end, b.end"),
            mutant(
                "the second query stands where the first does",
                "a.position, b.position",
                "a.position, a.position",
            )
            .on("terms"),
            mutant("the fourth query's mask is the third's", "c.mask, d.mask", "c.mask, c.mask").on("terms"),
            mutant(
                "the second key has elements of the first",
                "subgroupBroadcast(keys0.b, 6u)",
                "subgroupBroadcast(keys0.a, 6u)",
            ),
            mutant("the last keys are left out", "key < tile.end; key", "key + KEYS < tile.end; key"),
            mutant(
                "the running maximum is forgotten",
                "largest = max(largest, max(",
                "largest = max(vec4<f32>(LOWEST), max(",
            ),
            mutant(
                "nothing is rescaled where the maximum rises",
                "let factor = rescale_by(before, largest);",
                "let factor = vec4<f32>(1.0);",
            ),
            // The other way round would be no fault: its NaN at the first key sends the tile through the passes for values that are
            // not finite, and those know the maximum.
            mutant(
                "rescaled by half of the rise, by rows",
                "exp(max(before - after, vec4",
                "exp(max(0.5 * (before - after), vec4",
            ),
            mutant(
                "a weight is told by its logit",
                "select(vec4<f32>(), powers, logits.kinds == vec4<u32>(NUMBERS))",
                "select(vec4<f32>(), powers, logits.numbers > vec4<f32>(LOWEST))",
            )
            .on("terms"),
            mutant("the second key's values have the first's weight", "b * weights.b", "b * weights.a"),
            mutant(
                "q's rows are as long as they have elements",
                "my_queries * parameters.q_row",
                "my_queries * parameters.head_dim",
            )
            .on("terms"),
            mutant(
                "the output's rows are as long as they have elements",
                "my_queries * parameters.output_row",
                "my_queries * parameters.value_dim",
            )
            .on("terms"),
            mutant(
                "k's rows are as long as they have elements, without blocks",
                "first_places.x + keys * parameters.k_row",
                "first_places.x + keys * parameters.head_dim",
            ),
            mutant(
                "v's rows are as long as they have elements, without blocks",
                "first_places.y + keys * parameters.v_row",
                "first_places.y + keys * parameters.value_dim",
            ),
            mutant("v lies where k does", "v_at(step_a, tile.key_head)", "k_at(step_a, tile.key_head)")
                .on("paged"),
            mutant(
                "the heads share their biases",
                "mask_at, rows.head)",
                "mask_at, Head(rows.head.scale, rows.head.slope, parameters.relative_at))",
            )
            .on("terms"),
            mutant("the last phase is left out", "phase < PHASES;", "phase < PHASE_FINITE_SUMS;"),
            mutant("no value is strange", "let strange = (bits &", "let strange = (0u * bits &"),
            mutant(
                "what is +∞ counts as −∞",
                "NEGATIVE_INFINITY_BITS, phase == PHASE_PLUS_INFINITY)",
                "NEGATIVE_INFINITY_BITS, phase == PHASE_MINUS_INFINITY)",
            ),
            mutant("a query's sum is the first's", "largest[row], sum[row]", "largest[row], sum[0]"),
            mutant(
                "the queries share a factor",
                "vec4<f32>(end.factor), here)",
                "vec4<f32>(end.factor), vec4<bool>(true))",
            ),
            mutant(
                "the last columns are not stored",
                "column < parameters.value_dim; column",
                "column + 4u < parameters.value_dim; column",
            ),
        ],
        TILES,
        SPLITS,
        placing::QUERY_COUNTS,
        placing::PACKED_KEYS,
        placing::FLASH,
    ],
};
