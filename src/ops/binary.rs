//! Sums, differences and products element by element, both sides broadcast.

use super::axes::{AxisStrides, broadcast_shapes, expect_broadcast, merged_axes, product, sum_to};
use super::expect_dtype;
use crate::error::{Error, Result};
use crate::kernels::elementwise::binary::{AXES, Binary, Operation, Parameters, variant};
use crate::recording::{Recording, Rule, Value};
use crate::tensor::DType;

/// Records a + b element by element, f32. Both are broadcast by NumPy's rule: axes are matched from the last on, and one that
/// is of size 1 or missing is repeated; the result has the shape that both are broadcast to. So a bias `[columns]` is added to
/// x `[…, columns]`, a residual of x's shape to x, and a position `[1, length, columns]` to `[batch, length, columns]`.
///
/// # Errors
/// [`Error::Argument`] for other dtypes, for shapes that cannot be broadcast to one, or where more than 4 axes are left when
/// neighbours that are repeated alike are taken for one; [`Error::Limit`].
pub fn add(recording: &mut Recording, a: &Value, b: &Value) -> Result<Value> {
    binary(recording, "add", Operation::Add, a, b)
}

/// Records a − b element by element; shapes, dtypes and errors as for [`add`].
///
/// # Errors
/// As [`add`].
pub fn subtract(recording: &mut Recording, a: &Value, b: &Value) -> Result<Value> {
    binary(recording, "subtract", Operation::Subtract, a, b)
}

/// Records a · b element by element; shapes, dtypes and errors as for [`add`]. Of a `[batch, channels, height, width]`, b
/// `[batch, channels, 1, 1]` weighs channels, `[batch, 1, height, width]` places, and `[]` all alike.
///
/// # Errors
/// As [`add`].
pub fn multiply(recording: &mut Recording, a: &Value, b: &Value) -> Result<Value> {
    binary(recording, "multiply", Operation::Multiply, a, b)
}

/// Records x times that number; the result has x's shape.
pub(super) fn scaled(recording: &mut Recording, x: &Value, factor: f32) -> Result<Value> {
    let factor = recording.constant([1], DType::F32, vec![factor.to_bits()])?;
    multiply(recording, x, &factor)?.reshape(x.shape().clone())
}

fn binary(
    recording: &mut Recording,
    op: &'static str,
    operation: Operation,
    a: &Value,
    b: &Value,
) -> Result<Value> {
    recording.differentiable(
        &[a, b],
        |recording| record(recording, op, operation, a, b),
        |_| rule(op, operation, a.clone(), b.clone()),
    )
}

/// The upstream gradient, times the other factor of a product, summed over what was repeated.
fn rule(op: &'static str, operation: Operation, a: Value, b: Value) -> Rule {
    Box::new(move |recording, gradients, upstream| {
        for (own, other, second) in [(&a, &b, false), (&b, &a, true)] {
            if !recording.is_tracked(own) {
                continue;
            }
            let all = match operation {
                Operation::Multiply => multiply(recording, upstream, other)?,
                Operation::Subtract if second => scaled(recording, upstream, -1.0)?,
                Operation::Add | Operation::Subtract => upstream.clone(),
            };
            let gradient = sum_to(recording, op, &all, own.shape().dims())?;
            gradients.add(recording, own, gradient)?;
        }
        Ok(())
    })
}

fn record(recording: &mut Recording, op: &str, operation: Operation, a: &Value, b: &Value) -> Result<Value> {
    expect_dtype(op, "a", a, &[DType::F32])?;
    expect_dtype(op, "b", b, &[DType::F32])?;
    let Some(dims) = broadcast_shapes(a.shape().dims(), b.shape().dims()) else {
        let expected = format!("broadcastable with a {}", a.shape());
        return Err(Error::argument(op, "b", expected, b.shape().to_string()));
    };
    let elements = product(op, "the elements of the result", &dims)?;
    let strides = [expect_broadcast(op, "a", a, &dims)?, expect_broadcast(op, "b", b, &dims)?];
    let mut axes: Vec<AxisStrides<2>> = match elements {
        0 => Vec::new(),
        _ => merged_axes(&dims, [&strides[0], &strides[1]]),
    };
    if axes.len() > AXES {
        let expected = format!("at most {AXES} axes, where neighbours that are repeated alike are one");
        let found = format!("{} in a {} and b {}", axes.len(), a.shape(), b.shape());
        return Err(Error::argument(op, "the shapes", expected, found));
    }
    let y = recording.temporary(&*dims, DType::F32)?;
    if elements == 0 {
        return Ok(y);
    }
    axes.resize(AXES, (1, [0; 2]));
    let parameters = Parameters::new(elements, std::array::from_fn(|axis| axes[axis]));
    recording.dispatch_trusted(&Binary, variant(operation), &parameters, &[a, b, &y])?;
    Ok(y)
}
