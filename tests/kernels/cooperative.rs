//! Cooperative matrices: who gets them, what they are chosen for, and what is said where they are not there.

use crate::common;
use attentive::device::list_adapters;
use attentive::kernel::Inputs;
use attentive::ops::{Attention, Heads, Linear, LinearWeights};
use attentive::reference::attention::{self as oracle, Dims, Options, Strided, View};
use attentive::reference::linear::{Dims as LinearDims, WeightLayout, linear};
use attentive::reference::{activation, rounding_floor};
use attentive::verify::compare::{Comparison, Tolerance, compare};
use attentive::verify::cooperative;
use attentive::{Activation, DType, Device, DeviceOptions, Error, Recording, Result, Tensor};

/// A device that is asked for them, with these implementations forced.
fn asked(implementations: &[&str]) -> DeviceOptions {
    let mut options = forced(implementations);
    options.cooperative = true;
    options
}

fn forced(implementations: &[&str]) -> DeviceOptions {
    let mut options = DeviceOptions::default();
    options.implementations = implementations.iter().map(|&word| word.to_owned()).collect();
    options
}

fn f16(values: &[f32]) -> Vec<f32> {
    values.iter().map(|&value| half::f16::from_f32(value).to_f32()).collect()
}

const ROWS: usize = 70;
const INPUTS: usize = 96;
const OUTPUTS: usize = 131;

/// A linear layer with weights stored as f16.
struct Layer {
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    residual: Vec<f32>,
}

impl Layer {
    fn new() -> Self {
        let mut inputs = Inputs::new(5);
        Self {
            x: inputs.values(ROWS * INPUTS, 1.0),
            weight: f16(&inputs.values(OUTPUTS * INPUTS, 0.1)),
            bias: inputs.values(OUTPUTS, 1.0),
            residual: inputs.values(ROWS * OUTPUTS, 1.0),
        }
    }

    fn run(&self, device: &Device, dtype: DType) -> Result<Vec<f32>> {
        let weights = LinearWeights::new(device, [OUTPUTS, INPUTS], &self.weight, Some(&self.bias), dtype)?;
        let mut recording = Recording::new(device);
        let x = recording.tensor(&Tensor::from_f32(device, [ROWS, INPUTS], &self.x)?)?;
        let residual = recording.tensor(&Tensor::from_f32(device, [ROWS, OUTPUTS], &self.residual)?)?;
        let layer = Linear::new(&weights).activation(Activation::Gelu).residual(&residual);
        let y = layer.record(&mut recording, &x)?;
        recording.output(&y)?;
        recording.run()?.tensor(&y)?.to_f32()
    }

    /// How far a result is from the layer of x, or of x rounded to f16.
    fn compare(&self, got: &[f32], rounded: bool) -> Comparison {
        let x = if rounded { f16(&self.x) } else { self.x.clone() };
        let dims = LinearDims { rows: ROWS, inputs: INPUTS, outputs: OUTPUTS };
        let (bias, residual) = (Some(&self.bias[..]), Some(&self.residual[..]));
        let expected = linear(&x, &self.weight, WeightLayout::OutIn, bias, activation::gelu, residual, dims);
        let twin = Self { x, ..self.clone() }.run(&Device::cpu(), DType::F16).unwrap();
        compare(
            got,
            &twin,
            &expected,
            Tolerance { floor: rounding_floor(INPUTS, 8.0), ..Tolerance::default() },
        )
    }
}

impl Clone for Layer {
    fn clone(&self) -> Self {
        let Self { x, weight, bias, residual } = self;
        Self { x: x.clone(), weight: weight.clone(), bias: bias.clone(), residual: residual.clone() }
    }
}

/// Adapters that have such matrices, opened with these options.
fn with_matrices(options: &DeviceOptions) -> Vec<Device> {
    let mut adapters = common::usable_adapters();
    adapters.retain(|adapter| adapter.capabilities.cooperative.is_some());
    adapters.iter().map(|adapter| common::open(adapter, options)).collect()
}

