//! One step of a gated recurrent unit, for all rows of a batch.
//!
//! r = σ(x_r + h_r), z = σ(x_z + h_z), n = tanh(x_n + r · h_n), state = (1 − z) · n + z · h: PyTorch's `nn.GRU`. x_\* are the
//! gates' sums over the input, bias included (`W_ih x + b_ih`, of all steps by one linear layer beforehand), h_\* those over
//! the state before (`W_hh h + b_hh`). Cho et al. 2014 have the reset gate inside the product, U (r ⊙ h), which PyTorch has
//! behind it, r ⊙ (U h + b); Bahdanau et al. 2015 (appendix A.1.1) do as Cho, and exchange z and 1 − z besides.
//!
//! f32. x_gates is `[rows, length, x_row]` with r, z and n of this direction from column `x_first` on, `units` each; h_gates
//! `[rows, 3·units]`, dense; h and state `[rows, units]`; output `[rows, length, output_row]`, of which the units from
//! column `output_first` on are written at one place of each row. With `reverse` step s is that many before the row's own
//! last. From a row's length on its state stays, the output is 0, and nothing of x_gates is read. A NaN in a unit's gates
//! or state makes the unit NaN.
//!
//! Ladder: an invocation for each unit.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::activation::{Activation, tanh};
use crate::kernels::elementwise;
use crate::reference::recurrent as oracle;
use crate::reference::rounding_floor;

parameters! {
    /// Sizes, the step, and where things lie.
    pub struct Parameters {
        /// Sequences.
        pub rows: u32,
        /// Steps of each, padding included.
        pub length: u32,
        /// Elements of a state.
        pub units: u32,
        /// The step, counted from 0.
        pub step: u32,
        /// 1 to begin at each row's own end.
        pub reverse: u32,
        /// Columns of a step in x_gates.
        pub x_row: u32,
        /// The first of this direction's.
        pub x_first: u32,
        /// Columns of a step in the output.
        pub output_row: u32,
        /// The first of this direction's.
        pub output_first: u32,
        /// 1 if there are lengths.
        pub has_lengths: u32,
        /// 1 if there is an output.
        pub has_output: u32,
    }
}

/// The kernel.
pub struct Gru;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    elementwise::invocation()
}

const BINDINGS: &[Binding] = &[
    Binding::read("x_gates"),
    Binding::read("h_gates"),
    Binding::read("h"),
    Binding::read("lengths"),
    Binding::write("state"),
    Binding::write("output"),
];

