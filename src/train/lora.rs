//! Low-rank adaptation: what is trained of a matrix is a product of two small ones.

use std::ops::Range;

use super::optimizer::elements_of;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::fnv;
use crate::kernels::elementwise::strided_copy::{self, StridedCopy};
use crate::layers::Parameter;
use crate::ops::{Gemm, slice};
use crate::recording::{Gradients, Recording, Value};
use crate::tensor::{DType, Tensor};

pub(super) const OP: &str = "lora";
/// Layers that an error names at most.
const NAMED: usize = 8;

/// What is adapted, and how.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LoraOptions {
    /// r: the columns of B, and the rows of A.
    pub rank: usize,
    /// α: what B·A is added with is α / r. Where the rank is changed later, the learning rate may stay.
    pub alpha: f32,
    /// The linear layers that are adapted, by the ends of their names in a checkpoint, whole parts of them: `query` is
    /// `encoder.layer.0.attention.self.query` and that of all other layers. PEFT's `target_modules`.
    pub targets: Vec<String>,
    /// The parts of the model that are trained whole beside them, such as a new head: `classifier` is all that has it as a whole part of
    /// its name. PEFT's `modules_to_save`.
    pub whole: Vec<String>,
    /// A is made from it.
    pub seed: u64,
}

impl LoraOptions {
    /// Queries and values of BERT's names, as Hu et al. (section 4.2) and PEFT have it, with that rank, and α the same.
    pub fn new(rank: usize) -> Self {
        let targets = ["query", "value"].map(str::to_owned).to_vec();
        Self { rank, alpha: rank as f32, targets, whole: Vec::new(), seed: 0 }
    }
}

/// Low-rank adaptation of some linear layers (Hu et al. 2022, *LoRA: Low-Rank Adaptation of Large Language Models*; names and first values
/// as PEFT has them).
///
/// Of each layer's W `[out, in]` what the model began with, W₀, is kept as it is, and B `[out, r]` and A `[r, in]` are trained:
///
/// W = W₀ + s·B·A with s = α / r, dB = s·dW·Aᵀ, dA = s·Bᵀ·dW
///
/// A is uniform between −1/√in and 1/√in (He et al. 2015 as `kaiming_uniform_` with a = √5), and B is 0, so that a model begins as it is.
/// The layer's own tensor is W: layers compute as they always do, what is written of them is the merged model, and W is computed anew
/// behind each step of a [`Trainer`](super::Trainer::with_lora). What is neither adapted nor trained whole keeps its bits. An optimizer's
/// state is of A and B alone; W₀ takes the memory of the matrices that are adapted once more.
///
/// A layer that lies with others in one tensor, as queries, keys and values do, is adapted by its own rows, and the others' stay.
///
/// ```
/// use attentive::layers::Parameters;
/// use attentive::ops::{CrossEntropy, Linear, LinearWeights};
/// use attentive::train::{AdamW, Lora, LoraOptions, Trainer};
/// use attentive::{DType, Device, Tensor};
///
/// # fn main() -> attentive::Result<()> {
/// let device = Device::cpu();
/// let layer = LinearWeights::new(&device, [2, 2], &[0.1, 0.2, -0.3, 0.4], Some(&[0.0; 2]), DType::F32)?;
/// let mut parameters = Parameters::new();
/// parameters.linear("model.layer", &layer);
/// let mut options = LoraOptions::new(1);
/// options.targets = vec!["layer".to_owned()];
/// let lora = Lora::new(&device, parameters.into_vec(), &options)?;
/// let names: Vec<&str> = lora.parameters().iter().map(|parameter| parameter.name()).collect();
/// assert_eq!(names, ["model.layer.lora_A.weight", "model.layer.lora_B.weight"]);
/// let algorithm = AdamW { learning_rate: 0.1, ..AdamW::default() };
/// let mut trainer = Trainer::with_lora(&device, algorithm, lora)?;
/// let x = Tensor::from_f32(&device, [2, 2], &[1.0, 0.0, 0.0, 1.0])?;
/// let mut losses = Vec::new();
/// for _ in 0..20 {
///     let step = trainer.step(|recording| {
///         let x = recording.tensor(&x)?;
///         let logits = Linear::new(&layer).record(recording, &x)?;
///         CrossEntropy::new(&[1, 0]).record(recording, &logits)
///     })?;
///     losses.push(step.loss);
/// }
/// assert!(losses[19] < 0.6 * losses[0], "{losses:?}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Lora {
    device: Device,
    options: LoraOptions,
    adapters: Vec<Adapter>,
    /// A and B of each adapter, and then what is trained whole.
    parameters: Vec<Parameter>,
}

