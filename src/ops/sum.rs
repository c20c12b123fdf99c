//! Sums along axes.

use std::ops::Range;

use super::axes::{broadcast, product};
use super::choice::choose_rows;
use super::expect_dtype;
use crate::error::{Error, Result};
use crate::kernels::reduction::sum::{Parameters, Sum, block};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "sum";

/// Records the sum of x over neighbouring axes, f32; the result has the other axes. Of `[batch, length, columns]` the axes `0..2`
/// give `[columns]`, the gradient of a bias, and `0..3` one number. Over axes that hold nothing it is 0.
///
/// The same call gives the same bits: long sums are those of blocks, which are written, and not added atomically.
///
/// # Errors
/// [`Error::Argument`] for axes that x has not, or another dtype; [`Error::Limit`], [`Error::Implementation`].
pub fn sum(recording: &mut Recording, x: &Value, axes: Range<usize>) -> Result<Value> {
    expect_dtype(OP, "x", x, &[DType::F32])?;
    let dims = x.shape().dims();
    if axes.start > axes.end || axes.end > dims.len() {
        let expected = format!("within 0..{} for x {}", dims.len(), x.shape());
        return Err(Error::argument(OP, "axes", expected, format!("{axes:?}")));
    }
    let kept = kept(dims, axes.clone());
    let whole = dims.to_vec();
    recording.differentiable(
        &[x],
        |recording| record(recording, x, axes),
        |_| {
            let x = x.clone();
            Box::new(move |recording, gradients, upstream| {
                let gradient = broadcast(recording, OP, "the gradient", &upstream.reshape(kept)?, &whole)?;
                gradients.add(recording, &x, gradient)
            })
        },
    )
}

/// The axes of x with 1 for those that are summed over.
pub(super) fn kept(dims: &[usize], axes: Range<usize>) -> Vec<usize> {
    let mut kept = dims.to_vec();
    kept[axes].fill(1);
    kept
}

fn record(recording: &mut Recording, x: &Value, axes: Range<usize>) -> Result<Value> {
    let dims = x.shape().dims();
    let others = [&dims[..axes.start], &dims[axes.end..]].concat();
    let mut count = product(OP, "the elements of a sum", &dims[axes.clone()])?;
    let inner = product(OP, "the axes of x behind", &dims[axes.end..])?;
    product(OP, "the elements of x", dims)?;
    let sums = product(OP, "the sums", &others)?;
    if count == 1 {
        return x.reshape(others);
    }
    recording.atomically(|recording| {
        let mut x = x.clone();
        loop {
            // A lane's share of a block is never long, so that nothing else is asked for.
            let variant = choose_rows(recording.device(), OP, count.min(256) as usize, inner > 1)?;
            let block = block(&variant, count);
            let blocks = count.div_ceil(block.max(1)).max(1);
            let rows = sums.saturating_mul(blocks);
            let y = recording.temporary([rows as usize], DType::F32)?;
            let parameters = Parameters { rows, count, inner, blocks, block };
            recording.dispatch_trusted(&Sum, variant, &parameters, &[&x, &y])?;
            if blocks == 1 {
                return y.reshape(others);
            }
            (x, count) = (y, blocks);
        }
    })
}
