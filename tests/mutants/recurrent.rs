//! Mutants of `shaders/recurrent/`.

use crate::mutant::{Mutants, mutant};

pub const GRU: Mutants = Mutants {
    kernel: "recurrent/gru",
    constants: &[],
    faults: &[&[
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
            "the reset gate is for both",
            "x_gates[x_at + 2u * units] + reset * h_gates[h_at + 2u * units]",
            "reset * (x_gates[x_at + 2u * units] + h_gates[h_at + 2u * units])",
        ),
        mutant("the new state is no tanh", "tanh_stable(new_sum)", "sigmoid(new_sum)"),
        mutant(
            "a row's gates lie units apart",
            "(row * parameters.length + place) * parameters.x_row",
            "(row * parameters.length + place) * 3u * units",
        ),
        mutant("steps of the output lie units apart", "* parameters.output_row", "* units"),
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
        mutant(
            "past a row's end the state is 0",
            "state[index] = after",
            "state[index] = select(0.0, after, is_there)",
        ),
    ]],
    once: &[],
};

pub const GRU_GRADIENT: Mutants = Mutants {
    kernel: "recurrent/gru_gradient",
    constants: &[],
    faults: &[&[
        mutant(
            "the update gate is the other way round for the new state",
            "upstream * (1.0 - update) * 4.0",
            "upstream * update * 4.0",
        ),
        mutant(
            "the update gate is the other way round for the state before",
            "var of_before = upstream * update;",
            "var of_before = upstream * (1.0 - update);",
        ),
        mutant(
            "the reset gate has the sum over the input",
            "of_new * new_state *",
            "of_new * x_gates[x_at + 2u * units] *",
        ),
        mutant(
            "the new state's sum over the state has no reset gate",
            "of_new_state = of_new * reset;",
            "of_new_state = of_new;",
        ),
        mutant(
            "the update gate's gradient is that of the new state alone",
            "(before - tanh_stable(new_sum))",
            "tanh_stable(new_sum)",
        ),
        mutant(
            "the reverse begins at the padding's end",
            "steps - 1u - parameters.step",
            "parameters.length - 1u - parameters.step",
        ),
        mutant("steps of the output lie units apart", "* parameters.output_row", "* units"),
        mutant(
            "past a row's end the state's gradient is 0",
            "of_state[index] = of_before;\n    }",
            "of_state[index] = of_before;\n    } else { of_state[index] = 0.0; }",
        ),
    ]],
    once: &[],
};
