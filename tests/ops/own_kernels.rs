//! Kernels of a user's own: they run, those that are wrong are refused, and verification sees what they say wrongly.

use super::recording::refused;
use crate::common;
use attentive::kernel::{About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Kernel, Variant};
use attentive::recording::Value;
use attentive::verify::verify_variant;
use attentive::{DType, Device, Error, Recording, Result, Tensor};

#[path = "../../examples/own_kernel.rs"]
#[allow(dead_code)]
mod own_kernel;

#[test]
fn the_example_of_an_own_kernel_agrees_on_every_device() {
    let expected = own_kernel::on(&Device::cpu()).unwrap();
    assert!(expected.iter().any(|value| value.abs() > 0.1));
    for device in common::adapters() {
        for (got, expected) in own_kernel::on(&device).unwrap().iter().zip(&expected) {
            assert!((got - expected).abs() <= 1e-5, "{got} {expected} on {}", device.name());
        }
    }
}

attentive::parameters! {
    /// One number.
    pub struct Factor {
        /// It.
        pub factor: f32,
    }
}

/// What a kernel says that it takes of its bindings.
type Extents = fn(&[u8]) -> Vec<u64>;

/// y = factor · x, as a user may write it: with that text, bindings, and what it says of itself.
struct Own {
    source: &'static str,
    bindings: &'static [Binding],
    extents: Option<Extents>,
    twin: fn(f32, &[f32], &mut [f32]),
}

const SCALE: &str = "
struct Parameters { factor: f32 }
@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < min(4u, arrayLength(&y))) { y[id.x] = parameters.factor * x[id.x]; }
}
";

fn scaled(factor: f32, x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = factor * x);
}

impl Own {
    const SCALE: Self = Self {
        source: SCALE,
        bindings: &[Binding::read("x"), Binding::write("y")],
        extents: Some(|_| vec![4, 4]),
        twin: scaled,
    };

    fn leaked(self) -> &'static Self {
        Box::leak(Box::new(self))
    }
}

impl Kernel for Own {
    fn about(&self) -> About {
        About::new("test/own", self.source, self.bindings, Factor::FIELDS)
    }

    fn variants(&self) -> Vec<Variant> {
        vec![Variant::new("invocation", 64)]
    }

    fn workgroups(&self, _: &Variant, _: &[u8], _: u32) -> [u32; 3] {
        [1; 3]
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let (x, y) = (arguments.f32(0), arguments.f32_mut(1));
        (self.twin)(Factor::from_bytes(parameters).factor, x, y);
    }

    fn cost(&self, _: &Variant, _: &[u8]) -> Cost {
        Cost { flops: 4, bytes: 32, iterations: 0 }
    }

    fn cases(&self, _: &Variant, _: Depth) -> Vec<Case> {
        let [x, y] = [[1.0, 2.0, 3.0, 4.0], [0.5, 1.0, 1.5, 2.0]];
        vec![Case {
            label: "[4]".to_owned(),
            parameters: bytemuck::bytes_of(&Factor { factor: 0.5 }).to_vec(),
            arguments: vec![
                CaseArgument::F32(x.to_vec()),
                CaseArgument::output(y.iter().map(|y| Some(f64::from(*y))).collect()),
            ],
            floor: 1e-6,
        }]
    }

    fn extents(&self, _: &Variant, parameters: &[u8]) -> Option<Vec<u64>> {
        self.extents.map(|extents| extents(parameters))
    }
}

/// Runs one dispatch of it on 1, 2, 3, 4 into a temporary.
fn run_own(device: &Device, kernel: &'static Own, factor: f32) -> Result<Vec<f32>> {
    let mut recording = Recording::new(device);
    let x = recording.tensor(&Tensor::from_f32(device, [4], &[1.0, 2.0, 3.0, 4.0])?)?;
    let y = recording.temporary([4], DType::F32)?;
    recording.dispatch(kernel, &kernel.variants()[0], &Factor { factor }, &[&x, &y])?;
    recording.output(&y)?;
    recording.run()?.tensor(&y)?.to_f32()
}

#[test]
fn an_own_kernel_that_is_called_wrongly_is_refused() {
    for device in common::devices() {
        let kernel = Own::SCALE.leaked();
        let variant = &kernel.variants()[0];
        assert_eq!(run_own(&device, kernel, 2.0).unwrap(), [2.0, 4.0, 6.0, 8.0], "{}", device.name());
        let factor = Factor { factor: 2.0 };
        let mut recording = Recording::new(&device);
        let x = recording.zeros([4], DType::F32).unwrap();
        let (y, short) =
            (recording.zeros([4], DType::F32).unwrap(), recording.zeros([3], DType::F32).unwrap());
        let foreign = Recording::new(&device).zeros([4], DType::F32).unwrap();
        let before = recording.cost();
        let mut refused = |parameters: &[f32], bindings: &[&Value], words: &[&str]| {
            let outcome = match *parameters {
                [] => recording.dispatch(kernel, variant, &(), bindings),
                [factor] => recording.dispatch(kernel, variant, &Factor { factor }, bindings),
                _ => recording.dispatch(kernel, variant, &[0.0_f32; 5], bindings),
            };
            refused(outcome, words);
        };
        refused(&[], &[&x, &y], &["test/own", "the parameters", "4 bytes", "0 bytes"]);
        refused(&[0.0; 2], &[&x, &y], &["the parameters", "4 bytes", "20 bytes"]);
        refused(&[2.0], &[&x], &["the bindings", "[x, y]", "1 values"]);
        refused(&[2.0], &[&x, &y, &y], &["the bindings", "3 values"]);
        refused(&[2.0], &[&x, &foreign], &["of this recording"]);
        refused(&[2.0], &[&short, &y], &["`x`", "4 words", "[3]"]);
        refused(&[2.0], &[&x, &x], &["`y`", "a buffer of its own", "`x`"]);
        assert_eq!(recording.cost(), before);
        recording.dispatch(kernel, variant, &factor, &[&x, &y]).unwrap();

        // One that does not say what it writes, and one that says less, write no temporary.
        for extents in [None, Some((|_| vec![4, 3]) as Extents)] {
            let kernel = Own { extents, ..Own::SCALE }.leaked();
            let error = run_own(&device, kernel, 2.0).unwrap_err().to_string();
            assert!(error.contains("Recording::zeros") && error.contains("Kernel::extents"), "{error}");
            let mut recording = Recording::new(&device);
            let x = recording.tensor(&Tensor::from_f32(&device, [4], &[1.0; 4]).unwrap()).unwrap();
            let y = recording.zeros([4], DType::F32).unwrap();
            recording.dispatch(kernel, variant, &factor, &[&x, &y]).unwrap();
            recording.output(&y).unwrap();
            assert_eq!(recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap(), [2.0; 4]);
        }
    }
}

