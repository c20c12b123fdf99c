//! Products of two matrices on the device, and of stacks of them.

use super::axes::{
    broadcast, broadcast_shapes, broadcast_strides, expect_broadcast, product, sum_to, transposed,
};
use super::binary::scaled;
use super::{expect_dtype, product as products, size, transpose};
use crate::error::{Error, Result};
use crate::kernels::linear::gemm::{Form, Parameters};
use crate::recording::{Gradients, Recording, Value};
use crate::tensor::{DType, Tensor};

/// Records the product of a `[…, M, K]` and b `[…, K, N]`: `[…, M, N]`, the axes before the last two broadcast by NumPy's
/// rule. f32. An a of rank 1 is one row, a b of rank 1 one column, and the result is without that axis. A sum of no
/// products is 0.
///
/// `numpy.matmul`; ONNX's MatMul (opset 13). The implementations are those of [`Linear`](super::Linear), and are forced
/// by its name.
///
/// # Errors
/// [`Error::Argument`] for shapes or dtypes that do not fit (both tensors are named), [`Error::Limit`],
/// [`Error::Implementation`].
pub fn matmul(recording: &mut Recording, a: &Value, b: &Value) -> Result<Value> {
    recording.differentiable(
        &[a, b],
        |recording| stacked_products(recording, a, b),
        |_| {
            let (a, b) = (a.clone(), b.clone());
            Box::new(move |recording, gradients, upstream| {
                stacked_gradients(recording, gradients, [&a, &b], upstream)
            })
        },
    )
}

/// Records, of y = a · b with the gradient dY: dA = dY · Bᵀ and dB = Aᵀ · dY, summed over what was repeated.
fn stacked_gradients(
    recording: &mut Recording,
    gradients: &mut Gradients,
    [a, b]: [&Value; 2],
    upstream: &Value,
) -> Result<()> {
    const OP: &str = "matmul";
    let as_row = |value: &Value| match *value.shape().dims() {
        [depth] => value.reshape([1, depth]),
        _ => Ok(value.clone()),
    };
    let as_column = |value: &Value| match *value.shape().dims() {
        [depth] => value.reshape([depth, 1]),
        _ => Ok(value.clone()),
    };
    let (left, right) = (as_row(a)?, as_column(b)?);
    let [rows, columns] = [left.shape().dims()[left.shape().rank() - 2], right.shape().last()];
    let vectors = usize::from(a.shape().rank() == 1) + usize::from(b.shape().rank() == 1);
    let outer = &upstream.shape().dims()[..upstream.shape().rank() + vectors - 2];
    let upstream = upstream.reshape([outer, &[rows, columns]].concat())?;
    if recording.is_tracked(a) {
        let turned = transpose(recording, &right, -2, -1)?;
        let gradient = matmul(recording, &upstream, &turned)?;
        let gradient = sum_to(recording, OP, &gradient, left.shape().dims())?;
        gradients.add(recording, a, gradient.reshape(a.shape().clone())?)?;
    }
    if recording.is_tracked(b) {
        let is_one =
            right.shape().elements() == (right.shape().dims()[right.shape().rank() - 2] * columns) as u64;
        let gradient = if is_one {
            // One b for all: the rows of all a are those of one matrix.
            let all = outer.iter().product::<usize>() * rows;
            let (left, upstream) =
                (left.reshape([all, left.shape().last()])?, upstream.reshape([all, columns])?);
            Gemm::new().transpose_a().record(recording, &left, &upstream)?
        } else {
            let turned = transpose(recording, &left, -2, -1)?;
            let gradient = matmul(recording, &turned, &upstream)?;
            sum_to(recording, OP, &gradient, right.shape().dims())?
        };
        gradients.add(recording, b, gradient.reshape(b.shape().clone())?)?;
    }
    Ok(())
}

