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
//!
//! matrixmultiply packs the right matrix, which is as much work as multiplying one row with it. Up to [`FEW_ROWS`] rows are
//! therefore multiplied by loops of our own, which read it once, as it lies (GFLOP/s of one core, 1 and 4 rows; the last
//! column's matrix is in memory, the others' in the cache):
//!
//! | | [384, 1536] | [1536, 384] | [384, 30522] |
//! |---|---|---|---|
//! | W's rows along the sums, by 32 at a time | 20, 20 | 22, 23 | 15, 15 |
//! | W's rows across the sums, in blocks of 256 columns | 24, 33 | 25, 50 | 6, 17 |
//!
//! Deep products with a small result as sums of shares, and tanh and exp of [`activation`](super::activation) in place of libm's: 38
//! steps of `attentive train translate` on two threads of an AMD EPYC, in turns, three times, took 9.4 to 11.0 s before and 9.3 to 9.7 after
//! for dates-transformer (expected from a profile, in which packing was a third: more), 7.2 to 8.2 and 6.6 to 6.9 for english-french. What
//! is left of packing there is that of x, whose rows are turned for products with few columns.

use super::parallel;
use super::wide::wide;
use crate::host_memory::scratch;

/// The most rows of a part. Each part packs the right matrix again, which took 29 % of MiniLM's time with 256.
const PART_ROWS: usize = 2048;

/// A product as deep as twice this is a sum of shares of its depth, each at least so deep, where its result is small: a weight's
/// gradient. Parts of its few rows would each pack all of the deep right matrix again.
const SHARE_DEPTH: usize = 512;

/// The most shares, and the most elements of a result that is a sum of them.
const MOST_SHARES: usize = 16;
const MOST_SHARED: usize = 1 << 17;

/// Columns of a part where rows are few.
const PART_COLUMNS: usize = 256;

/// Rows for which packing the right matrix does not pay.
const FEW_ROWS: usize = 4;

/// Sums side by side in the product of two rows.
const LANES: usize = 32;

/// Columns whose sums are kept together.
const BLOCK: usize = 256;

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
    let along = right_row == 1 && left_column == 1;
    if rows <= FEW_ROWS && depth > 0 && (output_row as usize) >= columns && (along || right_column == 1) {
        let write = |row: usize, column: usize, value: f32| {
            // SAFETY: the assert above holds all rows and columns inside; a part writes its own columns.
            unsafe { *output.at(row * output_row as usize + column) = value };
        };
        let part_columns = columns.div_ceil(4 * threads).next_multiple_of(BLOCK);
        parallel::map(columns.div_ceil(part_columns), operations, |part| {
            let part = part * part_columns..columns.min((part + 1) * part_columns);
            if along {
                for column in part {
                    let right = &right[column * right_column..][..depth];
                    (0..rows)
                        .for_each(|row| write(row, column, dot(&left[row * left_row..][..depth], right)));
                }
                return;
            }
            for first in part.clone().step_by(BLOCK) {
                let block = BLOCK.min(part.end - first);
                let mut sums = [[0.0; BLOCK]; FEW_ROWS];
                for k in 0..depth {
                    let right = &right[k * right_row + first..][..block];
                    for (row, sums) in sums[..rows].iter_mut().enumerate() {
                        let factor = left[row * left_row + k * left_column];
                        sums[..block].iter_mut().zip(right).for_each(|(sum, right)| *sum += factor * right);
                    }
                }
                for (row, sums) in sums[..rows].iter().enumerate() {
                    (0..block).for_each(|column| write(row, first + column, sums[column]));
                }
            }
        });
        return;
    }
    if depth >= 2 * SHARE_DEPTH && rows * columns <= MOST_SHARED && output_row as usize >= columns {
        let sides = [(left, left_strides), (right, right_strides)];
        return add_shares([rows, depth, columns], sides, |row, column, value| {
            // SAFETY: the assert above holds all rows and columns inside, and there is one thread here.
            unsafe { *output.at(row * output_row as usize + column) = value };
        });
    }
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

/// A deep product with a small result as the sum of its shares. How many they are follows from the sizes alone, so that the
/// number of threads changes no bit.
fn add_shares(
    [rows, depth, columns]: [usize; 3],
    [(left, left_strides), (right, right_strides)]: [(&[f32], [u32; 2]); 2],
    mut write: impl FnMut(usize, usize, f32),
) {
    let share = SHARE_DEPTH.max(depth.div_ceil(MOST_SHARES));
    let shares = depth.div_ceil(share);
    let operations = (2 * rows * columns) as u64 * depth as u64;
    let products = parallel::map(shares, operations, |number| {
        let first = number * share;
        let mut product = scratch::<f32>(rows * columns);
        let sizes = [rows, share.min(depth - first), columns].map(|size| size as u32);
        let left = (&left[first * left_strides[1] as usize..], left_strides);
        let right = (&right[first * right_strides[0] as usize..], right_strides);
        multiply(sizes, left, right, (&mut product, columns as u32));
        product
    });
    for row in 0..rows {
        for column in 0..columns {
            write(row, column, products.iter().map(|product| product[row * columns + column]).sum());
        }
    }
}

/// The sum of products of two rows of one length: of each [`LANES`]th by itself, then of those sums by halves.
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            sums[lane] += left[lane] * right[lane];
        }
    }
    for (lane, (left, right)) in left_rest.iter().zip(right_rest).enumerate() {
        sums[lane] += left * right;
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}

