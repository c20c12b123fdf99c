//! Softmax and weighted values for subgroups of exactly 8: lavapipe, the software adapter.
//!
//! output\[b, h, i, :\] = Σⱼ wⱼ · v\[b, h', j, :\] with w the softmax of the logits that
//! [`scale_mask_softmax`](super::scale_mask_softmax) makes of scores\[b, h, i, :\]; h' is the key-value head of h. The
//! scores are those of [`scores_lanes`](super::scores_lanes), the masks, sinks, sums and the rules for NaN those of the fused kernels.
//!
//! Two forms of tiles keep 32 sums of 4 columns in a lane's registers, as the products of `gemm_lanes`: 32 rows × 32 columns,
//! and 16 × 64. A value that is no number shows in the sums, so that nothing is looked for in the loop over the keys: where
//! one does, a second turn adds the tile's values carefully. With more than a scale and a band between score and logit,
//! the logits are kept in memory, so that masks are read once.
//!
//! Ladder (as for `scores_lanes`, 23 ms of processor time here where `flash_lanes` takes 101 in all): of them the loop
//! over the keys takes three quarters, the search for the largest logit 6 in a hundred of both kernels, the stores 4,
//! exponentials and what the second turn leaves in the code nothing that could be measured.

use super::flash::{Ends, Form, State};
use super::lanes_cases::{self, Tile, Work, has_terms};
use super::parameters::{NONE, Parameters, Row};
use super::problem_data::Data;
use crate::kernel::{Arguments, Binding, Case, CaseArgument, Cost, Depth, Field, Kernel, Variant, geometry};
use crate::kernels::multiply::multiply_carefully;
use crate::kernels::shared::{
    ATTENTION, ATTENTION_MASKING, COMPONENT, FLASH, INDEXING, OUTPUT_BLOCKS, OUTPUT_ELEMENTS, PANEL, TANH,
};

/// The kernel.
pub struct SoftmaxValuesLanes;

/// What is between a score and its weight, and where values lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terms {
    /// A scale and a band.
    None,
    /// More than these.
    Some,
    /// The same, and values may lie in blocks.
    Paged,
}

impl Terms {
    const ALL: [Self; 3] = [Self::None, Self::Some, Self::Paged];

    /// What these parameters ask for.
    pub fn of(p: &Parameters) -> Self {
        match (p.blocks_at, has_terms(p)) {
            (NONE, false) => Self::None,
            (NONE, true) => Self::Some,
            _ => Self::Paged,
        }
    }

    fn of_variant(variant: &Variant) -> Self {
        match (variant.flag("TERMS"), variant.flag("PAGED")) {
            (false, _) => Self::None,
            (true, false) => Self::Some,
            (true, true) => Self::Paged,
        }
    }
}

/// The variant for tiles of that many blocks of 32 columns: one, with 32 rows, or two, with 16.
pub fn lanes(blocks: u32, form: Form, terms: Terms) -> Variant {
    let variant = Variant::new("lanes")
        .enable("subgroups")
        .with("SUBGROUP_SIZE", 8)
        .with("TILE_ROWS", 32 / blocks)
        .with("VALUE_BLOCKS", blocks)
        .with("TERMS", terms != Terms::None)
        .with("PAGED", terms == Terms::Paged);
    let output = if form.aligned { OUTPUT_BLOCKS } else { OUTPUT_ELEMENTS };
    let files =
        [INDEXING, ATTENTION, COMPONENT, PANEL, TANH, ATTENTION_MASKING, FLASH, form.values(), output];
    files.into_iter().fold(form.tell(variant), Variant::sharing)
}

