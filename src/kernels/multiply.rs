//! The matrix product of the twins.
//!
//! By the crate matrixmultiply, its product cut into parts for the machine's threads: an element of the output is summed in
//! the same order whatever part it is in. GFLOP/s of one core of an AMD EPYC with AVX-512, by the processor's time:
//!
//! | | [4096, 384]·[384, 1536] | 512³ | 1024³ | [8, 384]·[384, 384] | [1, 384]·[384, 1536] |
//! |---|---|---|---|---|---|
//! | matrixmultiply 0.3.11 | 140 | 125 | 125–159 | 29–38 | 3.5–5 |
//! | gemm-f32 0.19, with AVX-512 | 67 | 69–73 | 52–55 | 46–49 | 39 |
//! | PyTorch 2's CPU linear, two threads, for each core | 69 | 21 | 57 | | |
//!
//! On a machine that others loaded, so that the digits are rough. Tried: MiniLM, 32 × 128 tokens, took 10.5 s of the processor's
//! time with one thread and libm's exp, 3.6–4.0 in parts of 256 rows, 3.3 (loading included) in large ones, PyTorch's
//! BertModel 2.0 (`examples/second_call.rs`).

use super::parallel;

/// The most rows of a part. Each part packs the right matrix again, which took 29 % of MiniLM's time with 256.
const PART_ROWS: usize = 2048;

/// Columns of a part where rows are few.
const PART_COLUMNS: usize = 256;

/// Where parts write, each its own elements.
struct Output(*mut f32);

// SAFETY: no two parts have an element in common.
unsafe impl Sync for Output {}

impl Output {
    /// # Safety
    /// `place` must be within the output.
    unsafe fn at(&self, place: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(place) }
    }
}

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
    let operations = 2 * u64::from(rows) * u64::from(depth) * u64::from(columns);
    let threads = parallel::threads(operations);
    let [rows, depth, columns] = [rows, depth, columns].map(|size| size as usize);
    // Rows that lie over each other are written in order.
    let [part_rows, part_columns] = match threads == 1 || (output_row as usize) < columns {
        true => [rows, columns],
        false if rows >= 64 => [rows.div_ceil(2 * threads).next_multiple_of(8).min(PART_ROWS), columns],
        false => [rows, columns.div_ceil(threads).next_multiple_of(PART_COLUMNS)],
    };
    let [row_parts, column_parts] = [rows.div_ceil(part_rows), columns.div_ceil(part_columns)];
    let [left_row, left_column] = left_strides.map(|stride| stride as usize);
    let [right_row, right_column] = right_strides.map(|stride| stride as usize);
    let output = Output(output.as_mut_ptr());
    parallel::map(row_parts * column_parts, operations, |part| {
        let first_row = part / column_parts * part_rows;
        let first_column = part % column_parts * part_columns;
        // SAFETY: the asserts above hold every element that the strides reach inside its slice, and these are some of
        // them; a part writes the elements of its rows and columns, which no other has.
        unsafe {
            matrixmultiply::sgemm(
                part_rows.min(rows - first_row),
                depth,
                part_columns.min(columns - first_column),
                1.0,
                left.as_ptr().add(if depth == 0 { 0 } else { first_row * left_row }),
                left_row as isize,
                left_column as isize,
                right.as_ptr().add(if depth == 0 { 0 } else { first_column * right_column }),
                right_row as isize,
                right_column as isize,
                0.0,
                output.at(first_row * output_row as usize + first_column),
                output_row as isize,
                1,
            );
        }
    });
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

#[cfg(test)]
mod tests {
    use super::multiply;

    #[test]
    fn parts_change_no_bit() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut values = |count: usize| (0..count).map(|_| random.f32() - 0.5).collect::<Vec<_>>();
        for [rows, depth, columns] in [[700, 300, 70], [65, 513, 129], [3, 600, 1030], [1, 1000, 3000]] {
            let (left, right) = (values(rows * depth), values(depth * columns));
            let sizes = [rows, depth, columns].map(|size| size as u32);
            let strides = [[depth as u32, 1], [columns as u32, 1]];
            let mut y = vec![f32::NAN; rows * columns];
            multiply(sizes, (&left, strides[0]), (&right, strides[1]), (&mut y, sizes[2]));
            // Row by row and in few columns no thread is worth it.
            for row in 0..rows {
                for first in (0..columns).step_by(64) {
                    let wide = 64.min(columns - first);
                    let mut alone = vec![f32::NAN; wide];
                    let sizes = [1, depth as u32, wide as u32];
                    let left = (&left[row * depth..], strides[0]);
                    multiply(sizes, left, (&right[first..], strides[1]), (&mut alone, wide as u32));
                    assert_eq!(
                        alone,
                        y[row * columns + first..][..wide],
                        "{rows} {depth} {columns}: {row} {first}"
                    );
                }
            }
        }
    }
}
