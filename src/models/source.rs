//! A model's tensors by name: a checkpoint's, of which in the end none may be left that nothing asked for, or random ones to begin
//! training with.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::fnv;
use crate::kernel::Inputs;
use crate::layers::{HostLayerNorm, HostLinear, MultiHeadAttentionWeights};
use crate::ops::{EmbeddingTable, LinearWeights};
use crate::tensor::{DType, Tensor};
use crate::weights::Checkpoint;

pub(super) struct Source<'a> {
    tensors: Tensors<'a>,
    prefix: &'static str,
    /// What matrices and tables are to be stored as; all else is f32.
    dtype: DType,
    used: HashSet<String>,
}

/// Where tensors come from.
enum Tensors<'a> {
    Checkpoint(&'a Checkpoint),
    /// Made from a seed, each by its name, so that no tensor depends on the others.
    Random(u64),
}

/// W and bias.
pub(super) struct LinearTensors {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// γ and β.
pub(super) struct NormTensors {
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

/// The four projections.
pub(super) struct AttentionTensors {
    query: LinearTensors,
    key: LinearTensors,
    value: LinearTensors,
    output: LinearTensors,
}

impl LinearTensors {
    pub fn host(&self) -> HostLinear<'_> {
        HostLinear { weight: &self.weight, bias: Some(&self.bias) }
    }
}

impl NormTensors {
    pub fn host(&self) -> HostLayerNorm<'_> {
        HostLayerNorm { gamma: &self.gamma, beta: &self.beta }
    }
}

impl AttentionTensors {
    pub fn weights(&self) -> MultiHeadAttentionWeights<'_> {
        MultiHeadAttentionWeights {
            query: self.query.host(),
            key: self.key.host(),
            value: self.value.host(),
            output: self.output.host(),
        }
    }
}

impl<'a> Source<'a> {
    /// Names as they are.
    pub fn new(checkpoint: &'a Checkpoint, dtype: DType) -> Self {
        Self::under("", checkpoint, dtype)
    }

    /// Names behind a prefix.
    pub fn under(prefix: &'static str, checkpoint: &'a Checkpoint, dtype: DType) -> Self {
        Self { tensors: Tensors::Checkpoint(checkpoint), prefix, dtype, used: HashSet::new() }
    }

    /// What a model begins its training with, in f32: matrices are normal with a deviation of √(2 / (rows + columns)) (Glorot and Bengio
    /// 2010), tables with one of 1/√columns, γ is 1, and all else is 0.
    pub fn random(seed: u64) -> Self {
        Self { tensors: Tensors::Random(seed), prefix: "", dtype: DType::F32, used: HashSet::new() }
    }

