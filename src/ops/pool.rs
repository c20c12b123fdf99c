//! Pooling token vectors to a sentence vector.

use super::axes::product;
use super::choice::choose_rows;
use super::{expect_dtype, size};
use crate::error::{Error, Result};
use crate::kernel::Variant;
use crate::kernels::pooling::pool::{Parameters, Pool};
use crate::kernels::pooling::pool_gradient::{self, PoolGradient};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};

const OP: &str = "pool";

/// How token vectors become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pooling {
    /// The mean over the tokens.
    #[default]
    Mean,
    /// The first token (`[CLS]`).
    Cls,
    /// The largest value of each element.
    Max,
}

/// Records pooling of x `[batch, length, columns]` over the first `lengths[b]` tokens of each item, divided by its L2
/// norm if `normalize`: gives `[batch, columns]` f32. A length of 0 gives zeros.
///
/// Its gradient goes to the tokens that take part; of several with the largest value to the first, and of a vector of zeros, which
/// normalized has no direction, to none.
///
/// # Errors
/// [`Error::Argument`] for shapes that do not fit or a length past the end.
pub fn pool(
    recording: &mut Recording,
    x: &Value,
    lengths: &[u32],
    pooling: Pooling,
    normalize: bool,
) -> Result<Value> {
    expect_dtype(OP, "x", x, &[DType::F32])?;
    let &[batch, length, columns] = x.shape().dims() else {
        return Err(Error::argument(OP, "x", "[batch, length, columns]", x.shape().to_string()));
    };
    if lengths.len() != batch {
        let found = lengths.len().to_string();
        return Err(Error::argument(OP, "lengths", format!("one for each of {batch} items"), found));
    }
    if let Some(place) = lengths.iter().position(|&tokens| tokens as usize > length) {
        let found = lengths[place].to_string();
        return Err(Error::argument(OP, format!("lengths[{place}]"), format!("at most {length}"), found));
    }
    let device = recording.device().clone();
    // A text's columns and tokens are too much for one invocation.
    let variant = choose_rows(&device, OP, columns, false)?;
    let parameters = Parameters {
        rows: size(OP, "the batch", batch)?,
        length: size(OP, "the length", length)?,
        columns: size(OP, "the columns", columns)?,
        kind: match pooling {
            Pooling::Mean => 0,
            Pooling::Cls => 1,
            Pooling::Max => 2,
        },
        normalize: normalize.into(),
    };
    let lengths = Tensor::from_u32(&device, [batch], lengths)?;
    let lengths = recording.tensor(&lengths)?;
    let pooling = Recorded { x: x.clone(), lengths, variant, parameters };
    recording.differentiable(
        &[x],
        |recording| pooling.record(recording, parameters),
        |y| {
            let (pooling, y) = (pooling.clone(), y.clone());
            Box::new(move |recording, gradients, upstream| {
                let dx = pooling.gradient(recording, upstream, y)?;
                gradients.add(recording, &pooling.x, dx)
            })
        },
    )
}

/// A pooling whose arguments fit.
#[derive(Clone)]
struct Recorded {
    x: Value,
    lengths: Value,
    variant: Variant,
    parameters: Parameters,
}

impl Recorded {
    fn record(&self, recording: &mut Recording, parameters: Parameters) -> Result<Value> {
        let y = recording.temporary([parameters.rows as usize, parameters.columns as usize], DType::F32)?;
        let bindings = [&self.x, &self.lengths, &y];
        recording.dispatch_trusted(&Pool, self.variant.clone(), &parameters, &bindings)?;
        Ok(y)
    }

    fn gradient(&self, recording: &mut Recording, upstream: &Value, y: Value) -> Result<Value> {
        let Parameters { rows, length, columns, kind, normalize } = self.parameters;
        let absent = recording.absent()?;
        let is_maximum = kind == 2;
        // What was divided by its norm is pooled anew.
        let pooled = match (normalize, is_maximum) {
            (0, false) => absent.clone(),
            (0, true) => y,
            _ => self.record(recording, Parameters { normalize: 0, ..self.parameters })?,
        };
        let rows = product(OP, "the tokens of all items", &[rows as usize, length as usize])?;
        let parameters = pool_gradient::Parameters { rows, length, columns, kind, normalize };
        let dx = recording.temporary(self.x.shape().clone(), DType::F32)?;
        let x = if is_maximum { &self.x } else { &absent };
        let bindings = [upstream, x, &self.lengths, &pooled, &dx];
        recording.dispatch_trusted(&PoolGradient, self.variant.clone(), &parameters, &bindings)?;
        Ok(dx)
    }
}
