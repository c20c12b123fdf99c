//! ONNX's ops other than Attention, of their newest opset.

use super::Op;
use super::call::Call;
use crate::error::Result;
use crate::ops::{LayerNorm, rms_norm};

/// ONNX's number for f32.
const FLOAT: i64 = 1;

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