    /// The whole name of a tensor.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn contains(&self, name: &str) -> bool {
        match self.tensors {
            Tensors::Checkpoint(checkpoint) => checkpoint.contains(&self.name(name)),
            Tensors::Random(_) => false,
        }
    }

    /// A tensor's values, by this rule where they are made from a seed.
    fn values(&self, name: &str, shape: &[usize], initial: Initial) -> Result<Vec<f32>> {
        match self.tensors {
            Tensors::Checkpoint(checkpoint) => checkpoint.tensor_f32(name, shape),
            Tensors::Random(seed) => Ok(initial.values(seed, name, shape)),
        }
    }

    fn ask(&mut self, name: &str) -> String {
        let name = self.name(name);
        self.used.insert(name.clone());
        name
    }

    /// What stays f32: biases, norms, positions. Of those that are made from a seed, vectors are 0.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let initial = if shape.len() > 1 { Initial::Matrix } else { Initial::Constant(0.0) };
        self.tensor_or(name, shape, initial)
    }

    fn tensor_or(&mut self, name: &str, shape: &[usize], initial: Initial) -> Result<Vec<f32>> {
        let name = self.ask(name);
        let values = self.values(&name, shape, initial)?;
        self.check(&name, &Seen::of(&values), DType::F32)?;
        Ok(values)
    }

    /// What is added to scores of a vocabulary; −∞ there means never.
    pub fn score_bias(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = self.ask(name);
        let values = self.values(&name, shape, Initial::Constant(0.0))?;
        if values.iter().any(|value| value.is_nan() || *value == f32::INFINITY) {
            self.check(&name, &Seen::of(&values), DType::F32)?;
        }
        Ok(values)
    }

    /// What is to be stored as this model's dtype.
    pub fn matrix(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = self.ask(name);
        let values = self.values(&name, shape, Initial::Matrix)?;
        self.check(&name, &Seen::of(&values), self.dtype)?;
        Ok(values)
    }

    /// A table of the vocabulary, the largest that a model has: it goes from the file to the device in pieces, and is
    /// stored in parts where it is too large for one binding.
    fn parts(&mut self, device: &Device, name: &str, [rows, columns]: [usize; 2]) -> Result<Vec<Tensor>> {
        let name = self.ask(name);
        let rows_of_part = EmbeddingTable::part_rows(device, columns, self.dtype);
        let checkpoint = match self.tensors {
            Tensors::Checkpoint(checkpoint) => checkpoint,
            Tensors::Random(seed) => {
                let values = Initial::Table.values(seed, &name, &[rows, columns]);
                let parts = values.chunks(rows_of_part.saturating_mul(columns).max(1));
                return parts
                    .map(|part| Tensor::from_f32(device, [part.len() / columns.max(1), columns], part))
                    .collect();
            }
        };
        let all = checkpoint.floats(&name, &[rows, columns])?;
        let (mut parts, mut seen) = (Vec::new(), Seen::default());
        for first in (0..rows).step_by(rows_of_part) {
            let part = first..rows.min(first.saturating_add(rows_of_part));
            let shape = [part.len(), columns];
            let part = all.clone().rows(part)?;
            parts.push(Tensor::from_pieces(device, shape, self.dtype, |first, values| {
                part.read(first, values)?;
                seen.see(values);
                Ok(())
            })?);
        }
        self.check(&name, &seen, self.dtype)?;
        Ok(parts)
    }

    /// A table of the vocabulary `[rows, columns]`.
    pub fn table(&mut self, device: &Device, name: &str, shape: [usize; 2]) -> Result<EmbeddingTable> {
        Ok(EmbeddingTable::from_parts(shape[1], self.parts(device, name, shape)?))
    }

    /// A projection to the vocabulary, with W `[words, columns]`.
    pub fn projection(
        &mut self,
        device: &Device,
        weight: &str,
        shape: [usize; 2],
        bias: &[f32],
    ) -> Result<LinearWeights> {
        LinearWeights::from_parts(device, self.parts(device, weight, shape)?, Some(bias))
    }

    /// [`Error::Weight`] unless all values are finite, and stay so as `dtype`.
    fn check(&self, name: &str, seen: &Seen, dtype: DType) -> Result<()> {
        seen.storable(dtype).map_err(|(expected, found)| Error::Weight {
            path: self.path(),
            name: name.to_owned(),
            expected,
            found,
        })
    }

    /// The checkpoint's; none where tensors are made.
    fn path(&self) -> PathBuf {
        match self.tensors {
            Tensors::Checkpoint(checkpoint) => checkpoint.path().to_owned(),
            Tensors::Random(_) => PathBuf::new(),
        }
    }

    pub fn linear(&mut self, name: &str, shape: [usize; 2]) -> Result<LinearTensors> {
        let weight = self.matrix(&format!("{name}.weight"), &shape)?;
        Ok(LinearTensors { weight, bias: self.tensor(&format!("{name}.bias"), &shape[..1])? })
    }

    /// The same on the device.
    pub fn linear_weights(
        &mut self,
        device: &Device,
        name: &str,
        shape: [usize; 2],
    ) -> Result<LinearWeights> {
        let tensors = self.linear(name, shape)?;
        let HostLinear { weight, bias } = tensors.host();
        LinearWeights::new(device, shape, weight, bias, self.dtype)
    }

    /// γ and β, which checkpoints of TensorFlow's time call so, and later ones weight and bias.
    pub fn norm(&mut self, name: &str, width: usize) -> Result<NormTensors> {
        let old = self.contains(&format!("{name}.gamma"));
        let [gamma, beta] = if old { ["gamma", "beta"] } else { ["weight", "bias"] };
        let gamma = self.tensor_or(&format!("{name}.{gamma}"), &[width], Initial::Constant(1.0))?;
        Ok(NormTensors { gamma, beta: self.tensor(&format!("{name}.{beta}"), &[width])? })
    }

    /// Projections by the names of the query's, key's, value's and output's.
    pub fn attention<N: AsRef<str>>(
        &mut self,
        [query, key, value, output]: &[N; 4],
        width: usize,
    ) -> Result<AttentionTensors> {
        let mut part = |name: &N| self.linear(name.as_ref(), [width, width]);
        Ok(AttentionTensors {
            query: part(query)?,
            key: part(key)?,
            value: part(value)?,
            output: part(output)?,
        })
    }

    /// Tensors that repeat others.
    pub fn ignore(&mut self, names: &[&str]) {
        self.used.extend(names.iter().map(|name| format!("{}{name}", self.prefix)));
    }

    /// A tensor that nothing accounts for may change what the model computes; those that begin with one of `unused`,
    /// behind the prefix or not, do not.
    pub fn check_all_used(&self, unused: &[&str], supported: &str) -> Result<()> {
        let accounted = |name: &str| {
            let bare = name.strip_prefix(self.prefix).unwrap_or(name);
            self.used.contains(name)
                || unused.iter().any(|unused| bare.starts_with(unused) || name.starts_with(unused))
        };
        let Tensors::Checkpoint(checkpoint) = self.tensors else { return Ok(()) };
        match checkpoint.names().find(|name| !accounted(name)) {
            None => Ok(()),
            Some(name) => Err(Error::Unsupported {
                path: self.path(),
                what: "tensor",
                found: name.to_owned(),
                supported: vec![supported.to_owned()],
            }),
        }
    }
}

