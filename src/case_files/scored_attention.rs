//! Additive and Luong's attention.

use super::Op;
use super::call::{Array, Call};
use super::gradients::renamed;
use crate::error::Result;
use crate::layers::Parameters;
use crate::ops::{
    AdditiveAttention, AdditiveAttentionWeights, HostAdditiveAttention, LuongAttention, LuongScore,
    ScoredAttentionValues,
};
use crate::recording::Value;
use crate::tensor::DType;

pub(super) const ADDITIVE_ATTENTION: Op = Op {
    name: "AdditiveAttention",
    attributes: &[],
    inputs: &["query", "key", "value", "key_lengths"],
    weights: &[&["W_q", "W_k", "b", "w_v"]],
    outputs: &["out", "weights"],
    record: record_additive,
};

pub(super) const LUONG_ATTENTION: Op = Op {
    name: "LuongAttention",
    attributes: &[&["score"]],
    inputs: &["query", "key", "value", "key_lengths"],
    weights: &[&["W", "v"]],
    outputs: &["out", "weights"],
    record: record_luong,
};

const NAMES: [&str; 3] = ["query", "key", "value"];

/// Queries, keys and values, and the lengths of the keys.
struct Inputs {
    tensors: [Array; 3],
    lengths: Option<Vec<u32>>,
    wants_weights: bool,
}

impl Inputs {
    fn of(call: &mut Call<'_>) -> Result<Self> {
        let tensors = [call.array("query")?, call.array("key")?, call.array("value")?];
        for (name, Array { shape, .. }) in NAMES.iter().zip(&tensors) {
            if shape.len() != 3 {
                return Err(call.wrong(format!("`{name}` must have 3 axes, but is {shape:?}")));
            }
        }
        let [query, key, _] = &tensors;
        if query.shape[0] != key.shape[0] {
            let problem = format!(
                "`query` and `key` must be of one batch, but are {:?} and {:?}",
                query.shape, key.shape
            );
            return Err(call.wrong(problem));
        }
        let lengths = if call.has("key_lengths") {
            let (shape, lengths) = call.counts("key_lengths")?;
            let batch = key.shape[0];
            if shape != [batch] {
                return Err(call.wrong(format!("`key_lengths` must be [{batch}], but is {shape:?}")));
            }
            Some(lengths)
        } else {
            None
        };
        Ok(Self { tensors, lengths, wants_weights: call.expects("weights") })
    }

    /// \[Dq, Dk\].
    fn columns(&self) -> [usize; 2] {
        [self.tensors[0].shape[2], self.tensors[1].shape[2]]
    }

    fn upload(&self, call: &mut Call<'_>) -> Result<[Value; 3]> {
        let mut upload = |place: usize| -> Result<Value> {
            let value = call.upload(&self.tensors[place])?;
            call.differentiate(NAMES[place], &value, |array| array)?;
            Ok(value)
        };
        Ok([upload(0)?, upload(1)?, upload(2)?])
    }
}

fn answer(call: &mut Call<'_>, values: &ScoredAttentionValues) -> Result<()> {
    call.answer("out", &values.output)?;
    match &values.weights {
        Some(weights) => call.answer("weights", weights),
        None => Ok(()),
    }
}

fn record_additive(call: &mut Call<'_>) -> Result<()> {
    let inputs = Inputs::of(call)?;
    let [query_dim, key_dim] = inputs.columns();
    let score_weight = call.array("weight.w_v")?;
    let &[width] = score_weight.shape.as_slice() else {
        return Err(call.wrong(format!("`weight.w_v` must have 1 axis, but is {:?}", score_weight.shape)));
    };
    let query_weight = call.floats("weight.W_q", &[width, query_dim])?;
    let key_weight = call.floats("weight.W_k", &[width, key_dim])?;
    let bias = call.has("weight.b").then(|| call.floats("weight.b", &[width])).transpose()?;
    let host = HostAdditiveAttention {
        query_weight: &query_weight,
        key_weight: &key_weight,
        bias: bias.as_deref(),
        score_weight: &score_weight.values,
    };
    let device = call.recording.device().clone();
    let weights = AdditiveAttentionWeights::new(&device, inputs.columns(), &host, DType::F32)?;
    let mut parameters = Parameters::new();
    parameters.additive_attention("own", &weights);
    let place = |own: &str| {
        let name = match own {
            "own.query.weight" => "W_q",
            "own.key.weight" => "W_k",
            "own.key.bias" => "b",
            _ => "w_v",
        };
        (format!("weight.{name}"), [0; 2])
    };
    call.train(&renamed(parameters.into_vec(), place), |array| array)?;
    let mut attention = AdditiveAttention::new(&weights);
    if let Some(lengths) = &inputs.lengths {
        attention = attention.key_lengths(lengths);
    }
    if inputs.wants_weights {
        attention = attention.with_weights();
    }
    let [query, key, value] = inputs.upload(call)?;
    let values = attention.record(&mut call.recording, &query, &key, &value)?;
    answer(call, &values)
}

fn record_luong(call: &mut Call<'_>) -> Result<()> {
    let inputs = Inputs::of(call)?;
    let columns @ [query_dim, key_dim] = inputs.columns();
    let device = call.recording.device().clone();
    let score = match call.attributes().text("score", &["dot", "general", "concat"])? {
        None => return Err(call.wrong("the attribute `score` is missing: dot, general or concat")),
        Some("general") => {
            let weight = call.floats("weight.W", &[query_dim, key_dim])?;
            let score = LuongScore::general(&device, columns, &weight, DType::F32)?;
            if let LuongScore::General(layer) = &score {
                let mut parameters = Parameters::new();
                parameters.linear("own", layer);
                // The layer takes queries to keys: its matrix is Wᵀ.
                let place = |_: &str| ("weight.W".to_owned(), [0; 2]);
                call.train(&renamed(parameters.into_vec(), place), Array::swapped)?;
            }
            score
        }
        Some("concat") => {
            let score_weight = call.array("weight.v")?;
            let &[width] = score_weight.shape.as_slice() else {
                return Err(
                    call.wrong(format!("`weight.v` must have 1 axis, but is {:?}", score_weight.shape))
                );
            };
            let weight = call.floats("weight.W", &[width, query_dim.saturating_add(key_dim)])?;
            let score = LuongScore::concat(&device, columns, &weight, &score_weight.values, DType::F32)?;
            if let LuongScore::Concat(weights) = &score {
                let mut parameters = Parameters::new();
                parameters.additive_attention("own", weights);
                let place = |own: &str| match own {
                    "own.query.weight" => ("weight.W".to_owned(), [0; 2]),
                    "own.key.weight" => ("weight.W".to_owned(), [0, query_dim]),
                    _ => ("weight.v".to_owned(), [0; 2]),
                };
                call.train(&renamed(parameters.into_vec(), place), |array| array)?;
            }
            score
        }
        Some(_) => LuongScore::Dot,
    };
    let mut attention = LuongAttention::new(&score);
    if let Some(lengths) = &inputs.lengths {
        attention = attention.key_lengths(lengths);
    }
    if inputs.wants_weights {
        attention = attention.with_weights();
    }
    let [query, key, value] = inputs.upload(call)?;
    let values = attention.record(&mut call.recording, &query, &key, &value)?;
    answer(call, &values)
}
