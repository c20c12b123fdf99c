//! Ops on whole tensors, on every adapter and on the CPU, against the f64 oracles: casts, moved axes, slices, joined and
//! written tensors, and what users of other libraries met.

use crate::common;
use attentive::kernel::Inputs;
use attentive::ops::{add, cast, concat, multiply, permute, slice, subtract, transpose};
use attentive::recording::Value;
use attentive::reference::{self, rounding_floor};
use attentive::{DType, Device, Recording, Result, Tensor, half};

/// What a device makes of some tensors.
pub(super) fn run(
    device: &Device,
    tensors: &[Tensor],
    record: impl FnOnce(&mut Recording, &[Value]) -> Result<Value>,
) -> Tensor {
    run_all(device, tensors, |recording, values| Ok(vec![record(recording, values)?])).remove(0)
}

pub(super) fn run_all(
    device: &Device,
    tensors: &[Tensor],
    record: impl FnOnce(&mut Recording, &[Value]) -> Result<Vec<Value>>,
) -> Vec<Tensor> {
    let mut recording = Recording::new(device);
    let values: Vec<Value> = tensors.iter().map(|tensor| recording.tensor(tensor).unwrap()).collect();
    let outputs = record(&mut recording, &values).unwrap();
    outputs.iter().for_each(|y| recording.output(y).unwrap());
    let ran = recording.run().unwrap();
    outputs.iter().map(|y| ran.tensor(y).unwrap()).collect()
}

/// An array on the host.
#[derive(Clone, Debug)]
pub(super) struct Array {
    pub(super) dims: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Array {
    pub(super) fn random(inputs: &mut Inputs, dims: &[usize]) -> Self {
        Self { dims: dims.to_vec(), values: inputs.values(dims.iter().product(), 1.0) }
    }

    pub(super) fn on(&self, device: &Device) -> Tensor {
        Tensor::from_f32(device, &*self.dims, &self.values).unwrap()
    }

    /// Its elements by NumPy's broadcasting.
    pub(super) fn broadcast(&self, dims: &[usize]) -> Vec<f32> {
        (0..dims.iter().product())
            .map(|index| self.values[broadcast_place(&self.dims, dims, index)])
            .collect()
    }
}

/// Where the element `index` of an array of shape `to` lies in one of shape `from`.
pub(super) fn broadcast_place(from: &[usize], to: &[usize], index: usize) -> usize {
    let (mut rest, mut place, mut stride) = (index, 0, 1);
    for (axis, size) in to.iter().enumerate().rev() {
        let own = (axis + from.len()).checked_sub(to.len()).map_or(1, |axis| from[axis]);
        place += rest % size % own * stride;
        rest /= size;
        stride *= own;
    }
    place
}

/// Runs it on every device and holds each result against its oracle; `record` gives the values in the oracles' order.
#[track_caller]
pub(super) fn check(
    devices: &[Device],
    what: &str,
    inputs: &[&Array],
    oracles: &[(Vec<usize>, Vec<f64>)],
    floor: f64,
    record: impl Fn(&mut Recording, &[Value]) -> Result<Vec<Value>>,
) {
    let results = |device: &Device| {
        let tensors: Vec<Tensor> = inputs.iter().map(|array| array.on(device)).collect();
        run_all(device, &tensors, &record)
    };
    let twins = results(&Device::cpu());
    assert_eq!(twins.len(), oracles.len());
    for device in devices {
        for ((got, twin), (dims, oracle)) in results(device).iter().zip(&twins).zip(oracles) {
            assert_eq!(got.shape().dims(), dims, "{what}");
            let (got, twin) = (got.to_f32().unwrap(), twin.to_f32().unwrap());
            common::assert_agrees(device, what, (&got, &twin, oracle), floor);
        }
    }
}

#[test]
fn casts_are_the_half_crates() {
    // A stride prime to 2³²: all exponents, signs and payloads, an odd number of them.
    let values: Vec<f32> = (0..70_001_u32)
        .map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761)))
        .chain([f32::NAN, 65_520.0])
        .collect();
    let halves: Vec<half::f16> = values.iter().map(|&value| half::f16::from_f32(value)).collect();
    let bits_16 = |values: &[half::f16]| values.iter().map(|value| value.to_bits()).collect::<Vec<u16>>();
    let bits_32 = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
    let widened: Vec<f32> = halves.iter().map(|value| value.to_f32()).collect();
    for device in common::devices() {
        for count in [1, 2, 3, 127, 128, 129, values.len()] {
            let x = Tensor::from_f32(&device, [count], &values[..count]).unwrap();
            let narrow = run(&device, &[x], |recording, x| cast(recording, &x[0], DType::F16));
            assert_eq!((narrow.dtype(), narrow.shape().dims()), (DType::F16, &[count][..]));
            assert_eq!(bits_16(&narrow.to_f16().unwrap()), bits_16(&halves[..count]), "{}", device.name());
            let wide = run(&device, &[narrow], |recording, x| cast(recording, &x[0], DType::F32));
            assert_eq!(wide.dtype(), DType::F32);
            assert_eq!(bits_32(&wide.to_f32().unwrap()), bits_32(&widened[..count]), "{}", device.name());
        }
        // From f16 on the host, by a shape of three axes, in one recording there and back.
        let x = Tensor::from_f16(&device, [3, 1, 5], &halves[..15]).unwrap();
        let y = run(&device, &[x], |recording, x| {
            let same = cast(recording, &x[0], DType::F16)?;
            assert!(same.is(&x[0]));
            let wide = cast(recording, &same, DType::F32)?;
            cast(recording, &wide, DType::F16)
        });
        assert_eq!(
            (bits_16(&y.to_f16().unwrap()), y.shape().dims()),
            (bits_16(&halves[..15]), &[3, 1, 5][..])
        );
    }
}

