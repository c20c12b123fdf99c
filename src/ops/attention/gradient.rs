//! The gradient of attention: its rule, and how it is computed through the matrix of scores, a part of it at a time ([`fused_gradient`](super::fused_gradient)
//! is the other way).
//!
//! Nothing of the forward pass is kept but its inputs, whatever implementation it took: a part's scores and weights P are computed
//! again, and of the output's gradient dO come dV = Pᵀ · dO, dP = dO · Vᵀ, the scores' gradient dS
//! (`attention/score_gradient`), dQ = dS · K and dK = dSᵀ · Q (Dao et al. 2022, appendix B.2).

use super::chained::Part;
use super::checked::Checked;
use super::fused_gradient::Choice;
use super::{Attention, HeadTerms, Heads, OP, RelativeBias};
use crate::error::Result;
use crate::kernels::attention::score_gradient::{self, ScoreGradient};
use crate::kernels::attention::scores::{self, Scores};
use crate::kernels::attention::transposed_values::{self, TransposedValues};
use crate::kernels::attention::weighted_values::{self, WeightedValues};
use crate::kernels::attention::{NONE, Parameters};
use crate::ops::axes::{View, add_strided, sum_to};
use crate::ops::choice::choose_rows;
use crate::recording::{Gradients, Recording, Rule, Value};
use crate::tensor::DType;

/// Where heads lie in a value.
pub(super) struct Place {
    pub value: Value,
    pub dims: [usize; 4],
    pub offset: usize,
    pub strides: [usize; 3],
}

impl From<&Heads<'_>> for Place {
    fn from(heads: &Heads<'_>) -> Self {
        let &Heads { value, dims, offset, strides } = heads;
        Self { value: value.clone(), dims, offset, strides }
    }
}

/// The rule of an attention over q, k and v, and over a mask of floats.
pub(super) fn rule(checked: Checked, inputs: [&Heads<'_>; 3], mask: Option<Value>) -> Rule {
    let places = inputs.map(Place::from);
    Box::new(move |recording, gradients, upstream| {
        checked.record_gradients(recording, gradients, &places, mask.as_ref(), upstream)
    })
}

impl Attention<'_> {
    /// [`Error::NoGradient`](crate::Error::NoGradient) for a tracked input that has no rule.
    pub(super) fn expect_gradients(&self, recording: &Recording) -> Result<()> {
        if !recording.is_taping() {
            return Ok(());
        }
        let terms = self.per_head.entries().into_iter().map(|(name, terms)| match terms {
            Some(HeadTerms::Value(value)) => Some((name, value)),
            Some(HeadTerms::Host(_)) | None => None,
        });
        let relative = match self.relative {
            Some(RelativeBias::Value(value)) => Some(("relative_bias", value)),
            Some(RelativeBias::Host(_)) | None => None,
        };
        match terms.flatten().chain(relative).find(|(_, value)| recording.is_tracked(value)) {
            Some((name, _)) => Err(recording.no_gradient(&format!("{OP} by `{name}`"))),
            None => Ok(()),
        }
    }
}

impl Checked {
    fn record_gradients(
        &self,
        recording: &mut Recording,
        gradients: &mut Gradients,
        places: &[Place; 3],
        mask: Option<&Value>,
        upstream: &Value,
    ) -> Result<()> {
        let [batch, heads, queries, keys] = self.dims;
        if self.dims.contains(&0) || self.p.value_dim == 0 {
            return Ok(());
        }
        if self.p.pages_at != NONE {
            return Err(recording.no_gradient("attention to keys in pages"));
        }
        let [of_q, of_k, of_v] = [0, 1, 2].map(|input: usize| recording.is_tracked(&places[input].value));
        let mask = mask.filter(|mask| recording.is_tracked(mask));
        if self.choose_gradient(recording.device(), places, mask.is_some())? == Choice::Tiled {
            return self.record_tiled_gradients(recording, gradients, places, upstream);
        }
        let (k, v) = (self.as_f32(recording, &self.k)?, self.as_f32(recording, &self.v)?);
        // Parts add to keys and values. Queries are written, but packed items may leave some out.
        let is_packed = self.p.sequences_at != NONE;
        let mut made = Vec::new();
        for (input, is_wanted) in [of_q, of_k, of_v].into_iter().enumerate() {
            made.push(match (is_wanted, input > 0 || is_packed) {
                (false, _) => None,
                (true, true) => Some(recording.zeros(places[input].dims, DType::F32)?),
                (true, false) => Some(recording.temporary(places[input].dims, DType::F32)?),
            });
        }
        let parts = match mask {
            Some(_) => {
                self.check_bytes(recording.device(), "the gradient of a mask", self.dims)?;
                vec![Part { heads: (0, batch * heads), queries: (0, queries) }]
            }
            None => Part::split((0, batch * heads), (0, queries), keys, recording.device()),
        };
        for part in parts {
            let p = self.part(part)?;
            let sizes = [part.heads.1, part.queries.1, keys];
            let products = self.record_scores(recording, &k, part)?;
            let weights = recording.temporary(sizes, DType::F32)?;
            self.record_softmax(recording, part, &products, Parameters::new().stage, (&weights, 0), None)?;
            // The output's gradient lies as the output does.
            let upstream_rows = Parameters {
                q_offset: p.output_offset,
                q_batch: p.output_batch,
                q_head: p.output_head,
                q_row: p.output_row,
                head_dim: p.value_dim,
                ..p
            };
            if let Some(made) = &made[2] {
                let p = keys_in(upstream_rows, &places[2]);
                let bindings = [&weights, upstream, &self.items, made];
                recording.dispatch_trusted(&TransposedValues, transposed_values::tiled(), &p, &bindings)?;
            }
            if !(of_q || of_k || mask.is_some()) {
                continue;
            }
            let of_weights = recording.temporary(sizes, DType::F32)?;
            let p_scores = Parameters {
                k_offset: p.v_offset,
                k_batch: p.v_batch,
                k_head: p.v_head,
                k_row: p.v_row,
                ..upstream_rows
            };
            let bindings = [upstream, &v, &self.items, &of_weights];
            recording.dispatch_trusted(&Scores, scores::tiled(), &p_scores, &bindings)?;
            let taken = [&weights, &of_weights, &products];
            if let Some(mask) = mask {
                let of_logits = self.record_score_gradient(recording, part, taken, false)?;
                let of_logits = of_logits.reshape(self.dims)?;
                let gradient = sum_to(recording, OP, &of_logits, mask.shape().dims())?;
                gradients.add(recording, mask, gradient)?;
            }
            if !(of_q || of_k) {
                continue;
            }
            let of_products = self.record_score_gradient(recording, part, taken, true)?;
            if let Some(made) = &made[0] {
                let p = queries_out(
                    Parameters {
                        v_offset: p.k_offset,
                        v_batch: p.k_batch,
                        v_head: p.k_head,
                        v_row: p.k_row,
                        value_dim: p.head_dim,
                        ..p
                    },
                    &places[0],
                );
                let bindings = [&of_products, &k, &self.items, made];
                recording.dispatch_trusted(&WeightedValues, weighted_values::tiled(), &p, &bindings)?;
            }
            if let Some(made) = &made[1] {
                let p = keys_in(p, &places[1]);
                let bindings = [&of_products, &self.q, &self.items, made];
                recording.dispatch_trusted(&TransposedValues, transposed_values::tiled(), &p, &bindings)?;
            }
        }
        for (place, made) in places.iter().zip(made) {
            if let Some(made) = made {
                place.add(recording, gradients, made)?;
            }
        }
        Ok(())
    }