fn stacked_products(recording: &mut Recording, a: &Value, b: &Value) -> Result<Value> {
    recording.atomically(|recording| {
        const OP: &str = "matmul";
        for (name, value) in [("a", a), ("b", b)] {
            expect_dtype(OP, name, value, &[DType::F32])?;
            if value.shape().rank() == 0 {
                return Err(Error::argument(OP, name, "of rank 1 or more", "[]"));
            }
        }
        let (a_dims, b_dims) = (a.shape().dims(), b.shape().dims());
        let (a_outer, a_matrix) = a_dims.split_at(a_dims.len().saturating_sub(2));
        let (b_outer, b_matrix) = b_dims.split_at(b_dims.len().saturating_sub(2));
        let (rows, depth) = match *a_matrix {
            [rows, depth] => (Some(rows), depth),
            _ => (None, a.shape().last()),
        };
        let (inner, columns) = match *b_matrix {
            [inner, columns] => (inner, Some(columns)),
            _ => (b.shape().last(), None),
        };
        if inner != depth {
            let expected = format!("[…, {depth}, N] for a {}", a.shape());
            return Err(Error::argument(OP, "b", expected, b.shape().to_string()));
        }
        let outer = broadcast_shapes(a_outer, b_outer).ok_or_else(|| {
            let expected = format!("broadcastable with a {} but for the last two axes", a.shape());
            Error::argument(OP, "b", expected, b.shape().to_string())
        })?;
        let mut dims = outer.clone();
        dims.extend(rows.into_iter().chain(columns));
        let y = recording.temporary(dims, DType::F32)?;
        let (rows, depth) =
            (size(OP, "the rows of a", rows.unwrap_or(1))?, size(OP, "the columns of a", depth)?);
        // A column lies as a row does.
        let transposed = columns.is_none();
        let columns = size(OP, "the columns of b", columns.unwrap_or(1))?;
        if y.shape().elements() == 0 {
            return Ok(y);
        }
        if b_outer.iter().all(|&size| size == 1) {
            // One b for all: the rows of all a are those of one matrix.
            let rows = product(OP, "the rows of a", &[&outer[..], &[rows as usize]].concat())?;
            let sizes = Sizes { rows, columns, depth, transposed };
            record(recording, sizes, [a, b], &y, Epilogue::default())?;
            return Ok(y);
        }
        let strides = [(a_outer, rows, depth), (b_outer, depth, columns)].map(|(own, rows, columns)| {
            // Both can be broadcast, since `outer` came of them; where a step is 0, its axis is repeated.
            let steps = broadcast_strides(own, &outer).unwrap_or_default();
            steps.into_iter().map(|step| step as u32 * rows * columns).collect::<Vec<u32>>()
        });
        let batches = product(OP, "the stacked matrices", &outer)?;
        let offsets: Vec<u32> = (0..batches)
            .flat_map(|batch| {
                let mut rest = batch;
                let mut offsets = [0; 2];
                for (axis, &size) in outer.iter().enumerate().rev() {
                    let index = rest % size as u32;
                    rest /= size as u32;
                    for (offset, strides) in offsets.iter_mut().zip(&strides) {
                        *offset += index * strides[axis];
                    }
                }
                offsets
            })
            .collect();
        let offsets = Tensor::from_u32(recording.device(), [batches as usize, 2], &offsets)?;
        let offsets = recording.tensor(&offsets)?;
        let epilogue = Epilogue { offsets: Some((&offsets, batches)), ..Epilogue::default() };
        let sizes = Sizes { rows, columns, depth, transposed };
        record(recording, sizes, [a, b], &y, epilogue)?;
        Ok(y)
    })
}

/// alpha · A · B + beta · C, A and B transposed or not, to be recorded (ONNX's Gemm, opset 13).
#[derive(Clone, Copy, Debug)]
pub struct Gemm<'a> {
    alpha: f32,
    beta: f32,
    transpose_a: bool,
    transpose_b: bool,
    c: Option<&'a Value>,
}

