//! Axes: which one is meant, how one shape is broadcast to another, and the copy that does it.

use super::{cast, size, sum};
use crate::error::{Error, Result};
use crate::kernels::elementwise::strided_copy::{AXES, Parameters, StridedCopy, variant};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

/// An axis of a value, counted from the back if negative.
pub(super) fn axis_of(op: &str, argument: &str, value: &Value, axis: isize) -> Result<usize> {
    let rank = value.shape().rank();
    let place = if axis < 0 { rank.checked_add_signed(axis) } else { usize::try_from(axis).ok() };
    place.filter(|&place| place < rank).ok_or_else(|| {
        let expected = format!("from -{rank} to {rank} - 1 for {argument} {}", value.shape());
        Error::argument(op, "axis", expected, axis.to_string())
    })
}

/// The product of some axes as the kernels count it.
pub(super) fn product(op: &str, argument: &str, dims: &[usize]) -> Result<u32> {
    // A 0 anywhere makes nothing of all the others, whatever their product would be.
    let all =
        if dims.contains(&0) { 0 } else { dims.iter().fold(1, |all: usize, &size| all.saturating_mul(size)) };
    size(op, argument, all)
}

/// The strides by which a dense value of shape `from` is read as one of shape `to`, 0 along what is repeated; `None` if
/// it cannot be (NumPy's rule, in one direction: an axis of `from` is that of `to`, or 1, or not there).
pub(super) fn broadcast_strides(from: &[usize], to: &[usize]) -> Option<Vec<usize>> {
    let missing = to.len().checked_sub(from.len())?;
    let mut strides = vec![0; to.len()];
    let mut stride = 1_usize;
    for (axis, &size) in from.iter().enumerate().rev() {
        if size != to[missing + axis] && size != 1 {
            return None;
        }
        if size != 1 {
            strides[missing + axis] = stride;
        }
        stride = stride.saturating_mul(size);
    }
    Some(strides)
}

/// [`broadcast_strides`] of a value, or [`Error::Argument`].
pub(super) fn expect_broadcast(op: &str, argument: &str, x: &Value, dims: &[usize]) -> Result<Vec<usize>> {
    broadcast_strides(x.shape().dims(), dims).ok_or_else(|| {
        Error::argument(op, argument, format!("broadcastable to {dims:?}"), x.shape().to_string())
    })
}

/// The shape that both are broadcast to by NumPy's rule, if there is one.
pub(super) fn broadcast_shapes(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |axis| dims[axis]);
    let both = (0..rank).map(|axis| match (at(a, axis), at(b, axis)) {
        (a, b) if a == b => Some(a),
        (1, other) | (other, 1) => Some(other),
        _ => None,
    });
    both.collect()
}

/// A value of x's elements, broadcast to `dims` by NumPy's rule; x itself where that changes nothing but its shape.
///
/// # Errors
/// [`Error::Argument`] that names `argument` where it cannot be broadcast.
pub(super) fn broadcast(
    recording: &mut Recording,
    op: &str,
    argument: &str,
    x: &Value,
    dims: &[usize],
) -> Result<Value> {
    let strides = expect_broadcast(op, argument, x, dims)?;
    strided(recording, op, argument, x, &View { dims, first: 0, strides: &strides })
}

/// x of a shape that something of `dims` was broadcast to, summed over all that was repeated: what is adjoint to [`broadcast`]. x
/// itself, in the shape `dims`, where nothing was. f32.
///
/// # Errors
/// [`Error::Argument`] where x's shape is none that `dims` is broadcast to; [`Error::Limit`].
pub(super) fn sum_to(recording: &mut Recording, op: &str, x: &Value, dims: &[usize]) -> Result<Value> {
    let all = x.shape().dims();
    if broadcast_strides(dims, all).is_none() {
        let expected = format!("of a shape that {dims:?} is broadcast to");
        return Err(Error::argument(op, "the gradient", expected, x.shape().to_string()));
    }
    let missing = all.len() - dims.len();
    let is_summed = |axis: usize| all[axis] != 1 && (axis < missing || dims[axis - missing] == 1);
    recording.atomically(|recording| {
        let mut sum_of = x.clone();
        // Neighbours are one sum. The last go first, so that the places of the others stay.
        let mut end = all.len();
        while let Some(last) = (0..end).rev().find(|&axis| is_summed(axis)) {
            // An axis of size 1 between two that are summed parts nothing.
            let whole = (0..=last).rev().take_while(|&axis| is_summed(axis) || all[axis] == 1);
            let first = whole.filter(|&axis| is_summed(axis)).last().unwrap_or(last);
            sum_of = sum(recording, &sum_of, first..last + 1)?;
            end = first;
        }
        sum_of.reshape(dims)
    })
}

/// γ or β for the rows of x that begin at `axis`, and its row stride: 0 where all rows have the same.
///
/// # Errors
/// As [`broadcast`].
pub(super) fn affine(
    recording: &mut Recording,
    op: &str,
    argument: &str,
    weight: &Value,
    (x, axis): (&Value, usize),
) -> Result<(Value, u32)> {
    let (dims, columns) = (x.shape().dims(), &x.shape().dims()[axis..]);
    let first = weight.shape().rank().saturating_sub(columns.len());
    let (outer, inner) = weight.shape().dims().split_at(first);
    let for_all = outer.iter().all(|&size| size == 1);
    if for_all && broadcast_strides(inner, columns).is_some() && weight.shape().rank() <= dims.len() {
        let weight = weight.reshape(inner)?;
        return Ok((broadcast(recording, op, argument, &weight, columns)?, 0));
    }
    let row = product(op, "the columns of x", columns)?;
    Ok((broadcast(recording, op, argument, weight, dims)?, row))
}

