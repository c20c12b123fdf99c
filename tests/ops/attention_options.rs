//! Options of attention that the sampled matrix does not have: captures of any heads and queries beside all weights, dtypes
//! of the queries, tables from the host and the device in any mix.

use crate::common::{self, assert_agrees, attention_implementations};
use attentive::kernel::Inputs;
use attentive::ops::{
    Attention, AttentionValues, Capture, HeadTerms, Heads, Layout, Mask, PerHead, RelativePositionBias, Stage,
};
use attentive::recording::Value;
use attentive::reference::attention::{self as oracle, Dims, Options, Strided, View};
use attentive::reference::rounding_floor;
use attentive::verify::compare::compare_bits;
use attentive::{Causal, DType, Device, Recording, Tensor, attention, half};

/// Queries, keys and values, heads first.
struct Data {
    dims: Dims,
    inputs: [Vec<f32>; 3],
}

/// f16's nearest.
fn narrow(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = half::f16::from_f32(*value).to_f32());
}

impl Data {
    fn new(dims: Dims, seed: u64) -> Self {
        let mut random = Inputs::new(seed);
        let Dims { batch, heads, heads_kv, queries, keys, head_dim, value_dim } = dims;
        let sizes = [heads * queries * head_dim, heads_kv * keys * head_dim, heads_kv * keys * value_dim];
        Self { dims, inputs: sizes.map(|size| random.values(batch * size, 1.0)) }
    }

    fn shapes(&self) -> [[usize; 4]; 3] {
        let Dims { batch, heads, heads_kv, queries, keys, head_dim, value_dim } = self.dims;
        [
            [batch, heads, queries, head_dim],
            [batch, heads_kv, keys, head_dim],
            [batch, heads_kv, keys, value_dim],
        ]
    }

    fn views(&self) -> [View<'_>; 3] {
        let shapes = self.shapes();
        [0, 1, 2].map(|part| {
            let [_, heads, rows, columns] = shapes[part];
            View::new(&self.inputs[part], Strided::heads_first(heads, rows, columns))
        })
    }

    /// The inputs in a recording, each in that dtype.
    fn values(&self, recording: &mut Recording, dtypes: [DType; 3]) -> [Value; 3] {
        let shapes = self.shapes();
        [0, 1, 2].map(|part| {
            let (shape, values) = (shapes[part], &self.inputs[part]);
            let tensor = match dtypes[part] {
                DType::F16 => Tensor::from_f32_as_f16(recording.device(), shape, values),
                _ => Tensor::from_f32(recording.device(), shape, values),
            };
            recording.tensor(&tensor.unwrap()).unwrap()
        })
    }
}

const F32: [DType; 3] = [DType::F32; 3];

/// Numbers of four heads for each option that takes them: slopes above 0, others of either sign.
fn head_numbers() -> PerHead<[f32; 4]> {
    PerHead::from_names(|name| match name {
        "alibi_slopes" => [0.5, 0.25, 0.125, 0.0625],
        "head_scales" => [1.5, 0.25, -1.0, 2.0],
        _ => [1.0, -2.0, 0.0, 0.5],
    })
}

/// Runs it and reads all that it gives.
fn run(mut recording: Recording, made: &AttentionValues) -> [Vec<f32>; 4] {
    let values =
        [Some(&made.output), made.weights.as_ref(), made.log_sum_exp.as_ref(), made.captured.as_ref()];
    values.iter().flatten().for_each(|value| recording.output(value).unwrap());
    let outputs = recording.run().unwrap();
    values.map(|value| value.map_or_else(Vec::new, |value| outputs.tensor(value).unwrap().to_f32().unwrap()))
}

/// Some heads and queries of `[B, H, Lq, Lk]`.
fn chosen(all: &[f64], dims: Dims, heads: &[usize], queries: std::ops::Range<usize>) -> Vec<f64> {
    let mut some = Vec::new();
    for item in 0..dims.batch {
        for head in heads {
            for query in queries.clone() {
                let row = (item * dims.heads + head) * dims.queries + query;
                some.extend_from_slice(&all[row * dims.keys..][..dims.keys]);
            }
        }
    }
    some
}