/// A tensor of that dtype whose elements all differ, up to 2,048 of them; the numbers, in any dtype.
fn counted(device: &Device, dtype: DType, dims: &[usize], from: usize) -> (Tensor, Vec<u32>) {
    let numbers: Vec<u32> =
        (from..from + dims.iter().product::<usize>()).map(|number| number as u32).collect();
    let floats: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
    let tensor = match dtype {
        DType::F32 => Tensor::from_f32(device, dims, &floats),
        DType::F16 => Tensor::from_f32_as_f16(device, dims, &floats),
        _ => Tensor::from_u32(device, dims, &numbers),
    };
    (tensor.unwrap(), numbers)
}

fn numbers(tensor: &Tensor) -> Vec<u32> {
    match tensor.dtype() {
        DType::U32 => tensor.to_u32().unwrap(),
        _ => tensor.to_f32().unwrap().into_iter().map(|number| number as u32).collect(),
    }
}

/// Each element's indices, the last axis fastest.
fn indices(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    (0..dims.iter().product()).map(move |element| {
        let (mut rest, mut indices) = (element, vec![0; dims.len()]);
        for (index, size) in indices.iter_mut().zip(dims).rev() {
            (*index, rest) = (rest % size, rest / size);
        }
        indices
    })
}

fn place(indices: &[usize], dims: &[usize]) -> usize {
    indices.iter().zip(dims).fold(0, |place, (index, size)| place * size + index)
}

const DTYPES: [DType; 3] = [DType::F32, DType::F16, DType::U32];

#[test]
fn axes_in_any_order() {
    let cases: [(&[usize], &[usize]); 11] = [
        (&[3, 5], &[1, 0]),
        (&[4, 70], &[1, 0]),
        (&[2, 3, 4, 6], &[0, 2, 1, 3]),
        (&[2, 3, 4, 5], &[3, 1, 0, 2]),
        (&[2, 3, 4, 5], &[0, 1, 2, 3]),
        (&[1, 7, 1, 3], &[2, 1, 0, 3]),
        (&[2, 0, 3], &[2, 0, 1]),
        (&[], &[]),
        (&[2, 3, 1, 2, 2, 3, 2, 2, 1], &[7, 8, 0, 6, 1, 5, 2, 4, 3]),
        (&[6, 2, 2], &[1, 0, 2]),
        (&[1], &[0]),
    ];
    for device in common::devices() {
        for (dims, axes) in cases {
            for dtype in DTYPES {
                let (x, all) = counted(&device, dtype, dims, 1);
                let y = run(&device, &[x], |recording, x| permute(recording, &x[0], axes));
                let of_y: Vec<usize> = axes.iter().map(|&axis| dims[axis]).collect();
                assert_eq!((y.shape().dims(), y.dtype()), (&*of_y, dtype));
                let expected = indices(&of_y).map(|indices| {
                    let mut own = vec![0; dims.len()];
                    axes.iter().zip(indices).for_each(|(&axis, index)| own[axis] = index);
                    all[place(&own, dims)]
                });
                let expected: Vec<u32> = expected.collect();
                assert_eq!(numbers(&y), expected, "{}: {dtype} {dims:?} by {axes:?}", device.name());
            }
        }
        let (x, _) = counted(&device, DType::F32, &[2, 3, 4], 0);
        let [a, b] = [(0, 2), (-1, -3)].map(|(a, b)| {
            run(&device, std::slice::from_ref(&x), |recording, x| transpose(recording, &x[0], a, b))
        });
        let by_permute = run(&device, &[x], |recording, x| permute(recording, &x[0], &[2, 1, 0]));
        assert_eq!((numbers(&a), a.shape()), (numbers(&by_permute), by_permute.shape()));
        assert_eq!((numbers(&b), b.shape()), (numbers(&by_permute), by_permute.shape()));
    }
}

