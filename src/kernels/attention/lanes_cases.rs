//! What `scores_lanes` and `softmax_values_lanes` share: how they divide their work, and their cases.

use std::borrow::Cow;

use super::chosen;
use super::flash::Form;
use super::parameters::{NONE, Parameters};
use super::problem::{Padding, Poison, Problem};
use super::problem_data::Data;
use crate::kernel::{Arguments, Depth, Variant};

/// The rows of a head that one workgroup takes, and the keys of their band.
pub(super) struct Tile {
    pub batch: u32,
    pub head: u32,
    pub first_query: u32,
    pub rows: u32,
    /// The first key of the first row, and the end of the last row's.
    pub begin: u32,
    pub end: u32,
    /// Where the first row's scores begin.
    pub scores: usize,
}

/// All tiles of a part.
pub(super) struct Work;

impl Work {
    /// Tiles of `tile_rows` queries that have any, with the keys that their rows' bands allow; those without keys are
    /// left out.
    pub fn of<'a>(p: &'a Parameters, tile_rows: u32, items: &'a [u32]) -> impl Iterator<Item = Tile> + 'a {
        Self::all(p, tile_rows, items).filter(|tile| tile.end > 0)
    }

    /// Those without keys too.
    pub fn all<'a>(p: &'a Parameters, tile_rows: u32, items: &'a [u32]) -> impl Iterator<Item = Tile> + 'a {
        (0..p.batch_heads).flat_map(move |part_head| {
            let batch_head = p.first_batch_head + part_head;
            let (batch, head) = (batch_head / p.heads, batch_head % p.heads);
            let count = p.part_queries_of(batch, items);
            (0..count).step_by(tile_rows as usize).map(move |first_row| {
                let rows = tile_rows.min(count - first_row);
                let first_query = p.first_query + first_row;
                Tile {
                    batch,
                    head,
                    first_query,
                    rows,
                    begin: p.band(batch, first_query, items).begin,
                    end: p.band(batch, first_query + rows - 1, items).end,
                    scores: (part_head * p.queries + first_row) as usize * p.scores_row as usize,
                }
            })
        })
    }
}

/// An argument of keys or values as f32.
pub(super) fn stored(variant: &Variant, arguments: &Arguments<'_>, index: usize) -> Cow<'static, [f32]> {
    match variant.flag("HALF_KEYS") {
        true => {
            let words = arguments.words(index);
            crate::tensor::unpack_f16(words, words.len() * 2).into()
        }
        false => arguments.f32(index).to_vec().into(),
    }
}

/// The chosen problems and sampled ones in that form: their data, labels, and parameters, every second one as a part from
/// batch-head 1 and query 4 on.
pub(super) fn problems(form: Form, depth: Depth) -> impl Iterator<Item = (Data, String, Parameters)> {
    let (count, work) = match depth {
        Depth::Quick => (6, 150_000),
        Depth::Full => (80, 2_000_000),
    };
    let sampled = (0..count).map(move |index| {
        Problem::sample(77_000 + index + 7 * u64::from(form.half) + 3 * u64::from(form.aligned), work)
    });
    let chosen = chosen::all().into_iter().map(|chosen| chosen.problem);
    // More rows and columns than a tile has, and more keys than a few trips take.
    let large = chosen::several_tiles(32, 32, 72).problem;
    // Logits so far apart that weights without the largest one would be infinite.
    let spread = Problem { spread: 1e4, ..chosen::several_tiles(32, 32, 20).problem };
    // Key lengths of every kind, past the end too.
    let lengths =
        Problem { batch: 6, keys: 5, padding: Padding::Lengths, ..chosen::several_tiles(2, 32, 4).problem };
    // Rows with a NaN and without it among those of every lane, by a score and by a value.
    let peak = Problem {
        window: [Some(4), None],
        poison: Poison::Peak,
        ..chosen::several_tiles(32, 32, 20).problem
    };
    let middle = Problem {
        window: [None, Some(2)],
        poison: Poison::Middle,
        ..chosen::several_tiles(32, 32, 4).problem
    };
    let whole = [large, spread, lengths, peak, middle].map(|problem| (problem, false));
    let parts = chosen.chain(sampled).enumerate().map(|(index, problem)| (problem, index % 2 == 1));
    parts.chain(whole).enumerate().map(move |(index, (mut problem, part))| {
        problem.half = form.half;
        for dim in [&mut problem.head_dim, &mut problem.value_dim] {
            *dim = if form.aligned { dim.next_multiple_of(4) } else { *dim - 1 + *dim % 2 };
        }
        let data = problem.data();
        let p = data.parameters;
        let part = part && p.batches * p.heads > 1;
        let (first_batch_head, first_query) = if part { (1, 4.min(p.query_length)) } else { (0, 0) };
        let part = Parameters {
            first_batch_head,
            batch_heads: p.batches * p.heads - first_batch_head,
            first_query,
            queries: p.query_length - first_query,
            has_sums: u32::from(index % 4 != 2),
            // Now and then there is a gap behind the row.
            scores_row: p.key_length.next_multiple_of(4) + 4 * (index as u32 % 3 % 2),
            ..p
        };
        let label = format!("{problem} from head {first_batch_head}, query {first_query}");
        (data, label, part)
    })
}

/// Whether there is more than a scale and a band between a score and its logit.
pub(crate) fn has_terms(p: &Parameters) -> bool {
    let absent = [p.slopes_at, p.relative_at].iter().all(|&at| at == NONE);
    !absent || p.softcap != 0.0 || p.mask_kind != 0 || p.key_padding == 2
}
