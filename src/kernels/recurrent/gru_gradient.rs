//! The gradients of one step of a gated recurrent unit, for all rows of a batch: backpropagation through time takes the steps one by
//! one, the last first (Werbos 1990).
//!
//! Of state = (1 − z) · n + z · h, with the gates as `recurrent/gru` has them, and u, the gradient of that state and of the output row
//! that it is: of the new state's sum δ = u · (1 − z) · (1 − n²), of the update's u · (h − n) · z · (1 − z), of the reset's
//! δ · h_n · r · (1 − r), where h_n is the new state's sum over the state before; that has δ · r. The state before has u · z, in
//! place of u; what it has through its gates is a product with W_hh, which adds to this.
//!
//! f32, laid out as in `recurrent/gru`: of_x_gates as x_gates, of which the step's own columns are written, of_output as the output.
//! of_h_gates has `[rows, 3·units]` of each step, this step's from `h_first` on. Past a row's length u stays as it is, and the gates'
//! gradients are 0, those of x_gates at the step's own place; so all steps of a direction write each place once. A NaN in a unit's
//! gates, its state or its u makes all of the unit's gradients NaN.
//!
//! Ladder: an invocation for each unit.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::activation::Activation;
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
        /// 1 where it began at each row's own end.
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
        /// 1 if the output has a gradient.
        pub has_output: u32,
        /// The first element of of_h_gates that is the step's.
        pub h_first: u32,
    }
}

/// The kernel.
pub struct GruGradient;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    elementwise::invocation()
}

const BINDINGS: &[Binding] = &[
    Binding::read("x_gates"),
    Binding::read("h_gates"),
    Binding::read("h"),
    Binding::read("lengths"),
    Binding::read("of_output"),
    Binding::update("of_state"),
    Binding::write("of_x_gates"),
    Binding::write("of_h_gates"),
];

