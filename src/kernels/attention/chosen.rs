//! Problems that are chosen, not sampled: between them they have every option, each where leaving it out or shifting it
//! by one shows. A few samples would meet some of them.

use super::Parameters;
use super::problem::{Low, Padding, Placement, Poison, Position, Problem};
use super::problem_data::{Data, Scores};
use crate::per_head::PerHead;

/// A problem, and how a fused kernel runs it.
pub(crate) struct HandpickedProblem {
    pub problem: Problem,
    /// Tiles of keys in a split; 0 for no splits.
    pub split_tiles: u32,
    /// All tiles but the first and the last.
    pub part: bool,
    /// Whether the sums are wanted.
    pub has_sums: bool,
}

fn plain(seed: u64) -> Problem {
    Problem {
        seed,
        batch: 2,
        key_heads: 2,
        heads_per_key: 2,
        queries: 9,
        keys: 70,
        head_dim: 20,
        value_dim: 28,
        spread: 1.0,
        softcap: 0.0,
        causal: false,
        position: Position::Start,
        window: [None; 2],
        padding: Padding::None,
        mask: None,
        low: Low::Infinite,
        per_head: PerHead::default(),
        relative: None,
        placement: Placement::RowsFirst,
        poison: Poison::Hidden,
        half: false,
        half_queries: false,
    }
}

/// The axes of a mask that has one number for each row, or for each key.
const ROWS: [bool; 4] = [true, false, true, false];
const KEYS: [bool; 4] = [false, false, false, true];

/// Of all keys, only the one at that place among four has a value that is no number; some queries do not see it.
fn strange(seed: u64, place: u32) -> HandpickedProblem {
    let problem = Problem {
        batch: 1,
        key_heads: 1,
        // Query 4 of 9 sees up to key 4 + place, and there is no key that no query sees.
        keys: 9 + place,
        window: [None, Some(place)],
        poison: Poison::Middle,
        ..plain(seed)
    };
    HandpickedProblem { problem, split_tiles: 0, part: false, has_sums: true }
}

/// All of them.
pub(crate) fn all() -> Vec<HandpickedProblem> {
    let whole = |problem| HandpickedProblem { problem, split_tiles: 0, part: false, has_sums: true };
    let split = |problem| HandpickedProblem { split_tiles: 1, ..whole(problem) };
    let slopes = PerHead { alibi_slopes: true, ..PerHead::default() };
    let sinks = PerHead { sinks: true, ..PerHead::default() };
    let both = PerHead { sinks: true, ..slopes };
    vec![
        // Item lengths move where the last query stands.
        whole(Problem { causal: true, position: Position::End, padding: Padding::Lengths, ..plain(1) }),
        whole(Problem {
            batch: 3,
            key_heads: 1,
            queries: 35,
            keys: 40,
            causal: true,
            position: Position::End,
            per_head: both,
            placement: Placement::Packed,
            ..plain(2)
        }),
        whole(Problem {
            batch: 3,
            keys: 80,
            window: [Some(5), Some(2)],
            position: Position::Offset(30),
            padding: Padding::Lengths,
            placement: Placement::Paged(16),
            ..plain(3)
        }),
        // Softcap, then mask: at this spread the order shows.
        whole(Problem {
            spread: 16.0,
            softcap: 15.0,
            mask: Some((true, [true; 4])),
            per_head: slopes,
            placement: Placement::HeadsFirst,
            ..plain(4)
        }),
        whole(Problem {
            spread: 1e4,
            padding: Padding::Mask,
            mask: Some((false, [true, false, false, true])),
            per_head: sinks,
            ..plain(5)
        }),
        // The first queries see nothing.
        whole(Problem {
            queries: 35,
            causal: true,
            position: Position::Offset(-3),
            mask: Some((false, [false, true, true, false])),
            per_head: slopes,
            ..plain(6)
        }),
        split(Problem { causal: true, position: Position::Offset(-3), per_head: sinks, ..plain(7) }),
        split(Problem {
            position: Position::End,
            window: [Some(40), None],
            padding: Padding::Lengths,
            placement: Placement::Shared,
            ..plain(8)
        }),
        // Tiles of an item without queries: what they would write lies in its own gap.
        split(Problem { placement: Placement::Packed, batch: 3, queries: 35, ..plain(9) }),
        whole(Problem { poison: Poison::Key, ..plain(10) }),
        split(Problem { poison: Poison::Key, ..plain(11) }),
        whole(Problem { poison: Poison::Value, ..plain(12) }),
        whole(Problem { poison: Poison::Value, ..plain(13) }),
        // Rows with it and without it side by side.
        whole(Problem { poison: Poison::Peak, window: [Some(4), None], ..plain(21) }),
        split(Problem { poison: Poison::Peak, ..plain(22) }),
        whole(Problem { poison: Poison::Abyss, ..plain(14) }),
        whole(Problem { poison: Poison::Abyss, per_head: sinks, ..plain(15) }),
        split(Problem { poison: Poison::Abyss, ..plain(16) }),
        whole(Problem { keys: 0, placement: Placement::HeadsFirst, ..plain(17) }),
        whole(Problem { keys: 0, per_head: sinks, placement: Placement::HeadsFirst, ..plain(18) }),
        // Only one key is there, and only one column.
        whole(Problem { queries: 1, keys: 1, head_dim: 1, value_dim: 1, per_head: sinks, ..plain(19) }),
        // The band of a tile of queries begins and ends within tiles of keys of either size.
        whole(Problem {
            queries: 20,
            keys: 80,
            window: [Some(5), Some(2)],
            position: Position::Offset(55),
            ..plain(24)
        }),
        // Whole rows are masked out by what is added to their scores.
        whole(Problem { queries: 35, mask: Some((true, [true, false, true, false])), ..plain(23) }),
        // An odd number of tiles: where workgroups fold there is one too many.
        HandpickedProblem {
            part: true,
            has_sums: false,
            ..whole(Problem { batch: 1, key_heads: 3, heads_per_key: 1, queries: 70, keys: 20, ..plain(20) })
        },
        // Distances within the table's reach and beyond it on both sides, by where each item's queries stand.
        whole(Problem {
            queries: 35,
            position: Position::Offset(20),
            relative: Some(9),
            per_head: both,
            placement: Placement::HeadsFirst,
            ..plain(30)
        }),
        whole(Problem {
            position: Position::End,
            padding: Padding::Lengths,
            mask: Some((true, [true, false, true, true])),
            relative: Some(40),
            per_head: sinks,
            ..plain(31)
        }),
        // Masks of finite numbers, which keep no key out: for whole rows, beside −∞, added to other biases beyond f32's range,
        // for all that the first tiles or a split of the keys have.
        whole(Problem { queries: 35, mask: Some((true, ROWS)), low: Low::Number(f32::MIN), ..plain(32) }),
        whole(Problem {
            mask: Some((true, ROWS)),
            low: Low::Number(-3.4e38),
            softcap: 15.0,
            per_head: sinks,
            ..plain(33)
        }),
        split(Problem {
            mask: Some((true, ROWS)),
            low: Low::Number(f32::MIN),
            per_head: slopes,
            ..plain(34)
        }),
        whole(Problem { mask: Some((true, [true; 4])), low: Low::Mixed, causal: true, ..plain(35) }),
        split(Problem { mask: Some((true, [true; 4])), low: Low::Mixed, per_head: sinks, ..plain(36) }),
        whole(Problem {
            mask: Some((true, ROWS)),
            low: Low::Number(f32::MIN),
            relative: Some(9),
            position: Position::Offset(20),
            ..plain(37)
        }),
        whole(Problem { mask: Some((true, ROWS)), low: Low::Number(-65504.0), ..plain(38) }),
        whole(Problem { mask: Some((true, [true; 4])), low: Low::Number(3.4e38), ..plain(39) }),
        whole(Problem { keys: 150, mask: Some((true, KEYS)), low: Low::FirstHalf(f32::MIN), ..plain(40) }),
        split(Problem { keys: 150, mask: Some((true, KEYS)), low: Low::FirstHalf(-3.4e38), ..plain(41) }),
        // All numbers that heads may have, by themselves and beside a softcap; heads that share keys share tiles.
        whole(Problem { per_head: PerHead::from_names(|_| true), softcap: 2.0, ..plain(42) }),
        split(Problem { per_head: PerHead::from_names(|_| true), queries: 3, ..plain(43) }),
        strange(26, 0),
        strange(27, 1),
        strange(28, 2),
        strange(29, 3),
        // The first query sees the last key of a tile, which the second does not; the last sees the first key of another tile, which
        // the one before it does not.
        whole(Problem {
            batch: 1,
            key_heads: 1,
            heads_per_key: 1,
            keys: 140,
            window: [Some(7), Some(50)],
            position: Position::Offset(70),
            ..plain(44)
        }),
    ]
}

