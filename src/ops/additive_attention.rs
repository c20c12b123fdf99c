//! Additive attention.

use super::axes::product;
use super::choice::choose_rows;
use super::{Linear, LinearWeights, add, cut_columns, expect_dtype, expect_shape, size, sum};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::attention::additive::{Additive, Parameters, variant};
use crate::kernels::attention::additive_gradient::{self, AdditiveGradient};
use crate::kernels::attention::score_gradient::{self, ScoreGradient};
use crate::kernels::attention::scores::{self, Scores};
use crate::kernels::attention::transposed_values::{self, TransposedValues};
use crate::kernels::attention::{NONE, Parameters as AttentionParameters};
use crate::recording::{Gradients, Recording, Value};
use crate::tensor::{DType, Tensor};

const OP: &str = "additive_attention";

/// The weights of an additive attention on a device: W_q, W_k, b and w_v.
#[derive(Clone, Debug)]
pub struct AdditiveAttentionWeights {
    query: LinearWeights,
    key: LinearWeights,
    /// `[1, A]`, as a checkpoint has a layer of one output.
    score: Tensor,
}

/// The same on the host.
#[derive(Clone, Copy, Debug)]
pub struct HostAdditiveAttention<'a> {
    /// W_q `[A, Dq]`, row-major.
    pub query_weight: &'a [f32],
    /// W_k `[A, Dk]`, row-major.
    pub key_weight: &'a [f32],
    /// b `[A]`.
    pub bias: Option<&'a [f32]>,
    /// w_v `[A]`.
    pub score_weight: &'a [f32],
}

impl AdditiveAttentionWeights {
    /// From the sizes \[Dq, Dk\] and slices in PyTorch's layout; A is the length of w_v. The matrices are stored as `dtype`
    /// (f32 or f16).
    ///
    /// # Errors
    /// [`Error::Argument`] if a length does not fit, [`Error::OutOfMemory`].
    pub fn new(
        device: &Device,
        [query_dim, key_dim]: [usize; 2],
        weights: &HostAdditiveAttention<'_>,
        dtype: DType,
    ) -> Result<Self> {
        let width = weights.score_weight.len();
        Ok(Self {
            query: LinearWeights::new(device, [width, query_dim], weights.query_weight, None, dtype)
                .map_err(named("query_weight"))?,
            key: LinearWeights::new(device, [width, key_dim], weights.key_weight, weights.bias, dtype)
                .map_err(named("key_weight"))?,
            score: Tensor::from_f32(device, [1, width], weights.score_weight)?,
        })
    }

    /// From one W `[A, Dq + Dk]` over the concatenated \[q; k\], as Luong's concat score and some additive attentions have
    /// it: W·\[q; k\] = W_q·q + W_k·k, W cut by columns.
    ///
    /// # Errors
    /// As [`AdditiveAttentionWeights::new`].
    pub fn concatenated(
        device: &Device,
        [query_dim, key_dim]: [usize; 2],
        weight: &[f32],
        bias: Option<&[f32]>,
        score_weight: &[f32],
        dtype: DType,
    ) -> Result<Self> {
        let columns = query_dim.saturating_add(key_dim);
        if Some(weight.len()) != columns.checked_mul(score_weight.len()) {
            let expected = format!("[{}, {query_dim} + {key_dim}]", score_weight.len());
            return Err(Error::argument(OP, "weight", expected, format!("{} elements", weight.len())));
        }
        let host = HostAdditiveAttention {
            query_weight: &cut_columns(weight, columns, 0..query_dim),
            key_weight: &cut_columns(weight, columns, query_dim..columns),
            bias,
            score_weight,
        };
        Self::new(device, [query_dim, key_dim], &host, dtype)
    }

    /// A: the columns that queries and keys are projected to.
    pub fn width(&self) -> usize {
        self.score.shape().last()
    }

    /// \[Dq, Dk\].
    pub fn inputs(&self) -> [usize; 2] {
        [self.query.inputs(), self.key.inputs()]
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.query.bytes() + self.key.bytes() + self.score.bytes()
    }

