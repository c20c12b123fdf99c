//! Means and maxima along axes.

use std::ops::Range;

use super::axes::{broadcast, product};
use super::choice::choose_rows;
use super::sum::kept;
use super::{expect_dtype, multiply};
use crate::error::{Error, Result};
use crate::kernels::pooling::mean_max::{MeanMax, Parameters};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "mean_max";

/// Records the mean of x over neighbouring axes, f32; the result has the other axes. Of `[batch, channels, height, width]`
/// the axes `2..4` give `[batch, channels]`, the squeeze of Hu et al. 2018, and `1..2` `[batch, height, width]`.
///
/// # Errors
/// [`Error::Argument`] for axes that x has not or that hold nothing, or another dtype; [`Error::Limit`],
/// [`Error::Implementation`].
pub fn mean(recording: &mut Recording, x: &Value, axes: Range<usize>) -> Result<Value> {
    let averaged = axes.clone();
    recording.differentiable(
        &[x],
        |recording| {
            let [mean, _] = record(recording, x, averaged, false)?;
            Ok(mean)
        },
        |_| {
            let x = x.clone();
            Box::new(move |recording, gradients, upstream| {
                let dims = x.shape().dims();
                let share = 1.0 / product(OP, "the elements of a mean", &dims[axes.clone()])? as f32;
                let share = recording.constant([1], DType::F32, vec![share.to_bits()])?;
                let of_mean =
                    multiply(recording, &upstream.reshape([upstream.shape().elements() as usize])?, &share)?;
                let of_mean = of_mean.reshape(kept(dims, axes))?;
                let gradient = broadcast(recording, OP, "the gradient", &of_mean, dims)?;
                gradients.add(recording, &x, gradient)
            })
        },
    )
}

/// Records the mean and the maximum of x over neighbouring axes, in one pass: see [`mean`]. A NaN makes both NaN. It has no gradient.
///
/// # Errors
/// As [`mean`].
pub fn mean_max(recording: &mut Recording, x: &Value, axes: Range<usize>) -> Result<[Value; 2]> {
    record(recording, x, axes, true)
}

fn record(recording: &mut Recording, x: &Value, axes: Range<usize>, has_maximum: bool) -> Result<[Value; 2]> {
    expect_dtype(OP, "x", x, &[DType::F32])?;
    let dims = x.shape().dims();
    if axes.start > axes.end || axes.end > dims.len() {
        let expected = format!("within 0..{} for x {}", dims.len(), x.shape());
        return Err(Error::argument(OP, "axes", expected, format!("{axes:?}")));
    }
    let others = [&dims[..axes.start], &dims[axes.end..]].concat();
    let columns = product(OP, "the elements of a mean", &dims[axes.clone()])?;
    if columns == 0 {
        let expected = format!("not empty along the axes {axes:?}");
        return Err(Error::argument(OP, "x", expected, x.shape().to_string()));
    }
    product(OP, "the elements of x", dims)?;
    let parameters = Parameters {
        rows: product(OP, "the means", &others)?,
        columns,
        inner: product(OP, "the axes of x behind", &dims[axes.end..])?,
        has_maximum: has_maximum.into(),
    };
    let variant = choose_rows(recording.device(), OP, columns as usize, parameters.inner > 1)?;
    let mean = recording.temporary(others.clone(), DType::F32)?;
    // An output that nobody asks for is bound too, and is not written.
    let maximum = recording.temporary(if has_maximum { others } else { vec![1] }, DType::F32)?;
    recording.dispatch_trusted(&MeanMax, variant, &parameters, &[x, &mean, &maximum])?;
    Ok([mean, maximum])
}
