//! What goes wrong comes back as a typed error: never a panic, never a hang, and the host's own handlers are left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{
    self,
    child::{self, in_child},
};
use attentive::device::list_adapters;
use attentive::kernel::Inputs;
use attentive::ops::{Attention, Heads, LayerNormWeights, Linear, LinearWeights, layer_norm};
use attentive::recording::Value;
use attentive::{Causal, DType, Device, DeviceOptions, Error, Recording, Result, Tensor, attention, wgpu};

/// A small job on that device: causal attention over seeded values.
fn job(device: &Device) -> Result<Tensor> {
    let values = Inputs::new(11).values(2 * 3 * 40 * 16, 1.0);
    let q = Tensor::from_f32(device, [2, 3, 40, 16], &values)?;
    attention(&q, &q, &q).causal(Causal::TopLeft).run()
}

/// Products of 512³, one after the other.
fn long_job(device: &Device, products: usize) -> Result<Tensor> {
    const SIDE: usize = 512;
    let ones = vec![1.0 / SIDE as f32; SIDE * SIDE];
    let weights = LinearWeights::new(device, [SIDE, SIDE], &ones, None, DType::F32)?;
    let x = Tensor::from_f32(device, [SIDE, SIDE], &ones)?;
    let mut recording = Recording::new(device);
    let mut x = recording.tensor(&x)?;
    for _ in 0..products {
        x = Linear::new(&weights).record(&mut recording, &x)?;
    }
    recording.output(&x)?;
    recording.run()?.tensor(&x)
}

#[track_caller]
fn assert_lost<T: std::fmt::Debug>(device: &Device, result: Result<T>) {
    match result {
        Err(Error::DeviceLost { device: name, reason }) => {
            assert_eq!(name, device.name());
            assert!(!reason.is_empty());
        }
        other => panic!("{}: {other:?}", device.name()),
    }
}

fn destroy(device: &Device) {
    device.wgpu().unwrap().0.destroy();
}

/// Our own devices, and hosts' devices that we were lent: of those we hear of a loss by other ways.
fn own_and_lent() -> Vec<Device> {
    let mut devices = common::adapters();
    devices.extend(common::wgpu_adapters().iter().map(|adapter| common::with_limits(adapter, |_| {})));
    devices
}

#[test]
fn a_device_lost_before_the_first_call() {
    in_child("faults::a_device_lost_before_the_first_call", || {
        for device in own_and_lent() {
            destroy(&device);
            assert_lost(&device, job(&device));
            // And again, now that it is known.
            assert_lost(&device, job(&device));
        }
    });
}

#[test]
fn a_device_lost_before_the_submission() {
    in_child("faults::a_device_lost_before_the_submission", || {
        for device in own_and_lent() {
            let x = Tensor::from_f32(&device, [4, 8], &[1.0; 32]).unwrap();
            let norm = LayerNormWeights::new(&device, &[1.0; 8], &[0.0; 8], 1e-5).unwrap();
            let mut recording = Recording::new(&device);
            let x = recording.tensor(&x).unwrap();
            let y = layer_norm(&mut recording, &x, None, &norm).unwrap();
            recording.output(&y).unwrap();
            destroy(&device);
            assert_lost(&device, recording.run());
        }
    });
}

#[test]
fn a_device_lost_between_two_runs() {
    in_child("faults::a_device_lost_between_two_runs", || {
        for device in own_and_lent() {
            let first = job(&device).unwrap();
            assert!(first.to_f32().unwrap().iter().all(|value| value.is_finite()));
            destroy(&device);
            assert_lost(&device, job(&device));
            drop(first);
        }
    });
}

#[test]
fn a_device_lost_before_the_readback() {
    in_child("faults::a_device_lost_before_the_readback", || {
        for device in own_and_lent() {
            let result = job(&device).unwrap();
            destroy(&device);
            assert_lost(&device, result.to_f32());
            assert_lost(&device, result.to_f32());
        }
    });
}

