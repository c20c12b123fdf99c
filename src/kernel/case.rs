//! Cases: one dispatch with its inputs and the oracle's answers.

/// How many cases to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// A few for each variant: seconds for the whole registry.
    Quick,
    /// The whole matrix.
    Full,
}

/// One dispatch, its inputs and what the oracle says of its outputs.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its sizes and options in one line; with the kernel's and the variant's names it reproduces the case.
    pub label: String,
    /// The parameters' bytes.
    pub parameters: Vec<u8>,
    /// What stands behind each binding, in order.
    pub arguments: Vec<CaseArgument>,
    /// What rounding alone may do to one element, from the sizes (see
    /// [`rounding_floor`](crate::reference::rounding_floor)).
    pub floor: f64,
}

/// What stands behind a binding in a case.
#[derive(Clone, Debug)]
pub enum CaseArgument {
    /// f32 values to read.
    F32(Vec<f32>),
    /// Words to read.
    Words(Vec<u32>),
    /// The oracle's answer for a written binding that has but one: its words, bit for bit. `None` as in `Output`.
    Exact(Vec<Option<u32>>),
    /// The oracle's answer for a written binding; what is `None` must stay as it was.
    Output(Vec<Option<f64>>),
    /// The same with a floor of its own, in place of the case's.
    OutputWithin(Vec<Option<f64>>, f64),
    /// The same with a floor and a largest NMSE of its own: for what is rounded to f16 on its way.
    OutputRounded(Vec<Option<f64>>, f64, f64),
}

/// A seeded source of inputs.
#[derive(Debug)]
pub struct Inputs(fastrand::Rng);

impl Inputs {
    /// Inputs that depend on the seed alone.
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// `count` values, near normal (a sum of uniforms) with standard deviation `scale`.
    pub fn values(&mut self, count: usize, scale: f32) -> Vec<f32> {
        let mut normal = || (0..12).map(|_| self.0.f32()).sum::<f32>() - 6.0;
        (0..count).map(|_| normal() * scale).collect()
    }

    /// `count` numbers below `limit`.
    pub fn below(&mut self, count: usize, limit: u32) -> Vec<u32> {
        (0..count).map(|_| self.0.u32(0..limit.max(1))).collect()
    }

    /// `count` booleans as words, three of four true.
    pub fn mask(&mut self, count: usize) -> Vec<u32> {
        self.below(count, 4).into_iter().map(|value| u32::from(value != 0)).collect()
    }
}