#[test]
fn a_device_has_them_only_where_it_is_asked() {
    for adapter in common::usable_adapters() {
        let has = adapter.capabilities.cooperative;
        let plain = common::open(&adapter, &DeviceOptions::default());
        assert_eq!(plain.capabilities().cooperative, None, "{}", adapter.name);
        let device = common::open(&adapter, &asked(&[]));
        assert_eq!(device.capabilities().cooperative, has, "{}", adapter.name);
        let mut baseline = asked(&[]);
        baseline.baseline = true;
        assert_eq!(common::open(&adapter, &baseline).capabilities().cooperative, None);
        // All else is as without them.
        let capabilities = device.capabilities().clone();
        assert_eq!(format!("{plain:?}"), format!("{device:?}"));
        assert_eq!(capabilities.subgroups, plain.capabilities().subgroups);
    }
    assert!(
        pollster::block_on(list_adapters()).unwrap().iter().all(|adapter| {
            adapter.capabilities.cooperative.is_none_or(|has| [8, 16].contains(&has.side))
        })
    );
}

#[test]
fn a_layer_rounds_x_only_where_it_is_asked() {
    let layer = Layer::new();
    for device in with_matrices(&DeviceOptions::default()) {
        let plain = layer.run(&device, DType::F16).unwrap();
        assert!(layer.compare(&plain, false).passed, "{}", device.name());
    }
    for options in [asked(&[]), asked(&["linear=cooperative"])] {
        for device in with_matrices(&options) {
            let got = layer.run(&device, DType::F16).unwrap();
            let comparison = layer.compare(&got, true);
            assert!(comparison.passed, "{}: {comparison}", device.name());
            assert!(!layer.compare(&got, false).passed, "{}: x was not rounded", device.name());
        }
    }
    // Weights in f32 are not theirs.
    for device in with_matrices(&asked(&[])) {
        let got = layer.run(&device, DType::F32).unwrap();
        assert!(layer.compare(&got, false).passed, "{}", device.name());
    }
}

#[test]
fn what_they_cannot_take_is_refused_with_a_sentence() {
    let layer = Layer::new();
    for device in with_matrices(&asked(&["linear=cooperative"])) {
        common::assert_fails(layer.run(&device, DType::F32), &["`cooperative` of linear", "weights in f16"]);
    }
    for device in with_matrices(&asked(&["attention=cooperative"])) {
        common::assert_fails(attend(&device, 64, DType::F32), &["keys and values in f16"]);
        common::assert_fails(attend(&device, 300, DType::F16), &["head_dim and value_dim up to", "not 300"]);
    }
    let mut others = common::adapters_with(&forced(&["linear=cooperative", "attention=cooperative"]));
    others.push(Device::open_with("cpu", asked(&["linear=cooperative", "attention=cooperative"])).unwrap());
    for device in others {
        for outcome in [layer.run(&device, DType::F16), attend(&device, 64, DType::F16)] {
            let words = ["cooperative", "no cooperative matrices, or was not asked for them"];
            let error = common::assert_fails(outcome, &words);
            assert!(matches!(error, Error::Implementation { .. }), "{error:?}");
        }
    }
}

const QUERIES: usize = 40;
const KEYS: usize = 150;
const HEADS: usize = 2;

/// q, k and v `[1, HEADS, …, dim]`, exact in f16.
fn attention_inputs(dim: usize) -> [Vec<f32>; 3] {
    let mut inputs = Inputs::new(9);
    [QUERIES, KEYS, KEYS].map(|rows| f16(&inputs.values(HEADS * rows * dim, 1.0)))
}