#[test]
fn a_device_lost_while_it_is_waited_for() {
    in_child("faults::a_device_lost_while_it_is_waited_for", || {
        for device in own_and_lent() {
            let other = device.clone();
            let thread = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(150));
                destroy(&other);
            });
            // The loss may come at any point of these; the result may even be there before it.
            let result = long_job(&device, 4).and_then(|result| result.to_f32());
            thread.join().unwrap();
            match result {
                Ok(values) => assert!(values.iter().all(|value| (value - values[0]).abs() < 1e-9)),
                lost => assert_lost(&device, lost),
            }
            assert_lost(&device, job(&device));
        }
    });
}

#[test]
fn a_lost_device_is_dropped_in_silence() {
    in_child("faults::a_lost_device_is_dropped_in_silence", || {
        for device in own_and_lent() {
            let result = job(&device).unwrap();
            let mut recording = Recording::new(&device);
            let taken = recording.tensor(&result).unwrap();
            recording.output(&taken).unwrap();
            destroy(&device);
            drop((recording, result));
            drop(device);
        }
    });
}

#[test]
fn a_job_that_takes_too_long_is_a_timeout() {
    in_child("faults::a_job_that_takes_too_long_is_a_timeout", || {
        let mut options = DeviceOptions::default();
        options.timeout = Duration::ZERO;
        for (patient, hasty) in common::adapters().iter().zip(common::adapters_with(&options)) {
            let products = if patient.is_software() { 8 } else { 4000 };
            // Mesa's software drivers have done the work by the time that it is waited for; others show what is asked.
            long_job(patient, 1).unwrap().to_f32().unwrap();
            let begun = Instant::now();
            let result = long_job(patient, products).unwrap();
            let submitted = begun.elapsed();
            result.to_f32().unwrap();
            let waited = begun.elapsed() - submitted;
            if waited < submitted {
                println!("{}: done when submitted ({submitted:?}, then {waited:?})", hasty.name());
                continue;
            }
            // On a busy machine this thread may wake up only when the job is done; not each time.
            let outcomes = (0..30).map(|_| long_job(&hasty, products).and_then(|result| result.to_f32()));
            match outcomes.filter_map(Result::err).next() {
                Some(Error::Timeout { device: name, what, seconds }) => {
                    assert_eq!((name.as_str(), what.as_str(), seconds), (hasty.name(), "reading back", 0.0));
                    println!("{}: timed out, where {waited:?} are needed", hasty.name());
                }
                other => panic!("{}: {other:?}", hasty.name()),
            }
        }
    });
}

/// Asks for 120 outputs of 100 MB at once.
#[cfg(target_os = "linux")]
fn too_much(device: &Device) -> Result<()> {
    let mut recording = Recording::new(device);
    for _ in 0..120 {
        let value = recording.zeros([25_000_000], DType::F32)?;
        recording.output(&value)?;
    }
    recording.run().map(|_| ())
}

/// In an address space of 8 GB, so that the machine itself never runs out. This is for software Vulkan: drivers of real
/// GPUs need more than that to begin with, and OpenGL allocates on first use.
#[cfg(target_os = "linux")]
#[test]
fn memory_that_runs_out_is_an_error_and_the_device_lives_on() {
    if !child::is_child() {
        let name = "faults::memory_that_runs_out_is_an_error_and_the_device_lives_on";
        return print!("{}", child::spawn(child::command_within(name, 8 << 20)).passed());
    }
    let mut devices = common::adapters();
    devices.retain(|device| device.is_software() && !device.name().contains("[gl"));
    for device in devices {
        match too_much(&device) {
            Err(Error::OutOfMemory { device: name, needed, .. }) => {
                assert_eq!((name.as_str(), needed), (device.name(), 120 * 100_000_000));
            }
            // Newer lavapipes take memory as it is touched, and not from the address space that is limited here.
            Ok(()) if device.name().contains("Mesa 26") => {
                println!("{}: the limit does not count there", device.name());
                continue;
            }
            other => panic!("{}: {other:?}", device.name()),
        }
        assert_eq!(job(&device).unwrap().to_f32().unwrap().len(), 2 * 3 * 40 * 16);
        // What could not be allocated is not kept for the next that needs as much.
        for _ in 0..3 {
            let tensor = Tensor::from_f32(&device, [25_000_000], &vec![1.0; 25_000_000]).unwrap();
            assert!(tensor.to_f32().unwrap().iter().all(|&value| value == 1.0));
        }
        println!("{}: out of memory, and alive", device.name());
    }
}