impl Default for Gemm<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Gemm<'a> {
    /// A · B.
    pub fn new() -> Self {
        Self { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: false, c: None }
    }

    /// The factor of A · B, 1 if not given.
    #[must_use]
    pub fn alpha(mut self, alpha: f32) -> Self {
        self.alpha = alpha;
        self
    }

    /// The factor of C, 1 if not given. By 0 nothing of it is left, not even a NaN.
    #[must_use]
    pub fn beta(mut self, beta: f32) -> Self {
        self.beta = beta;
        self
    }

    /// A is given as `[K, M]`.
    #[must_use]
    pub fn transpose_a(mut self) -> Self {
        self.transpose_a = true;
        self
    }

    /// B is given as `[N, K]`.
    #[must_use]
    pub fn transpose_b(mut self) -> Self {
        self.transpose_b = true;
        self
    }

    /// With a C, broadcast to `[M, N]` by NumPy's rule.
    #[must_use]
    pub fn c(mut self, c: &'a Value) -> Self {
        self.c = Some(c);
        self
    }

    /// With a C of `[M, N]`, if there is one.
    pub(super) fn plus(self, c: Option<&'a Value>) -> Self {
        Self { c, ..self }
    }

    /// Records it: a `[M, K]` and b `[K, N]`, f32, give `[M, N]`. A sum of no products is 0. The implementations are those
    /// of [`Linear`](super::Linear), and are forced by its name.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes or dtypes that do not fit (both tensors are named), [`Error::Limit`],
    /// [`Error::Implementation`].
    pub fn record(self, recording: &mut Recording, a: &Value, b: &Value) -> Result<Value> {
        let inputs: Vec<&Value> = [Some(a), Some(b), self.c].into_iter().flatten().collect();
        recording.differentiable(
            &inputs,
            |recording| self.record_product(recording, a, b),
            |_| {
                let (a, b, c) = (a.clone(), b.clone(), self.c.cloned());
                let options = Gemm { c: None, ..self };
                Box::new(move |recording, gradients, upstream| {
                    options.record_gradients(recording, gradients, (&a, &b, c.as_ref()), upstream)
                })
            },
        )
    }

    /// Records, with the gradient dY: α · dY · op(B)ᵀ and α · op(A)ᵀ · dY, transposed where the operand is, and β · dY summed over what
    /// was repeated.
    fn record_gradients(
        &self,
        recording: &mut Recording,
        gradients: &mut Gradients,
        (a, b, c): (&Value, &Value, Option<&Value>),
        upstream: &Value,
    ) -> Result<()> {
        let product =
            |transpose_a, transpose_b| Gemm { alpha: self.alpha, transpose_a, transpose_b, ..Gemm::new() };
        if recording.is_tracked(a) {
            let gradient = match self.transpose_a {
                false => product(false, !self.transpose_b).record(recording, upstream, b)?,
                true => product(self.transpose_b, true).record(recording, b, upstream)?,
            };
            gradients.add(recording, a, gradient)?;
        }
        if recording.is_tracked(b) {
            let gradient = match self.transpose_b {
                false => product(!self.transpose_a, false).record(recording, a, upstream)?,
                true => product(true, self.transpose_a).record(recording, upstream, a)?,
            };
            gradients.add(recording, b, gradient)?;
        }
        if let Some(c) = c.filter(|c| recording.is_tracked(c)) {
            let all = match self.beta == 1.0 {
                true => upstream.clone(),
                false => scaled(recording, upstream, self.beta)?,
            };
            let gradient = sum_to(recording, "gemm", &all, c.shape().dims())?;
            gradients.add(recording, c, gradient)?;
        }
        Ok(())
    }

    fn record_product(self, recording: &mut Recording, a: &Value, b: &Value) -> Result<Value> {
        recording.atomically(|recording| {
            const OP: &str = "gemm";
            for (name, value) in [("a", Some(a)), ("b", Some(b)), ("c", self.c)] {
                value.map_or(Ok(()), |value| expect_dtype(OP, name, value, &[DType::F32]))?;
            }
            let matrix = |name: &str, value: &Value, transposed: bool| match *value.shape().dims() {
                [first, second] => Ok(if transposed { (second, first) } else { (first, second) }),
                _ => Err(Error::argument(OP, name, "of rank 2", value.shape().to_string())),
            };
            let (rows, depth) = matrix("a", a, self.transpose_a)?;
            let (inner, columns) = matrix("b", b, self.transpose_b)?;
            if inner != depth {
                let sides = if self.transpose_b { format!("[N, {depth}]") } else { format!("[{depth}, N]") };
                let transposed = if self.transpose_a { " transposed" } else { "" };
                let expected = format!("{sides} for a {}{transposed}", a.shape());
                return Err(Error::argument(OP, "b", expected, b.shape().to_string()));
            }
            if let Some(c) = self.c {
                expect_broadcast(OP, "c", c, &[rows, columns])?;
            }
            let y = recording.temporary([rows, columns], DType::F32)?;
            let sizes = Sizes {
                rows: size(OP, "the rows of a", rows)?,
                columns: size(OP, "the columns of b", columns)?,
                depth: size(OP, "the columns of a", depth)?,
                transposed: self.transpose_b,
            };
            if y.shape().elements() == 0 {
                return Ok(y);
            }
            let a = if self.transpose_a { transposed(recording, OP, "a", a)? } else { a.clone() };
            let mut epilogue = Epilogue { alpha: self.alpha, beta: self.beta, ..Epilogue::default() };
            let addend;
            match self.c.filter(|_| self.beta != 0.0) {
                None => epilogue.beta = 1.0,
                Some(c) => {
                    // One row for all rows, or all of it.
                    let dims = c.shape().dims();
                    let is_row = dims.len() < 2 || dims[0] == 1;
                    let (c, target) = match is_row {
                        true => (
                            c.reshape(dims.get(1..).filter(|_| dims.len() == 2).unwrap_or(dims))?,
                            vec![columns],
                        ),
                        false => (c.clone(), vec![rows, columns]),
                    };
                    addend = broadcast(recording, OP, "c", &c, &target)?;
                    *(if is_row { &mut epilogue.bias } else { &mut epilogue.residual }) = Some(&addend);
                }
            }
            record(recording, sizes, [&a, b], &y, epilogue)?;
            Ok(y)
        })
    }
}

