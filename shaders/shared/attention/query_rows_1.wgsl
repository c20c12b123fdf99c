// One query in a workgroup, for kernels that take it or four of them at once: a number for each query.

#import tanh

alias Numbers = f32;
alias Words = u32;

// Where the queries' rows begin in a dense matrix.
fn row_places(first: u32, rows: u32, columns: u32) -> Words {
    return first * columns;
}

fn words_of(a: u32, b: u32, c: u32, d: u32) -> Words {
    return a;
}

fn word_of(values: Words, row: u32) -> u32 {
    return values;
}

fn number_of(values: Numbers, row: u32) -> f32 {
    return values;
}

fn query_numbers(places: Words, column: u32) -> Numbers {
    return q[places + column];
}

fn output_numbers(places: Words, column: u32) -> Numbers {
    return output[places + column];
}

fn tanh_numbers(values: Numbers) -> Numbers {
    return tanh_stable(values);
}
