//! Rotary position embedding.

use crate::error::{Error, Result};
use crate::kernels::position::rotary_embedding::{self as kernel, Parameters, variant};
use crate::ops::axes::{View, add_strided, product};
use crate::ops::binary::scaled;
use crate::ops::{Heads, Layout, expect_dtype, expect_shape, size};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};

const OP: &str = "rotary_embedding";

/// The cosines and sines of position · base^(−2i / `rotary_dim`), each `[positions, rotary_dim / 2]`, computed in f64 (Su et
/// al. 2021, equation 15; their base is 10,000).
///
/// # Errors
/// [`Error::Argument`] if `rotary_dim` is odd, base is no positive number, or there would be too many elements.
pub fn rotary_tables(positions: usize, rotary_dim: usize, base: f64) -> Result<(Vec<f32>, Vec<f32>)> {
    const OP: &str = "rotary_tables";
    if !rotary_dim.is_multiple_of(2) {
        return Err(Error::argument(OP, "rotary_dim", "even", rotary_dim.to_string()));
    }
    if !(base > 0.0 && base.is_finite()) {
        return Err(Error::argument(OP, "base", "positive and finite", base.to_string()));
    }
    let half = rotary_dim / 2;
    product(OP, "the elements of a table", &[positions, half])?;
    let frequency = |pair: usize| base.powf(-2.0 * pair as f64 / rotary_dim as f64);
    let angles =
        (0..positions).flat_map(|position| (0..half).map(move |pair| position as f64 * frequency(pair)));
    Ok(angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).unzip())
}

/// Rotary position embedding to be recorded: each pair of columns of a head is turned by its token's angle (Su et al. 2021;
/// ONNX's RotaryEmbedding, opset 23).
#[derive(Clone, Copy, Debug)]
pub struct RotaryEmbedding<'a> {
    cos: &'a Value,
    sin: &'a Value,
    positions: Option<Positions<'a>>,
    interleaved: bool,
    rotary_dim: Option<usize>,
    heads: Option<usize>,
}

