//! What is measured.

use std::fmt;

/// Which keys take part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    All,
    Causal,
    /// Of three quarters of the length on average, by batch item.
    Lengths,
}

#[derive(Clone, Copy)]
pub enum Task {
    /// x `[rows, depth]` · Wᵀ, W `[columns, depth]`.
    Gemm { rows: usize, depth: usize, columns: usize },
    /// q, k, v `[batch, heads, length, head_dim]`.
    Attention { batch: usize, heads: usize, length: usize, head_dim: usize, keys: Keys },
    /// A post-norm encoder layer on `[batch, length, width]`, GELU, feed-forward 4 · width.
    Layer { batch: usize, length: usize, width: usize, heads: usize },
}

const fn attention([batch, heads, length, head_dim]: [usize; 4], keys: Keys) -> Task {
    Task::Attention { batch, heads, length, head_dim, keys }
}

pub const ALL: [Task; 11] = [
    Task::Gemm { rows: 512, depth: 512, columns: 512 },
    Task::Gemm { rows: 1024, depth: 1024, columns: 1024 },
    Task::Gemm { rows: 4096, depth: 384, columns: 1536 },
    attention([1, 12, 512, 64], Keys::All),
    attention([8, 12, 128, 32], Keys::All),
    attention([1, 12, 128, 64], Keys::All),
    attention([1, 12, 512, 64], Keys::Causal),
    attention([8, 12, 128, 32], Keys::Lengths),
    attention([8, 12, 128, 32], Keys::Causal),
    Task::Layer { batch: 32, length: 128, width: 384, heads: 12 },
    Task::Layer { batch: 1, length: 128, width: 384, heads: 12 },
];

impl Task {
    pub fn family(self) -> &'static str {
        match self {
            Self::Gemm { .. } => "gemm",
            Self::Attention { .. } => "attention",
            Self::Layer { .. } => "layer",
        }
    }

    /// Of all pairs of queries and keys, whether they take part or not.
    pub fn flops(self) -> f64 {
        let product = |sizes: &[usize]| sizes.iter().map(|&size| size as f64).product::<f64>();
        match self {
            Self::Gemm { rows, depth, columns } => 2.0 * product(&[rows, depth, columns]),
            Self::Attention { batch, heads, length, head_dim, .. } => {
                4.0 * product(&[batch, heads, length, length, head_dim])
            }
            Self::Layer { batch, length, width, .. } => {
                let linear = 2.0 * product(&[batch, length, width, width]) * (4.0 + 8.0);
                linear + 4.0 * product(&[batch, length, length, width])
            }
        }
    }

    /// The keys of each batch item.
    pub fn lengths(batch: usize, length: usize) -> Vec<u32> {
        (0..batch).map(|item| (length - length / 2 * ((item + 1) % 3) / 2) as u32).collect()
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gemm { rows, depth, columns } => write!(f, "gemm [{rows}, {depth}]·[{depth}, {columns}]"),
            Self::Attention { batch, heads, length, head_dim, keys } => {
                let keys = match keys {
                    Keys::All => "",
                    Keys::Causal => ", causal",
                    Keys::Lengths => ", key lengths",
                };
                write!(f, "attention [{batch}, {heads}, {length}, {head_dim}]{keys}")
            }
            Self::Layer { batch, length, width, heads } => {
                write!(f, "layer [{batch}, {length}, {width}], {heads} heads")
            }
        }
    }
}
