//! Functions of `torch.nn.functional`, and sentence-transformers' pooling.

use super::Op;
use super::call::Call;
use super::gradients::renamed;
use super::torch_layers::activation;
use crate::error::Result;
use crate::layers::Parameters;
use crate::ops::{CrossEntropy, Embedding, EmbeddingTable, Linear, LinearWeights, Pooling, pool};
use crate::tensor::DType;

pub(super) const LINEAR: Op = Op {
    name: "linear",
    attributes: &[&["activation"]],
    inputs: &["input", "weight", "bias", "residual"],
    weights: &[],
    outputs: &["out"],
    record: record_linear,
};

pub(super) const EMBEDDING: Op = Op {
    name: "embedding",
    attributes: &[],
    inputs: &["input", "weight"],
    weights: &[],
    outputs: &["out"],
    record: record_embedding,
};

pub(super) const CROSS_ENTROPY: Op = Op {
    name: "cross_entropy",
    attributes: &[&["ignore_index", "label_smoothing"]],
    inputs: &["input", "target"],
    weights: &[],
    outputs: &["out"],
    record: record_cross_entropy,
};

pub(super) const POOLING: Op = Op {
    name: "Pooling",
    attributes: &[&["pooling_mode", "normalize"]],
    inputs: &["token_embeddings", "lengths"],
    weights: &[],
    outputs: &["sentence_embedding"],
    record: record_pooling,
};

/// A matrix's two sizes.
fn matrix(call: &mut Call<'_>, name: &str) -> Result<[usize; 2]> {
    let shape = call.shape(name)?;
    match *shape.as_slice() {
        [rows, columns] => Ok([rows, columns]),
        _ => Err(call.wrong(format!("`{name}` must have 2 axes, but is {shape:?}"))),
    }
}

fn record_linear(call: &mut Call<'_>) -> Result<()> {
    let activation = activation(call)?;
    let shape = matrix(call, "weight")?;
    let weight = call.floats("weight", &shape)?;
    let bias = call.has("bias").then(|| call.floats("bias", &shape[..1])).transpose()?;
    let device = call.recording.device().clone();
    let weights = LinearWeights::new(&device, shape, &weight, bias.as_deref(), DType::F32)?;
    let mut parameters = Parameters::new();
    parameters.linear("", &weights);
    let place = |own: &str| (own.trim_start_matches('.').to_owned(), [0; 2]);
    call.train(&renamed(parameters.into_vec(), place), |array| array)?;
    let input = call.value("input")?;
    let residual = call.optional_value("residual")?;
    let mut linear = Linear::new(&weights);
    if let Some(activation) = activation {
        linear = linear.activation(activation);
    }
    if let Some(residual) = &residual {
        linear = linear.residual(residual);
    }
    let output = linear.record(&mut call.recording, &input)?;
    call.answer("out", &output)
}

fn record_embedding(call: &mut Call<'_>) -> Result<()> {
    let shape @ [_, columns] = matrix(call, "weight")?;
    let values = call.floats("weight", &shape)?;
    let table = EmbeddingTable::new(call.recording.device(), columns, &values, DType::F32)?;
    let mut parameters = Parameters::new();
    parameters.table("weight", &table);
    call.train(&parameters.into_vec(), |array| array)?;
    let (ids_shape, ids) = call.counts("input")?;
    let output = Embedding::new(&table).record(&mut call.recording, &ids)?;
    let output = output.reshape([&ids_shape[..], &[columns]].concat())?;
    call.answer("out", &output)
}

fn record_cross_entropy(call: &mut Call<'_>) -> Result<()> {
    let attributes = call.attributes();
    let ignored = attributes.integer("ignore_index")?.unwrap_or(-100);
    let smoothing = attributes.number("label_smoothing")?.unwrap_or(0.0);
    let [rows, _] = matrix(call, "input")?;
    let targets = call.integers("target", &[rows])?;
    let targets = targets.into_iter().map(|target| match u32::try_from(target) {
        _ if target == ignored => Ok(CrossEntropy::IGNORED),
        Ok(class) => Ok(class),
        Err(_) => Err(call.wrong(format!("`target` must count from 0 or be {ignored}, but holds {target}"))),
    });
    let targets = targets.collect::<Result<Vec<_>>>()?;
    let input = call.value("input")?;
    let loss = CrossEntropy::new(&targets).label_smoothing(smoothing).record(&mut call.recording, &input)?;
    // As in PyTorch a scalar.
    let loss = loss.reshape([0_usize; 0])?;
    call.answer("out", &loss)
}

fn record_pooling(call: &mut Call<'_>) -> Result<()> {
    let attributes = call.attributes();
    let pooling = match attributes.text("pooling_mode", &["mean", "cls", "max"])? {
        Some("cls") => Pooling::Cls,
        Some("max") => Pooling::Max,
        _ => Pooling::Mean,
    };
    let normalize = attributes.flag("normalize", false)?;
    let (_, lengths) = call.counts("lengths")?;
    let tokens = call.value("token_embeddings")?;
    let output = pool(&mut call.recording, &tokens, &lengths, pooling, normalize)?;
    call.answer("sentence_embedding", &output)
}
