//! Mutants of `shaders/attention/flash_subgroup.wgsl`.

use crate::flash::{SPLITS, TILES};
use crate::mutant::{Mutants, mutant};
use crate::placing;

/// Without the faults of the masks themselves: `flash_tiled` has the same text of them, and the same cases, and a
/// pipeline here takes seconds to compile.
///
/// None for the barriers: the workgroup is one subgroup.
pub const FLASH_SUBGROUP: Mutants = Mutants {
    kernel: "attention/flash_subgroup",
    constants: &[],
    faults: &[
        placing::HEADS,
        &[
            mutant(
                "every block is kept in the second's place",
                "VALUE_BLOCKS > 1u && block == 1u",
                "VALUE_BLOCKS > 1u && block > 0u",
            )
            .on("value_blocks=4")
            .once(),
            mutant(
                "the third block is the fourth",
                "select(picked, c, block == 2u)",
                "select(picked, d, block == 2u)",
            )
            .on("value_blocks=4")
            .once(),
            mutant("the fourth block is the third", "d, block == 3u)", "c, block == 3u)")
                .on("value_blocks=4")
                .once(),
            mutant(
                "the other blocks share their sums",
                "let at = max(block, 4u) * TILE_ROWS - 4u * TILE_ROWS;",
                "let at = 0u;",
            )
            .times(2)
            .on("value_blocks=8")
            .once(),
            mutant(
                "the last block is left out",
                "(parameters.value_dim + KEYS - 1u) / KEYS",
                "max(parameters.value_dim / KEYS, 1u)",
            )
            .on("value_blocks=8")
            .once(),
        ],
        // Where a lane has four rows.
        &[
            mutant(
                "the third rows are weighed as the second",
                "weigh(state_c, row_c, my_rows.z",
                "weigh(state_c, row_b, my_rows.z",
            )
            .on("subgroup_size=4")
            .once(),
            mutant("the fourth rows go on from the third", "weigh(state_d, row_d", "weigh(state_c, row_d")
                .on("subgroup_size=4")
                .once(),
            mutant(
                "the fourth rows' factors are the third's",
                "state_c.factor, state_d.factor",
                "state_c.factor, state_c.factor",
            )
            .on("subgroup_size=4")
            .once(),
            mutant("the fourth rows end as the third", "finish(state_d, tile", "finish(state_c, tile")
                .on("subgroup_size=4")
                .once(),
        ],
    ],
    once: &[
        &[
            mutant(
                "the keys' band begins a tile late",
                "first_key = tile.begin / KEYS * KEYS;",
                "first_key = (tile.begin + KEYS - 1u) / KEYS * KEYS;",
            ),
            mutant(
                "the keys' last tile is left out",
                "first_key < tile.end;",
                "first_key + KEYS <= tile.end;",
            ),
            mutant(
                "a key lies where its values do",
                "k_at(step1, tile.key_head)",
                "v_at(step1, tile.key_head)",
            ),
            mutant(
                "the values are those of the first four keys",
                "let places = value_places[key4];",
                "let places = value_places[0];",
            ),
            mutant(
                "the head's last elements are left out",
                "first < parameters.head_dim;",
                "first + 4u < parameters.head_dim;",
            ),
            mutant(
                "the second rows are weighed as the first",
                "weigh(state_b, row_b, my_rows.y",
                "weigh(state_b, row_a, my_rows.y",
            ),
            mutant(
                "the second rows go on from the first",
                "weigh(state_b, row_b, my_rows.y",
                "weigh(state_a, row_b, my_rows.y",
            ),
            mutant(
                "the running maximum is forgotten",
                "var after = before;",
                "var after = before;\n    after.largest = LOWEST;",
            ),
            mutant(
                "keys are left out of the maximum",
                "after.largest = max(after.largest,",
                "after.largest = max(before.largest,",
            ),
            mutant(
                "the weights have the maximum before them",
                "weights_of(weight_tile[place], after.largest)",
                "weights_of(weight_tile[place], before.largest)",
            ),
            mutant(
                "the second rows' factors are the first's",
                "state_a.factor, state_b.factor",
                "state_a.factor, state_a.factor",
            ),
            mutant(
                "the second turn goes on from a row that is not rescaled",
                "before[3] = row3;",
                "before[3] = block0[3];",
            ),
            mutant("the second rows end as the first", "finish(state_b, tile", "finish(state_a, tile"),
            mutant(
                "a tile's rows of the output are as long as they have elements",
                "base + r * parameters.output_row",
                "base + r * parameters.value_dim",
            ),
        ],
        TILES,
        SPLITS,
        placing::QUERIES,
        placing::QUERY_COUNTS,
        placing::KEYS,
        placing::PACKED_KEYS,
        placing::PAGED,
        placing::VALUES,
        placing::OUTPUT,
        placing::FLASH,
        placing::FLASH_WEIGHTS,
    ],
};
