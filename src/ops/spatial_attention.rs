//! The map of CBAM's spatial attention.

use super::axes::product;
use super::{expect_dtype, expect_shape, size};
use crate::error::{Error, Result};
use crate::kernels::vision::spatial_attention::{Parameters, SpatialAttention, variant};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "spatial_attention";

/// Records M = σ(f^{k×k}(\[mean; maximum\]) + bias) (Woo et al. 2018, section 3.1): a convolution of two maps
/// `[batch, height, width]` with a weight `[2, k, k]` (PyTorch's `[1, 2, k, k]` fits too), k odd, zeros around the maps. The
/// result is `[batch, height, width]`, from 0 to 1.
///
/// # Errors
/// [`Error::Argument`] for shapes or dtypes that do not fit, an even k, or a bias that is not finite; [`Error::Limit`].
pub fn spatial_attention(
    recording: &mut Recording,
    [mean, maximum]: [&Value; 2],
    weight: &Value,
    bias: f32,
) -> Result<Value> {
    for (name, value) in [("the mean", mean), ("the maximum", maximum), ("the weight", weight)] {
        expect_dtype(OP, name, value, &[DType::F32])?;
    }
    let &[_, height, width] = mean.shape().dims() else {
        let found = mean.shape().to_string();
        return Err(Error::argument(OP, "the mean", "[batch, height, width]", found));
    };
    expect_shape(OP, "the maximum", maximum, mean.shape().dims())?;
    let window = match weight.shape().dims() {
        &[2, rows, columns] | &[1, 2, rows, columns] if rows == columns && rows % 2 == 1 => rows,
        _ => {
            let expected = "[2, k, k] or [1, 2, k, k] with an odd k";
            return Err(Error::argument(OP, "the weight", expected, weight.shape().to_string()));
        }
    };
    if !bias.is_finite() {
        return Err(Error::argument(OP, "the bias", "a finite number", bias.to_string()));
    }
    let parameters = Parameters {
        elements: product(OP, "the elements of a map", mean.shape().dims())?,
        height: size(OP, "the height", height)?,
        width: size(OP, "the width", width)?,
        window: size(OP, "the window", window)?,
        bias,
    };
    let map = recording.temporary(mean.shape().clone(), DType::F32)?;
    recording.dispatch_trusted(&SpatialAttention, variant(), &parameters, &[mean, maximum, weight, &map])?;
    Ok(map)
}