fn attend(device: &Device, dim: usize, dtype: DType) -> Result<Vec<f32>> {
    let data = attention_inputs(dim);
    let mut recording = Recording::new(device);
    let mut put = |values: &[f32], rows: usize, dtype: DType| {
        let dims = [1, HEADS, rows, dim];
        recording.tensor(&match dtype {
            DType::F16 => Tensor::from_f32_as_f16(device, dims, values)?,
            _ => Tensor::from_f32(device, dims, values)?,
        })
    };
    let q = put(&data[0], QUERIES, DType::F32)?;
    let k = put(&data[1], KEYS, dtype)?;
    let v = put(&data[2], KEYS, dtype)?;
    let (q, k, v) = (Heads::dense(&q)?, Heads::dense(&k)?, Heads::dense(&v)?);
    let output = Attention::new().record(&mut recording, &q, &k, &v)?.output;
    recording.output(&output)?;
    recording.run()?.tensor(&output)?.to_f32()
}

#[test]
fn attention_rounds_its_weights_only_where_it_is_asked() {
    for dim in [16, 40, 64] {
        let data = attention_inputs(dim);
        let view =
            |place: usize, rows: usize| View::new(&data[place], Strided::heads_first(HEADS, rows, dim));
        let dims = Dims {
            batch: 1,
            heads: HEADS,
            heads_kv: HEADS,
            queries: QUERIES,
            keys: KEYS,
            head_dim: dim,
            value_dim: dim,
        };
        let expected = oracle::attention(
            view(0, QUERIES),
            view(1, KEYS),
            view(2, KEYS),
            dims,
            Options::for_head_dim(dim),
        );
        // The op gives [1, Lq, H, D].
        let expected: Vec<f64> = (0..QUERIES * HEADS)
            .flat_map(|row| &expected[(row % HEADS * QUERIES + row / HEADS) * dim..][..dim])
            .copied()
            .collect();
        let twin = attend(&Device::cpu(), dim, DType::F16).unwrap();
        let exact = Tolerance { floor: rounding_floor(KEYS + dim, 4.0), ..Tolerance::default() };
        // A weight errs by 2⁻¹¹ of itself.
        let rounded =
            Tolerance { floor: exact.floor + 4.0 / 2048.0, nmse: (-22.0_f64).exp2(), ..Tolerance::default() };
        for device in with_matrices(&DeviceOptions::default()) {
            let comparison = compare(&attend(&device, dim, DType::F16).unwrap(), &twin, &expected, exact);
            assert!(comparison.passed, "{}: {dim}: {comparison}", device.name());
        }
        for options in [asked(&[]), asked(&["attention=cooperative"])] {
            for device in with_matrices(&options) {
                let got = attend(&device, dim, DType::F16).unwrap();
                let comparison = compare(&got, &twin, &expected, rounded);
                assert!(comparison.passed, "{}: {dim}: {comparison}", device.name());
                let comparison = compare(&got, &twin, &expected, exact);
                assert!(!comparison.passed, "{}: {dim}: its weights were not rounded", device.name());
            }
        }
        for device in with_matrices(&asked(&[])) {
            let comparison = compare(&attend(&device, dim, DType::F32).unwrap(), &twin, &expected, exact);
            assert!(comparison.passed, "{}: {dim}: {comparison}", device.name());
        }
    }
}

#[test]
fn what_cannot_be_verified_has_not_passed() {
    for device in common::devices() {
        let report = pollster::block_on(cooperative(&device, 2, |_, _, _| {})).unwrap();
        assert!(!report.passed() && report.cases == 0, "{report:?}");
        assert!(report.skipped.is_some_and(|reason| reason.contains("not asked")));
    }
    for adapter in common::usable_adapters() {
        if adapter.capabilities.cooperative.is_none() {
            let device = common::open(&adapter, &asked(&[]));
            let report = pollster::block_on(cooperative(&device, 2, |_, _, _| {})).unwrap();
            assert!(report.skipped.is_some_and(|reason| reason.contains("adapter has no")));
        }
    }
}

#[test]
fn verified_matrices_give_the_same_bits_each_time() {
    for device in with_matrices(&asked(&[])) {
        let report = pollster::block_on(cooperative(&device, 3, |_, _, _| {})).unwrap();
        assert!(report.passed(), "{}: {report:?}", device.name());
        assert!(report.variants > 10 && report.cases > 100, "{report:?}");
    }
}