/// More than two tiles of `keys` keys and one of `rows` queries, with values of that size: every row of every block of
/// columns has sums to go on from.
pub(crate) fn several_tiles(rows: u32, keys: u32, value_dim: u32) -> HandpickedProblem {
    let problem = Problem {
        batch: 1,
        key_heads: 1,
        heads_per_key: 1,
        queries: rows + 3,
        keys: 2 * keys + 6,
        head_dim: 4,
        value_dim,
        ..plain(25)
    };
    HandpickedProblem { problem, split_tiles: 0, part: false, has_sums: true }
}

/// The data of all of them, their labels, and parameters for the chain: every second one as a part, from batch-head 1
/// and query 4 on.
pub(crate) fn chain() -> impl Iterator<Item = (Data, String, Parameters)> {
    all().into_iter().enumerate().map(|(index, HandpickedProblem { problem, has_sums, .. })| {
        let data = problem.data();
        let p = data.parameters;
        let (first_batch_head, first_query) =
            if index % 2 == 1 { (1, 4.min(p.query_length)) } else { (0, 0) };
        let part = Parameters {
            first_batch_head,
            batch_heads: p.batches * p.heads - first_batch_head,
            first_query,
            queries: p.query_length - first_query,
            has_sums: has_sums.into(),
            ..p
        };
        (data, format!("{problem} from head {first_batch_head}, query {first_query}"), part)
    })
}

/// The rows of a part: item, head and query.
pub(crate) fn rows_of(p: &Parameters) -> impl Iterator<Item = [u32; 3]> + use<> {
    let p = *p;
    (p.first_batch_head..p.first_batch_head + p.batch_heads).flat_map(move |batch_head| {
        (p.first_query..p.first_query + p.queries)
            .map(move |query| [batch_head / p.heads, batch_head % p.heads, query])
    })
}

/// `[batch_heads, queries, Lk]` of a part: what an item has for a key, or else `absent`.
pub(crate) fn dense<T: Copy>(
    data: &Data,
    p: &Parameters,
    absent: T,
    of: impl Fn(&Scores, usize) -> T,
) -> Vec<T> {
    let mut values = Vec::new();
    for [batch, head, query] in rows_of(p) {
        let item = &data.items_scores[batch as usize];
        for key in 0..p.key_length as usize {
            let there = (query as usize) < item.dims.queries && key < item.dims.keys;
            let place = (head as usize * item.dims.queries + query as usize) * item.dims.keys + key;
            values.push(if there { of(item, place) } else { absent });
        }
    }
    values
}