    fn record_score_gradient(
        &self,
        recording: &mut Recording,
        part: Part,
        [weights, of_weights, products]: [&Value; 3],
        of_products: bool,
    ) -> Result<Value> {
        let gradient = recording.temporary(weights.shape().clone(), DType::F32)?;
        let p = self.part(part)?;
        let parameters = score_gradient::Parameters {
            rows: p.batch_heads * p.queries,
            keys: p.key_length,
            queries: p.queries,
            first_batch_head: p.first_batch_head,
            heads: p.heads,
            scale: p.scale,
            softcap: p.softcap,
            scales_at: p.scales_at,
            of_products: of_products.into(),
        };
        let variant = choose_rows(recording.device(), "softmax", self.dims[3], false)?;
        let bindings = [weights, of_weights, products, &self.head_terms, &gradient];
        recording.dispatch_trusted(&ScoreGradient, variant, &parameters, &bindings)?;
        Ok(gradient)
    }
}

/// The strides of a dense `[batch, heads, rows, columns]`; packed items have none of the batch.
fn dense(p: &Parameters, dims: [usize; 4]) -> [u32; 3] {
    let [heads, rows, columns] = [dims[1], dims[2], dims[3]].map(|size| size as u32);
    [if p.sequences_at == NONE { heads * rows * columns } else { 0 }, rows * columns, columns]
}

/// With keys, or values, in a dense value of their dims.
fn keys_in(p: Parameters, place: &Place) -> Parameters {
    let [k_batch, k_head, k_row] = dense(&p, place.dims);
    Parameters { k_offset: 0, k_batch, k_head, k_row, ..p }
}

/// With an output in a dense value of the queries' dims.
fn queries_out(p: Parameters, place: &Place) -> Parameters {
    let [output_batch, output_head, output_row] = dense(&p, place.dims);
    Parameters { output_offset: 0, output_batch, output_head, output_row, ..p }
}

impl Place {
    /// Whether rows of the heads lie on each other.
    pub(super) fn overlaps_itself(&self) -> bool {
        let &Self { ref value, dims, offset, strides } = self;
        (Heads { value, dims, offset, strides }).overlaps_itself()
    }

    /// Adds a dense gradient to where the heads lie, summed over what a stride of 0 repeats.
    fn add(&self, recording: &mut Recording, gradients: &mut Gradients, gradient: Value) -> Result<()> {
        let mut dims = self.dims;
        for (size, stride) in dims.iter_mut().zip(self.strides) {
            if stride == 0 {
                *size = 1;
            }
        }
        let gradient = sum_to(recording, OP, &gradient, &dims)?;
        let [batch, head, row] = self.strides;
        if (Heads { value: &self.value, dims, offset: self.offset, strides: self.strides }).overlaps_itself()
        {
            return Err(recording.no_gradient("attention to rows that overlap"));
        }
        let to = gradients.in_parts(recording, &self.value)?;
        let view = View { dims: &dims, first: self.offset, strides: &[batch, head, row, 1] };
        add_strided(recording, OP, &gradient, &to, &view)
    }
}
