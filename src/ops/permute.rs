//! The axes of a value in another order.

use super::axes::{View, axis_of, dense_strides, strided};
use crate::error::{Error, Result};
use crate::recording::{Recording, Value};

/// Records x with its axes in another order: axis i of the result is axis `axes[i]` of x (NumPy's `transpose`, PyTorch's
/// `permute`). Any dtype. It is a copy, and x itself where only axes of size 1 move. (f16 whose pairs a copy would part go
/// through f32 and back, which makes a signalling NaN a quiet one.)
///
/// ```
/// # fn main() -> attentive::Result<()> {
/// use attentive::{Device, Recording, Tensor, ops};
///
/// let mut recording = Recording::new(&Device::cpu());
/// let x = Tensor::from_f32(recording.device(), [2, 3, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// let x = recording.tensor(&x)?;
/// let y = ops::permute(&mut recording, &x, &[2, 1, 0])?;
/// assert_eq!(y.shape().dims(), [1, 3, 2]);
/// recording.output(&y)?;
/// assert_eq!(recording.run()?.tensor(&y)?.to_f32()?, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] unless `axes` names each axis of x once, and where more than 8 groups of axes that stay together are
/// left; [`Error::Limit`].
pub fn permute(recording: &mut Recording, x: &Value, axes: &[usize]) -> Result<Value> {
    const OP: &str = "permute";
    let rank = x.shape().rank();
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        let expected = format!("each of 0..{rank} once, for x {}", x.shape());
        return Err(Error::argument(OP, "axes", expected, format!("{axes:?}")));
    }
    permuted(recording, OP, x, axes)
}

/// Records x with two axes exchanged, each counted from the back if negative (PyTorch's `transpose`): of x `[…, rows, columns]`
/// the matrices are transposed by −2 and −1. Otherwise as [`permute`].
///
/// # Errors
/// [`Error::Argument`] for an axis that x has not; otherwise as [`permute`].
pub fn transpose(recording: &mut Recording, x: &Value, first: isize, second: isize) -> Result<Value> {
    const OP: &str = "transpose";
    let [first, second] = [axis_of(OP, "x", x, first)?, axis_of(OP, "x", x, second)?];
    let mut axes: Vec<usize> = (0..x.shape().rank()).collect();
    axes.swap(first, second);
    permuted(recording, OP, x, &axes)
}

fn permuted(recording: &mut Recording, op: &'static str, x: &Value, axes: &[usize]) -> Result<Value> {
    let sizes = x.shape().dims();
    let all = dense_strides(sizes);
    let (dims, strides): (Vec<usize>, Vec<usize>) = axes.iter().map(|&axis| (sizes[axis], all[axis])).unzip();
    recording.differentiable(
        &[x],
        |recording| strided(recording, op, "x", x, &View { dims: &dims, first: 0, strides: &strides }),
        |_| {
            let (x, axes) = (x.clone(), axes.to_vec());
            Box::new(move |recording, gradients, upstream| {
                let mut back = axes.clone();
                axes.iter().enumerate().for_each(|(place, &axis)| back[axis] = place);
                let gradient = permuted(recording, "permute", upstream, &back)?;
                gradients.add(recording, &x, gradient)
            })
        },
    )
}