#[test]
fn slices_along_each_axis() {
    for device in common::devices() {
        for (dims, axis, range) in [
            (&[7][..], 0, 2..5),
            (&[7], -1, 0..7),
            (&[7], 0, 7..7),
            (&[4, 6], 0, 1..3),
            (&[4, 6], 1, 2..4),
            (&[4, 6], 1, 1..2),
            (&[4, 5], -1, 4..5),
            (&[3, 5, 4], 1, 1..4),
            (&[3, 5, 3], -2, 3..5),
            (&[2, 0, 3], 2, 1..2),
            (&[2, 130, 3], 1, 64..129),
        ] {
            for dtype in DTYPES {
                let (x, all) = counted(&device, dtype, dims, 1);
                let y = run(&device, &[x], |recording, x| slice(recording, &x[0], axis, range.clone()));
                let axis = axis.rem_euclid(dims.len() as isize) as usize;
                let mut of_y = dims.to_vec();
                of_y[axis] = range.len();
                assert_eq!((y.shape().dims(), y.dtype()), (&*of_y, dtype));
                let expected = indices(&of_y).map(|mut indices| {
                    indices[axis] += range.start;
                    all[place(&indices, dims)]
                });
                let expected: Vec<u32> = expected.collect();
                assert_eq!(numbers(&y), expected, "{}: {dtype} {dims:?} {axis} {range:?}", device.name());
            }
        }
    }
}

#[test]
fn values_joined_along_each_axis() {
    let cases: [(&[&[usize]], isize); 10] = [
        (&[&[3], &[4]], 0),
        (&[&[4], &[2], &[1]], 0),
        (&[&[2, 3], &[2, 5], &[2, 2]], 1),
        (&[&[2, 4], &[2, 6]], -1),
        (&[&[2, 3], &[1, 3]], 0),
        (&[&[2, 2, 3], &[2, 70, 3]], 1),
        // Of no elements: at the beginning, in the middle, at the end, all of them, all but one.
        (&[&[2, 0], &[2, 3], &[2, 0], &[2, 1], &[2, 0]], 1),
        (&[&[0, 3], &[0, 3]], 0),
        (&[&[0, 3], &[2, 3]], -2),
        (&[&[2, 3]], 1),
    ];
    for device in common::devices() {
        for (shapes, axis) in cases {
            for dtype in DTYPES {
                let parts: Vec<_> = shapes
                    .iter()
                    .enumerate()
                    .map(|(part, dims)| counted(&device, dtype, dims, 500 * part))
                    .collect();
                let tensors: Vec<Tensor> = parts.iter().map(|(tensor, _)| tensor.clone()).collect();
                let y = run(&device, &tensors, |recording, values| {
                    concat(recording, &values.iter().collect::<Vec<_>>(), axis)
                });
                let axis = axis.rem_euclid(shapes[0].len() as isize) as usize;
                let mut of_y = shapes[0].to_vec();
                of_y[axis] = shapes.iter().map(|dims| dims[axis]).sum();
                assert_eq!((y.shape().dims(), y.dtype()), (&*of_y, dtype));
                let expected = indices(&of_y).map(|mut indices| {
                    let mut part = 0;
                    while indices[axis] >= shapes[part][axis] {
                        indices[axis] -= shapes[part][axis];
                        part += 1;
                    }
                    parts[part].1[place(&indices, shapes[part])]
                });
                let expected: Vec<u32> = expected.collect();
                assert_eq!(numbers(&y), expected, "{}: {dtype} {shapes:?} along {axis}", device.name());
            }
        }
        // One value twice.
        let (x, all) = counted(&device, DType::U32, &[5], 0);
        let y = run(&device, &[x], |recording, x| concat(recording, &[&x[0], &x[0]], 0));
        assert_eq!(numbers(&y), [&all[..], &all].concat());
    }
}

