//! A kernel of your own: WGSL, its twin in Rust, an f64 oracle and cases; verified as this crate's kernels are, and recorded
//! between its ops, on a GPU and on the CPU.
//!
//!     cargo run --example own_kernel [-- DEVICE]
//!
//! The kernel is the gate of a SwiGLU feed-forward network (Shazeer 2020): y = a · σ(a) · b, element by element.

use attentive::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, geometry,
};
use attentive::ops::{Linear, LinearWeights};
use attentive::reference::rounding_floor;
use attentive::verify::verify_variant;
use attentive::{DType, Device, Error, Recording, Result, Tensor, bytemuck};

// 1. The parameters: u32 and f32 alone, so that they lie in the uniform as they do in Rust.
attentive::parameters! {
    /// Sizes.
    pub struct Parameters {
        /// Elements of a, b and y.
        pub elements: u32,
    }
}

// 2. The shader. Binding 0 is the parameters, the others follow in the order of `bindings`. `WORKGROUP` comes from the variant,
//    `workgroup_index` from the shared file `indexing`, which undoes the fold of `workgroups`.
const SOURCE: &str = "
#import indexing

struct Parameters {
    elements: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let i = workgroup_index(id, count) * WORKGROUP + invocation;
    if (i < parameters.elements) {
        y[i] = a[i] / (1.0 + exp(-a[i])) * b[i];
    }
}
";

const WORKGROUP: u32 = 64;

/// The kernel.
pub struct Gate;

impl Kernel for Gate {
    fn about(&self) -> About {
        const BINDINGS: &[Binding] = &[Binding::read("a"), Binding::read("b"), Binding::write("y")];
        About::new("example/gate", SOURCE, BINDINGS, Parameters::FIELDS)
    }

    fn variants(&self) -> Vec<Variant> {
        vec![Variant::new("invocation", WORKGROUP)]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let elements = Parameters::from_bytes(parameters).elements;
        geometry::fold(elements.div_ceil(WORKGROUP).into(), per_dimension)
    }

    // 3. The twin: what runs on the CPU device, and what a GPU's rounding is judged by.
    fn twin(&self, _: &Variant, _: &[u8], mut arguments: Arguments<'_>) {
        let (a, b, y) = (arguments.f32(0), arguments.f32(1), arguments.f32_mut(2));
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y = a / (1.0 + (-a).exp()) * b;
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        Cost { flops: 5 * elements, bytes: 12 * elements, iterations: 0 }
    }

    // 4. What it reads and writes: so y may be a temporary, since all of it is written.
    fn extents(&self, _: &Variant, parameters: &[u8]) -> Option<Vec<u64>> {
        Some(vec![Parameters::from_bytes(parameters).elements.into(); 3])
    }

    // 5. The cases: sizes around a workgroup's, and the answers of an oracle in f64.
    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![1, 63, 64, 65, 1000];
        if depth == Depth::Full {
            // Past 65,535 workgroups: folded.
            sizes.push(64 * 65_536 + 1);
        }
        sizes.into_iter().map(case).collect()
    }
}

fn case(elements: usize) -> Case {
    let mut inputs = Inputs::new(elements as u64);
    let (a, b) = (inputs.values(elements, 3.0), inputs.values(elements, 1.0));
    let oracle = a.iter().zip(&b).map(|(&a, &b)| {
        let (a, b) = (f64::from(a), f64::from(b));
        Some(a / (1.0 + (-a).exp()) * b)
    });
    Case {
        label: format!("[{elements}]"),
        parameters: bytemuck::bytes_of(&Parameters { elements: elements as u32 }).to_vec(),
        // A few roundings of a result of at most about 15 · 5.
        floor: rounding_floor(4, 75.0),
        arguments: vec![
            CaseArgument::F32(a.clone()),
            CaseArgument::F32(b.clone()),
            CaseArgument::output(oracle.collect()),
        ],
    }
}

/// The gate as an op: checks, makes a temporary, records.
pub fn gate(
    recording: &mut Recording,
    a: &attentive::recording::Value,
    b: &attentive::recording::Value,
) -> Result<attentive::recording::Value> {
    if a.shape() != b.shape() || [a.dtype(), b.dtype()] != [DType::F32; 2] {
        return Err(Error::Argument {
            op: "gate".to_owned(),
            argument: "b".to_owned(),
            expected: format!("f32 {}, as a is", a.shape()),
            found: format!("{} {}", b.dtype(), b.shape()),
        });
    }
    let y = recording.temporary(a.shape().clone(), DType::F32)?;
    let parameters = Parameters { elements: a.shape().elements() as u32 };
    recording.dispatch(&Gate, &Gate.variants()[0], &parameters, &[a, b, &y])?;
    Ok(y)
}

/// On one device: all cases, then a whole SwiGLU network.
pub fn on(device: &Device) -> Result<Vec<f32>> {
    for variant in Gate.variants() {
        let report = pollster::block_on(verify_variant(device, &Gate, &variant, Depth::Full))?;
        assert!(report.failures.is_empty(), "{}: {:?}", device.name(), report.failures);
        println!("{}: {} cases, largest error {:.1e}", device.name(), report.cases, report.largest_error);
    }

    // W₂·(σ(W·x) · W·x · V·x), for 3 rows of 8 columns.
    let mut inputs = Inputs::new(1);
    let mut weights = |outputs: usize, inputs_: usize| {
        let values = inputs.values(outputs * inputs_, 0.5);
        LinearWeights::new(device, [outputs, inputs_], &values, None, DType::F32)
    };
    let (w, v, down) = (weights(16, 8)?, weights(16, 8)?, weights(8, 16)?);
    let x = Tensor::from_f32(device, [3, 8], &Inputs::new(2).values(24, 1.0))?;
    let mut recording = Recording::new(device);
    let y = recording.scoped("swiglu", |recording| {
        let x = recording.tensor(&x)?;
        let a = Linear::new(&w).record(recording, &x)?;
        let b = Linear::new(&v).record(recording, &x)?;
        let gated = gate(recording, &a, &b)?;
        Linear::new(&down).record(recording, &gated)
    })?;
    recording.output(&y)?;
    recording.run()?.tensor(&y)?.to_f32()
}

pub fn main() -> Result<()> {
    let device = std::env::args().nth(1).unwrap_or_else(|| "auto".to_owned());
    let on_cpu = on(&Device::cpu())?;
    let on_device = on(&Device::open(&device)?)?;
    let difference = on_cpu.iter().zip(&on_device).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("largest difference between the devices: {difference:.1e}");
    Ok(())
}
