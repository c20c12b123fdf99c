//! Rows gathered from a table, scaled, a position's row added.
//!
//! y\[r, :\] = scale · word\[id_r\] + position\[p_r\] (Vaswani et al. 2017, sections 3.4 and 3.5, with scale √d). f32; the
//! table may be stored as f16. With scale 1 and no positions it is a gather, and a value keeps its bits, but
//! for NaN and subnormals.
//!
//! `tokens` is `[2, rows]`: ids, positions. A table above the binding limit comes in parts, as in
//! `embedding/embedding_norm`.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::shared::{WeightStorage, row_f32};
use crate::kernels::{elementwise, parallel};
use crate::reference;
use crate::reference::rounding_floor;
use crate::tensor::{pack_f16, unpack_f16};

parameters! {
    /// Sizes, this part's ids, and the scale.
    pub struct Parameters {
        /// Rows of y.
        pub rows: u32,
        /// Columns of each table.
        pub columns: u32,
        /// The first id of this part of the table.
        pub first_id: u32,
        /// Its number of ids.
        pub id_count: u32,
        /// The factor of the table's rows.
        pub scale: f32,
        /// 1 if positions are added.
        pub has_positions: u32,
    }
}

/// The kernel.
pub struct Gather;

/// Its one implementation, over a table stored that way.
pub(crate) fn variant(storage: WeightStorage) -> Variant {
    storage.add_to(elementwise::invocation())
}

const BINDINGS: &[Binding] =
    &[Binding::read("tokens"), Binding::read("weight"), Binding::read("position"), Binding::write("y")];

impl Kernel for Gather {
    fn about(&self) -> About {
        const { About::ours("embedding/gather", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        WeightStorage::ALL.map(variant).to_vec()
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        elementwise::workgroups(p.rows.saturating_mul(p.columns), per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let tokens = arguments.words(0);
        let words = arguments.words(1);
        let position = arguments.f32(2);
        let (rows, columns) = (p.rows as usize, p.columns as usize);
        let y = arguments.f32_mut(3);
        let all = (rows * columns).min(y.len());
        parallel::rows(&mut y[..all], columns, 2, |first, y| {
            for (row, y) in (first..).zip(y.chunks_exact_mut(columns.max(1))) {
                let Some(id) = tokens[row].checked_sub(p.first_id).filter(|&id| id < p.id_count) else {
                    continue;
                };
                let word = row_f32(variant, words, id as usize, columns);
                y.iter_mut().zip(&*word).for_each(|(y, word)| *y = p.scale * word);
                if p.has_positions != 0 {
                    let position = &position[tokens[rows + row] as usize * columns..];
                    y.iter_mut().zip(position).for_each(|(y, position)| *y += position);
                }
            }
        });
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.columns);
        let word = if variant.flag("HALF_WEIGHTS") { 2 } else { 4 };
        let position = u64::from(p.has_positions);
        Cost { flops: (1 + position) * elements, bytes: (word + 4 + 4 * position) * elements, iterations: 0 }
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![(1, 1, 1), (5, 7, 20), (70, 64, 30), (9, 384, 100), (200, 5, 40)];
        if depth == Depth::Full {
            for rows in [1, 2, 63, 65, 200] {
                sizes.extend([3, 32, 33, 127, 768, 1025].map(|columns| (rows, columns, 50)));
            }
            // Past 65,535 workgroups of 64 elements.
            sizes.push((4099, 1025, 7));
        }
        let cases = sizes.into_iter().enumerate();
        cases.map(|(index, size)| case(variant, size, index % 2 == 1, index % 3 == 1)).collect()
    }
}

fn case(
    variant: &Variant,
    (rows, columns, vocabulary): (usize, usize, usize),
    has_positions: bool,
    in_parts: bool,
) -> Case {
    let mut inputs = Inputs::new((rows * 1_000_003 + columns) as u64);
    let positions = rows + 2;
    let mut word = inputs.values(vocabulary * columns, 1.0);
    let packed = pack_f16(&word);
    let half = variant.flag("HALF_WEIGHTS");
    if half {
        word = unpack_f16(&packed, word.len());
    }
    let position = inputs.values(positions * columns, 1.0);
    let mut ids = inputs.below(rows, vocabulary as u32);
    let places = inputs.below(rows, positions as u32);
    let scale = (columns as f32).sqrt();
    // A part in the middle of the table; with an odd number of columns f16 rows begin inside words, so at an even id.
    let (first_id, id_count) = if in_parts { (vocabulary / 4 * 2, vocabulary / 4) } else { (0, vocabulary) };
    if in_parts {
        // On both sides of the part's ends.
        let ends = [first_id - 1, first_id, first_id + id_count - 1, first_id + id_count];
        ids.iter_mut().zip(ends).for_each(|(id, end)| *id = end as u32);
    }
    let added = has_positions.then_some((&places[..], &position[..]));
    let expected = reference::embedding::embedding(&ids, &word, columns, scale, added);
    let inside = |id: u32| (first_id..first_id + id_count).contains(&(id as usize));
    let output = expected.chunks_exact(columns).zip(&ids);
    let output = output.flat_map(|(row, &id)| row.iter().map(move |&value| inside(id).then_some(value)));
    let elements = first_id * columns..(first_id + id_count) * columns;
    let parameters = Parameters {
        rows: rows as u32,
        columns: columns as u32,
        first_id: first_id as u32,
        id_count: id_count as u32,
        scale,
        has_positions: has_positions.into(),
    };
    let options = [(has_positions, " positions"), (in_parts, " a part")];
    let options: String = options.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
    Case {
        label: format!("[{rows}, {columns}] of {vocabulary}{options}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // A product of at most 4 · √C and a summand.
        floor: rounding_floor(2, 4.0 * f64::from(scale)),
        arguments: vec![
            CaseArgument::Words([ids.as_slice(), &places].concat()),
            match half {
                true => CaseArgument::Words(pack_f16(&word[elements])),
                false => CaseArgument::F32(word[elements].to_vec()),
            },
            CaseArgument::F32(position),
            CaseArgument::output(output.collect()),
        ],
    }
}