/// Data keeps its bits, and a quiet NaN its sign and payload; f16 do so on their way through f32 too.
#[test]
fn what_is_moved_keeps_its_bits() {
    let words = [0x7fc0_0001, 0xff80_0001, 0x8000_0000, 1, 0x7f80_0000, 0xffff_ffff];
    let floats = words.map(f32::from_bits);
    let halves = [0x7e01_u16, 0xfe55, 0x8000, 1, 0x7c00, 0xfbff].map(half::f16::from_bits);
    for device in common::devices() {
        let turned = [0, 3, 1, 4, 2, 5];
        let x = Tensor::from_f32(&device, [2, 3], &floats).unwrap();
        let y = run(&device, &[x], |recording, x| transpose(recording, &x[0], 0, 1));
        let bits: Vec<u32> = y.to_f32().unwrap().into_iter().map(f32::to_bits).collect();
        assert_eq!(bits, turned.map(|place: usize| words[place]), "{}", device.name());
        let x = Tensor::from_f16(&device, [2, 3], &halves).unwrap();
        let y = run(&device, &[x], |recording, x| transpose(recording, &x[0], 0, 1));
        let bits: Vec<u16> = y.to_f16().unwrap().into_iter().map(half::f16::to_bits).collect();
        assert_eq!(bits, turned.map(|place: usize| halves[place].to_bits()), "{}", device.name());
    }
}

/// A tensor is written between recordings, and while one that reads it may still run.
#[test]
fn tensors_are_written_anew() {
    for device in common::devices() {
        let x = Tensor::from_f32(&device, [2, 2], &[0.0; 4]).unwrap();
        let same = x.reshape([4]).unwrap();
        let double = |x: &Tensor| {
            let mut recording = Recording::new(&device);
            let value = recording.tensor(x).unwrap();
            let y = add(&mut recording, &value, &value).unwrap();
            recording.output(&y).unwrap();
            (recording, y)
        };
        let ran: Vec<Tensor> = (1..20)
            .map(|step| {
                let (recording, y) = double(&x);
                same.write_f32(&[step as f32; 4]).unwrap();
                recording.run().unwrap().tensor(&y).unwrap()
            })
            .collect();
        for (step, y) in (1..20).zip(&ran) {
            assert_eq!(y.to_f32().unwrap(), [2.0 * step as f32; 4], "{}", device.name());
        }
        assert_eq!(x.to_f32().unwrap(), [19.0; 4]);
        let made = device.created().buffers;
        (0..20).for_each(|step| same.write_f32(&[step as f32; 4]).unwrap());
        assert_eq!(device.created().buffers, made, "{}", device.name());
        let half = Tensor::from_f32_as_f16(&device, [3], &[0.0; 3]).unwrap();
        half.write_f32(&[1.0, 65_520.0, -0.1]).unwrap();
        let rounded = [1.0, f32::INFINITY, half::f16::from_f32(-0.1).to_f32()];
        assert_eq!(half.to_f32().unwrap(), rounded);
        half.write_f16(&[half::f16::ONE; 3]).unwrap();
        assert_eq!(half.to_f16().unwrap(), [half::f16::ONE; 3]);
        let counts = Tensor::from_u32(&device, [2], &[1, 2]).unwrap();
        counts.write_u32(&[u32::MAX, 0]).unwrap();
        assert_eq!(counts.to_u32().unwrap(), [u32::MAX, 0]);
        let nothing = Tensor::from_u32(&device, [0], &[]).unwrap();
        nothing.write_u32(&[]).unwrap();
        assert!(nothing.to_u32().unwrap().is_empty());
    }
}