    /// The projections of queries and of keys, and w_v `[1, A]`.
    pub(crate) fn parts(&self) -> (&LinearWeights, &LinearWeights, &Tensor) {
        (&self.query, &self.key, &self.score)
    }

    /// Records W_k·k + b of keys `[B, Lk, Dk]`: `[B, Lk, A]`, for [`AdditiveAttention::record_projected`]. A decoder does
    /// it once for all its steps.
    ///
    /// # Errors
    /// As [`Linear::record`].
    pub fn project_keys(&self, recording: &mut Recording, key: &Value) -> Result<Value> {
        Linear::new(&self.key).record(recording, key)
    }
}

/// An error about a projection's weight as one of this op.
fn named(weight: &'static str) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Argument { argument, expected, found, .. } => {
            let argument = if argument == "weight" { weight.to_owned() } else { argument };
            Error::argument(OP, argument, expected, found)
        }
        other => other,
    }
}

/// Additive attention to be recorded (Bahdanau et al. 2015, appendix A.1.2):
///
/// outputᵢ = Σⱼ weightsᵢⱼ·vⱼ, weightsᵢ = softmaxⱼ(w_vᵀ·tanh(W_q·qᵢ + W_k·kⱼ + b))
///
/// It is fused: neither `[Lq, Lk, A]` nor, unless asked for, `[Lq, Lk]` is ever in memory. A key past its item's length
/// weighs 0; a query without keys gives 0. A NaN or infinity in what a query attends to reaches its output (unless its
/// weight is 0 in f32), and a NaN in a score makes the whole row NaN.
///
/// Batches of queries may share keys and values, as the beams of a text share its encoding: for keys `[N, Lk, Dk]`, B is a
/// multiple of N, and queries b attend to keys b / (B / N).
#[derive(Clone, Copy, Debug)]
pub struct AdditiveAttention<'a> {
    weights: &'a AdditiveAttentionWeights,
    lengths: Option<Lengths<'a>>,
    with_weights: bool,
}

/// How many keys each item has.
#[derive(Clone, Copy, Debug)]
enum Lengths<'a> {
    Host(&'a [u32]),
    Value(&'a Value),
}

/// The values of a recorded additive or Luong attention.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScoredAttentionValues {
    /// `[B, Lq, Dv]`.
    pub output: Value,
    /// `[B, Lq, Lk]`, if asked for.
    pub weights: Option<Value>,
}

impl<'a> AdditiveAttention<'a> {
    /// With these weights, every key allowed.
    pub fn new(weights: &'a AdditiveAttentionWeights) -> Self {
        Self { weights, lengths: None, with_weights: false }
    }

    /// Keys of each of the N items; those from there on are padding.
    #[must_use]
    pub fn key_lengths(mut self, lengths: &'a [u32]) -> Self {
        self.lengths = Some(Lengths::Host(lengths));
        self
    }

    /// The same on the device, u32 `[N]`; what is above the number of keys counts as that.
    #[must_use]
    pub fn key_lengths_value(mut self, lengths: &'a Value) -> Self {
        self.lengths = Some(Lengths::Value(lengths));
        self
    }

    /// Gives the weights too; they have a gradient as the output has.
    #[must_use]
    pub fn with_weights(mut self) -> Self {
        self.with_weights = true;
        self
    }

    /// Records it: queries `[B, Lq, Dq]`, keys `[N, Lk, Dk]`, values `[N, Lk, Dv]`, all f32.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes, dtypes or lengths that do not fit, [`Error::Limit`].
    pub fn record(
        self,
        recording: &mut Recording,
        query: &Value,
        key: &Value,
        value: &Value,
    ) -> Result<ScoredAttentionValues> {
        recording.atomically(|recording| {
            expect_dtype(OP, "key", key, &[DType::F32])?;
            expect_last(OP, "key", key, self.weights.key.inputs())?;
            self.check(query, key, value)?;
            let key = self.weights.project_keys(recording, key)?;
            self.record_projected(recording, query, &key, value)
        })
    }

