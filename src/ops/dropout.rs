//! Dropout.

use super::{expect_dtype, size};
use crate::error::{Error, Result};
use crate::kernels::elementwise::dropout::{self as kernel, Parameters, threshold_and_scale};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "dropout";

/// What decides which elements go: the same numbers, the same elements, on every device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dropout {
    /// Of the whole training.
    pub seed: u32,
    /// Of the step: each has other elements.
    pub step: u32,
    /// Of the place in the model: each call in a step has one of its own.
    pub site: u32,
}

/// Records x / (1 − p), or 0 with probability p for each element (Srivastava et al. 2014): x f32 of any shape gives its shape. With p = 0
/// it gives x itself. Nothing is kept for the gradient, which makes the same random words again: Threefry2x32 with 20 rounds (Salmon
/// et al. 2011) of (seed, step) and (site, element).
///
/// # Errors
/// [`Error::Argument`] for another dtype, or a probability that is not from 0 to below 1; [`Error::Limit`].
pub fn dropout(recording: &mut Recording, x: &Value, probability: f32, random: Dropout) -> Result<Value> {
    expect_dtype(OP, "x", x, &[DType::F32])?;
    if !(0.0..1.0).contains(&probability) {
        return Err(Error::argument(OP, "the probability", "from 0 to below 1", probability.to_string()));
    }
    if probability == 0.0 {
        return Ok(x.clone());
    }
    let (threshold, scale) = threshold_and_scale(probability);
    let elements = usize::try_from(x.shape().elements()).unwrap_or(usize::MAX);
    let Dropout { seed, step, site } = random;
    let elements = size(OP, "the elements", elements)?;
    let parameters = Parameters { elements, seed, step, site, threshold, scale };
    let record = move |recording: &mut Recording, x: &Value| {
        let y = recording.temporary(x.shape().clone(), DType::F32)?;
        recording.dispatch_trusted(&kernel::Dropout, kernel::variant(), &parameters, &[x, &y])?;
        Ok(y)
    };
    recording.differentiable(
        &[x],
        |recording| record(recording, x),
        |_| {
            let x = x.clone();
            Box::new(move |recording, gradients, dy| {
                let dx = record(recording, dy)?;
                gradients.add(recording, &x, dx)
            })
        },
    )
}