/// What a tensor begins with that no checkpoint has.
#[derive(Clone, Copy)]
enum Initial {
    Constant(f32),
    Matrix,
    Table,
}

impl Initial {
    fn values(self, seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
        let count = shape.iter().product();
        let columns = shape.last().copied().unwrap_or(1).max(1);
        let deviation = match self {
            Self::Constant(value) => return vec![value; count],
            Self::Matrix => (2.0 / (count / columns + columns) as f32).sqrt(),
            Self::Table => (1.0 / columns as f32).sqrt(),
        };
        Inputs::new(seed ^ fnv::hash(name.bytes())).values(count, deviation)
    }
}

/// From here on f16 rounds to infinity: the middle between its largest number, 65504, and what would come next.
const F16_INFINITE: f32 = 65520.0;
/// And up to here to 0: half of its smallest number.
const F16_ZERO: f32 = 1.0 / (1 << 25) as f32;

/// What the values of a tensor are, seen piece by piece.
#[derive(Default)]
struct Seen {
    elements: usize,
    /// The bits of the largest magnitude. Of what is not negative, bits are in the order of the numbers; infinity and NaN are
    /// behind them all.
    largest: u32,
    /// How many are not finite, and the first of them.
    not_finite: usize,
    first: Option<(usize, f32)>,
}

impl Seen {
    fn of(values: &[f32]) -> Self {
        let mut seen = Self::default();
        seen.see(values);
        seen
    }

    /// The next values.
    fn see(&mut self, values: &[f32]) {
        let largest = values.iter().fold(0, |largest, value| (value.to_bits() & 0x7fff_ffff).max(largest));
        if !f32::from_bits(largest).is_finite() {
            let others = (self.elements..).zip(values).filter(|(_, value)| !value.is_finite());
            self.first =
                self.first.or_else(|| others.clone().next().map(|(element, &value)| (element, value)));
            self.not_finite += others.count();
        }
        self.elements += values.len();
        self.largest = self.largest.max(largest);
    }

    /// Whether all are finite and stay so as `dtype`, and are not rounded to 0 altogether; else what they should be and what
    /// they are.
    fn storable(&self, dtype: DType) -> std::result::Result<(), (String, String)> {
        if let Some((element, value)) = self.first {
            let found = match self.not_finite {
                1 => format!("its element {element} is {value}"),
                all => {
                    format!("{all} of its elements are not, the first of them {value} (element {element})")
                }
            };
            return Err(("of finite numbers".to_owned(), found));
        }
        if dtype != DType::F16 {
            return Ok(());
        }
        let largest = f32::from_bits(self.largest);
        let found = format!("its largest magnitude is {largest:e}");
        if largest >= F16_INFINITE {
            let expected = format!("below {F16_INFINITE} in magnitude to be stored as f16 (f32 takes it)");
            return Err((expected, found));
        }
        if largest > 0.0 && largest <= F16_ZERO {
            let expected = format!(
                "above {F16_ZERO:e} somewhere to be stored as f16, which rounds it to 0 (f32 takes it)"
            );
            return Err((expected, found));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;
    use crate::tensor::DType;
    use half::f16;

    fn storable(values: &[f32], dtype: DType) -> Result<(), (String, String)> {
        // In pieces it must be the same.
        let mut pieces = Seen::default();
        values.chunks(2).for_each(|piece| pieces.see(piece));
        let whole = Seen::of(values).storable(dtype);
        assert_eq!(pieces.storable(dtype), whole);
        whole
    }

    #[test]
    fn f16_takes_what_it_does_not_make_infinite_or_altogether_0() {
        for exponent in -40..20 {
            for fraction in [1.0, 1.000_000_1, 1.25, 1.999_999_9] {
                let value = fraction * 2_f32.powi(exponent);
                let stored = f16::from_f32(value);
                let keeps = stored.is_finite() && stored != f16::ZERO;
                assert_eq!(storable(&[0.0, -value], DType::F16).is_ok(), keeps, "{value:e}");
                assert!(storable(&[value], DType::F32).is_ok());
            }
        }
        for edge in [65504.0, 65519.996, 65520.0] {
            assert_eq!(storable(&[edge], DType::F16).is_ok(), f16::from_f32(edge).is_finite(), "{edge}");
        }
        // Zeros are stored as they are, and small numbers beside larger ones may be lost.
        assert!(storable(&[0.0, -0.0], DType::F16).is_ok() && storable(&[], DType::F16).is_ok());
        assert!(storable(&[1e-30, 1.0], DType::F16).is_ok());
    }

    #[test]
    fn what_is_not_finite_is_named_whatever_it_is_stored_as() {
        for dtype in [DType::F32, DType::F16] {
            let (expected, found) = storable(&[1.0, f32::NAN, 2.0], dtype).unwrap_err();
            assert_eq!((expected.as_str(), found.as_str()), ("of finite numbers", "its element 1 is NaN"));
            let (_, found) = storable(&[f32::NEG_INFINITY, 1e9, f32::NAN], dtype).unwrap_err();
            assert_eq!(found, "2 of its elements are not, the first of them -inf (element 0)");
        }
    }
}