/// The adapter of one linear layer.
#[derive(Debug)]
struct Adapter {
    /// The layer's tensor, which others' rows may be in too.
    tensor: Tensor,
    /// Those of the layer.
    rows: Range<usize>,
    /// W₀, `[out, in]`.
    frozen: Tensor,
    /// `[r, in]`.
    a: Tensor,
    /// `[out, r]`.
    b: Tensor,
}

impl Lora {
    /// Adapts some of a model's parameters, f32. The model must have its weights: what they are now is W₀.
    ///
    /// # Errors
    /// [`Error::Argument`] for a rank of 0, an α that is not above 0 and finite, a target or a part that no parameter has, none at all, a
    /// target that is no matrix or not whole in one tensor, as a table of a large vocabulary, and for parameters that are not f32;
    /// [`Error::WrongDevice`], [`Error::OutOfMemory`], [`Error::Limit`].
    pub async fn new_async(
        device: &Device,
        parameters: Vec<Parameter>,
        options: &LoraOptions,
    ) -> Result<Self> {
        let wrong = |argument: &str, expected: &str, found: String| {
            Err(Error::argument(OP, argument, expected, found))
        };
        let &LoraOptions { rank, alpha, .. } = options;
        if rank == 0 {
            return wrong("the rank", "at least 1", "0".to_owned());
        }
        if !(alpha.is_finite() && alpha > 0.0) {
            return wrong("alpha", "a finite number above 0", alpha.to_string());
        }
        let (mut trained, mut whole, mut layers) = (Vec::new(), Vec::new(), Vec::new());
        for parameter in parameters {
            device.expect_same(OP, || parameter.name().to_owned(), parameter.tensor.device())?;
            if parameter.tensor.dtype() != DType::F32 {
                return wrong(parameter.name(), "f32", parameter.tensor.dtype().to_string());
            }
            let is_whole = parameter.slices.iter().map(|slice| options.has_whole(&slice.name));
            let is_whole: Vec<bool> = is_whole.collect();
            match (is_whole.contains(&true), is_whole.contains(&false)) {
                (true, false) => whole.push(parameter),
                (true, true) => {
                    let expected = "trained whole with all that lies in its tensor, or not at all";
                    return wrong(
                        parameter.name(),
                        expected,
                        "one of several, of which others are not".to_owned(),
                    );
                }
                (false, _) => layers.push(parameter),
            }
        }
        options.expect_found(&layers, &whole)?;
        let mut adapters = Vec::new();
        let mut recording = Recording::new(device);
        let mut copies = Vec::new();
        for parameter in &layers {
            for part in &parameter.slices {
                let Some(module) = options.target(&part.name) else { continue };
                let &[outputs, inputs] = part.shape.as_slice() else {
                    return wrong(&part.name, "a matrix", format!("{:?}", part.shape));
                };
                let columns = parameter.tensor.shape().last();
                if part.at != [0; 2] || part.rows.len() != outputs || columns != inputs {
                    let found = format!("{} rows of {columns} of them", part.rows.len());
                    return wrong(
                        &part.name,
                        &format!("whole in one tensor, {outputs} rows of {inputs}"),
                        found,
                    );
                }
                elements_of(&part.name, parameter.tensor.shape().elements())?;
                let a = options.first_a(device, module, inputs)?;
                let b = Tensor::zeros(device, [outputs, rank], DType::F32)?;
                trained.push(Parameter::new(format!("{module}.lora_A.weight"), &a, true));
                trained.push(Parameter::new(format!("{module}.lora_B.weight"), &b, true));
                copies.push(record_rows(&mut recording, &parameter.tensor, &part.rows)?);
                adapters.push((parameter.tensor.clone(), part.rows.clone(), a, b));
            }
        }
        let outputs = recording.run_async().await?;
        let adapters = adapters.into_iter().zip(&copies).map(|((tensor, rows, a, b), copy)| {
            Ok(Adapter { tensor, rows, frozen: outputs.tensor(copy)?, a, b })
        });
        let adapters = adapters.collect::<Result<_>>()?;
        trained.extend(whole);
        Ok(Self { device: device.clone(), options: options.clone(), adapters, parameters: trained })
    }

