//! Sums along axes, in blocks.
//!
//! y\[o, b, i\] = Σ x\[o, c, i\] over the elements c of block b: `block·b` up to `block·(b + 1)`, the last block up to `count`. f32;
//! x is dense `[outer, count, inner]`, y `[outer, blocks, inner]`. With one block it is the sum itself; a sum of many terms is that of
//! its blocks' sums, a dispatch more. No atomics, so that the same call gives the same bits; and blocks keep the error of a
//! sum of n terms near that of the longest chain of additions (Higham 1993, *The accuracy of floating point summation*,
//! section 3). A sum of nothing is 0; NaN and infinities are those of IEEE 754.
//!
//! Ladder: a row's elements lie `inner` apart, so where sums lie side by side an invocation each reads beside its neighbour;
//! where they do not, lanes share a row (see `kernels::reduce`).

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::{parallel, reduce};
use crate::reference::reduction as oracle;
use crate::reference::{largest, rounding_floor};

parameters! {
    /// Sizes: x is `[outer, count, inner]`, y `[outer, blocks, inner]`.
    pub struct Parameters {
        /// Elements of y.
        pub rows: u32,
        /// Terms of a whole sum.
        pub count: u32,
        /// From one of them to the next.
        pub inner: u32,
        /// Blocks of each sum.
        pub blocks: u32,
        /// Terms of a block.
        pub block: u32,
    }
}

/// The kernel.
pub struct Sum;

/// Terms that a lane adds one after the other at most, so that an f32 sum keeps its digits.
const LONGEST_CHAIN: u64 = 256;

/// Terms that a lane adds in a block of a longer sum: few, so that there are many blocks to share out.
const CHAIN_OF_BLOCK: u64 = 64;

/// The terms of a block of a sum of `count`: all of them, or as many as the lanes add well.
pub(crate) fn block(variant: &Variant, count: u32) -> u32 {
    let lanes = reduce::lanes(variant);
    if u64::from(count) <= LONGEST_CHAIN * lanes { count } else { (CHAIN_OF_BLOCK * lanes) as u32 }
}

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::write("y")];

impl Kernel for Sum {
    fn about(&self) -> About {
        const { About::ours("reduction/sum", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        reduce::variants()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        reduce::workgroups(variant, Parameters::from_bytes(parameters).rows, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, y) = (arguments.f32(0), arguments.f32_mut(1));
        let [rows, count, inner] = [p.rows, p.count, p.inner].map(|size| size as usize);
        let [blocks, block] = [p.blocks, p.block].map(|size| size as usize);
        let rows = rows.min(y.len());
        // Sums that lie side by side go together, so that memory is read in order.
        parallel::rows(&mut y[..rows], inner, p.block.into(), |first, y| {
            for (place, y) in (first..).zip(y.chunks_mut(inner.max(1))) {
                let (outer, first) = (place / blocks.max(1), place % blocks.max(1) * block);
                let end = (first + block).min(count);
                let x = &x[(outer * count + first) * inner..(outer * count + end) * inner];
                match y {
                    [y] => *y = in_chains(x),
                    _ => {
                        y.fill(0.0);
                        for x in x.chunks_exact(inner) {
                            y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
                        }
                    }
                }
            }
        });
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let sums = u64::from(p.rows) / u64::from(p.blocks.max(1));
        let elements = sums * u64::from(p.count);
        Cost {
            flops: elements,
            bytes: 4 * (elements + u64::from(p.rows)),
            iterations: reduce::iterations(variant, p.block.into(), 1, 1),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // Outer, count, inner, and the terms of a block.
        let mut sizes = vec![
            [1, 1, 1, 1],
            [3, 65, 1, 65],
            [2, 0, 5, 0],
            [2, 5, 7, 5],
            [70, 3, 1, 3],
            [2, 130, 33, 50],
            [3, 129, 1, 64],
            [1, 2049, 1, 512],
            [2, 64, 3, 16],
        ];
        if depth == Depth::Full {
            sizes.extend([
                [64, 196, 1, 196],
                [2, 512, 196, 64],
                [1, 4099, 3, 1024],
                [129, 64, 2, 64],
                [1, 70_000, 1, 4096],
                // Past 65,535 workgroups.
                [1, 2, 70_001, 1],
            ]);
        }
        let ordinary = sizes.into_iter().map(|sizes| case(sizes, ""));
        ordinary.chain(["NaN and infinities", "far from 0"].map(|what| case([5, 67, 3, 30], what))).collect()
    }
}

/// The sum of neighbours, in eight chains: a processor adds several at a time.
fn in_chains(x: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let chunks = x.chunks_exact(sums.len());
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x);
    }
    sums.iter().sum::<f32>() + rest
}

fn case([outer, count, inner, block]: [usize; 4], what: &str) -> Case {
    let mut inputs = Inputs::new((outer * 1_000_003 + count * 1009 + inner) as u64);
    let mut x = inputs.values(outer * count * inner, 1.0);
    let at = |o: usize, c: usize, i: usize| (o * count + c) * inner + i;
    match what {
        "NaN and infinities" => {
            x[at(0, 0, 1)] = f32::NAN;
            x[at(1, count / 2, 0)] = f32::from_bits(0x7f80_0001);
            x[at(2, count - 1, 2)] = f32::INFINITY;
            x[at(3, 1, 1)] = f32::NEG_INFINITY;
            // Their sum is a NaN, in one block and not in another.
            (x[at(4, 0, 0)], x[at(4, 1, 0)]) = (f32::INFINITY, f32::NEG_INFINITY);
        }
        "far from 0" => x.iter_mut().for_each(|value| *value -= 100.0),
        _ => {}
    }
    let expected = oracle::sum_blocks(&x, [outer, count, inner], block);
    let blocks = count.div_ceil(block.max(1)).max(1);
    let parameters = Parameters {
        rows: (outer * blocks * inner) as u32,
        count: count as u32,
        inner: inner as u32,
        blocks: blocks as u32,
        block: block as u32,
    };
    // Terms of size 1 whose mean is 0 come to about √n; no partial sum passes what all of one sign come to.
    let magnitude = largest(&expected).max((block as f64).sqrt() * 2.0);
    Case {
        label: format!(
            "[{outer}, {count}, {inner}] in blocks of {block}{}{what}",
            if what.is_empty() { "" } else { " " }
        ),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: rounding_floor(block, magnitude),
        arguments: vec![CaseArgument::F32(x), CaseArgument::output(expected.into_iter().map(Some).collect())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_chains_short() {
        let variant = reduce::invocation();
        assert_eq!([0, 1, 256, 257, 70_000].map(|count| block(&variant, count)), [0, 1, 256, 64, 64]);
        let variant = reduce::workgroup();
        assert_eq!([16_384, 16_385].map(|count| block(&variant, count)), [16_384, 4096]);
    }
}
