// An output of f32 in rows of any length and place.

#import component

alias OutputBlock = f32;

// Stores elements `column` to `column + 3` of the row at `place`, as far as they are among its `count`.
fn store_block(place: u32, column: u32, count: u32, values: vec4<f32>) {
    for (var index = 0u; index < 4u; index = index + 1u) {
        if (column + index < count) {
            output[place + column + index] = component(values, index);
        }
    }
}