/// x `[rows, columns]` as `[columns, rows]`.
pub(super) fn transposed(recording: &mut Recording, op: &str, argument: &str, x: &Value) -> Result<Value> {
    let &[rows, columns] = x.shape().dims() else {
        return Err(Error::argument(op, argument, "of rank 2", x.shape().to_string()));
    };
    strided(recording, op, argument, x, &View { dims: &[columns, rows], first: 0, strides: &[1, columns] })
}

/// An axis's size, and its stride in each of some operands.
pub(super) type AxisStrides<const OPERANDS: usize> = (u32, [u32; OPERANDS]);

/// The axes from the last on, without those of size 1. One that continues the axis behind it in every operand is merged with
/// that. All sizes, and all places that they lead to, must have been found to fit a u32.
pub(super) fn merged_axes<const OPERANDS: usize>(
    dims: &[usize],
    strides: [&[usize]; OPERANDS],
) -> Vec<AxisStrides<OPERANDS>> {
    let mut merged: Vec<AxisStrides<OPERANDS>> = Vec::new();
    for axis in (0..dims.len()).rev().filter(|&axis| dims[axis] != 1) {
        let (size, strides) = (dims[axis] as u32, strides.map(|strides| strides[axis] as u32));
        match merged.last_mut() {
            Some((inner, steps)) if steps.map(|step| inner.wrapping_mul(step)) == strides => *inner *= size,
            _ => merged.push((size, strides)),
        }
    }
    merged
}

/// Elements of a value: their sizes, the first of them, and for each axis the step from one to the next, 0 where it is
/// repeated. Sizes and steps are those of a value that lies in one piece.
pub(super) struct View<'a> {
    pub dims: &'a [usize],
    pub first: usize,
    pub strides: &'a [usize],
}

/// The steps from one element to the next along each axis of a dense value.
pub(super) fn dense_strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(dims[axis]);
    }
    strides
}

/// A dense copy of what the view shows of x; x itself, in another shape, where that is all of it in its order.
pub(super) fn strided(
    recording: &mut Recording,
    op: &str,
    argument: &str,
    x: &Value,
    view: &View<'_>,
) -> Result<Value> {
    let elements = product(op, argument, view.dims)?;
    if elements == 0 {
        return recording.temporary(view.dims, x.dtype());
    }
    product(op, argument, x.shape().dims())?;
    let mut axes = merged_axes(view.dims, [view.strides]);
    if axes.len() > AXES {
        let expected = format!("of at most {AXES} axes, where neighbours that stay together are one");
        return Err(Error::argument(op, argument, expected, axes.len().to_string()));
    }
    if view.first == 0 && u64::from(elements) == x.shape().elements() && matches!(axes[..], [] | [(_, [1])]) {
        return x.reshape(view.dims);
    }
    let (mut words, mut first) = (elements, view.first as u32);
    if x.dtype() == DType::F16 {
        if !in_pairs(&axes, first) {
            return through_f32(recording, |recording| {
                let wide = cast(recording, x, DType::F32)?;
                strided(recording, op, argument, &wide, view)
            });
        }
        (words, first) = (words / 2, first / 2);
        for (place, (size, [stride])) in axes.iter_mut().enumerate() {
            *if place == 0 { size } else { stride } /= 2;
        }
    }
    axes.resize(AXES, (1, [0]));
    let axes = std::array::from_fn(|axis| {
        let (size, [stride]) = axes[axis];
        [size, stride]
    });
    let y = recording.temporary(view.dims, x.dtype())?;
    let parameters = Parameters { x_first: first, ..Parameters::new(words, axes) };
    recording.dispatch_trusted(&StridedCopy, variant(), &parameters, &[x, &y])?;
    Ok(y)
}

/// Whether a copy of f16, which lie two in a word, keeps the halves of each word together.
fn in_pairs(axes: &[AxisStrides<1>], first: u32) -> bool {
    let even = |number: u32| number.is_multiple_of(2);
    match axes {
        [(columns, [1]), others @ ..] => {
            even(*columns) && even(first) && others.iter().all(|&(_, [stride])| even(stride))
        }
        _ => false,
    }
}

/// What is made of f16 in f32, as f16: exact, but that a signalling NaN becomes a quiet one. Nothing stays recorded if it fails.
pub(super) fn through_f32(
    recording: &mut Recording,
    make: impl FnOnce(&mut Recording) -> Result<Value>,
) -> Result<Value> {
    recording.atomically(|recording| {
        let y = make(recording)?;
        cast(recording, &y, DType::F16)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasts_are_numpys() {
        assert_eq!(broadcast_strides(&[4], &[2, 3, 4]), Some(vec![0, 0, 1]));
        assert_eq!(broadcast_strides(&[2, 1, 4], &[2, 3, 4]), Some(vec![4, 0, 1]));
        assert_eq!(broadcast_strides(&[], &[2]), Some(vec![0]));
        for (from, to) in [(&[2, 1][..], &[2][..]), (&[3], &[2]), (&[2], &[1])] {
            assert_eq!(broadcast_strides(from, to), None, "{from:?} {to:?}");
        }
        assert_eq!(broadcast_shapes(&[3, 1], &[1, 2]), Some(vec![3, 2]));
        assert_eq!(broadcast_shapes(&[5, 1, 4], &[4]), Some(vec![5, 1, 4]));
        assert_eq!(broadcast_shapes(&[0], &[1]), Some(vec![0]));
        assert_eq!(broadcast_shapes(&[3], &[2]), None);
    }
}
