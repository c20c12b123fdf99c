//! A copy along other axes: broadcast, transposition, slices; and into columns of wider rows: concatenation.
//!
//! The element (i₇, …, i₀) that is copied is x\[first + Σₖ iₖ · strideₖ\], in words of 32 bits, which keep their bits; axis 0 is
//! the last, and axes that are not there are of size 1. Of x any element may be read any number of times (stride 0 repeats an
//! axis). What is copied fills y one element after the other: all of it, or `y_columns` columns of each of its rows, whose
//! other columns are left alone.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::parallel;

/// Axes that a copy may have, neighbours that lie alike merged.
pub(crate) const AXES: usize = 8;

parameters! {
    /// Places, sizes and strides, in elements; axes from the last to the first.
    pub struct Parameters {
        /// Elements that are copied.
        pub elements: u32,
        /// The first element of x that is read.
        pub x_first: u32,
        /// The first element of y that is written.
        pub y_first: u32,
        /// Columns of each row of y that are written.
        pub y_columns: u32,
        /// From one row of y to the next.
        pub y_row: u32,
        /// The size of the last axis.
        pub size_0: u32,
        /// Of the one before.
        pub size_1: u32,
        /// And so on.
        pub size_2: u32,
        /// And so on.
        pub size_3: u32,
        /// And so on.
        pub size_4: u32,
        /// And so on.
        pub size_5: u32,
        /// And so on.
        pub size_6: u32,
        /// And so on.
        pub size_7: u32,
        /// In x, from one element of the last axis to the next.
        pub stride_0: u32,
        /// Of the one before.
        pub stride_1: u32,
        /// And so on.
        pub stride_2: u32,
        /// And so on.
        pub stride_3: u32,
        /// And so on.
        pub stride_4: u32,
        /// And so on.
        pub stride_5: u32,
        /// And so on.
        pub stride_6: u32,
        /// And so on.
        pub stride_7: u32,
    }
}

/// Parameters before the sizes.
const PLACES: usize = 5;

impl Parameters {
    /// Into all of a dense y, from axes of size and stride, the last first.
    pub(crate) fn new(elements: u32, axes: [[u32; 2]; AXES]) -> Self {
        let mut words = [0; PLACES + 2 * AXES];
        for (axis, [size, stride]) in axes.into_iter().enumerate() {
            (words[PLACES + axis], words[PLACES + AXES + axis]) = (size, stride);
        }
        Self { elements, y_columns: elements.max(1), ..bytemuck::cast(words) }
    }

    /// So many times the first element of x.
    pub(crate) fn repeated(elements: u32) -> Self {
        let mut axes = [[1, 0]; AXES];
        axes[0] = [elements, 0];
        Self::new(elements, axes)
    }

    fn axes(self) -> [[u32; 2]; AXES] {
        let words: [u32; PLACES + 2 * AXES] = bytemuck::cast(self);
        std::array::from_fn(|axis| [words[PLACES + axis], words[PLACES + AXES + axis]])
    }
}

/// Rows and columns that the twin copies at a time.
const BLOCK: usize = 32;

/// Where axes of size and stride, the last first, lead from an element on.
pub(super) fn place_of(index: u32, first: u32, axes: &[[u32; 2]; AXES]) -> usize {
    let (mut rest, mut place) = (index, first);
    for &[size, stride] in axes {
        if rest == 0 {
            break;
        }
        place += rest % size * stride;
        rest /= size;
    }
    place as usize
}

/// The kernel.
pub struct StridedCopy;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    super::invocation()
}

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::write("y")];

