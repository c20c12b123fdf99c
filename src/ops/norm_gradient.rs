//! The gradients of layer norm and of RMS norm.

use super::axes::{affine, axis_of, product, sum_to};
use super::choice::choose_rows;
use crate::error::Result;
use crate::kernels::normalization::norm_gradient::{self as kernel, Parameters, variant};
use crate::recording::{Gradients, Recording, Value};
use crate::tensor::DType;

/// A norm that was recorded with arguments that fit.
pub(super) struct NormGradient {
    pub op: &'static str,
    /// Layer norm, and not RMS norm.
    pub centered: bool,
    pub x: Value,
    pub residual: Option<Value>,
    pub gamma: Value,
    /// The first that is normalized over, counted from the back if negative.
    pub axis: isize,
    pub epsilon: f32,
}

impl NormGradient {
    /// Records the gradients of x, the residual and γ, of those that are tracked.
    pub fn record(
        self,
        recording: &mut Recording,
        gradients: &mut Gradients,
        upstream: &Value,
    ) -> Result<()> {
        let Self { op, centered, x, residual, gamma, axis, epsilon } = self;
        let is_tracked = |value: &Value| recording.is_tracked(value);
        let gives_dx = is_tracked(&x) || residual.as_ref().is_some_and(is_tracked);
        let gives_summands = is_tracked(&gamma);
        if !gives_dx && !gives_summands {
            return Ok(());
        }
        let axis = axis_of(op, "x", &x, axis)?;
        let (rows, columns) = x.shape().dims().split_at(axis);
        let (rows, columns) =
            (product(op, "the rows of x", rows)?, product(op, "the columns of x", columns)?);
        let (wide, gamma_row) = affine(recording, op, "gamma", &gamma, (&x, axis))?;
        let parameters = Parameters {
            rows,
            columns,
            epsilon,
            has_residual: residual.is_some().into(),
            gamma_row,
            gives_dx: gives_dx.into(),
            gives_summands: gives_summands.into(),
        };
        let variant = variant(choose_rows(recording.device(), op, columns as usize, false)?, centered);
        let absent = recording.absent()?;
        // An output that nobody asks for is bound too, and is not written.
        let mut output = |gives: bool| match gives {
            true => recording.temporary(x.shape().clone(), DType::F32),
            false => recording.temporary([1], DType::F32),
        };
        let (dx, summands) = (output(gives_dx)?, output(gives_summands)?);
        let bindings = [upstream, &x, residual.as_ref().unwrap_or(&absent), &wide, &dx, &summands];
        recording.dispatch_trusted(&kernel::NormGradient, variant, &parameters, &bindings)?;
        if gives_summands {
            let of_gamma = sum_to(recording, op, &summands, gamma.shape().dims())?;
            gradients.add(recording, &gamma, of_gamma)?;
        }
        if gives_dx {
            if let Some(residual) = &residual {
                gradients.add(recording, residual, dx.clone())?;
            }
            gradients.add(recording, &x, dx)?;
        }
        Ok(())
    }
}