/// The same for rows of values `[depth, columns]`, where a weight of 0 takes nothing, not even a NaN: the product takes the
/// finite values, and the others, which are rare, are added one by one.
pub(crate) fn multiply_carefully(
    [rows, depth, columns]: [u32; 3],
    (weights, weights_row): (&[f32], u32),
    (values, values_row): (&[f32], u32),
    (output, output_row): (&mut [f32], u32),
) {
    let (sizes, weights_strides) = ([rows, depth, columns], [weights_row, 1]);
    let rows_of_values =
        || (0..depth as usize).map(|key| &values[key * values_row as usize..][..columns as usize]);
    if wide(|| rows_of_values().all(all_finite)) {
        return multiply(sizes, (weights, weights_strides), (values, [values_row, 1]), (output, output_row));
    }
    let mut finite = scratch::<f32>(depth as usize * columns as usize);
    finite
        .chunks_mut((columns as usize).max(1))
        .zip(rows_of_values())
        .for_each(|(to, row)| to.copy_from_slice(row));
    let mut others = Vec::new();
    for (place, value) in finite.iter_mut().enumerate().filter(|(_, value)| !value.is_finite()) {
        others.push((place, *value));
        *value = 0.0;
    }
    multiply(sizes, (weights, weights_strides), (&finite, [columns, 1]), (output, output_row));
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

#[inline(always)]
fn all_finite(values: &[f32]) -> bool {
    let magnitude = |value: &f32| value.to_bits() & 0x7fff_ffff;
    values.iter().map(magnitude).fold(0, u32::max) < f32::INFINITY.to_bits()
}

#[cfg(test)]
mod tests {
    use super::{FEW_ROWS, multiply};
    use crate::kernels::parallel;

    #[test]
    fn parts_change_no_bit() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut values = |count: usize| (0..count).map(|_| random.f32() - 0.5).collect::<Vec<_>>();
        let sizes = [
            [700, 300, 70],
            [65, 513, 129],
            [70, 1030, 40],
            [65, 9000, 33],
            [5, 600, 1030],
            [4, 401, 3000],
            [3, 600, 1030],
            [1, 1000, 3000],
        ];
        for [rows, depth, columns] in sizes {
            let (left, right) = (values(rows * depth), values(depth * columns));
            let sizes = [rows, depth, columns].map(|size| size as u32);
            // The right matrix as it is, and turned.
            for strides in [[sizes[2], 1], [1, sizes[1]]] {
                let mut y = vec![f32::NAN; rows * columns];
                let left_strides = [sizes[1], 1];
                multiply(sizes, (&left, left_strides), (&right, strides), (&mut y, sizes[2]));
                // Within a part there is one thread.
                let mut alone = vec![f32::NAN; rows * columns];
                parallel::map(2, u64::MAX, |part| {
                    let mut y = vec![f32::NAN; rows * columns];
                    multiply(sizes, (&left, left_strides), (&right, strides), (&mut y, sizes[2]));
                    (part == 0).then_some(y)
                })
                .into_iter()
                .flatten()
                .for_each(|y| alone = y);
                assert_eq!(alone, y, "{rows} {depth} {columns} {strides:?}");
                // And in few rows and columns, where those are as many or as few as all.
                let high = if rows > FEW_ROWS { FEW_ROWS + 1 } else { rows };
                for row in (0..=rows - high).step_by(high) {
                    for first in (0..columns).step_by(64) {
                        let wide = 64.min(columns - first);
                        let mut piece = vec![f32::NAN; high * wide];
                        let sizes = [high, depth, wide].map(|size| size as u32);
                        let left = (&left[row * depth..], left_strides);
                        let right = &right[first * strides[1] as usize..];
                        multiply(sizes, left, (right, strides), (&mut piece, wide as u32));
                        for (row, piece) in (row..).zip(piece.chunks_exact(wide)) {
                            let whole = &y[row * columns + first..][..wide];
                            assert_eq!(piece, whole, "{rows} {depth} {columns} {strides:?}: {row} {first}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn few_rows_are_multiplied_right() {
        let mut random = fastrand::Rng::with_seed(2);
        for rows in 1..=FEW_ROWS + 1 {
            for [depth, columns] in [[0, 3], [1, 1], [31, 2], [32, 257], [33, 5], [70, 300], [64, 256]] {
                let left: Vec<f32> = (0..rows * (depth + 3)).map(|_| random.f32() - 0.5).collect();
                let right: Vec<f32> = (0..(depth + 2) * (columns + 2)).map(|_| random.f32() - 0.5).collect();
                for strides in [[columns + 2, 1], [1, depth + 2]] {
                    let mut y = vec![7.0; rows * (columns + 1)];
                    let [sizes, left_strides] = [[rows, depth, columns], [depth + 3, 1, 0]];
                    let word = |size: usize| size as u32;
                    let left_strides = [word(left_strides[0]), word(left_strides[1])];
                    let right_strides = strides.map(word);
                    multiply(
                        sizes.map(word),
                        (&left, left_strides),
                        (&right, right_strides),
                        (&mut y, word(columns + 1)),
                    );
                    for (place, &y) in y.iter().enumerate() {
                        let (row, column) = (place / (columns + 1), place % (columns + 1));
                        let product = |k: usize| {
                            f64::from(left[row * (depth + 3) + k])
                                * f64::from(right[k * strides[0] + column * strides[1]])
                        };
                        let exact =
                            if column == columns { 7.0 } else { (0..depth).map(product).sum::<f64>() };
                        assert!(
                            (f64::from(y) - exact).abs() <= 1e-6,
                            "{rows} {depth} {columns}: {row} {column}"
                        );
                    }
                }
            }
        }
    }
}