    /// The blocking form of [`Lora::new_async`].
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(device: &Device, parameters: Vec<Parameter>, options: &LoraOptions) -> Result<Self> {
        crate::waiting::block_on(Self::new_async(device, parameters, options))
    }

    /// What is trained: A and B of each layer, `NAME.lora_A.weight` and `NAME.lora_B.weight`, and then what is trained whole.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The options.
    pub fn options(&self) -> &LoraOptions {
        &self.options
    }

    /// s = α / r.
    pub fn scale(&self) -> f32 {
        self.options.alpha / self.options.rank as f32
    }

    /// What a recording differentiates by, as [`Recording::training`] takes it: [`Lora::parameters`], and W of each layer.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let same = |a: &Adapter, b: &Adapter| a.tensor.storage().is(b.tensor.storage());
        let first = move |(place, own): &(usize, &Adapter)| {
            self.adapters[..*place].iter().all(|other| !same(other, own))
        };
        let layers = self.adapters.iter().enumerate().filter(first).map(|(_, adapter)| &adapter.tensor);
        self.parameters.iter().map(|parameter| &parameter.tensor).chain(layers)
    }

    /// Records the gradients of A and B, from those of W: behind [`Recording::backward`], in a recording by [`Lora::tensors`]. A layer
    /// that the loss does not depend on has none.
    ///
    /// # Errors
    /// [`Error::WrongDevice`], [`Error::Limit`].
    pub fn record_gradients(&self, recording: &mut Recording, gradients: &mut Gradients) -> Result<()> {
        let scale = self.scale();
        recording.untaped(|recording| {
            for adapter in &self.adapters {
                let Some(all) = gradients.of_parameter(recording, &adapter.tensor) else { continue };
                let own = slice(recording, &all, 0, adapter.rows.clone())?;
                let (a, b) = (recording.tensor(&adapter.a)?, recording.tensor(&adapter.b)?);
                let of_a = Gemm::new().alpha(scale).transpose_a().record(recording, &b, &own)?;
                let of_b = Gemm::new().alpha(scale).transpose_b().record(recording, &own, &a)?;
                gradients.set(recording, &a, of_a);
                gradients.set(recording, &b, of_b);
            }
            Ok(())
        })
    }

    /// Records that W of each layer is W₀ + s·B·A of what A and B are then.
    ///
    /// # Errors
    /// [`Error::WrongDevice`], [`Error::Limit`].
    pub fn record_merge(&self, recording: &mut Recording) -> Result<()> {
        let scale = self.scale();
        recording.untaped(|recording| {
            for adapter in &self.adapters {
                let frozen = recording.tensor(&adapter.frozen)?;
                let (a, b) = (recording.tensor(&adapter.a)?, recording.tensor(&adapter.b)?);
                let merged = Gemm::new().alpha(scale).c(&frozen).record(recording, &b, &a)?;
                let to = recording.tensor(&adapter.tensor)?;
                let first = (adapter.rows.start * frozen.shape().last()) as u32;
                let parameters = strided_copy::Parameters { y_first: first, ..all_of(&merged) };
                let bindings = [&merged, &to];
                recording.dispatch_trusted(&StridedCopy, strided_copy::variant(), &parameters, &bindings)?;
            }
            Ok(())
        })
    }

    /// Computes W of each layer: behind A and B that were written by hand. A trainer does it behind each step.
    ///
    /// # Errors
    /// As [`Recording::run_async`].
    pub async fn merge_async(&self) -> Result<()> {
        let mut recording = Recording::new(&self.device);
        self.record_merge(&mut recording)?;
        recording.run_async().await.map(drop)
    }

    /// The blocking form of [`Lora::merge_async`].
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn merge(&self) -> Result<()> {
        crate::waiting::block_on(self.merge_async())
    }
}