#[test]
fn captures_beside_weights_and_sums() {
    let devices = common::devices();
    for (head_dim, value_dim, queries) in [(12, 10, 9), (12, 10, 1), (64, 64, 40), (260, 3, 5)] {
        let dims = Dims { batch: 2, heads: 4, heads_kv: 2, queries, keys: 70, head_dim, value_dim };
        let data = Data::new(dims, 1);
        let mut random = Inputs::new(2);
        let (lengths, numbers) = ([70, 33], head_numbers());
        let per_head = numbers.as_ref().map(|_, numbers| Some(&numbers[..]));
        let relative = random.values(4 * 31, 1.0);
        let bias = RelativePositionBias::from_distances(&relative, 4).unwrap();
        let keep = random.mask(queries * 70);
        let mask: Vec<f32> = random.values(queries * 70, 1.0);
        let mask: Vec<f32> = mask
            .iter()
            .zip(&keep)
            .map(|(add, keep)| if *keep == 0 { f32::NEG_INFINITY } else { *add })
            .collect();
        let options = Options {
            softcap: 5.0,
            causal: oracle::Causal::BottomRight,
            position: oracle::Causal::BottomRight,
            window: [Some(50), None],
            per_head,
            relative: Some(&relative),
            key_lengths: Some(&lengths),
            mask: oracle::Mask::Float { data: &mask, strides: [0, 0, 70, 1] },
            ..Options::for_head_dim(head_dim)
        };
        let [q, k, v] = data.views();
        let products = oracle::scores(q, k, dims);
        let stages = [0, 1, 2, 3].map(|stage| oracle::stage(&products, stage, dims, options));
        let outputs = oracle::attention(q, k, v, dims, options);
        let sums = oracle::log_sum_exp(&products, dims, options);
        // As for the kernels' cases: what rounding does to a logit, and by its exponential to a weight.
        let finite = stages[..3].iter().flatten().filter(|score| score.is_finite());
        let largest = finite.fold(0.0_f64, |largest, score| largest.max(score.abs()));
        let eps = f64::from(f32::EPSILON);
        let logit_floor = rounding_floor(head_dim, largest) + 2.0 * eps * largest;
        let weight_floor =
            logit_floor + (3.0 + 2.0 * (2.0 * largest).min(40.0)) * eps + rounding_floor(70, 1.0);
        let everything: Vec<usize> = (0..4).collect();
        let captures: [(Option<&[usize]>, _); 4] = [
            (None, None),
            (Some(&[3, 0, 0]), Some(queries / 3..queries)),
            (Some(&[1, 2]), None),
            (None, Some(0..1)),
        ];
        for (place, (heads, rows)) in captures.into_iter().enumerate() {
            // Each stage with one of them at least; with all, and without, the weights of all.
            let stage = [Stage::Weights, Stage::Scores, Stage::Softcapped, Stage::Biased];
            let number = [3, 0, 1, 2];
            for (stage, number) in
                stage.into_iter().zip(number).filter(|(_, number)| place == 1 || *number == place)
            {
                let mut capture = Capture::new(stage);
                capture = heads.map_or(capture, |heads| capture.heads(heads));
                capture = rows.clone().map_or(capture, |rows| capture.queries(rows));
                let expected = chosen(
                    &stages[number],
                    dims,
                    heads.unwrap_or(&everything),
                    rows.clone().unwrap_or(0..queries),
                );
                let on = |device: &Device, implementation: &str, weights: bool| {
                    let mut recording = Recording::new(device);
                    let inputs = data.values(&mut recording, F32);
                    let tensor = Tensor::from_f32(device, [queries, 70], &mask).unwrap();
                    let mask = recording.tensor(&tensor).unwrap();
                    let [q, k, v] = inputs.each_ref().map(|value| Heads::dense(value).unwrap());
                    let mut attention = Attention::new()
                        .softcap(5.0)
                        .causal(Causal::BottomRight)
                        .window(Some(50), None)
                        .per_head(per_head.map(|_, numbers| numbers.map(HeadTerms::Host)))
                        .relative_bias(&bias)
                        .key_lengths(&lengths)
                        .mask(Mask::Float(&mask))
                        .output_layout(Layout::HeadsFirst)
                        .implementation(implementation)
                        .with_log_sum_exp()
                        .capture(capture);
                    attention = if weights { attention.with_weights() } else { attention };
                    let made = attention.record(&mut recording, &q, &k, &v).unwrap();
                    assert_eq!(made.weights.is_some(), weights);
                    if let Some(weights) = &made.weights {
                        assert_eq!(weights.shape().dims(), [2, 4, queries, 70]);
                    }
                    run(recording, &made)
                };
                let twin = on(&Device::cpu(), "chained", true);
                for device in &devices {
                    for name in attention_implementations(device) {
                        if head_dim > 256 && name != "chained" {
                            continue;
                        }
                        let got = on(device, name, true);
                        let what = |part: &str| {
                            format!("{part} of {name}, {stage:?} of {heads:?} {rows:?}, {dims:?}")
                        };
                        let floor = if number == 3 { weight_floor } else { logit_floor };
                        let agrees = |part: usize, name: &str, expected: &[f64], floor: f64| {
                            assert_agrees(device, &what(name), (&got[part], &twin[part], expected), floor);
                        };
                        agrees(0, "output", &outputs, weight_floor);
                        agrees(1, "weights", &stages[3], weight_floor);
                        agrees(2, "log-sum-exp", &sums, logit_floor + weight_floor);
                        agrees(3, "capture", &expected, floor);
                        // The same without all the weights.
                        let without = on(device, name, false);
                        for part in [0, 2, 3] {
                            let comparison = compare_bits(&got[part], &without[part]);
                            assert!(
                                comparison.passed,
                                "{}: {}: {comparison}",
                                device.name(),
                                what("without weights")
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn queries_keys_and_values_as_f16() {
    let devices = common::devices();
    use DType::{F16, F32};
    // Rows that are whole vec4s, and rows that are not.
    for (head_dim, value_dim, queries) in [(16, 8, 40), (7, 33, 5), (64, 64, 3), (300, 12, 4)] {
        let dims = Dims { batch: 2, heads: 4, heads_kv: 2, queries, keys: 77, head_dim, value_dim };
        for dtypes in [[F16, F16, F16], [F32, F16, F16], [F16, F32, F32]] {
            let mut data = Data::new(dims, 5);
            for (values, dtype) in data.inputs.iter_mut().zip(dtypes) {
                if dtype == F16 {
                    narrow(values);
                }
            }
            let options = Options { causal: oracle::Causal::BottomRight, ..Options::for_head_dim(head_dim) };
            let [q, k, v] = data.views();
            let expected = oracle::attention(q, k, v, dims, options);
            let count = expected.len();
            let shape = [2, 4, queries, value_dim];
            // Into an f32 of the caller's, and as the op gives it: in the dtype of the queries.
            let on = |device: &Device, implementation: &str| {
                let mut recording = Recording::new(device);
                let inputs = data.values(&mut recording, dtypes);
                let [q, k, v] = inputs.each_ref().map(|value| Heads::dense(value).unwrap());
                let attention = Attention::new()
                    .causal(Causal::BottomRight)
                    .output_layout(Layout::HeadsFirst)
                    .implementation(implementation);
                let into = Tensor::from_f32(device, shape, &vec![f32::NAN; count]).unwrap();
                let to = recording.tensor(&into).unwrap();
                attention.record_into(&mut recording, &q, &k, &v, &Heads::dense(&to).unwrap()).unwrap();
                let made = attention.record(&mut recording, &q, &k, &v).unwrap();
                assert_eq!((made.output.dtype(), made.output.shape().dims()), (dtypes[0], &shape[..]));
                let [output, ..] = run(recording, &made);
                (into.to_f32().unwrap(), output)
            };
            let (twin, _) = on(&Device::cpu(), if head_dim > 256 { "chained" } else { "tiled" });
            for device in &devices {
                for name in attention_implementations(device) {
                    if head_dim > 256 && name != "chained" {
                        continue;
                    }
                    let (got, given) = on(device, name);
                    let what = format!("{name} {dtypes:?} {dims:?}");
                    let floor = rounding_floor(head_dim + 77, 1.0) + 1e-6;
                    assert_agrees(device, &what, (&got, &twin, &expected), floor);
                    let mut rounded = got.clone();
                    if dtypes[0] == F16 {
                        narrow(&mut rounded);
                    }
                    let comparison = compare_bits(&given, &rounded);
                    assert!(comparison.passed, "{}: {what}: {comparison}", device.name());
                }
            }
        }
    }
}

#[test]
fn a_call_gives_all_in_both_layouts_and_dtypes() {
    let dims = Dims { batch: 2, heads: 4, heads_kv: 2, queries: 6, keys: 9, head_dim: 8, value_dim: 5 };
    let data = Data::new(dims, 8);
    for device in common::devices() {
        let shapes = data.shapes();
        let tensor = |part: usize, layout: Layout, half: bool| {
            let [batch, heads, rows, columns] = shapes[part];
            let (shape, values) = match layout {
                Layout::HeadsFirst => (shapes[part], data.inputs[part].clone()),
                Layout::RowsFirst => {
                    let at = |b, row, head| {
                        &data.inputs[part][((b * heads + head) * rows + row) * columns..][..columns]
                    };
                    let places = (0..batch).flat_map(|b| (0..rows).map(move |row| (b, row)));
                    let all = places.flat_map(|(b, row)| (0..heads).flat_map(move |head| at(b, row, head)));
                    ([batch, rows, heads, columns], all.copied().collect())
                }
            };
            match half {
                true => Tensor::from_f32_as_f16(&device, shape, &values).unwrap(),
                false => Tensor::from_f32(&device, shape, &values).unwrap(),
            }
        };
        for half in [false, true] {
            let all = |layout: Layout| {
                let [q, k, v] = [0, 1, 2].map(|part| tensor(part, layout, half));
                let call = attention(&q, &k, &v).layout(layout).with_weights().with_log_sum_exp();
                call.capture(Capture::new(Stage::Scores).heads(&[3])).run_all().unwrap()
            };
            let [heads_first, rows_first] = [Layout::HeadsFirst, Layout::RowsFirst].map(all);
            assert_eq!(heads_first.output.shape().dims(), [2, 4, 6, 5]);
            assert_eq!(rows_first.output.shape().dims(), [2, 6, 4, 5]);
            let dtype = if half { DType::F16 } else { DType::F32 };
            assert_eq!([heads_first.output.dtype(), rows_first.output.dtype()], [dtype; 2]);
            let [by_heads, by_rows] = [&heads_first, &rows_first].map(|given| given.output.to_f32().unwrap());
            let mut permuted = Vec::new();
            for (b, row, head) in
                (0..2).flat_map(|b| (0..6).flat_map(move |row| (0..4).map(move |head| (b, row, head))))
            {
                permuted.extend_from_slice(&by_heads[((b * 4 + head) * 6 + row) * 5..][..5]);
            }
            let comparison = compare_bits(&by_rows, &permuted);
            assert!(comparison.passed, "{}: {comparison}", device.name());
            for (a, b, shape) in [
                (&heads_first.weights, &rows_first.weights, &[2, 4, 6, 9][..]),
                (&heads_first.log_sum_exp, &rows_first.log_sum_exp, &[2, 4, 6]),
                (&heads_first.captured, &rows_first.captured, &[2, 1, 6, 9]),
            ] {
                let (a, b) = (a.as_ref().unwrap(), b.as_ref().unwrap());
                assert_eq!((a.shape().dims(), b.shape().dims()), (shape, shape));
                let comparison = compare_bits(&a.to_f32().unwrap(), &b.to_f32().unwrap());
                assert!(comparison.passed, "{}: {comparison}", device.name());
            }
        }
        // What was not asked for is not there.
        let [q, k, v] = [0, 1, 2].map(|part| tensor(part, Layout::HeadsFirst, false));
        let given = attention(&q, &k, &v).run_all().unwrap();
        assert!(given.weights.is_none() && given.log_sum_exp.is_none() && given.captured.is_none());
    }
}

/// What one attention says of its keys; [`Said::Host`] is held against the oracle by the sampled matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Said {
    Host,
    Device,
    Mixed,
}

#[test]
fn tables_from_the_host_and_the_device() {
    let devices = common::devices();
    // Packed, in blocks, or neither; with lengths, a padding mask, or neither.
    for (layout, padding) in [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)] {
        let (batch, heads, head_dim, value_dim, block) = (3, 4, 12, 8, 4);
        let (q_sums, k_sums) = ([0, 7, 7, 20], [0, 36, 40, 57]);
        let (queries, keys) = (13, 36);
        let (q_rows, k_rows) = [(queries, keys), (20, 57), (queries, block)][layout];
        let (q_batch, k_batch) = [(batch, batch), (1, 1), (batch, 31)][layout];
        let dims = Dims {
            batch: 1,
            heads,
            heads_kv: 2,
            queries: q_batch * q_rows,
            keys: k_batch * k_rows,
            head_dim,
            value_dim,
        };
        let data = Data::new(dims, layout as u64);
        let mut random = Inputs::new(3);
        let table: Vec<u32> = (0..27).map(|entry| (entry * 5 + 3) % 31).collect();
        let lengths = [36, 3, 11];
        let keep = random.mask(batch * keys);
        let of_heads = head_numbers();
        let bias = RelativePositionBias::from_distances(&random.values(4 * 15, 1.0), 4).unwrap();
        let on = |device: &Device, implementation: &str, said: Said| {
            let mut recording = Recording::new(device);
            let [q, k, v] = data.values(&mut recording, F32);
            let shape = |value: &Value, [batch, heads, rows, columns]: [usize; 4]| {
                value.reshape([batch, heads, rows, columns]).unwrap()
            };
            let q = shape(&q, [q_batch, heads, q_rows, head_dim]);
            let k = shape(&k, [k_batch, 2, k_rows, head_dim]);
            let v = shape(&v, [k_batch, 2, k_rows, value_dim]);
            let mut numbers = |shape: &[usize], words: &[u32]| {
                let tensor = Tensor::from_u32(device, shape, words).unwrap();
                recording.tensor(&tensor).unwrap()
            };
            let both = [&q_sums[..], &k_sums].concat();
            let sums = numbers(&[2, 4], &both);
            let past: Vec<u32> =
                lengths.iter().map(|length| if *length == 36 { 99 } else { *length }).collect();
            let lengths_value = numbers(&[3], &past);
            let (padding_mask, as_mask) = (numbers(&[3, 36], &keep), numbers(&[3, 1, 1, 36], &keep));
            let table_value = numbers(&[3, 9], &table);
            let terms = of_heads.as_ref().map(|_, terms| {
                let tensor = Tensor::from_f32(device, [4], terms).unwrap();
                recording.tensor(&tensor).unwrap()
            });
            let mut attention = Attention::new()
                .causal(Causal::BottomRight)
                .with_log_sum_exp()
                .capture(Capture::new(Stage::Biased))
                .implementation(implementation);
            let on_device = said == Said::Device;
            attention = match (layout, said) {
                (1, Said::Device) => attention.packed_value(&sums, [13, 36]),
                (1, _) => attention.packed(&q_sums, &k_sums),
                (2, Said::Host) => attention.page_table(&table),
                (2, _) => attention.page_table_value(&table_value),
                _ => attention,
            };
            attention = match (padding, said) {
                (1, Said::Host) => attention.key_lengths(&lengths),
                (1, _) => attention.key_lengths_value(&lengths_value),
                (2, Said::Host) => attention.mask(Mask::Bool(&as_mask)),
                (2, _) => attention.key_padding_mask(&padding_mask),
                _ => attention,
            };
            // Where they are mixed, every second one is the host's.
            let mut of_host = false;
            attention = attention.per_head(terms.as_ref().map(|name, value| {
                of_host = !of_host;
                let numbers = of_heads.as_ref().get(name).unwrap();
                let by_host = said == Said::Host || said == Said::Mixed && of_host;
                Some(if by_host { HeadTerms::Host(numbers) } else { HeadTerms::Value(value) })
            }));
            let bias_value = recording.tensor(&bias.upload(device).unwrap()).unwrap();
            attention = match on_device {
                true => attention.relative_bias_value(&bias_value),
                false => attention.relative_bias(&bias),
            };
            let [q, k, v] = [&q, &k, &v].map(|value| Heads::dense(value).unwrap());
            let made = attention.record(&mut recording, &q, &k, &v).unwrap();
            let [output, _, sums, mut captured] = run(recording, &made);
            if layout == 1 {
                // What no item has may be anything.
                for (place, value) in captured.iter_mut().enumerate() {
                    let [key, query, item] = [place % 36, place / 36 % 13, place / 36 / 13 / 4];
                    let there = |sums: &[u32; 4], at: usize| at < (sums[item + 1] - sums[item]) as usize;
                    if !there(&q_sums, query) || !there(&k_sums, key) {
                        *value = 0.0;
                    }
                }
            }
            [output, sums, captured]
        };
        for device in &devices {
            for name in attention_implementations(device) {
                let host = on(device, name, Said::Host);
                assert!(
                    host[0].iter().any(|value| *value != 0.0)
                        && host[0].iter().all(|value| value.is_finite())
                );
                for said in [Said::Device, Said::Mixed] {
                    for (got, host) in on(device, name, said).iter().zip(&host) {
                        let comparison = compare_bits(got, host);
                        let what =
                            format!("{} {name}: {said:?}, layout {layout}, padding {padding}", device.name());
                        assert!(comparison.passed, "{what}: {comparison}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_heads_scale_is_that_of_its_queries() {
    let dims = Dims { batch: 2, heads: 4, heads_kv: 2, queries: 9, keys: 21, head_dim: 8, value_dim: 5 };
    let data = Data::new(dims, 9);
    // Powers of two, so that queries that are multiplied with them give the same bits.
    let scales = [2.0, 0.25, -1.0, 8.0];
    let mut scaled = Data::new(dims, 9);
    for (head, rows) in scaled.inputs[0].chunks_exact_mut(9 * 8).enumerate() {
        rows.iter_mut().for_each(|value| *value *= scales[head % 4]);
    }
    for device in common::devices() {
        for name in attention_implementations(&device) {
            let on = |data: &Data, scales: Option<&[f32]>| {
                let mut recording = Recording::new(&device);
                let inputs = data.values(&mut recording, F32);
                let [q, k, v] = inputs.each_ref().map(|value| Heads::dense(value).unwrap());
                let mut attention = Attention::new().softcap(3.0).implementation(name);
                attention = scales.map_or(attention, |scales| attention.head_scales(scales));
                let made = attention.record(&mut recording, &q, &k, &v).unwrap();
                let [output, ..] = run(recording, &made);
                output
            };
            let comparison = compare_bits(&on(&data, Some(&scales)), &on(&scaled, None));
            assert!(comparison.passed, "{} {name}: {comparison}", device.name());
            assert!(!compare_bits(&on(&data, None), &on(&scaled, None)).passed, "or this shows nothing");
        }
    }
}

#[test]
fn a_block_outside_the_pool_reads_the_last() {
    let dims = Dims { batch: 1, heads: 2, heads_kv: 2, queries: 3, keys: 20, head_dim: 8, value_dim: 8 };
    let data = Data::new(dims, 4);
    for device in common::devices() {
        for name in attention_implementations(&device) {
            let on = |table: &[u32]| {
                let mut recording = Recording::new(&device);
                let [q, k, v] = data.values(&mut recording, F32);
                let pool = |value: &Value| value.reshape([5, 2, 4, 8]).unwrap();
                let (k, v) = (pool(&k), pool(&v));
                let table = Tensor::from_u32(&device, [1, 3], table).unwrap();
                let table = recording.tensor(&table).unwrap();
                let attention = Attention::new().page_table_value(&table).implementation(name);
                let [q, k, v] = [&q, &k, &v].map(|value| Heads::dense(value).unwrap());
                let made = attention.record(&mut recording, &q, &k, &v).unwrap();
                let [output, ..] = run(recording, &made);
                output
            };
            let comparison = compare_bits(&on(&[2, 5, u32::MAX]), &on(&[2, 4, 4]));
            assert!(comparison.passed, "{} {name}: {comparison}", device.name());
            let other = compare_bits(&on(&[2, 0, 4]), &on(&[2, 4, 4]));
            assert!(!other.passed, "or this shows nothing");
        }
    }
}

#[test]
fn each_column_meets_its_own_strange_values() {
    let (columns, keys) = (100, 5);
    let mut v = vec![1.0_f32; keys * columns];
    let mut put = |key: usize, column: usize, value: f32| v[key * columns + column] = value;
    put(1, 70, f32::NAN);
    put(0, 5, f32::INFINITY);
    put(2, 38, f32::NEG_INFINITY);
    put(3, 97, f32::INFINITY);
    put(1, 97, f32::NEG_INFINITY);
    // Of a key that no query may attend to.
    put(4, 6, f32::NAN);
    let expected: Vec<f32> = (0..columns)
        .map(|column| match column {
            70 | 97 => f32::NAN,
            5 => f32::INFINITY,
            38 => f32::NEG_INFINITY,
            _ => 1.0,
        })
        .collect();
    for device in common::devices() {
        for name in attention_implementations(&device) {
            let mut recording = Recording::new(&device);
            let mut value = |dims: [usize; 4], values: &[f32]| {
                let tensor = Tensor::from_f32(&device, dims, values).unwrap();
                recording.tensor(&tensor).unwrap()
            };
            let q = value([1, 1, 2, 4], &[1.0; 8]);
            let k = value([1, 1, keys, 4], &vec![1.0; 4 * keys]);
            let v = value([1, 1, keys, columns], &v);
            let [q, k, v] = [&q, &k, &v].map(|value| Heads::dense(value).unwrap());
            let attention = Attention::new().key_lengths(&[4]).implementation(name);
            let made = attention.record(&mut recording, &q, &k, &v).unwrap();
            let [output, ..] = run(recording, &made);
            for (place, (got, expected)) in output.iter().zip(expected.iter().cycle()).enumerate() {
                let same =
                    (got.is_nan() && expected.is_nan()) || (got - expected).abs() < 1e-6 || got == expected;
                assert!(same, "{} {name}, element {place}: {got}, not {expected}", device.name());
            }
            assert_eq!(output.len(), 2 * columns);
        }
    }
}
