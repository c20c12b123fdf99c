//! Casts between f32 and f16.

use super::{expect_dtype, size};
use crate::error::Result;
use crate::kernels::elementwise::cast::{Cast, Parameters, variant};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

/// Records x as `dtype`, f32 or f16; the result has x's shape, and is x itself if it has that dtype already. Any shape.
///
/// To f16 it rounds to nearest, ties to even; from a magnitude of 65,520 on it is infinite. NaN stays NaN.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) if x is or shall be u32, [`Error::Limit`](crate::Error::Limit) if the
/// result is too large for one binding.
pub fn cast(recording: &mut Recording, x: &Value, dtype: DType) -> Result<Value> {
    const OP: &str = "cast";
    expect_dtype(OP, "x", x, &[DType::F32, DType::F16])?;
    if !matches!(dtype, DType::F32 | DType::F16) {
        return Err(crate::Error::argument(OP, "dtype", "f32 or f16", dtype.to_string()));
    }
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    let elements = usize::try_from(x.shape().elements()).unwrap_or(usize::MAX);
    let parameters = Parameters { elements: size(OP, "the elements of x", elements)? };
    recording.differentiable(
        &[x],
        |recording| {
            let y = recording.temporary(x.shape().clone(), dtype)?;
            recording.dispatch_trusted(&Cast, variant(dtype == DType::F16), &parameters, &[x, &y])?;
            Ok(y)
        },
        |_| {
            let x = x.clone();
            // Gradients are f32, and rounding is taken for the identity.
            Box::new(move |recording, gradients, upstream| gradients.add(recording, &x, upstream.clone()))
        },
    )
}