impl Kernel for StridedCopy {
    fn about(&self) -> About {
        const { About::ours("elementwise/strided_copy", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        super::workgroups(Parameters::from_bytes(parameters).elements, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, axes, y) = (arguments.words(0), p.axes(), arguments.words_mut(1));
        if p.elements == 0 {
            return;
        }
        if p.y_columns < p.elements {
            for index in 0..p.elements {
                let (row, column) = (index / p.y_columns, index % p.y_columns);
                y[(p.y_first + row * p.y_row + column) as usize] = x[place_of(index, p.x_first, &axes)];
            }
            return;
        }
        // Rows of the last axis, so that places are computed once a row.
        let columns = axes[0][0] as usize;
        let y = &mut y[p.y_first as usize..][..p.elements as usize];
        parallel::rows(y, columns, 4, |first, y| {
            // Neighbouring rows of a transposition read neighbouring words: some of them at a time, a block of columns each.
            for (block, y) in y.chunks_mut(BLOCK * columns).enumerate() {
                let rows = first + block * BLOCK..;
                let places: Vec<usize> = rows
                    .take(y.len() / columns)
                    .map(|row| place_of((row * columns) as u32, p.x_first, &axes))
                    .collect();
                let stride = axes[0][1] as usize;
                for column in (0..columns).step_by(BLOCK) {
                    let end = columns.min(column + BLOCK);
                    for (row, place) in places.iter().enumerate() {
                        let to = &mut y[row * columns + column..row * columns + end];
                        match stride {
                            1 => to.copy_from_slice(&x[place + column..place + end]),
                            _ => to
                                .iter_mut()
                                .enumerate()
                                .for_each(|(step, to)| *to = x[place + (column + step) * stride]),
                        }
                    }
                }
            }
        });
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        Cost { flops: elements, bytes: 8 * elements, iterations: 0 }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // Axes of y, the first of them first, and their strides in x.
        let mut cases: Vec<(&[usize], &[usize])> = vec![
            (&[1], &[1]),
            (&[129], &[0]),
            (&[7, 65], &[1, 7]),
            (&[3, 5, 64], &[0, 64, 1]),
            (&[4, 1, 33, 2], &[33, 9, 1, 0]),
            // Neighbouring axes of other sizes, the first longer than the second and than the last one's stride.
            (&[3, 2, 3, 2, 3, 2, 3, 2], &[2, 6, 12, 36, 72, 216, 432, 1]),
        ];
        if depth == Depth::Full {
            // Past 65,535 workgroups of 64 elements.
            cases.extend([
                (&[4097, 1025][..], &[1, 0][..]),
                (&[3, 1_400_003], &[1, 3]),
                (&[1024, 1024], &[1, 1024]),
            ]);
        }
        let dense = cases.into_iter().map(|(sizes, strides)| case(sizes, strides, Places::default()));
        let placed = [
            // A slice of columns; columns in the middle of rows, at their end; both.
            case(&[5, 7], &[11, 1], Places { x_first: 4, rows: None }),
            case(&[9, 8], &[8, 1], Places { x_first: 0, rows: Some((3, 8, 13)) }),
            case(&[3, 70], &[1, 3], Places { x_first: 0, rows: Some((5, 70, 75)) }),
            case(&[4, 3, 6], &[30, 10, 1], Places { x_first: 2, rows: Some((1, 18, 20)) }),
            case(&[1], &[1], Places { x_first: 6, rows: Some((2, 1, 5)) }),
        ];
        dense.chain(placed).collect()
    }
}

/// Where copying begins and what is left out.
#[derive(Clone, Copy, Default)]
struct Places {
    x_first: usize,
    /// The first column of y's rows that is written, their number, and the row's length.
    rows: Option<(usize, usize, usize)>,
}

fn case(sizes: &[usize], strides: &[usize], Places { x_first, rows }: Places) -> Case {
    let elements: usize = sizes.iter().product();
    let steps = sizes.iter().zip(strides).map(|(size, stride)| (size - 1) * stride);
    let x = Inputs::new(elements as u64).below(x_first + steps.sum::<usize>() + 1, u32::MAX);
    // By appending: an axis at a time, the places of what lies before it.
    let places = sizes.iter().zip(strides).fold(vec![x_first], |places: Vec<usize>, (&size, &stride)| {
        places.iter().flat_map(|place| (0..size).map(move |index| place + index * stride)).collect()
    });
    let mut axes = [[1, 0]; AXES];
    for (axis, (&size, &stride)) in axes.iter_mut().zip(sizes.iter().zip(strides).rev()) {
        *axis = [size as u32, stride as u32];
    }
    let copied = places.into_iter().map(|place| Some(x[place]));
    let dense = Parameters { x_first: x_first as u32, ..Parameters::new(elements as u32, axes) };
    let (parameters, expected): (Parameters, Vec<Option<u32>>) = match rows {
        None => (dense, copied.collect()),
        Some((first, columns, row)) => {
            let copied: Vec<_> = copied.collect();
            let of_row = |copied: &[Option<u32>]| {
                let mut of_row = vec![None; row];
                of_row[first..first + columns].copy_from_slice(copied);
                of_row
            };
            let [y_first, y_columns, y_row] = [first, columns, row].map(|size| size as u32);
            let placed = Parameters { y_first, y_columns, y_row, ..dense };
            (placed, copied.chunks(columns).flat_map(of_row).collect())
        }
    };
    let placed = rows.map_or(String::new(), |(first, columns, row)| {
        format!(" into columns {first} to {} of {row}", first + columns)
    });
    Case {
        label: format!("{sizes:?} from {x_first} strides {strides:?}{placed}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: 0.0,
        arguments: vec![CaseArgument::Words(x.clone()), CaseArgument::Exact(expected)],
    }
}
