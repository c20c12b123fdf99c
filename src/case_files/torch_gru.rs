//! PyTorch's `GRU`.

use super::Op;
use super::call::{Array, Call, Finish};
use super::file::LARGEST_SIZE;
use crate::error::Result;
use crate::layers::{Gru, GruConfig, GruDirection, GruOptions, HostGru, HostLinear, Parameters};
use crate::tensor::DType;

pub(super) const GRU: Op = Op {
    name: "GRU",
    attributes: &[&["input_size", "hidden_size", "bias", "batch_first", "bidirectional"]],
    inputs: &["input", "h_0", "lengths"],
    weights: &[
        &["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"],
        &["weight_ih_l0_reverse", "weight_hh_l0_reverse", "bias_ih_l0_reverse", "bias_hh_l0_reverse"],
    ],
    outputs: &["output", "h_n"],
    record,
};

fn record(call: &mut Call<'_>) -> Result<()> {
    let attributes = call.attributes();
    let input_dim = attributes.needed_count("input_size", 1..=LARGEST_SIZE)?;
    let hidden_dim = attributes.needed_count("hidden_size", 1..=LARGEST_SIZE)?;
    let bidirectional = attributes.flag("bidirectional", false)?;
    let has_bias = attributes.flag("bias", true)?;
    let batch_first = attributes.flag("batch_first", false)?;
    let suffixes: &[&str] = if bidirectional { &["", "_reverse"] } else { &[""] };
    let gates = 3 * hidden_dim;
    let mut tensors = Vec::new();
    for suffix in suffixes {
        let mut floats =
            |name: &str, shape: &[usize]| call.floats(&format!("weight.{name}_l0{suffix}"), shape);
        let weights = [floats("weight_ih", &[gates, input_dim])?, floats("weight_hh", &[gates, hidden_dim])?];
        let bias = has_bias.then(|| Ok([floats("bias_ih", &[gates])?, floats("bias_hh", &[gates])?]));
        tensors.push((weights, bias.transpose()?));
    }
    let hosts: Vec<HostGru<'_>> = tensors
        .iter()
        .map(|([input, hidden], bias)| {
            let bias = |place: usize| bias.as_ref().map(|bias| bias[place].as_slice());
            HostGru {
                input: HostLinear { weight: input, bias: bias(0) },
                hidden: HostLinear { weight: hidden, bias: bias(1) },
            }
        })
        .collect();
    let mut input = call.array("input")?;
    if input.shape.len() != 3 || input.shape[2] != input_dim {
        let problem = format!("`input` must have 3 axes and {input_dim} columns, but is {:?}", input.shape);
        return Err(call.wrong(problem));
    }
    if !batch_first {
        input = input.swapped();
    }
    let batch = input.shape[0];
    let lengths = if call.has("lengths") {
        let (shape, lengths) = call.counts("lengths")?;
        if shape != [batch] {
            return Err(call.wrong(format!("`lengths` must be [{batch}], but is {shape:?}")));
        }
        Some(lengths)
    } else {
        None
    };
    let device = call.recording.device().clone();
    let direction = if bidirectional { GruDirection::Bidirectional } else { GruDirection::Forward };
    let config = GruConfig { input_dim, hidden_dim, direction, dtype: DType::F32 };
    let gru = Gru::new(&device, config, &hosts)?;
    let mut parameters = Parameters::new();
    gru.add_parameters(&mut parameters, "weight.", &["_l0", "_l0_reverse"][..suffixes.len()]);
    call.train(&parameters.into_vec(), |array| array)?;
    let mut initial = Vec::new();
    if call.has("h_0") {
        let state = call.floats("h_0", &[suffixes.len(), batch, hidden_dim])?;
        for own in 0..suffixes.len() {
            let first = own * batch * hidden_dim;
            let values = &state[first..first + batch * hidden_dim];
            initial.push(call.upload_floats(&[batch, hidden_dim], values)?);
        }
        call.differentiate_stacked("h_0", &initial)?;
    }
    let initial: Vec<_> = initial.iter().collect();
    let options = GruOptions {
        lengths: lengths.as_deref(),
        initial: (!initial.is_empty()).then_some(initial.as_slice()),
    };
    let x = call.upload(&input)?;
    let finish: Finish = if batch_first { |array| array } else { Array::swapped };
    call.differentiate("input", &x, finish)?;
    let values = gru.record(&mut call.recording, &x, &options)?;
    call.answer_as("output", &values.output, finish)?;
    call.answer_stacked("h_n", &values.states)
}