/// Two values over one tensor in a dispatch, while another thread writes it: neither waits for ever, and no sum is of two
/// states.
#[test]
fn a_tensor_is_written_while_recordings_read_it_twice() {
    for device in common::devices() {
        let x = Tensor::from_f32(&device, [4096], &[1.0; 4096]).unwrap();
        let (done, finished) = std::sync::mpsc::channel();
        let writer = {
            let (x, done) = (x.clone(), done.clone());
            move || {
                (0..2000).for_each(|step| x.write_f32(&[(step % 7) as f32; 4096]).unwrap());
                done.send(()).unwrap();
            }
        };
        let (name, reader_done) = (device.name().to_owned(), done);
        let reader = move || {
            for _ in 0..200 {
                let mut recording = Recording::new(x.device());
                let [a, b] = [recording.tensor(&x).unwrap(), recording.tensor(&x).unwrap()];
                let y = subtract(&mut recording, &a, &b).unwrap();
                recording.output(&y).unwrap();
                let y = recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap();
                assert!(y.iter().all(|&y| y == 0.0), "{}: {y:?}", x.device().name());
            }
            reader_done.send(()).unwrap();
        };
        let threads = [std::thread::spawn(writer), std::thread::spawn(reader)];
        for _ in &threads {
            let waited = finished.recv_timeout(std::time::Duration::from_secs(120));
            waited.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// Compositions that gave wrong numbers elsewhere; with each stands the report that it was in.
#[test]
fn what_users_of_other_libraries_met() {
    let devices = common::devices();
    let floor = rounding_floor(1, 8.0);
    let mut inputs = Inputs::new(17);
    let broadcast = |a: &Array, b: &Array, dims: &[usize]| {
        let operands = [a, b].map(|array| (&*array.values, &*array.dims));
        reference::elementwise::binary(|a, b| a + b, operands[0], operands[1], dims)
    };
    for (report, a, b, y) in [
        // Axes that an operand has not are of size 1, and counted from the last.
        ("onnxruntime#28969", &[3, 5][..], &[2, 1, 1, 5][..], &[2, 1, 3, 5][..]),
        ("LiteRT#8980", &[20, 8, 8], &[1, 1, 8, 8], &[1, 20, 8, 8]),
        // A row of channels is no row of columns, though its length divides all.
        ("AiDotNet.Tensors#651", &[2, 4, 4, 4], &[1, 4, 1, 1], &[2, 4, 4, 4]),
        ("tt-metal#55351", &[2, 1, 1, 1, 1, 4, 4], &[2, 3, 1, 1, 1, 4, 4], &[2, 3, 1, 1, 1, 4, 4]),
        ("onnxruntime#19614", &[2, 0], &[2, 1], &[2, 0]),
    ] {
        let [a, b] = [a, b].map(|dims| Array::random(&mut inputs, dims));
        if a.values.is_empty() {
            for device in &devices {
                let y =
                    run(device, &[a.on(device), b.on(device)], |recording, x| add(recording, &x[0], &x[1]));
                assert!(y.shape().dims() == [2, 0] && y.to_f32().unwrap().is_empty(), "{report}");
            }
            continue;
        }
        let oracle = (y.to_vec(), broadcast(&a, &b, y));
        check(&devices, report, &[&a, &b], &[oracle], floor, |recording, x| {
            Ok(vec![add(recording, &x[0], &x[1])?])
        });
    }
    // candle#1914: single elements out of two tensors, added; burn#3807: one of them, broadcast.
    let [a, b] = [[5], [5]].map(|dims| Array::random(&mut inputs, &dims));
    let sum = |place: usize| f64::from(a.values[place]) + f64::from(b.values[place]);
    let wide: Vec<f64> = b.values.iter().map(|&b| f64::from(a.values[3]) + f64::from(b)).collect();
    let oracles = [(vec![1], vec![sum(3)]), (vec![5], wide)];
    check(&devices, "candle#1914, burn#3807", &[&a, &b], &oracles, floor, |recording, x| {
        let [a, one] = [slice(recording, &x[0], 0, 3..4)?, slice(recording, &x[1], 0, 3..4)?];
        Ok(vec![add(recording, &a, &one)?, add(recording, &a, &x[1])?])
    });
    // burn#3629: reshaped, permuted, cut by ranges that are the whole axis, or not.
    let x = Array::random(&mut inputs, &[1, 64, 3]);
    let turned: Vec<f64> = (0..192).map(|place| f64::from(x.values[place % 64 * 3 + place / 64])).collect();
    let cut: Vec<f64> = turned.chunks(8).flat_map(|row| row[1..8].to_vec()).collect();
    let oracles = [(vec![1, 3, 8, 8], turned), (vec![1, 3, 8, 7], cut)];
    check(&devices, "burn#3629", &[&x], &oracles, 0.0, |recording, x| {
        let y = permute(recording, &x[0].reshape([1, 8, 8, 3])?, &[0, 3, 1, 2])?;
        let whole = slice(recording, &y, 2, 0..8)?;
        let whole = slice(recording, &whole, 3, 0..8)?;
        Ok(vec![whole, slice(recording, &y, 3, 1..8)?])
    });
    // burn#4952: differences of finite numbers in a large tensor are finite.
    let dims = [3, 13, 4, 64, 64];
    let (steps, from, to) = (64, -59.03125_f32, -0.001_540_184_f32);
    let values = (0..dims.iter().product::<usize>())
        .map(|place| from + (to - from) * ((place % steps) as f32 / (steps - 1) as f32));
    let x = Array { dims: dims.to_vec(), values: values.collect() };
    for device in &devices {
        let y = run(device, &[x.on(device)], |recording, x| {
            let last = slice(recording, &x[0], -1, 63..64)?;
            subtract(recording, &x[0], &last)
        });
        let y = y.to_f32().unwrap();
        let expected = x.values.iter().map(|value| value - x.values[63]);
        assert!(y.iter().zip(expected).all(|(got, expected)| (got - expected).abs() <= 1e-5), "burn#4952");
    }
}

#[test]
fn sums_differences_and_products_broadcast_both_sides() {
    let devices = common::devices();
    let shapes: [(&[usize], &[usize], &[usize]); 16] = [
        (&[2, 3, 4, 5], &[2, 3, 4, 5], &[2, 3, 4, 5]),
        (&[2, 3, 4, 5], &[2, 3, 1, 1], &[2, 3, 4, 5]),
        (&[2, 3, 4, 5], &[2, 1, 4, 5], &[2, 3, 4, 5]),
        (&[2, 3, 4, 5], &[5], &[2, 3, 4, 5]),
        (&[2, 3, 4, 5], &[4, 1], &[2, 3, 4, 5]),
        (&[5], &[2, 3, 4, 5], &[2, 3, 4, 5]),
        (&[3, 70], &[3, 1], &[3, 70]),
        (&[3, 1], &[1, 70], &[3, 70]),
        (&[4, 1, 3], &[5, 1], &[4, 5, 3]),
        (&[7], &[], &[7]),
        (&[], &[7], &[7]),
        (&[], &[], &[]),
        (&[1; 9], &[1], &[1; 9]),
        // As many axes as one likes, where they are repeated alike.
        (&[2, 1, 2, 3, 1, 2, 1], &[2, 1, 2, 1, 1, 1, 1], &[2, 1, 2, 3, 1, 2, 1]),
        (&[2, 1, 3, 1], &[1, 4, 1, 5], &[2, 4, 3, 5]),
        (&[2, 3, 2, 2, 2], &[2, 1, 2, 1, 1], &[2, 3, 2, 2, 2]),
    ];
    for (a, b, y) in shapes {
        let mut inputs = Inputs::new(5);
        let [a, b] = [a, b].map(|dims| Array::random(&mut inputs, dims));
        let oracle = |operation: fn(f64, f64) -> f64| {
            let operands = [&a, &b].map(|array| (&*array.values, &*array.dims));
            (y.to_vec(), reference::elementwise::binary(operation, operands[0], operands[1], y))
        };
        let oracles = [oracle(|a, b| a + b), oracle(|a, b| a - b), oracle(|a, b| a * b)];
        let what = format!("{:?} and {:?}", a.dims, b.dims);
        check(&devices, &what, &[&a, &b], &oracles, rounding_floor(1, 8.0), |recording, values| {
            let (a, b) = (&values[0], &values[1]);
            Ok(vec![add(recording, a, b)?, subtract(recording, a, b)?, multiply(recording, a, b)?])
        });
    }
}
