//! One step of a gated recurrent unit.

use super::axes::product;
use super::{expect_dtype, expect_shape, size};
use crate::error::{Error, Result};
use crate::kernels::recurrent::gru::{Gru, Parameters, variant};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "gru";

/// A step of one direction, to be recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GruStep<'a> {
    /// `[B, L, columns]`: the gates' sums over the input, 3H of each direction side by side.
    pub x_gates: &'a Value,
    /// Which direction's of them.
    pub direction: usize,
    /// `[B, 3H]`: the gates' sums over the state.
    pub h_gates: &'a Value,
    /// u32 `[B]`.
    pub lengths: Option<&'a Value>,
    pub step: usize,
    /// Whether it begins at each row's own end.
    pub reverse: bool,
    /// `[B, L, columns]`, of which H of this direction are written in one place of each row.
    pub output: Option<&'a Value>,
}

impl GruStep<'_> {
    /// From the state `[B, H]` before to that after.
    pub fn record(self, recording: &mut Recording, state: &Value) -> Result<Value> {
        let (x, h) = (self.x_gates, self.h_gates);
        for (name, value) in [("x_gates", x), ("h_gates", h), ("the state", state)] {
            expect_dtype(OP, name, value, &[DType::F32])?;
        }
        let (&[rows, units], &[_, length, columns]) = (state.shape().dims(), x.shape().dims()) else {
            let expected = format!("[batch, length, gates] for a state {}", state.shape());
            return Err(Error::argument(OP, "x_gates", expected, x.shape().to_string()));
        };
        let gates = units.saturating_mul(3);
        expect_shape(OP, "h_gates", h, &[rows, gates])?;
        let end = |columns: usize| self.direction.saturating_add(1).saturating_mul(columns);
        if x.shape()[0] != rows || columns < end(gates) {
            let expected = format!("[{rows}, length, at least {}]", end(gates));
            return Err(Error::argument(OP, "x_gates", expected, x.shape().to_string()));
        }
        let output_row = self.output.map_or(0, |output| output.shape().last());
        if let Some(output) = self.output {
            expect_dtype(OP, "the output", output, &[DType::F32])?;
            if output.shape().rank() != 3
                || output.shape().dims()[..2] != [rows, length]
                || output_row < end(units)
            {
                let expected = format!("[{rows}, {length}, at least {}]", end(units));
                return Err(Error::argument(OP, "the output", expected, output.shape().to_string()));
            }
        }
        if let Some(lengths) = self.lengths {
            expect_dtype(OP, "lengths", lengths, &[DType::U32])?;
            expect_shape(OP, "lengths", lengths, &[rows])?;
        }
        if self.step >= length {
            return Err(Error::argument(OP, "the step", format!("below {length}"), self.step.to_string()));
        }
        product(OP, "the states", &[rows, units])?;
        let parameters = Parameters {
            rows: size(OP, "the batch", rows)?,
            length: size(OP, "the length", length)?,
            units: size(OP, "the units", units)?,
            step: size(OP, "the step", self.step)?,
            reverse: self.reverse.into(),
            x_row: size(OP, "the columns of x_gates", columns)?,
            x_first: size(OP, "the direction's columns", self.direction * gates)?,
            output_row: size(OP, "the columns of the output", output_row)?,
            output_first: size(OP, "the direction's columns", self.direction * units)?,
            has_lengths: self.lengths.is_some().into(),
            has_output: self.output.is_some().into(),
        };
        let after = recording.temporary([rows, units], DType::F32)?;
        let absent = recording.absent()?;
        let output = match self.output {
            Some(output) => output.clone(),
            // A binding that is written has a buffer of its own.
            None => recording.temporary([1], DType::F32)?,
        };
        let bindings = [x, h, state, self.lengths.unwrap_or(&absent), &after, &output];
        recording.dispatch_trusted(&Gru, variant(), &parameters, &bindings)?;
        Ok(after)
    }
}
