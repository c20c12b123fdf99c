//! Where the heads of a tensor lie.

use super::OP;
use crate::error::{Error, Result};
use crate::recording::Value;

/// How the heads of a tensor lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `[batch, length, heads, columns]`: the heads side by side in a row, as projections have them.
    #[default]
    RowsFirst,
    /// `[batch, heads, length, columns]`.
    HeadsFirst,
}

/// `[batch, heads, rows, columns]` somewhere in a value, the last axis contiguous: queries, keys and values packed in
/// one buffer need no copy.
#[derive(Clone, Debug)]
pub struct Heads<'a> {
    pub(in crate::ops) value: &'a Value,
    pub(super) dims: [usize; 4],
    pub(in crate::ops) offset: usize,
    /// From one batch item, head and row to the next.
    pub(in crate::ops) strides: [usize; 3],
}

impl<'a> Heads<'a> {
    /// A dense `[batch, heads, rows, columns]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the value has another rank.
    pub fn dense(value: &'a Value) -> Result<Self> {
        let &[batch, heads, rows, columns] = value.shape().dims() else {
            let found = value.shape().to_string();
            return Err(Error::argument(OP, "a tensor", "[batch, heads, length, head_dim]", found));
        };
        Ok(Self {
            value,
            dims: [batch, heads, rows, columns],
            offset: 0,
            // Without elements, sizes may be anything; those that no u32 holds are refused later.
            strides: [
                heads.saturating_mul(rows).saturating_mul(columns),
                rows.saturating_mul(columns),
                columns,
            ],
        })
    }

    /// A dense value of rank 4 in that layout.
    ///
    /// # Errors
    /// As [`Heads::dense`].
    pub fn in_layout(value: &'a Value, layout: Layout) -> Result<Self> {
        let heads = Self::dense(value)?;
        let [batch, second, third, columns] = heads.dims;
        Ok(match layout {
            Layout::HeadsFirst => heads,
            Layout::RowsFirst => Self {
                dims: [batch, third, second, columns],
                strides: [
                    second.saturating_mul(third).saturating_mul(columns),
                    columns,
                    third.saturating_mul(columns),
                ],
                ..heads
            },
        })
    }

    /// `heads` heads side by side in the rows of a `[batch, rows, width]`, from element `first` of each row on.
    ///
    /// # Errors
    /// [`Error::Argument`] if the value has another rank or the heads do not fit its rows.
    pub fn in_rows(value: &'a Value, first: usize, heads: usize, columns: usize) -> Result<Self> {
        let &[batch, rows, width] = value.shape().dims() else {
            let found = value.shape().to_string();
            return Err(Error::argument(OP, "a tensor", "[batch, length, width]", found));
        };
        let end = heads.saturating_mul(columns).saturating_add(first);
        if end > width {
            let expected = format!("at least {end} wide for {heads} heads of {columns}");
            return Err(Error::argument(OP, "a tensor", expected, value.shape().to_string()));
        }
        let strides = [rows.saturating_mul(width), columns, width];
        Ok(Self { value, dims: [batch, heads, rows, columns], offset: first, strides })
    }

    /// `[batch, heads, rows, columns]` from element `offset` of a value on, with that many elements from one batch item,
    /// head and row to the next. A stride of 0 repeats.
    ///
    /// # Errors
    /// [`Error::Argument`] if they lead out of the value.
    pub fn strided(value: &'a Value, dims: [usize; 4], offset: usize, strides: [usize; 3]) -> Result<Self> {
        let heads = Self { value, dims, offset, strides };
        let available = value.shape().elements();
        if heads.reach() > u128::from(available) {
            let expected = format!(
                "at least {} elements for {dims:?} from {offset} with strides {strides:?}",
                heads.reach()
            );
            return Err(Error::argument(
                OP,
                "a tensor",
                expected,
                format!("{available} in {}", value.shape()),
            ));
        }
        Ok(heads)
    }

    /// `[batch, heads, rows, columns]`.
    pub fn dims(&self) -> [usize; 4] {
        self.dims
    }

    /// The elements up to the last that it reaches.
    fn reach(&self) -> u128 {
        if self.dims.contains(&0) {
            return 0;
        }
        let steps = self.dims[..3]
            .iter()
            .zip(self.strides)
            .map(|(&size, stride)| (size - 1) as u128 * stride as u128);
        self.offset as u128 + steps.sum::<u128>() + self.dims[3] as u128
    }

    /// Whether two of its rows share an element, so that it cannot be written.
    pub(super) fn overlaps_itself(&self) -> bool {
        if self.dims.contains(&0) {
            return false;
        }
        let mut axes: Vec<(u128, u128)> = self.dims[..3]
            .iter()
            .zip(self.strides)
            .filter(|(size, _)| **size > 1)
            .map(|(&size, stride)| (stride as u128, size as u128))
            .collect();
        axes.sort_unstable();
        let mut extent = self.dims[3] as u128;
        for (stride, size) in axes {
            if stride < extent {
                return true;
            }
            extent += stride * (size - 1);
        }
        false
    }

    pub(super) fn describe(&self) -> String {
        format!("{:?}", self.dims)
    }
}
