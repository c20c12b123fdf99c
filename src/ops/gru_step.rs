//! One step of a gated recurrent unit.

use super::axes::product;
use super::{add, expect_dtype, expect_shape, size};
use crate::error::{Error, Result};
use crate::kernels::recurrent::gru::{Gru, Parameters, variant};
use crate::kernels::recurrent::gru_gradient::{self, GruGradient};
use crate::recording::{Recording, Rule, Value};
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
    /// `[B, L, columns]`, of which H of this direction are written in one place of each row. Then the steps that write it are one op,
    /// which has a rule for all of them; a step without is an op by itself.
    pub output: Option<&'a Value>,
}

/// Where a step's gradients are, and where they go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GruStepGradients<'a> {
    /// Of the output, if it has one.
    pub of_output: Option<&'a Value>,
    /// `[B, H]`: of the state after; updated in place to that of the state before, but for what goes through `h_gates`.
    pub of_state: &'a Value,
    /// Of x_gates: what is the step's is written.
    pub of_x_gates: &'a Value,
    /// `[…, B, 3H]`: of h_gates, likewise.
    pub of_h_gates: &'a Value,
    /// Which `[B, 3H]` of them is the step's.
    pub h_place: usize,
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
        let parameters = self.parameters([rows, units], output_row)?;
        let record = |recording: &mut Recording| {
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
        };
        match self.output {
            Some(_) => record(recording),
            None => recording.differentiable(&[x, h, state], record, |_| self.rule(state)),
        }
    }

    fn parameters(&self, [rows, units]: [usize; 2], output_row: usize) -> Result<Parameters> {
        let columns = self.x_gates.shape().last();
        Ok(Parameters {
            rows: size(OP, "the batch", rows)?,
            length: size(OP, "the length", self.x_gates.shape()[1])?,
            units: size(OP, "the units", units)?,
            step: size(OP, "the step", self.step)?,
            reverse: self.reverse.into(),
            x_row: size(OP, "the columns of x_gates", columns)?,
            x_first: size(OP, "the direction's columns", self.direction * 3 * units)?,
            output_row: size(OP, "the columns of the output", output_row)?,
            output_first: size(OP, "the direction's columns", self.direction * units)?,
            has_lengths: self.lengths.is_some().into(),
            has_output: (output_row > 0).into(),
        })
    }

    /// That of a step by itself.
    fn rule(self, state: &Value) -> Rule {
        let Self { direction, step, reverse, .. } = self;
        let [x_gates, h_gates, state] = [self.x_gates, self.h_gates, state].map(Clone::clone);
        let lengths = self.lengths.cloned();
        Box::new(move |recording, gradients, upstream| {
            let is_whole = x_gates.shape().elements() == h_gates.shape().elements();
            let of_x_gates = match is_whole {
                true => recording.temporary(x_gates.shape().clone(), DType::F32)?,
                // What is no part of the step has nothing of it.
                false => recording.zeros(x_gates.shape().clone(), DType::F32)?,
            };
            let of_h_gates = recording.temporary(h_gates.shape().clone(), DType::F32)?;
            let of_state = writable(recording, upstream)?;
            let (x_gates, h_gates, lengths) = (&x_gates, &h_gates, lengths.as_ref());
            let one = GruStep { x_gates, direction, h_gates, lengths, step, reverse, output: None };
            let places = GruStepGradients {
                of_output: None,
                of_state: &of_state,
                of_x_gates: &of_x_gates,
                of_h_gates: &of_h_gates,
                h_place: 0,
            };
            one.record_gradients(recording, &state, places)?;
            gradients.add(recording, x_gates, of_x_gates)?;
            gradients.add(recording, h_gates, of_h_gates)?;
            gradients.add(recording, &state, of_state)
        })
    }

    /// Records the gradients of a step that was recorded from that state.
    pub fn record_gradients(
        self,
        recording: &mut Recording,
        state: &Value,
        places: GruStepGradients<'_>,
    ) -> Result<()> {
        let GruStepGradients { of_output, of_state, of_x_gates, of_h_gates, h_place } = places;
        let [rows, units] = [state.shape()[0], state.shape().last()];
        let output_row = of_output.map_or(0, |output| output.shape().last());
        let forward = self.parameters([rows, units], output_row)?;
        product(OP, "the gates of all steps", of_h_gates.shape().dims())?;
        let parameters = gru_gradient::Parameters {
            rows: forward.rows,
            length: forward.length,
            units: forward.units,
            step: forward.step,
            reverse: forward.reverse,
            x_row: forward.x_row,
            x_first: forward.x_first,
            output_row: forward.output_row,
            output_first: forward.output_first,
            has_lengths: forward.has_lengths,
            has_output: forward.has_output,
            h_first: product(OP, "the gates of the steps before", &[h_place, rows, 3, units])?,
        };
        let absent = recording.absent()?;
        let (lengths, of_output) = (self.lengths.unwrap_or(&absent), of_output.unwrap_or(&absent));
        let bindings =
            [self.x_gates, self.h_gates, state, lengths, of_output, of_state, of_x_gates, of_h_gates];
        recording.dispatch_trusted(&GruGradient, gru_gradient::variant(), &parameters, &bindings)
    }
}

/// A copy of an upstream gradient, which a step may update in place.
pub(crate) fn writable(recording: &mut Recording, upstream: &Value) -> Result<Value> {
    let zeros = recording.zeros(upstream.shape().clone(), DType::F32)?;
    add(recording, upstream, &zeros)
}