impl Kernel for GruGradient {
    fn about(&self) -> About {
        const { About::ours("recurrent/gru_gradient", BINDINGS, Parameters::FIELDS) }
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
        let (lengths, of_output) = (arguments.words(3), arguments.f32(4));
        let (of_state, of_x_gates) = (arguments.f32_mut(5), arguments.f32_mut(6));
        let of_h_gates = &mut arguments.f32_mut(7)[p.h_first as usize..];
        let (sigmoid, tanh) = (Activation::Sigmoid, Activation::Tanh);
        for row in 0..rows {
            let steps = if p.has_lengths != 0 { length.min(lengths[row] as usize) } else { length };
            let place = if step < steps && p.reverse != 0 { steps - 1 - step } else { step };
            let at = |row_size: u32, first: u32| (row * length + place) * row_size as usize + first as usize;
            for unit in 0..units {
                let mut gradients = [[0.0; 2]; 3];
                let index = row * units + unit;
                if step < steps {
                    let mut u = of_state[index];
                    if p.has_output != 0 {
                        u += of_output[at(p.output_row, p.output_first) + unit];
                    }
                    let x = &x_gates[at(p.x_row, p.x_first) + unit..];
                    let (before, h) = (h[index], &h_gates[row * 3 * units + unit..]);
                    let (reset_sum, update_sum) = (x[0] + h[0], x[units] + h[units]);
                    let (reset, update) = (sigmoid.apply(reset_sum), sigmoid.apply(update_sum));
                    let new_sum = x[2 * units] + reset * h[2 * units];
                    let of_new = u * (1.0 - update) * tanh.slope(new_sum);
                    let of_reset = of_new * h[2 * units] * sigmoid.slope(reset_sum);
                    let of_update = u * (before - tanh.apply(new_sum)) * sigmoid.slope(update_sum);
                    let is_strange = [update_sum, new_sum, before, u].iter().any(|value| value.is_nan());
                    gradients = match is_strange {
                        true => [[f32::NAN; 2]; 3],
                        false => [[of_reset; 2], [of_update; 2], [of_new, of_new * reset]],
                    };
                    of_state[index] = if is_strange { f32::NAN } else { u * update };
                }
                for (gate, [of_x, of_h]) in gradients.into_iter().enumerate() {
                    of_x_gates[at(p.x_row, p.x_first) + gate * units + unit] = of_x;
                    of_h_gates[(row * 3 + gate) * units + unit] = of_h;
                }
            }
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let states = u64::from(p.rows) * u64::from(p.units);
        Cost { flops: 70 * states, bytes: 4 * 16 * states, iterations: 0 }
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
    let gates = 3 * units;
    let mut x = inputs.values(rows * length * x_row, 2.0);
    let mut h_gates = inputs.values(rows * gates, 2.0);
    let mut h = inputs.values(rows * units, 1.0);
    let mut of_state = inputs.values(rows * units, 1.0);
    let mut of_output = inputs.values(rows * length * output_row, 1.0);
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
        // And in a row that is over, whose gradient stays whatever it is.
        lengths[1] = step as u32;
        of_state[units] = f32::NAN;
        of_state[(rows - 2) * units] = f32::NAN;
        of_output[((rows - 2) * length) * output_row..][..length * output_row].fill(-f32::NAN);
        lengths[rows - 2] = length as u32;
    }
    let steps = |row: usize| if has_lengths { length.min(lengths[row] as usize) } else { length };
    // Where the step stands in a row, if it is there.
    let place = |row: usize| {
        let steps = steps(row);
        (step < steps).then(|| if reverse { steps - 1 - step } else { step })
    };
    // One row after the other, each by itself.
    let mut after = vec![None; rows * units];
    let mut of_x_gates = vec![None; x.len()];
    // Beside this step's lie those of others.
    let h_first = step * rows * gates;
    let mut of_h_gates = vec![None; length * rows * gates];
    for row in 0..rows {
        let own = &mut x[row * length * x_row..][..length * x_row];
        own[steps(row) * x_row..].fill(f32::NAN);
        of_output[row * length * output_row..][steps(row) * output_row..length * output_row].fill(f32::NAN);
        let units_of = row * units..(row + 1) * units;
        let at = row * length + place(row).unwrap_or(step);
        let (mut of_x, mut of_h) = (vec![0.0; gates], vec![0.0; gates]);
        if place(row).is_some() {
            let mut upstream: Vec<f64> = of_state[units_of.clone()].iter().map(|&u| u.into()).collect();
            if has_output {
                let of_output = &of_output[at * output_row + output_first..];
                upstream.iter_mut().zip(of_output).for_each(|(u, &of)| *u += f64::from(of));
            }
            let x = &x[at * x_row + x_first..][..gates];
            let h_gates = &h_gates[row * gates..][..gates];
            let found = oracle::gru_step_gradient(x, h_gates, &h[units_of.clone()], &upstream);
            after[units_of].iter_mut().zip(found.of_state).for_each(|(after, of)| *after = Some(of));
            (of_x, of_h) = (found.of_x_gates, found.of_h_gates);
        }
        of_x_gates[at * x_row + x_first..].iter_mut().zip(of_x).for_each(|(to, of)| *to = Some(of));
        of_h_gates[h_first + row * gates..].iter_mut().zip(of_h).for_each(|(to, of)| *to = Some(of));
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
        h_first: h_first as u32,
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
        // u of up to 6 and sums of up to 8, times slopes of up to ¼, each good to a few roundings; exp is good to 3 + 2·|x| units,
        // and so a slope to 4e-7.
        floor: rounding_floor(4, 12.0) + 4e-7 * 12.0,
        arguments: vec![
            CaseArgument::F32(x),
            CaseArgument::F32(h_gates),
            CaseArgument::F32(h),
            CaseArgument::Words(lengths),
            CaseArgument::F32(if has_output { of_output } else { vec![f32::NAN; 4] }),
            CaseArgument::update(of_state, after),
            CaseArgument::output(of_x_gates),
            CaseArgument::output(of_h_gates),
        ],
    }
}
