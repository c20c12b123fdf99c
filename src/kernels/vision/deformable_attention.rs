//! Multi-scale deformable attention: the sampling.
//!
//! y\[b, q, h, d\] = Σ_l Σ_p A\[b, q, h, l, p\] · v_l(φ_l(r\[b, q, l\]) + Δ\[b, q, h, l, p\])\[h, d\] (Zhu et al. 2021, equation 3,
//! between its value and output projections). v_l is level l of the values `[B, S, H, D]`, S = Σ H_l·W_l, sampled
//! bilinearly with zeros outside; φ_l takes a normalized reference point to the level. In elements of the level, whose
//! middles lie at halves (`align_corners=False`): x = r_x·W_l + Δ_x − ½. From a reference box (r_x, r_y, r_w, r_h) offsets
//! count in halves of the box over the number of points: x = (r_x + Δ_x·r_w / (2·P))·W_l − ½ (its appendix A.4, iterative
//! bounding box refinement). f32.
//!
//! Values whose padding is 0 count as 0. A location that lies outside gives 0, an infinite one too; one that is NaN makes
//! its query's head NaN.
//!
//! Ladder: an invocation for each element of the output. Neighbours share their locations and read neighbouring values,
//! so reads coalesce over a head; the locations are computed by each.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::elementwise;
use crate::reference::vision::{self as oracle, DeformableDims};
use crate::reference::{largest, rounding_floor};

parameters! {
    /// Sizes and options.
    pub struct Parameters {
        /// Elements of the output.
        pub elements: u32,
        /// Queries of a batch item.
        pub queries: u32,
        /// Heads.
        pub heads: u32,
        /// Elements of a value in one head.
        pub head_dim: u32,
        /// Values of a batch item, of all levels.
        pub positions: u32,
        /// Levels.
        pub levels: u32,
        /// Points that a head samples in each level.
        pub points: u32,
        /// 1 where references are boxes.
        pub boxes: u32,
        /// 1 where `padding` tells which values take part.
        pub has_padding: u32,
    }
}

/// The kernel.
pub struct DeformableAttention;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    elementwise::invocation()
}

const BINDINGS: &[Binding] = &[
    Binding::read("values"),
    Binding::read("shapes"),
    Binding::read("references"),
    Binding::read("offsets"),
    Binding::read("weights"),
    Binding::read("padding"),
    Binding::write("output"),
];