    /// [`AdditiveAttention::record`] with keys `[N, Lk, A]` that [`AdditiveAttentionWeights::project_keys`] gave.
    ///
    /// # Errors
    /// As [`AdditiveAttention::record`].
    pub fn record_projected(
        self,
        recording: &mut Recording,
        query: &Value,
        projected_key: &Value,
        value: &Value,
    ) -> Result<ScoredAttentionValues> {
        recording.atomically(|recording| {
            expect_dtype(OP, "projected_key", projected_key, &[DType::F32])?;
            expect_last(OP, "projected_key", projected_key, self.weights.width())?;
            let [batch, queries, items, keys] = self.check(query, projected_key, value)?;
            let value_dim = value.shape().last();
            let query = Linear::new(&self.weights.query).record(recording, query)?;
            let score = recording.tensor(&self.weights.score)?;
            let inputs = [&query, projected_key, value, &score];
            let is_tracked = recording.is_taping() && inputs.iter().any(|input| recording.is_tracked(input));
            // Gradients begin with the weights, and so they are kept.
            let with_weights = self.with_weights || is_tracked;
            let parameters = Parameters {
                items: size(OP, "the items", items)?,
                rows: size(
                    OP,
                    "the queries of an item",
                    batch.checked_div(items).unwrap_or(0).saturating_mul(queries),
                )?,
                key_length: size(OP, "the keys", keys)?,
                width: size(OP, "the projected columns", self.weights.width())?,
                value_dim: size(OP, "the columns of value", value_dim)?,
                has_lengths: self.lengths.is_some().into(),
                has_weights: with_weights.into(),
            };
            let record = |recording: &mut Recording| {
                let output = recording.temporary([batch, queries, value_dim], DType::F32)?;
                let weights = with_weights.then(|| recording.temporary([batch, queries, keys], DType::F32));
                let weights = weights.transpose()?;
                if output.shape().elements() == 0
                    && weights.as_ref().is_none_or(|all| all.shape().elements() == 0)
                {
                    return Ok(([output].into_iter().chain(weights.clone()).collect(), weights));
                }
                let unwanted = match &weights {
                    Some(weights) => weights.clone(),
                    // A binding that is written has a buffer of its own.
                    None => recording.temporary([1], DType::F32)?,
                };
                let lengths = match self.lengths {
                    None => recording.absent()?,
                    Some(Lengths::Value(lengths)) => lengths.clone(),
                    Some(Lengths::Host(lengths)) => {
                        let lengths = Tensor::from_u32(recording.device(), [lengths.len()], lengths)?;
                        recording.tensor(&lengths)?
                    }
                };
                let bindings = [&query, projected_key, value, &score, &lengths, &output, &unwanted];
                recording.dispatch_trusted(&Additive, variant(parameters.rows), &parameters, &bindings)?;
                Ok(([output].into_iter().chain(weights.clone()).collect(), weights))
            };
            let (mut outputs, weights) =
                recording.differentiable_several(&inputs, record, |_, weights: &Option<Value>| {
                    let taken =
                        Taken { parameters, inputs: inputs.map(Clone::clone), weights: weights.clone() };
                    Box::new(move |recording, gradients, upstream| {
                        taken.record_gradients(recording, gradients, upstream)
                    })
                })?;
            let output = outputs.swap_remove(0);
            Ok(ScoredAttentionValues { output, weights: weights.filter(|_| self.with_weights) })
        })
    }

    /// The shapes that all forms have in common: \[B, Lq, N, Lk\].
    fn check(&self, query: &Value, key: &Value, value: &Value) -> Result<[usize; 4]> {
        expect_last(OP, "query", query, self.weights.query.inputs())?;
        let dims = check_shapes(OP, query, key, value)?;
        match self.lengths {
            None => {}
            Some(Lengths::Host(lengths)) => check_lengths(OP, lengths, dims)?,
            Some(Lengths::Value(lengths)) => {
                expect_dtype(OP, "key_lengths", lengths, &[DType::U32])?;
                expect_shape(OP, "key_lengths", lengths, &[dims[2]])?;
            }
        }
        Ok(dims)
    }
}