/// Each token's row of the tables.
#[derive(Clone, Copy, Debug)]
enum Positions<'a> {
    Host(&'a [u32]),
    Device(&'a Value),
}

impl<'a> RotaryEmbedding<'a> {
    /// With the cosines and sines of the angles: `[batch, length, rotary_dim / 2]`, or with positions `[rows,
    /// rotary_dim / 2]`. All columns of a head are rotated, those of its first half with those of its second.
    pub fn new(cos: &'a Value, sin: &'a Value) -> Self {
        Self { cos, sin, positions: None, interleaved: false, rotary_dim: None, heads: None }
    }

    /// Each token's row of the tables, `[batch, length]`.
    #[must_use]
    pub fn positions(mut self, positions: &'a [u32]) -> Self {
        self.positions = Some(Positions::Host(positions));
        self
    }

    /// The same on the device, u32 `[batch, length]`, so that one recording serves step after step of decoding. A position past
    /// the tables reads their last row.
    #[must_use]
    pub fn positions_value(mut self, positions: &'a Value) -> Self {
        self.positions = Some(Positions::Device(positions));
        self
    }

    /// Pairs are neighbours.
    #[must_use]
    pub fn interleaved(mut self) -> Self {
        self.interleaved = true;
        self
    }

    /// Rotates the first columns of a head only, an even number.
    #[must_use]
    pub fn rotary_dim(mut self, columns: usize) -> Self {
        self.rotary_dim = Some(columns);
        self
    }

    /// The heads of an x of rank 3, which lie side by side in its rows.
    #[must_use]
    pub fn heads(mut self, heads: usize) -> Self {
        self.heads = Some(heads);
        self
    }

    /// Records it: x is f32 `[batch, heads, length, head_dim]`, or `[batch, length, heads · head_dim]` with
    /// [`RotaryEmbedding::heads`]; the result has x's shape. A NaN or an infinity stays in its pair.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes or dtypes that do not fit or a position past the tables, [`Error::Limit`].
    pub fn record(self, recording: &mut Recording, x: &Value) -> Result<Value> {
        expect_dtype(OP, "x", x, &[DType::F32])?;
        let [_, heads, _, head_dim] = self.sizes(x)?;
        let (view, layout) = match x.shape().rank() {
            3 => (Heads::in_rows(x, 0, heads, head_dim)?, Layout::RowsFirst),
            _ => (Heads::dense(x)?, Layout::HeadsFirst),
        };
        self.rotated(recording, &view, layout)?.reshape(x.shape().clone())
    }

    /// Records it for heads that lie anywhere in an f32 value, as in the rows of a packed projection: of `[batch, length, (heads +
    /// 2 · key_heads) · head_dim]`, queries and keys are [`Heads::in_rows`] with `heads + key_heads` heads from element 0 on. The
    /// result is dense, `[batch, length, heads · head_dim]`, and [`Heads::in_rows`] again finds queries and keys in it; the
    /// values stay where they are, and nothing is copied. [`RotaryEmbedding::heads`] is not needed.
    ///
    /// # Errors
    /// As [`RotaryEmbedding::record`].
    pub fn record_heads(self, recording: &mut Recording, x: &Heads<'_>) -> Result<Value> {
        let [batch, heads, length, head_dim] = x.dims();
        let y = self.rotated(recording, x, Layout::RowsFirst)?;
        y.reshape([batch, length, heads.saturating_mul(head_dim)])
    }

    /// Dense, in that layout. Its gradient is turned back.
    fn rotated(self, recording: &mut Recording, x: &Heads<'_>, layout: Layout) -> Result<Value> {
        recording.differentiable(
            &[x.value],
            |recording| self.turned(recording, x, layout),
            |y| {
                let (value, dims, first, strides) = (x.value.clone(), x.dims(), x.offset, x.strides);
                let (cos, sin, y) = (self.cos.clone(), self.sin.clone(), y.clone());
                let positions = match self.positions {
                    Some(Positions::Host(positions)) => Some(Err(positions.to_vec())),
                    Some(Positions::Device(value)) => Some(Ok(value.clone())),
                    None => None,
                };
                let (interleaved, rotary_dim) = (self.interleaved, self.rotary_dim);
                Box::new(move |recording, gradients, upstream| {
                    let back = scaled(recording, &sin, -1.0)?;
                    let positions = positions.as_ref().map(|positions| match positions {
                        Ok(value) => Positions::Device(value),
                        Err(host) => Positions::Host(host),
                    });
                    let turn = RotaryEmbedding {
                        cos: &cos,
                        sin: &back,
                        positions,
                        interleaved,
                        rotary_dim,
                        heads: None,
                    };
                    let upstream = upstream.reshape(y.shape().clone())?;
                    // Both ways as the heads of a value whose rows are dense, so that axes have one order.
                    let view = Heads::in_layout(&upstream, layout)?;
                    let turned = turn.turned(recording, &view, Layout::HeadsFirst)?;
                    let to = gradients.in_parts(recording, &value)?;
                    let strides = [strides[0], strides[1], strides[2], 1];
                    add_strided(recording, OP, &turned, &to, &View { dims: &dims, first, strides: &strides })
                })
            },
        )
    }

    fn turned(self, recording: &mut Recording, x: &Heads<'_>, layout: Layout) -> Result<Value> {
        for (name, value) in [("x", x.value), ("cos", self.cos), ("sin", self.sin)] {
            expect_dtype(OP, name, value, &[DType::F32])?;
        }
        let [batch, heads, length, head_dim] = x.dims();
        let rotary_dim = self.rotary_dim.unwrap_or(head_dim);
        if rotary_dim > head_dim || !rotary_dim.is_multiple_of(2) {
            let expected =
                format!("even and at most {head_dim}, the columns of a head of x {}", x.value.shape());
            return Err(Error::argument(OP, "rotary_dim", expected, rotary_dim.to_string()));
        }
        let rows = match self.positions {
            None => batch.saturating_mul(length),
            Some(_) => self.cos.shape().dims().first().copied().unwrap_or(0),
        };
        let tables = match self.positions {
            None => vec![batch, length, rotary_dim / 2],
            Some(_) => vec![rows, rotary_dim / 2],
        };
        match self.positions {
            None => {}
            Some(Positions::Host(positions)) => self.check_positions(positions, (batch, length), rows)?,
            Some(Positions::Device(positions)) => {
                expect_dtype(OP, "positions", positions, &[DType::U32])?;
                expect_shape(OP, "positions", positions, &[batch, length])?;
                if rows == 0 && batch > 0 && length > 0 {
                    let found = self.cos.shape().to_string();
                    return Err(Error::argument(OP, "cos", "at least one row for the positions", found));
                }
            }
        }
        expect_shape(OP, "cos", self.cos, &tables)?;
        expect_shape(OP, "sin", self.sin, &tables)?;
        let dims = match layout {
            Layout::RowsFirst => [batch, length, heads, head_dim],
            Layout::HeadsFirst => [batch, heads, length, head_dim],
        };
        let elements = product(OP, "the elements of x", &dims)?;
        let [x_batch, x_head, x_token] = x.strides;
        let of = |value: usize| size(OP, "a size or stride of x", if elements == 0 { 0 } else { value });
        let parameters = Parameters {
            elements,
            heads: of(heads)?,
            length: of(length)?,
            head_dim: of(head_dim)?,
            rotary_dim: of(rotary_dim)?,
            interleaved: self.interleaved.into(),
            rows_first: (layout == Layout::RowsFirst).into(),
            has_positions: self.positions.is_some().into(),
            table_rows: size(OP, "the rows of cos", rows)?,
            x_first: of(x.offset)?,
            x_batch: of(x_batch)?,
            x_head: of(x_head)?,
            x_token: of(x_token)?,
        };
        let positions = match self.positions {
            Some(Positions::Host(positions)) => {
                let positions = Tensor::from_u32(recording.device(), [positions.len()], positions)?;
                recording.tensor(&positions)?
            }
            Some(Positions::Device(positions)) => positions.clone(),
            None => recording.absent()?,
        };
        let y = recording.temporary(dims, DType::F32)?;
        let bindings = [x.value, self.cos, self.sin, &positions, &y];
        recording.dispatch_trusted(&kernel::RotaryEmbedding, variant(), &parameters, &bindings)?;
        Ok(y)
    }

    /// Batch, heads, length and columns of a head.
    fn sizes(&self, x: &Value) -> Result<[usize; 4]> {
        let found = x.shape().to_string();
        match (x.shape().dims(), self.heads) {
            (&[batch, heads, length, columns], given) if given.is_none_or(|given| given == heads) => {
                Ok([batch, heads, length, columns])
            }
            (&[batch, length, width], Some(heads)) if heads > 0 && width.is_multiple_of(heads) => {
                Ok([batch, heads, length, width / heads])
            }
            (_, None) => {
                let expected = "[batch, heads, length, head_dim], or of rank 3 with the number of heads";
                Err(Error::argument(OP, "x", expected, found))
            }
            (_, Some(heads)) => {
                let expected =
                    format!("[batch, {heads}, length, head_dim] or [batch, length, {heads} · head_dim]");
                Err(Error::argument(OP, "x", expected, found))
            }
        }
    }

    fn check_positions(&self, positions: &[u32], (batch, length): (usize, usize), rows: usize) -> Result<()> {
        if batch.checked_mul(length) != Some(positions.len()) {
            let expected = format!("one for each of [{batch}, {length}] tokens");
            return Err(Error::argument(OP, "positions", expected, positions.len().to_string()));
        }
        match positions.iter().position(|&position| position as usize >= rows) {
            None => Ok(()),
            Some(place) => {
                let expected = format!("below {rows}, the rows of cos {}", self.cos.shape());
                let found = positions[place].to_string();
                Err(Error::argument(OP, format!("positions[{place}]"), expected, found))
            }
        }
    }
}