impl Kernel for DeformableAttention {
    fn about(&self) -> About {
        const { About::ours("vision/deformable_attention", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        elementwise::workgroups(Parameters::from_bytes(parameters).elements, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (values, shapes) = (arguments.f32(0), arguments.words(1));
        let (references, offsets, weights) = (arguments.f32(2), arguments.f32(3), arguments.f32(4));
        let padding = arguments.words(5);
        let output = arguments.f32_mut(6);
        let [heads, head_dim, levels, points] =
            [p.heads, p.head_dim, p.levels, p.points].map(|size| size as usize);
        let row = (heads * head_dim).max(1);
        let size = if p.boxes != 0 { 4 } else { 2 };
        for (query, output) in output[..p.elements as usize].chunks_exact_mut(row).enumerate() {
            let batch = query / p.queries as usize;
            output.fill(0.0);
            for (head, output) in output.chunks_exact_mut(head_dim).enumerate() {
                for point in 0..levels * points {
                    let level = point / points;
                    let [height, width, first] = [0, 1, 2].map(|at| shapes[3 * level + at] as usize);
                    let reference = &references[(query * levels + level) * size..][..size];
                    let place = (query * heads + head) * levels * points + point;
                    // Along an axis: the first of two neighbours and the part of the second.
                    let along = |axis: usize, extent: usize| {
                        let extent = extent as f32;
                        let step = match p.boxes {
                            0 => 1.0,
                            _ => reference[2 + axis] * 0.5 / points as f32 * extent,
                        };
                        let at = reference[axis] * extent + offsets[2 * place + axis] * step - 0.5;
                        let inside = at.clamp(-2.0, extent + 1.0);
                        (inside.floor(), inside - inside.floor())
                    };
                    let ((left, right_part), (top, lower_part)) = (along(0, width), along(1, height));
                    for (row_step, part_y) in [(0, 1.0 - lower_part), (1, lower_part)] {
                        for (column_step, part_x) in [(0, 1.0 - right_part), (1, right_part)] {
                            let (row, column) = (top as i64 + row_step, left as i64 + column_step);
                            let there =
                                (0..height as i64).contains(&row) && (0..width as i64).contains(&column);
                            let at = batch * p.positions as usize
                                + first
                                + if there { row as usize * width + column as usize } else { 0 };
                            let there = there && (p.has_padding == 0 || padding[at] != 0);
                            let factor = weights[place] * (part_y * part_x);
                            for (d, output) in output.iter_mut().enumerate() {
                                let value = values.get((at * heads + head) * head_dim + d).filter(|_| there);
                                *output += factor * value.copied().unwrap_or(0.0);
                            }
                        }
                    }
                }
            }
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let (elements, points) = (u64::from(p.elements), u64::from(p.levels) * u64::from(p.points));
        let heads = elements / u64::from(p.head_dim.max(1));
        let batch = elements / (u64::from(p.queries) * u64::from(p.heads) * u64::from(p.head_dim)).max(1);
        let values = batch * u64::from(p.positions) * u64::from(p.heads) * u64::from(p.head_dim);
        Cost {
            flops: elements * points * 40,
            bytes: 4 * (elements + values + 3 * heads * points),
            iterations: points + u64::from(p.levels),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let two: &[[usize; 2]] = &[[6, 5], [3, 4]];
        let mut plain = vec![
            Sampling { shapes: two, ..PLAIN },
            Sampling { shapes: two, boxes: true, ..PLAIN },
            Sampling { shapes: two, padding: true, ..PLAIN },
            Sampling { shapes: two, reach: 6.0, ..PLAIN },
            Sampling { shapes: two, boxes: true, reach: 20.0, padding: true, ..PLAIN },
            Sampling { shapes: two, strange: true, ..PLAIN },
            Sampling { shapes: &[[1, 1]], batch: 1, queries: 1, heads: 1, head_dim: 1, points: 1, ..PLAIN },
            Sampling { shapes: &[[1, 7], [9, 1], [2, 2]], head_dim: 33, points: 3, ..PLAIN },
        ];
        if depth == Depth::Full {
            let four: &[[usize; 2]] = &[[32, 40], [16, 20], [8, 10], [4, 5]];
            plain.extend([false, true].map(|boxes| Sampling {
                shapes: four,
                queries: 30,
                heads: 8,
                head_dim: 32,
                boxes,
                padding: true,
                ..PLAIN
            }));
        }
        plain.into_iter().map(case).collect()
    }
}

#[derive(Clone, Copy, Debug)]
struct Sampling {
    batch: usize,
    queries: usize,
    heads: usize,
    head_dim: usize,
    shapes: &'static [[usize; 2]],
    points: usize,
    boxes: bool,
    padding: bool,
    /// The offsets' deviation, in elements.
    reach: f32,
    /// Locations that are infinite or NaN, and a weight that is NaN.
    strange: bool,
}

const PLAIN: Sampling = Sampling {
    batch: 2,
    queries: 5,
    heads: 3,
    head_dim: 7,
    shapes: &[],
    points: 4,
    boxes: false,
    padding: false,
    reach: 1.0,
    strange: false,
};

fn case(sampling: Sampling) -> Case {
    let Sampling { batch, queries, heads, head_dim, shapes, points, boxes, padding, reach, strange } =
        sampling;
    let (levels, size) = (shapes.len(), if boxes { 4 } else { 2 });
    let positions: usize = shapes.iter().map(|[height, width]| height * width).sum();
    let mut inputs = Inputs::new((queries * 1_000_003 + positions * 31 + head_dim) as u64 + reach as u64);
    let values = inputs.values(batch * positions * heads * head_dim, 1.0);
    // References all over the level and a little beyond it; boxes of both signs of offsets.
    let references: Vec<f32> = (0..batch * queries * levels * size)
        .map(|place| {
            let part = inputs.below(1, 1 << 16)[0] as f32 / 65_536.0;
            if place % size < 2 { 1.2 * part - 0.1 } else { 0.1 + 0.5 * part }
        })
        .collect();
    let mut offsets = inputs.values(batch * queries * heads * levels * points * 2, reach);
    let mut weights = inputs.values(batch * queries * heads * levels * points, 0.5);
    if strange {
        let row = heads * levels * points;
        // The first two queries' heads: far out in each direction, then a NaN in x, in y, in a weight.
        offsets[..6].copy_from_slice(&[f32::INFINITY, 0.0, f32::NEG_INFINITY, 1e30, 0.0, f32::INFINITY]);
        offsets[2 * row] = f32::NAN;
        offsets[2 * (row + levels * points) + 3] = f32::NAN;
        weights[row + 2 * levels * points] = f32::NAN;
    }
    let keep = inputs.mask(batch * positions);
    let dims = DeformableDims { batch, queries, heads, head_dim, points };
    let expected = oracle::deformable_attention(
        &values,
        shapes,
        (&references, boxes),
        &offsets,
        &weights,
        padding.then_some(&keep[..]),
        dims,
    );
    let parameters = Parameters {
        elements: (batch * queries * heads * head_dim) as u32,
        queries: queries as u32,
        heads: heads as u32,
        head_dim: head_dim as u32,
        positions: positions as u32,
        levels: levels as u32,
        points: points as u32,
        boxes: boxes.into(),
        has_padding: padding.into(),
    };
    let mut first = 0;
    let table = shapes.iter().flat_map(|[height, width]| {
        let level = [*height as u32, *width as u32, first];
        first += (height * width) as u32;
        level
    });
    // A location errs by some roundings of its magnitude, and a sample by that times the difference of two neighbours.
    let extent = shapes.iter().flatten().max().copied().unwrap_or(1) as f64;
    let location =
        6.0 * f64::from(f32::EPSILON) * (extent + 4.0 * f64::from(reach) * if boxes { extent } else { 1.0 });
    let of_location = location * 8.0 * 2.0 * (levels * points) as f64 * 0.5;
    Case {
        label: format!("{sampling:?}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: rounding_floor(4 * levels * points, largest(&expected).max(1.0)) + of_location.min(1e-3),
        arguments: vec![
            CaseArgument::F32(values),
            CaseArgument::Words(table.collect()),
            CaseArgument::F32(references),
            CaseArgument::F32(offsets),
            CaseArgument::F32(weights),
            CaseArgument::Words(if padding { keep } else { vec![0] }),
            CaseArgument::output(expected.into_iter().map(Some).collect()),
        ],
    }
}