impl Kernel for Gru {
    fn about(&self) -> About {
        const { About::ours("recurrent/gru", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        elementwise::workgroups(p.rows * p.units, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let [rows, length, units, step] = [p.rows, p.length, p.units, p.step].map(|size| size as usize);
        let [x_gates, h_gates, h] = [0, 1, 2].map(|place| arguments.f32(place));
        let (lengths, state, output) = (arguments.words(3), arguments.f32_mut(4), arguments.f32_mut(5));
        let sigmoid = |x: f32| Activation::Sigmoid.apply(x);
        for row in 0..rows {
            let steps = if p.has_lengths != 0 { length.min(lengths[row] as usize) } else { length };
            let place = if step < steps && p.reverse != 0 { steps - 1 - step } else { step };
            let at = |row_size: u32, first: u32| (row * length + place) * row_size as usize + first as usize;
            for unit in 0..units {
                let mut after = h[row * units + unit];
                if step < steps {
                    let x = &x_gates[at(p.x_row, p.x_first) + unit..];
                    let h = &h_gates[row * 3 * units + unit..];
                    let (reset, update) = (sigmoid(x[0] + h[0]), sigmoid(x[units] + h[units]));
                    let new = tanh(x[2 * units] + reset * h[2 * units]);
                    after = (1.0 - update) * new + update * after;
                }
                state[row * units + unit] = after;
                if p.has_output != 0 {
                    output[at(p.output_row, p.output_first) + unit] = if step < steps { after } else { 0.0 };
                }
            }
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let states = u64::from(p.rows) * u64::from(p.units);
        Cost { flops: 40 * states, bytes: 4 * 9 * states, iterations: 0 }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // Rows, length, units, step.
        let mut sizes = vec![[1, 1, 1, 0], [5, 4, 7, 2], [3, 3, 64, 0], [2, 6, 65, 5], [70, 2, 5, 1]];
        if depth == Depth::Full {
            for units in [2, 63, 128, 300] {
                sizes.extend([[1, 7, units, 3], [9, 5, units, 0], [4, 5, units, 4]]);
            }
            sizes.push([70_000, 1, 61, 0]);
        }
        let mut cases = Vec::new();
        for (index, &size) in sizes.iter().enumerate() {
            for reverse in [false, true] {
                let lengths = index % 2 == 1;
                cases.push(case(size, Options { reverse, lengths, output: index != 2, strange: false }));
            }
        }
        for reverse in [false, true] {
            cases.push(case([6, 5, 9, 1], Options { reverse, lengths: true, output: true, strange: true }));
        }
        cases.push(case(
            [6, 5, 9, 3],
            Options { reverse: true, lengths: true, output: false, strange: false },
        ));
        cases
            .push(case([6, 1, 9, 0], Options { reverse: false, lengths: true, output: true, strange: true }));
        cases
    }
}

/// The options of a case beside its sizes.
#[derive(Clone, Copy)]
struct Options {
    reverse: bool,
    lengths: bool,
    output: bool,
    /// Large numbers, NaN and infinities.
    strange: bool,
}

fn case([rows, length, units, step]: [usize; 4], options: Options) -> Case {
    let Options { reverse, lengths: has_lengths, output: has_output, strange } = options;
    let mut inputs = Inputs::new((rows * 1_000_003 + length * 1009 + units * 31 + step) as u64);
    // Beside this direction's columns lies what is another's.
    let (x_row, x_first) = (3 * units + 2, 1);
    let (output_row, output_first) = (2 * units + 1, units + 1);
    let mut x = inputs.values(rows * length * x_row, 2.0);
    let mut h_gates = inputs.values(rows * 3 * units, 2.0);
    let mut h = inputs.values(rows * units, 1.0);
    let mut lengths = inputs.below(rows, length as u32 + 3);
    lengths[0] = 1;
    if strange {
        // In the last row, which is there as a whole.
        lengths[rows - 1] = length as u32 + 1;
        let row = rows - 1;
        let place = if reverse { length - 1 - step } else { step };
        let gates = &mut x[(row * length + place) * x_row + x_first..][..3 * units];
        let h_gates = &mut h_gates[row * 3 * units..];
        gates[0] = f32::NAN;
        gates[units + 1] = -f32::NAN;
        h_gates[2 * units + 2] = f32::NAN;
        h[row * units + 3] = f32::NAN;
        (gates[4], gates[units + 5], gates[2 * units + 6]) = (90.0, 90.0, 1e30);
        (h_gates[4], h_gates[units + 5], h_gates[2 * units + 7]) = (-190.0, 300.0, -1e30);
        gates[2 * units + 8] = f32::NEG_INFINITY;
    }
    let steps = |row: usize| if has_lengths { length.min(lengths[row] as usize) } else { length };
    // Where the step stands in a row, if it is there.
    let place = |row: usize| {
        let steps = steps(row);
        (step < steps).then(|| if reverse { steps - 1 - step } else { step })
    };
    let mut gates = Vec::new();
    for row in 0..rows {
        let own = &mut x[row * length * x_row..][..length * x_row];
        own[steps(row) * x_row..].fill(f32::NAN);
        match place(row) {
            Some(place) => gates.extend_from_slice(&own[place * x_row + x_first..][..3 * units]),
            None => gates.extend(vec![0.0; 3 * units]),
        }
    }
    let next = oracle::gru_step(&gates, &h_gates, &h, units);
    let mut state = Vec::new();
    let mut output = vec![None; if has_output { rows * length * output_row } else { 4 }];
    for row in 0..rows {
        let there = place(row).is_some();
        let own = row * units..(row + 1) * units;
        match there {
            true => state.extend_from_slice(&next[own.clone()]),
            false => state.extend(h[own.clone()].iter().map(|&h| f64::from(h))),
        }
        if has_output {
            let first = (row * length + place(row).unwrap_or(step)) * output_row + output_first;
            for (output, state) in output[first..].iter_mut().zip(&state[own]) {
                *output = Some(if there { *state } else { 0.0 });
            }
        }
    }
    let parameters = Parameters {
        rows: rows as u32,
        length: length as u32,
        units: units as u32,
        step: step as u32,
        reverse: reverse.into(),
        x_row: x_row as u32,
        x_first: x_first as u32,
        output_row: output_row as u32,
        output_first: output_first as u32,
        has_lengths: has_lengths.into(),
        has_output: has_output.into(),
    };
    Case {
        label: format!(
            "[{rows}, {length}, {units}] step {step}{}{}{}{}",
            if reverse { " reverse" } else { "" },
            if has_lengths { " lengths" } else { "" },
            if has_output { "" } else { " without output" },
            if strange { " with NaN and infinities" } else { "" }
        ),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // Gates of about 8 and states of 4, each good to a few roundings.
        floor: rounding_floor(4, 8.0),
        arguments: vec![
            CaseArgument::F32(x),
            CaseArgument::F32(h_gates),
            CaseArgument::F32(h),
            CaseArgument::Words(lengths),
            CaseArgument::output(state.into_iter().map(Some).collect()),
            CaseArgument::output(output),
        ],
    }
}