impl Kernel for SoftmaxValuesLanes {
    fn name(&self) -> &'static str {
        "attention/softmax_values_lanes"
    }

    fn formula(&self) -> &'static str {
        "output = softmax(scale · scores + mask) · v"
    }

    fn source(&self) -> &'static str {
        include_str!("../../../shaders/attention/softmax_values_lanes.wgsl")
    }

    fn bindings(&self) -> &'static [Binding] {
        const {
            &[
                Binding::read("scores"),
                Binding::read("v"),
                Binding::read("mask"),
                Binding::read("items"),
                Binding::read("head_terms"),
                Binding::write("output"),
                Binding::write("sums"),
                Binding::write("logits"),
            ]
        }
    }

    fn parameters(&self) -> &'static [Field] {
        Parameters::FIELDS
    }

    fn variants(&self) -> Vec<Variant> {
        let mut variants = Vec::new();
        for form in Form::all() {
            for terms in Terms::ALL {
                variants.extend([1, 2].map(|blocks| lanes(blocks, form, terms)));
            }
        }
        variants
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        let tiles = u64::from(p.queries.div_ceil(variant.u32("TILE_ROWS")));
        geometry::fold(tiles * u64::from(p.batch_heads), per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let v = lanes_cases::stored(variant, &arguments, 1);
        let (scores, mask, items, head_terms) =
            (arguments.f32(0), arguments.words(2), arguments.words(3), arguments.f32(4));
        let (output, sums, logits) = (arguments.f32_mut(5), arguments.f32_mut(6), arguments.f32_mut(7));
        let value_dim = p.value_dim as usize;
        for tile in Work::all(&p, variant.u32("TILE_ROWS"), items) {
            let Tile { batch, head, first_query, rows, end, .. } = tile;
            let begin = (tile.begin / 4 * 4).min(end);
            let keys = end - begin;
            let mut weights = vec![0.0; (rows * keys) as usize];
            let mut values = Vec::new();
            for key in begin..end {
                let place = p.v_place([batch, head / p.heads_per_key, key], items);
                values.extend_from_slice(&v[place..][..value_dim]);
            }
            let mut states = Vec::new();
            for index in 0..rows {
                let at = [batch, head, first_query + index];
                let row = Row::new(&p, at, mask, items, head_terms);
                let from = tile.scores + (index * p.scores_row + begin) as usize;
                let products = &mut weights[(index * keys) as usize..][..keys as usize];
                products.copy_from_slice(&scores[from..][..keys as usize]);
                if variant.flag("TERMS") {
                    for key in begin..end.next_multiple_of(4) {
                        let logit = row
                            .logit(key.min(end - 1), *products.get((key - begin) as usize).unwrap_or(&0.0));
                        logits[from + (key - begin) as usize] =
                            logit.filter(|_| key < end).map_or(f32::MIN, written);
                    }
                }
                let mut state = State::EMPTY;
                state.take(&row, begin, products);
                states.push(state);
            }
            let mut added = vec![0.0; rows as usize * value_dim];
            let sizes = [rows, keys, p.value_dim];
            multiply_carefully(sizes, (&weights, keys), &mut values, (&mut added, p.value_dim));
            for (index, state) in states.into_iter().enumerate() {
                let at = [batch, head, first_query + index as u32];
                let sink = (p.sinks_at != NONE).then(|| head_terms[(p.sinks_at + head) as usize]);
                let (factor, sum) = state.end(Ends::Whole(sink));
                let to = &mut output[p.output_place(at, items)..][..value_dim];
                let row = &added[index * value_dim..][..value_dim];
                to.iter_mut().zip(row).for_each(|(to, value)| *to = *value * factor);
                if p.has_sums != 0 {
                    sums[p.sums_place(at, items)] = sum;
                }
            }
        }
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let [n, i, j, d] = [p.batch_heads, p.queries, p.key_length, p.value_dim].map(u64::from);
        let keys = n.div_ceil(u64::from(p.heads_per_key.max(1)));
        let value_bytes = if variant.flag("HALF_KEYS") { 2 } else { 4 };
        let slots = u64::from(variant.u32("TILE_ROWS") / 8);
        // Over the rows' own keys, the values, and, where one of these is no number, once more.
        let trips = j / 4 + 2;
        let groups = d.div_ceil(32 * u64::from(variant.u32("VALUE_BLOCKS")));
        Cost {
            flops: 2 * n * i * j * d,
            bytes: 4 * (n * i * j + n * i * d) + value_bytes * keys * j * d,
            iterations: slots * trips + groups * trips + slots * d.div_ceil(4) * (trips + 1),
        }
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let terms = Terms::of_variant(variant);
        let problems = lanes_cases::problems(Form::told(variant), depth)
            // What needs less runs in every variant.
            .filter(|(_, _, p)| match terms {
                Terms::None => Terms::of(p) == Terms::None,
                Terms::Some => Terms::of(p) != Terms::Paged,
                Terms::Paged => true,
            });
        problems.map(|(data, label, p)| case(variant, &data, label, p)).collect()
    }
}