/// The sizes of one product, dense on both sides.
#[derive(Clone, Copy)]
struct Sizes {
    rows: u32,
    columns: u32,
    depth: u32,
    /// b is `[columns, depth]`.
    transposed: bool,
}

/// The epilogue of the products, and where they lie.
#[derive(Clone, Copy)]
struct Epilogue<'a> {
    alpha: f32,
    beta: f32,
    /// `[columns]`.
    bias: Option<&'a Value>,
    /// Of y's shape.
    residual: Option<&'a Value>,
    /// Where the a and the b of each product begin, and how many products there are.
    offsets: Option<(&'a Value, u32)>,
}

impl Default for Epilogue<'_> {
    fn default() -> Self {
        Self { alpha: 1.0, beta: 1.0, bias: None, residual: None, offsets: None }
    }
}

fn record(
    recording: &mut Recording,
    sizes: Sizes,
    [a, b]: [&Value; 2],
    y: &Value,
    epilogue: Epilogue<'_>,
) -> Result<()> {
    let Sizes { rows, columns, depth, transposed } = sizes;
    let Epilogue { alpha, beta, bias, residual, offsets } = epilogue;
    let parameters = Parameters {
        rows,
        columns,
        depth,
        x_row: depth,
        y_row: columns,
        first_column: 0,
        has_bias: bias.is_some().into(),
        has_residual: residual.is_some().into(),
        batches: offsets.map_or(1, |(_, batches)| batches),
        alpha,
        beta,
        activation: super::Activation::None.code(),
    };
    // The usual form where it does: a linear layer has its pipeline already.
    let general = offsets.is_some() || (alpha, beta) != (1.0, 1.0);
    let form = Form { general, ..Form::general(transposed) };
    // Its zeros are the offsets of a single product.
    let absent = recording.absent()?;
    let given = |value: Option<&'_ Value>| value.cloned().unwrap_or_else(|| absent.clone());
    let (bias, residual, offsets) = (given(bias), given(residual), given(offsets.map(|(value, _)| value)));
    products::record(recording, form, &parameters, [a, b, &bias, &residual, &offsets, y])
}
