//! Axes: which one is meant, how one shape is broadcast to another, and the copy that does it.

use super::size;
use crate::error::{Error, Result};
use crate::kernels::elementwise::strided_copy::{AXES, Parameters, StridedCopy, variant};
use crate::recording::{Recording, Value};

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
    let elements = product(op, argument, dims)?;
    if u64::from(elements) == x.shape().elements() {
        return x.reshape(dims);
    }
    strided(recording, op, argument, x, (dims, &strides))
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
    if rows == 1 || columns == 1 {
        return x.reshape([columns, rows]);
    }
    strided(recording, op, argument, x, (&[columns, rows], &[1, columns]))
}

/// A dense copy of those sizes and of those strides in x. Dtypes of one word for each element.
fn strided(
    recording: &mut Recording,
    op: &str,
    argument: &str,
    x: &Value,
    (dims, strides): (&[usize], &[usize]),
) -> Result<Value> {
    let elements = product(op, argument, dims)?;
    let y = recording.temporary(dims, x.dtype())?;
    if elements == 0 {
        return Ok(y);
    }
    // From the last axis on: one that continues the axis behind it is merged with that.
    let mut merged: Vec<[u32; 2]> = Vec::new();
    for (&size, &stride) in dims.iter().zip(strides).rev().filter(|(size, _)| **size != 1) {
        let (size, stride) = (size as u32, stride as u32);
        match merged.last_mut() {
            Some([inner, step]) if *inner * *step == stride => *inner *= size,
            _ => merged.push([size, stride]),
        }
    }
    if merged.len() > AXES {
        let expected = format!("of at most {AXES} axes that are repeated in turns");
        return Err(Error::argument(op, argument, expected, merged.len().to_string()));
    }
    merged.resize(AXES, [1, 0]);
    let axes = std::array::from_fn(|axis| merged[axis]);
    recording.dispatch(&StridedCopy, variant(), &Parameters::new(elements, axes), &[x, &y])?;
    Ok(y)
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
