//! Mutants of `shaders/recurrent/`.

use crate::mutant::{Mutants, mutant};
use crate::shared;

pub const GRU: Mutants = Mutants {
    kernel: "recurrent/gru",
    constants: &[],
    faults: &[
        &[
            mutant(
                "the reset gate is the update gate",
                "let reset = sigmoid(reset_sum)",
                "let reset = sigmoid(update_sum)",
            ),
            mutant(
                "the update gate is the reset gate",
                "let update = sigmoid(update_sum)",
                "let update = sigmoid(reset_sum)",
            ),
            mutant(
                "the update gate is the other way round",
                "(1.0 - update) * tanh_stable(new_sum) + update * before",
                "update * tanh_stable(new_sum) + (1.0 - update) * before",
            ),
            mutant(
                "the reset gate is left out",
                "reset * h_gates[h_at + 2u * units]",
                "h_gates[h_at + 2u * units]",
            ),
            mutant(
                "the reset gate is for both",
                "x_gates[x_at + 2u * units] + reset * h_gates[h_at + 2u * units]",
                "reset * (x_gates[x_at + 2u * units] + h_gates[h_at + 2u * units])",
            ),
            mutant(
                "the state's part of the reset gate is left out",
                "x_gates[x_at] + h_gates[h_at]",
                "x_gates[x_at]",
            ),
            mutant(
                "the input's part of the reset gate is left out",
                "x_gates[x_at] + h_gates[h_at]",
                "h_gates[h_at]",
            ),
            mutant(
                "the state's part of the update gate is the reset gate's",
                "h_gates[h_at + units]",
                "h_gates[h_at]",
            ),
            mutant("the new state is no tanh", "tanh_stable(new_sum)", "sigmoid(new_sum)"),
            mutant(
                "the gates are tanh",
                "return 0.5 + 0.5 * tanh_stable(0.5 * x)",
                "return tanh_stable(0.5 * x)",
            ),
            mutant("the gates are steep", "tanh_stable(0.5 * x)", "tanh_stable(x)"),
            mutant("the state before is left out", " + update * before", ""),
            mutant("rows follow each other by units", "row * 3u * units + unit", "row * units + unit"),
            mutant(
                "a row's gates lie units apart",
                "(row * parameters.length + place) * parameters.x_row",
                "(row * parameters.length + place) * 3u * units",
            ),
            mutant("the first direction's gates", " + parameters.x_first", ""),
            mutant("the first direction's output", " + parameters.output_first", ""),
            mutant("steps of the output lie units apart", "* parameters.output_row", "* units"),
            mutant("the first step for all", "var place = parameters.step;", "var place = 0u;"),
            mutant(
                "the reverse begins at the padding's end",
                "steps - 1u - parameters.step",
                "parameters.length - 1u - parameters.step",
            ),
            mutant(
                "the reverse is one off",
                "steps - 1u - parameters.step",
                "min(steps - parameters.step, parameters.length - 1u)",
            ),
            mutant("no reverse", "parameters.reverse != 0u", "false"),
            mutant("always reverse", "parameters.reverse != 0u", "true"),
            mutant("one step past the end", "parameters.step < steps", "parameters.step <= steps"),
            mutant("the last step is left out", "parameters.step < steps", "parameters.step + 1u < steps"),
            mutant("every row has the first one's length", "lengths[row]", "lengths[0]"),
            mutant("a length past the end is believed", "min(steps, lengths[row])", "lengths[row]"),
            mutant("lengths where there are none", "parameters.has_lengths != 0u", "true"),
            mutant("no lengths", "parameters.has_lengths != 0u", "false"),
            mutant("an output that nobody wants", "parameters.has_output != 0u", "true"),
            mutant("no output", "parameters.has_output != 0u", "false"),
            mutant("past a row's end the output is its state", "select(0.0, after, is_there)", "after"),
            mutant(
                "past a row's end the state is 0",
                "state[index] = after",
                "state[index] = select(0.0, after, is_there)",
            ),
            mutant("the bound is dropped", "index >= parameters.rows * units", "false"),
            mutant(
                "the bound is one too large",
                "index >= parameters.rows * units",
                "index > parameters.rows * units",
            ),
        ],
        shared::INDEXING,
        shared::TANH,
    ],
    once: &[],
};