/// What the gradients need.
struct Taken {
    parameters: Parameters,
    /// Projected queries and keys, values and w.
    inputs: [Value; 4],
    weights: Option<Value>,
}

impl Taken {
    /// Of the output's gradient dO and the weights' own dW, either of which may be absent: dV = Pᵀ · dO, dP = dO · Vᵀ + dW, the scores'
    /// gradient dS = P ⊙ (dP − Σⱼ P ⊙ dP), and those of what the scores are made of (`attention/additive_gradient`). Where P is 0
    /// nothing is taken from the key and its value, whatever they are.
    fn record_gradients(
        &self,
        recording: &mut Recording,
        gradients: &mut Gradients,
        upstream: &[Option<Value>],
    ) -> Result<()> {
        let [query, key, value, score] = &self.inputs;
        let Parameters { items, rows, key_length: keys, width, value_dim, .. } = self.parameters;
        let of = |place: usize| upstream.get(place).and_then(Option::as_ref);
        let (of_output, of_own_weights) = (of(0).filter(|_| value_dim > 0), of(1));
        let weights = match &self.weights {
            Some(weights)
                if ![items, rows, keys].contains(&0) && (of_output.is_some() || of_own_weights.is_some()) =>
            {
                weights
            }
            // Nothing was read.
            _ => {
                for input in &self.inputs {
                    let zeros = recording.zeros(input.shape().clone(), DType::F32)?;
                    gradients.add(recording, input, zeros)?;
                }
                return Ok(());
            }
        };
        let absent = recording.absent()?;
        // The output's gradient in the queries' place, values in the keys'.
        let p = AttentionParameters {
            batches: items,
            heads: 1,
            heads_per_key: 1,
            query_length: rows,
            key_length: keys,
            head_dim: value_dim,
            value_dim,
            batch_heads: items,
            queries: rows,
            q_batch: rows * value_dim,
            q_row: value_dim,
            k_batch: keys * value_dim,
            k_row: value_dim,
            ..AttentionParameters::new()
        };
        if recording.is_tracked(value) {
            match of_output {
                Some(upstream) => {
                    let made = gradients.in_parts(recording, value)?;
                    let bindings = [weights, upstream, &absent, &made];
                    recording.dispatch_trusted(
                        &TransposedValues,
                        transposed_values::tiled(),
                        &p,
                        &bindings,
                    )?;
                }
                None => {
                    let zeros = recording.zeros(value.shape().clone(), DType::F32)?;
                    gradients.add(recording, value, zeros)?;
                }
            }
        }
        let [of_query, of_key, of_score] = [query, key, score].map(|input| recording.is_tracked(input));
        if !(of_query || of_key || of_score) {
            return Ok(());
        }
        let through_output = match of_output {
            Some(upstream) => {
                let through = recording.temporary(weights.shape().clone(), DType::F32)?;
                recording.dispatch_trusted(
                    &Scores,
                    scores::tiled(),
                    &p,
                    &[upstream, value, &absent, &through],
                )?;
                Some(through)
            }
            None => None,
        };
        let of_weights = match (through_output, of_own_weights) {
            (Some(through), Some(own)) => add(recording, &through, own)?,
            (Some(one), None) => one,
            (None, Some(own)) => own.clone(),
            (None, None) => return Ok(()),
        };
        let of_scores = recording.temporary(weights.shape().clone(), DType::F32)?;
        let parameters = score_gradient::Parameters {
            rows: product(OP, "the queries", &[items as usize, rows as usize])?,
            keys,
            queries: rows,
            first_batch_head: 0,
            heads: 1,
            scale: 1.0,
            softcap: 0.0,
            scales_at: NONE,
            of_products: 0,
        };
        let variant = choose_rows(recording.device(), "softmax", keys as usize, false)?;
        let bindings = [weights, &of_weights, &absent, &absent, &of_scores];
        recording.dispatch_trusted(&ScoreGradient, variant, &parameters, &bindings)?;
        let of_queries = additive_gradient::Parameters {
            items,
            rows,
            others: keys,
            width,
            row_step: keys,
            other_step: 1,
            has_parts: of_score.into(),
        };
        if of_query || of_score {
            let gradient = recording.temporary(query.shape().clone(), DType::F32)?;
            let parts = match of_score {
                true => recording.temporary(query.shape().clone(), DType::F32)?,
                false => recording.temporary([1], DType::F32)?,
            };
            let bindings = [query, key, score, &of_scores, &gradient, &parts];
            let variant = additive_gradient::variant();
            recording.dispatch_trusted(&AdditiveGradient, variant, &of_queries, &bindings)?;
            gradients.add(recording, query, gradient)?;
            if of_score {
                let parts = parts.reshape([query.shape().rows(), width as usize])?;
                let gradient = sum(recording, &parts, 0..1)?;
                gradients.add(recording, score, gradient.reshape(score.shape().clone())?)?;
            }
        }
        if of_key {
            let gradient = recording.temporary(key.shape().clone(), DType::F32)?;
            let none = recording.temporary([1], DType::F32)?;
            let parameters = additive_gradient::Parameters {
                rows: keys,
                others: rows,
                row_step: 1,
                other_step: keys,
                has_parts: 0,
                ..of_queries
            };
            let bindings = [key, query, score, &of_scores, &gradient, &none];
            let variant = additive_gradient::variant();
            recording.dispatch_trusted(&AdditiveGradient, variant, &parameters, &bindings)?;
            gradients.add(recording, key, gradient)?;
        }
        Ok(())
    }
}