/// In an address space of 1.5 GB: loading, tensors, reading back, what lies between ops, and what a twin computes with.
#[cfg(target_os = "linux")]
#[test]
fn host_memory_that_runs_out_is_an_error() {
    use attentive::Activation;

    if !child::is_child() {
        let command = child::command_within("faults::host_memory_that_runs_out_is_an_error", 3 << 19);
        return print!("{}", child::spawn(command).passed());
    }
    const MANY: usize = 200_000_000;
    #[track_caller]
    fn lacking<T>(result: attentive::Result<T>, bytes: usize, words: &str) {
        match result.map(|_| ()).map_err(|error| format!("{}", error.root())) {
            Err(text) => {
                let expected = ["out of memory on the host: ".to_owned(), format!(" needs {bytes} bytes")];
                assert!(text.starts_with(&expected[0]) && text.ends_with(&expected[1]), "{text}");
                assert!(text.contains(words), "{text}");
            }
            Ok(()) => panic!("there was room for {bytes} bytes more"),
        }
    }
    let cpu = Device::cpu();
    // From the host's memory, of which there is enough for one.
    let values = vec![1.0_f32; MANY];
    lacking(Tensor::from_f32(&cpu, [MANY], &values), 4 * MANY, "a tensor f32 [200000000]");
    drop(values);
    lacking(Tensor::zeros(&cpu, [2 * MANY], DType::F32), 8 * MANY, "a tensor f32 [400000000]");
    let tensor = Tensor::zeros(&cpu, [MANY], DType::F32).unwrap();
    lacking(tensor.to_f32(), 4 * MANY, "reading back a tensor f32 [200000000]");
    let mut recording = Recording::new(&cpu);
    let value = recording.tensor(&tensor).unwrap();
    let doubled = attentive::ops::activate(&mut recording, &value, Activation::Relu).unwrap();
    recording.output(&doubled).unwrap();
    lacking(recording.run(), 4 * MANY, "between its ops");
    drop(tensor);
    // W in f16 is half of what the twin makes of it.
    let weight = Tensor::zeros(&cpu, [MANY / 500, 1000], DType::F16).unwrap();
    let weights = LinearWeights::from_tensors(&weight, None, true).unwrap();
    let mut recording = Recording::new(&cpu);
    let x = recording.tensor(&Tensor::zeros(&cpu, [1, 1000], DType::F32).unwrap()).unwrap();
    let y = Linear::new(&weights).record(&mut recording, &x).unwrap();
    recording.output(&y).unwrap();
    lacking(recording.run(), 8 * MANY, "linear");
    drop((weight, weights));
    // Of a file: nothing of it is on the disk.
    {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("model.safetensors");
        let elements = 2 * MANY;
        let header = format!(
            r#"{{"table":{{"dtype":"F32","shape":[{elements},1],"data_offsets":[0,{}]}}}}"#,
            4 * elements
        );
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        std::fs::write(&path, &bytes).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len((bytes.len() + 4 * elements) as u64).unwrap();
        let checkpoint = attentive::weights::Checkpoint::open(&path).unwrap();
        lacking(checkpoint.tensor_f32("table", &[elements, 1]), 4 * elements, "the tensor `table`");
        assert_eq!(checkpoint.rows_f32("table", &[elements, 1], 7..9).unwrap(), [0.0; 2]);
    }
    // All is well after it.
    assert_eq!(job(&cpu).unwrap().to_f32().unwrap().len(), 2 * 3 * 40 * 16);
}

