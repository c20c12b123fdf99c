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
    /// The argument behind each binding, in order.
    pub arguments: Vec<CaseArgument>,
    /// The largest error of one element by rounding alone, from the sizes (see
    /// [`rounding_floor`](crate::reference::rounding_floor)).
    pub floor: f64,
}

/// The argument behind a binding in a case.
#[derive(Clone, Debug)]
pub enum CaseArgument {
    /// f32 values to read.
    F32(Vec<f32>),
    /// Words to read.
    Words(Vec<u32>),
    /// The oracle's answer for a written binding that has but one: its words, bit for bit; what is `None` must stay as it was.
    Exact(Vec<Option<u32>>),
    /// The oracle's answer for a written binding: [`CaseArgument::output`] and its kin make it.
    Output(Expected),
    /// For a binding that is updated in place: what it holds before, and the oracle's answer of as many elements; what is `None`
    /// there must stay as it was.
    Update(Vec<f32>, Expected),
}

/// The oracle's answer for a written binding, and how near to it a device must come.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Expected {
    /// The values; what is `None` must stay as it was.
    pub values: Vec<Option<f64>>,
    /// A floor of its own, in place of the case's.
    pub floor: Option<f64>,
    /// A largest NMSE of its own.
    pub nmse: Option<f64>,
}

impl CaseArgument {
    /// An output of these values; what is `None` must stay as it was.
    pub fn output(values: Vec<Option<f64>>) -> Self {
        Self::Output(Expected { values, floor: None, nmse: None })
    }

    /// The same with a floor of its own, in place of the case's.
    pub fn output_within(values: Vec<Option<f64>>, floor: f64) -> Self {
        Self::Output(Expected { values, floor: Some(floor), nmse: None })
    }

    /// The same with a largest NMSE of its own too: for what is rounded to f16 on its way.
    pub fn output_rounded(values: Vec<Option<f64>>, floor: f64, nmse: f64) -> Self {
        Self::Output(Expected { values, floor: Some(floor), nmse: Some(nmse) })
    }

    /// A binding that is updated in place from `before` to these values; what is `None` must stay as it was.
    pub fn update(before: Vec<f32>, values: Vec<Option<f64>>) -> Self {
        Self::Update(before, Expected { values, floor: None, nmse: None })
    }

    /// Words behind the binding.
    pub fn words(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Words(words) => words.len(),
            Self::Exact(words) => words.len(),
            Self::Output(expected) => expected.values.len(),
            Self::Update(before, _) => before.len(),
        }
    }
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
