//! The matrix product of the twins.

/// `output = left · right` for `[rows, depth, columns]`: `left` and `right` with their strides `[row, column]`,
/// `output` with its row stride.
///
/// # Panics
/// If a slice is too short for its strides.
pub(crate) fn multiply(
    [rows, depth, columns]: [u32; 3],
    (left, left_strides): (&[f32], [u32; 2]),
    (right, right_strides): (&[f32], [u32; 2]),
    (output, output_row): (&mut [f32], u32),
) {
    if rows == 0 || columns == 0 {
        return;
    }
    let reach = |rows: u32, columns: u32, [row, column]: [u32; 2]| {
        if rows == 0 || columns == 0 {
            return 0;
        }
        (rows as usize - 1) * row as usize + (columns as usize - 1) * column as usize + 1
    };
    assert!(left.len() >= reach(rows, depth, left_strides), "multiply: left is too short");
    assert!(right.len() >= reach(depth, columns, right_strides), "multiply: right is too short");
    assert!(output.len() >= reach(rows, columns, [output_row, 1]), "multiply: output is too short");
    let [left_row, left_column] = left_strides.map(|stride| stride as isize);
    let [right_row, right_column] = right_strides.map(|stride| stride as isize);
    // SAFETY: the asserts above hold every element that the strides reach inside its slice.
    unsafe {
        matrixmultiply::sgemm(
            rows as usize,
            depth as usize,
            columns as usize,
            1.0,
            left.as_ptr(),
            left_row,
            left_column,
            right.as_ptr(),
            right_row,
            right_column,
            0.0,
            output.as_mut_ptr(),
            output_row as isize,
            1,
        );
    }
}

/// The same for dense values `[depth, columns]`, where a weight of 0 takes nothing, not even a NaN: the product takes
/// the finite values, and the others, which are rare, are added one by one. `values` is left without them.
pub(crate) fn multiply_carefully(
    [rows, depth, columns]: [u32; 3],
    (weights, weights_row): (&[f32], u32),
    values: &mut [f32],
    (output, output_row): (&mut [f32], u32),
) {
    let mut others = Vec::new();
    for (place, value) in values.iter_mut().enumerate().filter(|(_, value)| !value.is_finite()) {
        others.push((place, *value));
        *value = 0.0;
    }
    let strides = ([weights_row, 1], [columns, 1]);
    multiply([rows, depth, columns], (weights, strides.0), (values, strides.1), (output, output_row));
    for (place, value) in others {
        let (key, column) = (place / columns as usize, place % columns as usize);
        for row in 0..rows as usize {
            let weight = weights[row * weights_row as usize + key];
            if weight != 0.0 {
                output[row * output_row as usize + column] += weight * value;
            }
        }
    }
}