#[test]
fn tensors_of_another_device_are_refused() {
    let mut devices = common::devices();
    devices.push(Device::cpu());
    for here in &devices {
        for there in &devices {
            let q = Tensor::from_f32(here, [1, 1, 2, 4], &[1.0; 8]).unwrap();
            let k = Tensor::from_f32(there, [1, 1, 3, 4], &[1.0; 12]).unwrap();
            let result = attention(&q, &k, &k).run();
            if here.same(there) {
                assert!(result.is_ok());
                continue;
            }
            let error = result.unwrap_err();
            let Error::WrongDevice { argument, expected, found, .. } = &error else { panic!("{error:?}") };
            assert_eq!((expected.as_str(), found.as_str()), (here.name(), there.name()));
            assert!(argument.contains("f32 [1, 1, 3, 4]"), "{error}");
            let (found, expected) = match here.name() == there.name() {
                true => (there.name(), "another open device of that name"),
                false => (there.name(), here.name()),
            };
            let sentence = format!("lives on {found}, but the others on {expected}");
            assert!(error.to_string().contains(&sentence), "{error}");
            // Weights too.
            let norm = LayerNormWeights::new(there, &[1.0; 4], &[0.0; 4], 1e-5).unwrap();
            let linear = LinearWeights::new(there, [2, 4], &[1.0; 8], None, DType::F32).unwrap();
            let mut recording = Recording::new(here);
            let x = recording.tensor(&q).unwrap();
            let errors = [
                layer_norm(&mut recording, &x, None, &norm).unwrap_err(),
                Linear::new(&linear).record(&mut recording, &x).unwrap_err(),
            ];
            for error in errors {
                assert!(matches!(error, Error::WrongDevice { .. }), "{error:?}");
            }
        }
    }
}

#[test]
fn values_of_another_recording_are_refused() {
    for device in common::devices() {
        let x = Tensor::from_f32(&device, [1, 1, 1, 2], &[1.0; 2]).unwrap();
        let value_of = |recording: &mut Recording| recording.tensor(&x).unwrap();
        let (mut one, mut other) = (Recording::new(&device), Recording::new(&device));
        let (mine, foreign) = (value_of(&mut one), value_of(&mut other));
        fn heads(value: &Value) -> Heads<'_> {
            Heads::dense(value).unwrap()
        }
        let record = |recording: &mut Recording, k: &Value| {
            Attention::new().record(recording, &heads(&mine), &heads(k), &heads(&mine))
        };
        assert!(record(&mut one, &mine).is_ok());
        for error in [record(&mut one, &foreign).unwrap_err(), one.output(&foreign).unwrap_err()] {
            let message = error.to_string();
            assert!(matches!(error, Error::Argument { .. }) && message.contains("of another"), "{message}");
        }
        // What was not marked is no output.
        let outputs = one.run().unwrap();
        assert!(outputs.tensor(&mine).is_err() && outputs.tensor(&foreign).is_err());
    }
}

#[test]
fn forced_implementations_that_are_not_there_are_refused_by_name() {
    let forced = |words: &[&str], baseline| {
        let mut options = DeviceOptions::default();
        options.implementations = words.iter().map(|&word| word.to_owned()).collect();
        options.baseline = baseline;
        options
    };
    let run = |device: &Device| {
        let x = Tensor::from_f32(device, [2, 16], &[1.0; 32]).unwrap();
        let norm = LayerNormWeights::new(device, &[1.0; 16], &[0.0; 16], 1e-5).unwrap();
        let linear = LinearWeights::new(device, [3, 16], &[1.0; 48], None, DType::F32).unwrap();
        let mut recording = Recording::new(device);
        let x = recording.tensor(&x).unwrap();
        let x = layer_norm(&mut recording, &x, None, &norm)?;
        Linear::new(&linear).record(&mut recording, &x)
    };
    for (words, op, name) in [
        (&["linear=nonesuch"][..], "linear", "nonesuch"),
        (&["layer_norm=nonesuch"], "layer_norm", "nonesuch"),
        // The last word counts.
        (&["linear=tiled", "linear=worse"], "linear", "worse"),
        // It is there, but not without the feature.
        (&["layer_norm=subgroup"], "layer_norm", "subgroup"),
    ] {
        for device in common::adapters_with(&forced(words, true)) {
            let error = run(&device).unwrap_err();
            let Error::Implementation { op: of, name: wanted, reason } = &error else { panic!("{error:?}") };
            assert_eq!((of.as_str(), wanted.as_str()), (op, name));
            let there_are: Vec<&str> = reason.trim_start_matches("here there are ").split(", ").collect();
            let (first, other) =
                if op == "linear" { ("tiled", "tiled") } else { ("workgroup", "invocation") };
            assert!(there_are.contains(&first) && there_are.contains(&other), "{error}");
            let mut once = there_are.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), there_are.len(), "a name is listed twice: {error}");
        }
    }
    for device in common::adapters_with(&forced(&["linear=nonesuch", "linear=tiled"], false)) {
        assert!(run(&device).is_ok(), "{}: the last word counts", device.name());
    }
}

