//! ONNX's ops other than Attention, of their newest opset.

use super::Op;
use super::call::Call;
use super::file::LARGEST_SIZE;
use crate::error::{Error, Result};
use crate::ops::{Activation, Gemm, LayerNorm, RotaryEmbedding, activate, matmul, rms_norm, softmax};

pub(super) const GELU: Op = Op {
    name: "Gelu",
    attributes: &[&["approximate"]],
    inputs: &["X"],
    weights: &[],
    outputs: &["Y"],
    record: |call| {
        let activation = match call.attributes().text("approximate", &["none", "tanh"])? {
            Some("tanh") => Activation::GeluTanh,
            _ => Activation::Gelu,
        };
        let x = call.value("X")?;
        let y = activate(&mut call.recording, &x, activation)?;
        call.answer("Y", &y)
    },
};

pub(super) const SOFTMAX: Op = Op {
    name: "Softmax",
    attributes: &[&["axis"]],
    inputs: &["input"],
    weights: &[],
    outputs: &["output"],
    record: |call| {
        let axis = call.attributes().axis("axis", -1)?;
        let input = call.value("input")?;
        let output = softmax(&mut call.recording, &input, axis)?;
        call.answer("output", &output)
    },
};

pub(super) const ROTARY_EMBEDDING: Op = Op {
    name: "RotaryEmbedding",
    attributes: &[&["interleaved", "num_heads", "rotary_embedding_dim"]],
    inputs: &["X", "cos_cache", "sin_cache", "position_ids"],
    weights: &[],
    outputs: &["Y"],
    record: |call| {
        let attributes = call.attributes();
        // 0 stands for none.
        let size =
            |name: &str| Ok::<_, Error>(attributes.count(name, 0..=LARGEST_SIZE)?.filter(|&size| size > 0));
        let (heads, rotary_dim) = (size("num_heads")?, size("rotary_embedding_dim")?);
        let (cos, sin) = (call.value("cos_cache")?, call.value("sin_cache")?);
        let x = call.value("X")?;
        let positions = call.has("position_ids").then(|| call.counts("position_ids")).transpose()?;
        let mut embedding = RotaryEmbedding::new(&cos, &sin);
        if let Some((shape, positions)) = &positions {
            // The op counts the positions; that they lie as the tokens do is the file's to say.
            if shape.len() != 2 || Some(&shape[0]) != x.shape().dims().first() {
                let problem =
                    format!("`position_ids` {shape:?} must be [batch, length] of `X` {}", x.shape());
                return Err(call.wrong(problem));
            }
            embedding = embedding.positions(positions);
        }
        if let Some(heads) = heads {
            embedding = embedding.heads(heads);
        }
        if let Some(rotary_dim) = rotary_dim {
            embedding = embedding.rotary_dim(rotary_dim);
        }
        if attributes.flag("interleaved", false)? {
            embedding = embedding.interleaved();
        }
        let y = embedding.record(&mut call.recording, &x)?;
        call.answer("Y", &y)
    },
};

/// ONNX's number for f32.
const FLOAT: i64 = 1;

pub(super) const GEMM: Op = Op {
    name: "Gemm",
    attributes: &[&["alpha", "beta", "transA", "transB"]],
    inputs: &["A", "B", "C"],
    weights: &[],
    outputs: &["Y"],
    record: |call| {
        let attributes = call.attributes();
        let (a, b, c) = (call.value("A")?, call.value("B")?, call.optional_value("C")?);
        let mut gemm = Gemm::new();
        if let Some(alpha) = attributes.number("alpha")? {
            gemm = gemm.alpha(alpha);
        }
        if let Some(beta) = attributes.number("beta")? {
            gemm = gemm.beta(beta);
        }
        if attributes.flag("transA", false)? {
            gemm = gemm.transpose_a();
        }
        if attributes.flag("transB", false)? {
            gemm = gemm.transpose_b();
        }
        if let Some(c) = &c {
            gemm = gemm.c(c);
        }
        let y = gemm.record(&mut call.recording, &a, &b)?;
        call.answer("Y", &y)
    },
};

pub(super) const MATMUL: Op = Op {
    name: "MatMul",
    attributes: &[],
    inputs: &["A", "B"],
    weights: &[],
    outputs: &["Y"],
    record: |call| {
        let (a, b) = (call.value("A")?, call.value("B")?);
        let y = matmul(&mut call.recording, &a, &b)?;
        call.answer("Y", &y)
    },
};

pub(super) const LAYER_NORMALIZATION: Op = Op {
    name: "LayerNormalization",
    attributes: &[&["axis", "epsilon", "stash_type"]],
    inputs: &["X", "Scale", "B"],
    weights: &[],
    outputs: &["Y", "Mean", "InvStdDev"],
    record: |call| {
        let Normalization { axis, epsilon } = Normalization::of(call)?;
        let x = call.value("X")?;
        let scale = call.value("Scale")?;
        let bias = call.optional_value("B")?;
        let mut norm = LayerNorm::new(&scale).axis(axis).epsilon(epsilon);
        if let Some(bias) = &bias {
            norm = norm.beta(bias);
        }
        if call.expects("Mean") || call.expects("InvStdDev") {
            norm = norm.with_moments();
        }
        let values = norm.record(&mut call.recording, &x)?;
        call.answer("Y", &values.output)?;
        for (name, value) in [("Mean", values.mean), ("InvStdDev", values.inv_std_dev)] {
            value.map_or(Ok(()), |value| call.answer(name, &value))?;
        }
        Ok(())
    },
};

pub(super) const RMS_NORMALIZATION: Op = Op {
    name: "RMSNormalization",
    attributes: &[&["axis", "epsilon", "stash_type"]],
    inputs: &["X", "scale"],
    weights: &[],
    outputs: &["Y"],
    record: |call| {
        let Normalization { axis, epsilon } = Normalization::of(call)?;
        let (x, scale) = (call.value("X")?, call.value("scale")?);
        let y = rms_norm(&mut call.recording, &x, &scale, axis, epsilon)?;
        call.answer("Y", &y)
    },
};

/// What both have.
struct Normalization {
    axis: isize,
    epsilon: f32,
}

impl Normalization {
    fn of(call: &Call<'_>) -> Result<Self> {
        let attributes = call.attributes();
        if attributes.integer("stash_type")?.is_some_and(|stash_type| stash_type != FLOAT) {
            return Err(attributes.not_supported("stash_type", "1 (f32)"));
        }
        Ok(Self {
            axis: attributes.axis("axis", -1)?,
            epsilon: attributes.number("epsilon")?.unwrap_or(1e-5),
        })
    }
}