impl LoraOptions {
    /// The layer's name, if it is a target.
    fn target<'a>(&self, weight: &'a str) -> Option<&'a str> {
        let module = weight.strip_suffix(".weight")?;
        self.targets.iter().any(|target| ends_with(module, target)).then_some(module)
    }

    /// Whether that tensor is trained whole.
    fn has_whole(&self, name: &str) -> bool {
        self.whole.iter().any(|part| has_part(name, part))
    }

    /// [`Error::Argument`] for a target or a part that is nowhere.
    fn expect_found(&self, layers: &[Parameter], whole: &[Parameter]) -> Result<()> {
        fn names(parameters: &[Parameter]) -> impl Iterator<Item = &str> {
            parameters.iter().flat_map(|parameter| &parameter.slices).map(|slice| slice.name.as_str())
        }
        if self.targets.is_empty() {
            return Err(Error::argument(OP, "the targets", "one linear layer at least", "none"));
        }
        let modules = || names(layers).filter_map(|name| name.strip_suffix(".weight"));
        for target in &self.targets {
            if !modules().any(|module| ends_with(module, target)) {
                let mut known: Vec<&str> =
                    modules().map(|module| module.rsplit('.').next().unwrap_or(module)).collect();
                known.sort_unstable();
                known.dedup();
                let more = if known.len() > NAMED { ", …" } else { "" };
                known.truncate(NAMED);
                let expected = format!("the end of a layer's name, such as {}{more}", known.join(", "));
                return Err(Error::argument(OP, "a target", expected, format!("`{target}`")));
            }
        }
        match self.whole.iter().find(|part| !names(whole).any(|name| has_part(name, part))) {
            Some(part) => {
                let expected = "a part of some parameter's name";
                Err(Error::argument(OP, "what is trained whole", expected, format!("`{part}`")))
            }
            None => Ok(()),
        }
    }

    /// A as it begins: by the layer's name, so that no layer depends on the others.
    fn first_a(&self, device: &Device, module: &str, inputs: usize) -> Result<Tensor> {
        let mut random = fastrand::Rng::with_seed(self.seed ^ fnv::hash(module.bytes()));
        let bound = 1.0 / (inputs.max(1) as f32).sqrt();
        let values: Vec<f32> = (0..self.rank * inputs).map(|_| (2.0 * random.f32() - 1.0) * bound).collect();
        Tensor::from_f32(device, [self.rank, inputs], &values)
    }
}

/// Whether a name ends with that one, at a dot.
fn ends_with(name: &str, end: &str) -> bool {
    !end.is_empty() && name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether that is a part of a name, from dot to dot.
fn has_part(name: &str, part: &str) -> bool {
    !part.is_empty() && format!(".{name}.").contains(&format!(".{part}."))
}

/// A copy of all elements, to the first of another value.
fn all_of(value: &Value) -> strided_copy::Parameters {
    let elements = value.shape().elements() as u32;
    let mut axes = [[1, 0]; strided_copy::AXES];
    axes[0] = [elements, 1];
    strided_copy::Parameters::new(elements, axes)
}

/// Records a copy of some rows, an output.
fn record_rows(recording: &mut Recording, tensor: &Tensor, rows: &Range<usize>) -> Result<Value> {
    let columns = tensor.shape().last();
    let from = recording.tensor(tensor)?;
    let copy = recording.temporary([rows.len(), columns], DType::F32)?;
    let parameters = strided_copy::Parameters { x_first: (rows.start * columns) as u32, ..all_of(&copy) };
    recording.dispatch_trusted(&StridedCopy, strided_copy::variant(), &parameters, &[&from, &copy])?;
    recording.output(&copy)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_by_their_parts() {
        assert!(ends_with("encoder.layer.0.attention.self.query", "query") && ends_with("query", "query"));
        assert!(ends_with("a.output.dense", "output.dense") && !ends_with("a.myquery", "query"));
        assert!(!ends_with("a.query.b", "query") && !ends_with("a.query", ""));
        assert!(
            has_part("classifier.dense.weight", "classifier") && has_part("a.classifier.bias", "classifier")
        );
        assert!(
            has_part("bert.pooler.dense.weight", "pooler.dense")
                && !has_part("my_classifier.weight", "classifier")
        );
        assert!(!has_part("classifier.weight", ""));
    }
}