#[test]
fn an_adapter_that_is_not_there_is_answered_by_those_that_are() {
    let names: Vec<String> =
        pollster::block_on(list_adapters()).unwrap().into_iter().map(|adapter| adapter.name).collect();
    for spec in ["gpu:name=doesnotexist", "gpu:9999"] {
        let error = Device::open(spec).unwrap_err();
        let Error::NoAdapter { wanted, available, .. } = &error else { panic!("{error:?}") };
        assert_eq!((wanted.as_str(), available), (spec, &names));
        let message = error.to_string();
        assert!(message.contains(spec) && names.iter().all(|name| message.contains(name)), "{message}");
    }
    let error = Device::open("gpu:name=").unwrap_err();
    assert!(matches!(error, Error::DeviceSpec { .. }), "{error:?}");
}

#[test]
fn the_environment_chooses_backend_and_adapter() {
    if child::is_child() {
        match Device::open("auto") {
            Ok(device) => println!("opened <{}>", device.name()),
            Err(Error::NoAdapter { wanted, .. }) => println!("refused <{wanted}>"),
            Err(error @ Error::Variable { .. }) => println!("unreadable <{error}>"),
            Err(error) => panic!("{error:?}"),
        }
        return;
    }
    let run = |variables: &[(&str, &str)]| {
        let mut command = child::command("faults::the_environment_chooses_backend_and_adapter");
        for name in ["WGPU_BACKEND", "WGPU_ADAPTER_NAME"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        child::spawn(command).passed()
    };
    for adapter in
        pollster::block_on(list_adapters()).unwrap().iter().filter(|adapter| adapter.unusable.is_none())
    {
        let backend = adapter.info.backend.to_str();
        let output = run(&[("WGPU_BACKEND", backend)]);
        assert!(output.contains("opened <") && output.contains(&format!("[{backend},")), "{output}");
        // In any case, and together with the backend.
        let upper = adapter.info.name.to_uppercase();
        let output = run(&[("WGPU_BACKEND", backend), ("WGPU_ADAPTER_NAME", &upper)]);
        assert!(output.contains(&format!("opened <{}>", adapter.name)), "{output}");
    }
    let output = run(&[("WGPU_ADAPTER_NAME", "doesnotexist")]);
    assert!(output.contains("refused <auto, WGPU_ADAPTER_NAME=doesnotexist>"), "{output}");
    let output = run(&[("WGPU_BACKEND", "noop")]);
    assert!(output.contains("refused <auto>"), "{output}");
    // Empty is as good as not set; what is no backend is not passed over, whatever is beside it.
    assert_eq!(run(&[("WGPU_BACKEND", "")]).contains("refused"), run(&[]).contains("refused"));
    for rubbish in ["cuda", "vulkan,cuda"] {
        let output = run(&[("WGPU_BACKEND", rubbish)]);
        let words = format!("unreadable <the environment variable WGPU_BACKEND is `{rubbish}`");
        assert!(output.contains(&words) && output.contains("vulkan, metal, dx12, gl"), "{output}");
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn two_threads_share_a_device() {
    for device in common::devices() {
        let expected = bits(&job(&device).unwrap().to_f32().unwrap());
        let threads = [(); 2].map(|()| {
            let device = device.clone();
            std::thread::spawn(move || [(); 25].map(|()| bits(&job(&device).unwrap().to_f32().unwrap())))
        });
        for thread in threads {
            let results = thread.join().unwrap();
            assert!(results.iter().all(|result| *result == expected), "{}", device.name());
        }
    }
}

#[test]
fn two_processes_share_an_adapter() {
    let results = || -> Vec<String> {
        let devices = common::adapters();
        let results = devices.iter().map(|device| {
            let rounds = [(); 20].map(|()| bits(&job(device).unwrap().to_f32().unwrap()));
            assert!(rounds.iter().all(|round| *round == rounds[0]), "{}", device.name());
            let hash = rounds[0]
                .iter()
                .fold(7_u64, |hash, &bits| (hash ^ u64::from(bits)).wrapping_mul(0x100_0000_01b3));
            format!("result <{} {hash:016x}>", device.name())
        });
        results.collect()
    };
    if child::is_child() {
        return results().iter().for_each(|line| println!("{line}"));
    }
    let children = [(); 2].map(|()| child::spawn(child::command("faults::two_processes_share_an_adapter")));
    let here = results();
    for child in children {
        let output = child.passed();
        assert!(here.iter().all(|line| output.contains(line)), "{here:?}\n{output}");
    }
}

#[test]
fn a_hosts_handlers_stay_in_place() {
    in_child("faults::a_hosts_handlers_stay_in_place", || {
        for adapter in common::wgpu_adapters() {
            let device = common::with_limits(&adapter, |_| {});
            let (errors, losses) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (inner, _) = device.wgpu().unwrap();
            let count = errors.clone();
            inner.on_uncaptured_error(Arc::new(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            }));
            let count = losses.clone();
            inner.set_device_lost_callback(move |_, _| {
                count.fetch_add(1, Ordering::SeqCst);
            });
            let seen = || (errors.load(Ordering::SeqCst), losses.load(Ordering::SeqCst));
            // What works, what we refuse, and what the backend rejects are no business of the host's handlers.
            let norm = LayerNormWeights::new(&device, &[1.0; 4], &[0.0; 4], 1e-5).unwrap();
            let x = Tensor::from_f32(&device, [2, 4], &[1.0; 8]).unwrap();
            let mut recording = Recording::new(&device);
            let x = recording.tensor(&x).unwrap();
            let y = layer_norm(&mut recording, &x, None, &norm).unwrap();
            recording.output(&y).unwrap();
            assert_eq!(recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap(), [0.0; 8]);
            assert!(matches!(Tensor::from_f32(&device, [1 << 40], &[]), Err(Error::Limit { .. })));
            // A buffer of another device: the backend rejects its bind group.
            let other = common::with_limits(&adapter, |_| {});
            let foreign = Tensor::from_f32(&other, [2, 4], &[1.0; 8]).unwrap();
            let foreign = foreign.wgpu_buffer().unwrap();
            let foreign = Tensor::from_wgpu_buffer(&device, foreign, [2, 4], DType::F32).unwrap();
            let mut recording = Recording::new(&device);
            let x = recording.tensor(&foreign).unwrap();
            layer_norm(&mut recording, &x, None, &norm).unwrap();
            let error = recording.run().unwrap_err();
            assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
            assert!(error.to_string().contains(device.name()), "{error}");
            assert_eq!(seen(), (0, 0), "{}", device.name());
            // Its own mistake still reaches the host, and so does the loss of its device.
            let _ = inner.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: u64::MAX,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            });
            assert_eq!(seen(), (1, 0), "{}", device.name());
            destroy(&device);
            assert_lost(&device, job(&device));
            let _ = inner.poll(wgpu::PollType::Poll);
            assert_eq!(seen(), (1, 1), "{}", device.name());
        }
    });
}