/// A logit as the kernel writes it: one of −∞ is not the lowest number, and what makes its row NaN is a NaN.
fn written(logit: f32) -> f32 {
    match logit {
        _ if logit.is_nan() || logit == f32::INFINITY => f32::NAN,
        _ => logit.max(super::flash::ABYSS),
    }
}

/// Scores outside of the rows' bands are NaN, or enormous.
fn case(variant: &Variant, data: &Data, label: String, p: Parameters) -> Case {
    let p = Parameters { sums_offset: 3, ..p };
    let size = p.batch_heads as usize * p.queries as usize * p.scores_row as usize;
    let mut scores: Vec<f32> = (0..size).map(|place| if place % 2 == 0 { f32::NAN } else { 1e30 }).collect();
    let mut logits = vec![None; if variant.flag("TERMS") { size } else { 1 }];
    let (mut output, mut sums) = (vec![None; data.output.len()], vec![None; data.sums.len() + 3]);
    for tile in Work::all(&p, variant.u32("TILE_ROWS"), &data.items) {
        let item = &data.items_scores[tile.batch as usize];
        for index in 0..tile.rows {
            let query = tile.first_query + index;
            let at = (tile.head as usize * item.dims.queries + query as usize) * item.dims.keys;
            let to = tile.scores + (index * p.scores_row) as usize;
            let band = p.band(tile.batch, query, &data.items);
            for key in band.begin as usize..band.end as usize {
                scores[to + key] = (item.stages[0][at + key] / f64::from(p.scale)) as f32;
            }
            if variant.flag("TERMS") {
                let begin = (tile.begin / 4 * 4).min(tile.end);
                for key in begin as usize..tile.end.next_multiple_of(4) as usize {
                    let allowed = key < item.dims.keys && item.allowed[at + key];
                    let logit = if allowed { item.stages[2][at + key] } else { f64::NAN };
                    logits[to + key] = Some(match logit {
                        _ if !allowed => f64::from(f32::MIN),
                        _ if logit.is_nan() || logit == f64::INFINITY => f64::NAN,
                        _ => logit.max(f64::from(super::flash::ABYSS)),
                    });
                }
            }
            let at = [tile.batch, tile.head, query];
            let row = p.output_place(at, &data.items)..p.output_place(at, &data.items) + p.value_dim as usize;
            output[row.clone()].copy_from_slice(&data.output[row]);
            let place = p.sums_place(at, &data.items);
            sums[place] = data.sums[place - 3].filter(|_| p.has_sums != 0);
        }
    }
    Case {
        label,
        parameters: bytemuck::bytes_of(&p).to_vec(),
        floor: data.floor,
        arguments: vec![
            CaseArgument::F32(scores),
            CaseArgument::Words(data.v.clone()),
            CaseArgument::Words(data.mask.clone()),
            CaseArgument::Words(data.items.clone()),
            CaseArgument::F32(data.head_terms()),
            CaseArgument::Output(output),
            CaseArgument::OutputWithin(sums, data.sums_floor),
            CaseArgument::OutputWithin(logits, data.logit_floor),
        ],
    }
}