#[test]
fn own_kernels_of_one_name_are_not_confused() {
    for device in common::devices() {
        let triple = Own {
            source: SCALE.replace("parameters.factor", "3.0 * parameters.factor").leak(),
            twin: |factor, x, y| scaled(3.0 * factor, x, y),
            ..Own::SCALE
        };
        let (once, triple) = (Own::SCALE.leaked(), triple.leaked());
        for _ in 0..2 {
            assert_eq!(run_own(&device, once, 1.0).unwrap(), [1.0, 2.0, 3.0, 4.0], "{}", device.name());
            assert_eq!(run_own(&device, triple, 1.0).unwrap(), [3.0, 6.0, 9.0, 12.0], "{}", device.name());
        }
        // The same text in a variant with a constant more is another module, too.
        let shadowed = Own {
            source: SCALE.replace("parameters.factor *", "f32(TIMES) *").leak(),
            twin: |_, x, y| scaled(5.0, x, y),
            ..Own::SCALE
        };
        let shadowed = shadowed.leaked();
        for times in [5_u32, 7] {
            let mut recording = Recording::new(&device);
            let x = recording.tensor(&Tensor::from_f32(&device, [4], &[1.0; 4]).unwrap()).unwrap();
            let y = recording.temporary([4], DType::F32).unwrap();
            let variant = Variant::new("invocation", 64).with("TIMES", times);
            recording.dispatch(shadowed, &variant, &Factor { factor: 0.0 }, &[&x, &y]).unwrap();
            recording.output(&y).unwrap();
            let y = recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap();
            let expected = if device.is_cpu() { 5.0 } else { times as f32 };
            assert_eq!(y, [expected; 4], "{}", device.name());
        }
    }
}

#[test]
fn an_own_kernel_that_is_wrong_in_itself_is_an_error_and_no_panic() {
    for device in common::devices() {
        let broken =
            Own { source: SCALE.replace("factor * x[id.x]", "facto * x[id.x]").leak(), ..Own::SCALE };
        let panics = Own { twin: |_, _, _| panic!("the twin's own words"), ..Own::SCALE };
        match (run_own(&device, broken.leaked(), 1.0), device.is_cpu()) {
            (Err(Error::Rejected { what, message, .. }), false) => {
                assert_eq!(what, "test/own");
                assert!(message.contains("facto"), "{message}");
            }
            (outcome, is_cpu) => assert!(is_cpu && outcome.is_ok(), "{outcome:?}"),
        }
        match (run_own(&device, panics.leaked(), 1.0), device.is_cpu()) {
            (Err(Error::Rejected { message, .. }), true) => {
                assert!(message.contains("own words"), "{message}")
            }
            (outcome, is_cpu) => assert!(!is_cpu && outcome.is_ok(), "{outcome:?}"),
        }
        // Far out of bounds, and in a loop that does not end by itself within reason: checks keep both in.
        let outside =
            Own { source: SCALE.replace("y[id.x] =", "y[id.x + 100000000u] =").leak(), ..Own::SCALE };
        let neighbours: Vec<Tensor> =
            (0..8).map(|_| Tensor::from_f32(&device, [4], &[7.0; 4]).unwrap()).collect();
        run_own(&device, outside.leaked(), 1.0).unwrap();
        assert!(neighbours.iter().all(|tensor| tensor.to_f32().unwrap() == [7.0; 4]));
        assert_eq!(run_own(&device, Own::SCALE.leaked(), 1.0).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    }
}

#[test]
fn verification_sees_what_an_own_kernel_says_wrongly() {
    for device in common::devices() {
        let failures = |kernel: Own| {
            let kernel = kernel.leaked();
            let variant = &kernel.variants()[0];
            pollster::block_on(verify_variant(&device, kernel, variant, Depth::Quick)).unwrap().failures
        };
        assert!(failures(Own::SCALE).is_empty());
        let wrong = failures(Own {
            source: SCALE.replace("parameters.factor *", "0.6 * ").leak(),
            twin: |_, x, y| scaled(0.6, x, y),
            ..Own::SCALE
        });
        assert_eq!(wrong.len(), 1, "{}", device.name());
        for (extents, words) in [
            ((|_| vec![5, 4]) as Extents, "5 words of `x`, the case has 4"),
            (|_| vec![4], "1 extents for 2 bindings"),
        ] {
            let failed = failures(Own { extents: Some(extents), ..Own::SCALE });
            assert!(failed[0].1.contains(words), "{failed:?}");
        }
    }
}
