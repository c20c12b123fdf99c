//! Pooling token vectors to a sentence vector.

use super::choice::choose_rows;
use super::{expect_dtype, size};
use crate::error::{Error, Result};
use crate::kernels::pooling::pool::{Parameters, Pool};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};

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
/// # Errors
/// [`Error::Argument`] for shapes that do not fit or a length past the end.
pub fn pool(
    recording: &mut Recording,
    x: &Value,
    lengths: &[u32],
    pooling: Pooling,
    normalize: bool,
) -> Result<Value> {
    expect_dtype("pool", "x", x, &[DType::F32])?;
    let &[batch, length, columns] = x.shape().dims() else {
        return Err(Error::argument("pool", "x", "[batch, length, columns]", x.shape().to_string()));
    };
    if lengths.len() != batch {
        let found = lengths.len().to_string();
        return Err(Error::argument("pool", "lengths", format!("one for each of {batch} items"), found));
    }
    if let Some(place) = lengths.iter().position(|&tokens| tokens as usize > length) {
        let found = lengths[place].to_string();
        return Err(Error::argument("pool", format!("lengths[{place}]"), format!("at most {length}"), found));
    }
    let y = recording.temporary([batch, columns], DType::F32)?;
    let device = recording.device().clone();
    // A text's columns and tokens are too much for one invocation.
    let variant = choose_rows(&device, "pool", columns, false)?;
    let parameters = Parameters {
        rows: size("pool", "the batch", batch)?,
        length: size("pool", "the length", length)?,
        columns: size("pool", "the columns", columns)?,
        kind: match pooling {
            Pooling::Mean => 0,
            Pooling::Cls => 1,
            Pooling::Max => 2,
        },
        normalize: normalize.into(),
    };
    let lengths = Tensor::from_u32(&device, [batch], lengths)?;
    let lengths = recording.tensor(&lengths)?;
    recording.dispatch_trusted(&Pool, variant, &parameters, &[x, &lengths, &y])?;
    Ok(y)
}
