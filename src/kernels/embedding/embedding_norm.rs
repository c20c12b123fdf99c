//! Embedding gather with its layer norm.
//!
//! y\[r, :\] = layer norm(word\[id_r\] + position\[p_r\] + type\[t_r\]) (Devlin et al. 2019, figure 2; the norm as in
//! `normalization/layer_norm`). f32; the word table may be stored as f16.
//!
//! `tokens` is `[3, rows]`: ids, positions, token types. A word table above the binding limit comes in parts: a
//! dispatch has the ids from `first_id` on, and leaves the rows of other ids alone. The op checks all ids, so that
//! each lies in one part.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::normalization::layer_norm::normalize_row;
use crate::kernels::shared::{WeightStorage, row_f32};
use crate::kernels::{parallel, reduce};
use crate::reference;
use crate::reference::rounding_floor;
use crate::tensor::{pack_f16, unpack_f16};

parameters! {
    /// Sizes, this part's ids, and ε.
    pub struct Parameters {
        /// Tokens.
        pub rows: u32,
        /// Columns of each table.
        pub columns: u32,
        /// The first id of this part of the word table.
        pub first_id: u32,
        /// Its number of ids.
        pub id_count: u32,
        /// ε of the layer norm.
        pub epsilon: f32,
        /// 1 if token types are added.
        pub has_types: u32,
    }
}

/// The kernel.
pub struct EmbeddingNorm;

const BINDINGS: &[Binding] = &[
    Binding::read("tokens"),
    Binding::read("weight"),
    Binding::read("position"),
    Binding::read("token_type"),
    Binding::read("gamma"),
    Binding::read("beta"),
    Binding::write("y"),
];

impl Kernel for EmbeddingNorm {
    fn about(&self) -> About {
        const { About::ours("embedding/embedding_norm", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        let rows = reduce::variants().into_iter();
        rows.flat_map(|rows| WeightStorage::ALL.map(|storage| storage.add_to(rows.clone()))).collect()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        reduce::workgroups(variant, Parameters::from_bytes(parameters).rows, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let tokens = arguments.words(0);
        let words = arguments.words(1);
        let (position, token_type) = (arguments.f32(2), arguments.f32(3));
        let affine = (arguments.f32(4), arguments.f32(5));
        let (rows, columns) = (p.rows as usize, p.columns as usize);
        let y = arguments.f32_mut(6);
        let all = (rows * columns).min(y.len());
        parallel::rows(&mut y[..all], columns, 8, |first, y| {
            for (row, y) in (first..).zip(y.chunks_exact_mut(columns.max(1))) {
                let Some(id) = tokens[row].checked_sub(p.first_id).filter(|&id| id < p.id_count) else {
                    continue;
                };
                let word = row_f32(variant, words, id as usize, columns);
                let position = &position[tokens[rows + row] as usize * columns..];
                let sum = |column: usize| word[column] + position[column];
                if p.has_types == 0 {
                    normalize_row(sum, p.epsilon, affine, y);
                } else {
                    let token_type = &token_type[tokens[2 * rows + row] as usize * columns..];
                    normalize_row(|column| sum(column) + token_type[column], p.epsilon, affine, y);
                }
            }
        });
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.columns);
        let word = if variant.flag("HALF_WEIGHTS") { 2 } else { 4 };
        Cost {
            flops: 10 * elements,
            bytes: (word + 8 + 4 * u64::from(p.has_types)) * elements,
            iterations: reduce::iterations(variant, p.columns.into(), 3, 2),
        }
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![(1, 1, 1), (5, 7, 20), (70, 64, 30), (9, 384, 100), (200, 5, 40)];
        if depth == Depth::Full {
            for rows in [1, 2, 63, 65, 200] {
                sizes.extend([3, 32, 33, 127, 768, 1025].map(|columns| (rows, columns, 50)));
            }
        }
        let cases = sizes.into_iter().enumerate();
        cases.map(|(index, size)| case(variant, size, index % 2 == 1, index % 3 == 1)).collect()
    }
}

fn case(
    variant: &Variant,
    (rows, columns, vocabulary): (usize, usize, usize),
    has_types: bool,
    in_parts: bool,
) -> Case {
    let mut inputs = Inputs::new((rows * 1_000_003 + columns) as u64);
    let (positions, types) = (rows + 2, 2);
    let mut word = inputs.values(vocabulary * columns, 1.0);
    let packed = pack_f16(&word);
    let half = variant.flag("HALF_WEIGHTS");
    if half {
        word = unpack_f16(&packed, word.len());
    }
    let position = inputs.values(positions * columns, 0.3);
    let token_type = inputs.values(types * columns, 0.3);
    let (gamma, beta) = (inputs.values(columns, 1.0), inputs.values(columns, 1.0));
    let mut ids = inputs.below(rows, vocabulary as u32);
    let places = inputs.below(rows, positions as u32);
    let kinds = inputs.below(rows, types as u32);
    // A small one hides where it is added.
    let epsilon = if has_types { 0.25_f32 } else { 1e-12 };
    // A part in the middle of the table; with an odd number of columns f16 rows begin inside words, so at an even id.
    let (first_id, id_count) = if in_parts { (vocabulary / 4 * 2, vocabulary / 4) } else { (0, vocabulary) };
    if in_parts {
        // On both sides of the part's ends.
        let ends = [first_id - 1, first_id, first_id + id_count - 1, first_id + id_count];
        ids.iter_mut().zip(ends).for_each(|(id, end)| *id = end as u32);
    }
    let expected = reference::embedding::embedding_norm(reference::embedding::EmbeddingNorm {
        ids: &ids,
        type_ids: &kinds,
        positions: &places,
        word: &word,
        position: &position,
        types: has_types.then_some(token_type.as_slice()),
        gamma: &gamma,
        beta: &beta,
        eps: epsilon.into(),
    });
    let inside = |id: u32| (first_id..first_id + id_count).contains(&(id as usize));
    let output = expected.chunks_exact(columns).zip(&ids);
    let output = output.flat_map(|(row, &id)| row.iter().map(move |&value| inside(id).then_some(value)));
    let elements = first_id * columns..(first_id + id_count) * columns;
    let parameters = Parameters {
        rows: rows as u32,
        columns: columns as u32,
        first_id: first_id as u32,
        id_count: id_count as u32,
        epsilon,
        has_types: has_types.into(),
    };
    let options = [(has_types, " types"), (in_parts, " a part")];
    let options: String = options.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
    Case {
        label: format!("[{rows}, {columns}] of {vocabulary}{options}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // Half of the relative error of the sum of squares reaches y, which is at most about 4 · 4.
        floor: rounding_floor(columns, 8.0),
        arguments: vec![
            CaseArgument::Words([ids.as_slice(), &places, &kinds].concat()),
            match half {
                true => CaseArgument::Words(pack_f16(&word[elements])),
                false => CaseArgument::F32(word[elements].to_vec()),
            },
            CaseArgument::F32(position),
            CaseArgument::F32(token_type),
            CaseArgument::F32(gamma),
            CaseArgument::F32(beta),
            CaseArgument::output(output.collect()),
        ],
    }
}
