// Four queries in a workgroup, for kernels that take one of them or four: a vector has a number for each query.

#import component
#import tanh

alias Numbers = vec4<f32>;
alias Words = vec4<u32>;

// Where the queries' rows begin in a dense matrix; those past the last of `rows` are that one again.
fn row_places(first: u32, rows: u32, columns: u32) -> Words {
    return min(first + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(rows - 1u)) * columns;
}

fn words_of(a: u32, b: u32, c: u32, d: u32) -> Words {
    return vec4<u32>(a, b, c, d);
}

fn word_of(values: Words, row: u32) -> u32 {
    let pair = select(values.xy, values.zw, row >= 2u);
    return select(pair.x, pair.y, row % 2u == 1u);
}

fn number_of(values: Numbers, row: u32) -> f32 {
    return component(values, row);
}

fn query_numbers(places: Words, column: u32) -> Numbers {
    return vec4<f32>(q[places.x + column], q[places.y + column], q[places.z + column], q[places.w + column]);
}

fn output_numbers(places: Words, column: u32) -> Numbers {
    let at = places + column;
    return vec4<f32>(output[at.x], output[at.y], output[at.z], output[at.w]);
}

fn tanh_numbers(values: Numbers) -> Numbers {
    return vec4<f32>(tanh_stable(values.x), tanh_stable(values.y), tanh_stable(values.z), tanh_stable(values.w));
}