/// [`Error::Argument`] unless the value is `[…, …, columns]`.
pub(super) fn expect_last(op: &str, argument: &str, value: &Value, columns: usize) -> Result<()> {
    if value.shape().rank() == 3 && value.shape().last() == columns {
        return Ok(());
    }
    let expected = format!("[batch, length, {columns}]");
    Err(Error::argument(op, argument, expected, value.shape().to_string()))
}

/// \[B, Lq, N, Lk\] of queries, keys and values that fit each other.
pub(super) fn check_shapes(op: &str, query: &Value, key: &Value, value: &Value) -> Result<[usize; 4]> {
    for (name, tensor) in [("query", query), ("key", key), ("value", value)] {
        expect_dtype(op, name, tensor, &[DType::F32])?;
        if tensor.shape().rank() != 3 {
            let found = tensor.shape().to_string();
            return Err(Error::argument(op, name, "[batch, length, columns]", found));
        }
    }
    let ([batch, queries], [items, keys]) =
        ([query.shape()[0], query.shape()[1]], [key.shape()[0], key.shape()[1]]);
    if value.shape().dims()[..2] != [items, keys] {
        let expected = format!("[{items}, {keys}, columns] for key {}", key.shape());
        return Err(Error::argument(op, "value", expected, value.shape().to_string()));
    }
    let fits = if items == 0 { batch == 0 } else { batch.is_multiple_of(items) };
    if !fits {
        let expected = format!("[a multiple of {items}, length, columns] for key {}", key.shape());
        return Err(Error::argument(op, "query", expected, query.shape().to_string()));
    }
    Ok([batch, queries, items, keys])
}

/// [`Error::Argument`] unless there is a length within the keys for each item.
pub(super) fn check_lengths(op: &str, lengths: &[u32], [_, _, items, keys]: [usize; 4]) -> Result<()> {
    let wrong = |expected| Err(Error::argument(op, "key_lengths", expected, format!("{lengths:?}")));
    if lengths.len() != items {
        return wrong(format!("one for each of {items} items"));
    }
    match lengths.iter().any(|&length| length as usize > keys) {
        true => wrong(format!("at most {keys}, the keys of an item")),
        false => Ok(()),
    }
}
