//! Mutants of `shaders/attention/flash_tiled.wgsl`, and of what it shares with `flash_subgroup.wgsl`.

use crate::mutant::{Mutant, Mutants, mutant};
use crate::{masking, placing};

/// `flash_tile`.
pub const TILES: &[Mutant] = &[
    mutant(
        "heads that share keys are counted the other way",
        "let key_head = head / parameters.heads_per_key;",
        "let key_head = head % (parameters.heads / parameters.heads_per_key);",
    ),
    mutant(
        "the keys end where the first query's do",
        "band_of_query(span, last_query).end",
        "band_of_query(span, first_query).end",
    ),
    mutant(
        "the keys begin where the last query's do",
        "band_of_query(span, first_query).begin",
        "band_of_query(span, last_query).begin",
    ),
];

/// Splits and parts, as `flash_decode` has them too.
pub const SPLITS: &[Mutant] = &[mutant(
    "splits overlap by a key",
    "min(end, split_begin + parameters.split_keys)",
    "min(end, split_begin + parameters.split_keys + 1u)",
)];

pub const FLASH_TILED: Mutants = Mutants {
    kernel: "attention/flash_tiled",
    constants: &[],
    faults: &[placing::HEADS],
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
                "the rows are shared out by halves of the lanes",
                "let own_row = invocation / 2u;",
                "let own_row = invocation % 32u;",
            ),
            mutant(
                "a row is masked as its neighbour",
                "min(first_query + own_row, last_query)",
                "min(first_query + own_row + 1u, last_query)",
            ),
            mutant(
                "keys are left out of the maximum",
                "highest = max(highest, max(max(logits.x",
                "highest = max(LOWEST, max(max(logits.x",
            ),
            mutant(
                "the running maximum is forgotten",
                "largest = max(before, max(shares",
                "largest = max(LOWEST, max(shares",
            ),
            mutant(
                "the maximum is the lane's own",
                "max(before, max(shares[2u * own_row], shares[2u * own_row + 1u]))",
                "max(before, shares[invocation])",
            ),
            mutant(
                "the weights have the maximum before them",
                "weights_of(weight_tile[place], largest)",
                "weights_of(weight_tile[place], before)",
            ),
            mutant("a value stands for its neighbour", "weights0.w * d", "weights0.w * c"),
            mutant(
                "a row's ending is its neighbour's",
                "ended_block(values, factor_tile[row],",
                "ended_block(values, factor_tile[max(row, 1u) - 1u],",
            ),
            mutant(
                "a row's NaN is its neighbour's",
                "poison_tile[row] > 0.0",
                "poison_tile[max(row, 1u) - 1u] > 0.0",
            ),
            mutant(
                "a lane's NaNs are its row's",
                "select(0.0, 1.0, end_of_row.poisoned)",
                "select(0.0, 1.0, seen == POISON)",
            ),
            mutant(
                "a tile's rows of the output are as long as they have elements",
                "base + row * parameters.output_row",
                "base + row * parameters.value_dim",
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
        masking::MASKING,
        masking::OF_FOUR,
        masking::KINDS_OF_FOUR,
        masking::WORDS_OF_FOUR,
        placing::FLASH,
        placing::FLASH_WEIGHTS,
    ],
};
