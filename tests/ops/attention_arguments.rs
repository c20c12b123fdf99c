//! Arguments of attention that do not fit, option by option: each is an error that says what was needed and what there
//! was, and nothing is recorded.

use std::ops::Range;

use crate::common::{self, zeros, zeros_of};
use attentive::ops::{
    Alignment, Attention, AttentionValues, Capture, HeadTerms, Heads, Mask, PerHead, RelativePositionBias,
    Stage,
};
use attentive::recording::Value;
use attentive::{Causal, DType, Device, DeviceOptions, Error, Recording, Result, Tensor, attention, wgpu};

pub const Q: [usize; 4] = [2, 4, 3, 8];
pub const K: [usize; 4] = [2, 2, 5, 8];
pub const V: [usize; 4] = [2, 2, 5, 6];

/// Queries, keys and values that fit, and what is refused with them.
pub struct Bench {
    pub recording: Recording,
    pub inputs: [Value; 3],
}

impl Bench {
    pub fn new(device: &Device, shapes: [&[usize]; 3]) -> Self {
        let mut recording = Recording::new(device);
        let inputs = shapes.map(|shape| zeros(&mut recording, shape));
        Self { recording, inputs }
    }

    fn record(&mut self, attention: Attention<'_>) -> Result<AttentionValues> {
        let [q, k, v] = self.inputs.each_ref().map(|value| Heads::dense(value).unwrap());
        attention.record(&mut self.recording, &q, &k, &v)
    }

    /// An [`Error::Argument`] of the op whose message holds all of `words`.
    #[track_caller]
    fn refused(&mut self, attention: Attention<'_>, words: &[&str]) {
        assert_refused(self.record(attention), words);
    }

    /// Nothing of all that was refused is there to be run.
    #[track_caller]
    fn nothing_recorded(self) {
        let what = self.recording.device().name().to_owned();
        assert_eq!(self.recording.run().unwrap().statistics.dispatches, 0, "{what}");
    }
}

/// An [`Error::Argument`] of the op whose message holds all of `words`.
#[track_caller]
pub fn assert_refused<T>(outcome: Result<T>, words: &[&str]) {
    let error = common::assert_fails(outcome, words);
    assert!(matches!(&error, Error::Argument { op, .. } if op == "attention"), "{error:?}");
}

/// Each option of the heads alone, with those numbers.
pub fn each_of_heads(terms: &Value) -> impl Iterator<Item = (&'static str, Attention<'_>)> {
    let with = |name| Attention::new().per_head(PerHead::only(name, HeadTerms::Value(terms)));
    PerHead::NAMES.iter().map(move |&name| (name, with(name)))
}

#[test]
fn numbers_that_are_none() {
    for device in common::devices() {
        let mut bench = Bench::new(&device, [&Q, &K, &V]);
        for scale in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            bench.refused(Attention::new().scale(scale), &["scale", "a finite number", &scale.to_string()]);
        }
        for softcap in [f32::NAN, f32::INFINITY, -1.0, -f32::MIN_POSITIVE] {
            let words = ["softcap", "a finite number of at least 0", &softcap.to_string()];
            bench.refused(Attention::new().softcap(softcap), &words);
        }
        let contrary = Attention::new().causal(Causal::TopLeft).alignment(Alignment::BottomRight);
        bench.refused(
            contrary.window(Some(2), None),
            &["the alignment", "causal bound, TopLeft", "BottomRight"],
        );
        let contrary = Attention::new().causal(Causal::Offset(2)).alignment(Alignment::Offset(3));
        bench.refused(contrary, &["the alignment", "Offset(2)", "Offset(3)"]);
        for offset in [i32::MIN, i32::MAX, (1 << 30) + 1, -(1 << 30) - 1] {
            let words = ["the offset", "from -1073741824 to 1073741824", &offset.to_string()];
            bench.refused(Attention::new().causal(Causal::Offset(offset)), &words);
            bench.refused(Attention::new().alignment(Alignment::Offset(offset)), &words);
        }
        bench.nothing_recorded();
        // What is large but a number is no error: nothing is in sight, or all is.
        let mut bench = Bench::new(&device, [&Q, &K, &V]);
        let attention = Attention::new().window(Some(u32::MAX), Some(u32::MAX));
        bench.record(attention.alignment(Alignment::Offset(-(1 << 30)))).unwrap();
        bench
            .record(Attention::new().causal(Causal::Offset(1 << 30)).alignment(Alignment::Offset(1 << 30)))
            .unwrap();
        bench.recording.run().unwrap();
    }
}

#[test]
fn dtypes() {
    for device in common::devices() {
        let mut bench = Bench::new(&device, [&Q, &K, &V]);
        let [q, k, v] = bench.inputs.clone();
        let recording = &mut bench.recording;
        let (words, half_k, half_v) = (
            zeros_of(DType::U32, recording, &Q),
            zeros_of(DType::F16, recording, &K),
            zeros_of(DType::F16, recording, &V),
        );
        let words_k = zeros_of(DType::U32, recording, &K);
        for (inputs, expected) in [
            ([&words, &k, &v], ["q must be f32 or f16", "u32"]),
            ([&q, &words_k, &v], ["k must be f32 or f16", "u32"]),
            ([&q, &half_k, &v], ["v must be f16", "f32"]),
            ([&q, &k, &half_v], ["v must be f32", "f16"]),
        ] {
            bench.inputs = inputs.map(Clone::clone);
            bench.refused(Attention::new(), &expected);
        }
        bench.inputs = [q, k, v];
        let recording = &mut bench.recording;
        let [mask, half, two] = [
            zeros(recording, &[3, 5]),
            zeros_of(DType::F16, recording, &[3, 5]),
            zeros_of(DType::U32, recording, &[3, 5]),
        ];
        bench.refused(Attention::new().mask(Mask::Bool(&mask)), &["the mask must be u32", "f32"]);
        bench.refused(Attention::new().mask(Mask::Bool(&half)), &["the mask must be u32", "f16"]);
        bench.refused(Attention::new().mask(Mask::Float(&two)), &["the mask must be f32 or f16", "u32"]);
        bench.nothing_recorded();
    }
}

#[test]
fn tables_of_the_device() {
    for device in common::devices() {
        let mut bench = Bench::new(&device, [&Q, &K, &V]);
        let recording = &mut bench.recording;
        let wrong = [zeros(recording, &[2]), zeros(recording, &[2, 5]), zeros(recording, &[2, 3])];
        let [f2, f25, f23] = &wrong;
        let shapes = [&[1][..], &[3], &[2, 1], &[]]
            .map(|shape| (zeros_of(DType::U32, recording, shape), format!("{shape:?}")));
        for (lengths, found) in &shapes {
            bench.refused(Attention::new().key_lengths_value(lengths), &["key_lengths must be [2]", found]);
        }
        bench.refused(Attention::new().key_lengths_value(f2), &["key_lengths must be u32", "f32"]);
        let recording = &mut bench.recording;
        let shapes = [&[2, 4][..], &[5], &[2, 1], &[1, 5], &[2, 1, 5]];
        let shapes = shapes.map(|shape| (zeros_of(DType::U32, recording, shape), format!("{shape:?}")));
        for (mask, found) in &shapes {
            bench.refused(
                Attention::new().key_padding_mask(mask),
                &["key_padding_mask must be [2, 5]", found],
            );
        }
        bench.refused(Attention::new().key_padding_mask(f25), &["key_padding_mask must be u32", "f32"]);
        for &name in PerHead::NAMES {
            let with = |terms| Attention::new().per_head(PerHead::only(name, HeadTerms::Value(terms)));
            bench.refused(with(f2), &[&format!("{name} must be [4]"), "[2]"]);
            let words = zeros_of(DType::U32, &mut bench.recording, &[4]);
            bench.refused(with(&words), &[&format!("{name} must be f32"), "u32"]);
        }
        let recording = &mut bench.recording;
        let biases = [&[4][..], &[4, 2], &[4, 0], &[3, 5], &[4, 3, 1]];
        let biases = biases.map(|shape| (zeros(recording, shape), format!("{shape:?}")));
        for (bias, found) in &biases {
            let words = ["relative_bias must be [4, 2 · reach + 1]", found];
            bench.refused(Attention::new().relative_bias_value(bias), &words);
        }
        let words = zeros_of(DType::U32, &mut bench.recording, &[4, 3]);
        bench.refused(Attention::new().relative_bias_value(&words), &["relative_bias must be f32", "u32"]);
        let recording = &mut bench.recording;
        let tables = [&[3, 2][..], &[2], &[2, 2, 1]]
            .map(|shape| (zeros_of(DType::U32, recording, shape), format!("{shape:?}")));
        for (table, found) in &tables {
            let words = ["the page table must be [2, pages]", found];
            bench.refused(Attention::new().page_table_value(table), &words);
        }
        bench.refused(Attention::new().page_table_value(f23), &["the page table must be u32", "f32"]);
        bench.nothing_recorded();
        // Packed rows have a batch of 1.
        let mut bench = Bench::new(&device, [&[1, 4, 3, 8], &[1, 2, 5, 8], &[1, 2, 5, 6]]);
        let recording = &mut bench.recording;
        let [good, flat, three] =
            [&[2, 3][..], &[6], &[3, 2]].map(|shape| zeros_of(DType::U32, recording, shape));
        bench.refused(Attention::new().packed_value(&flat, [3, 5]), &["packed must be [2, B + 1]", "[6]"]);
        bench
            .refused(Attention::new().packed_value(&three, [3, 5]), &["packed must be [2, B + 1]", "[3, 2]"]);
        let float = zeros(&mut bench.recording, &[2, 3]);
        bench.refused(Attention::new().packed_value(&float, [3, 5]), &["packed must be u32", "f32"]);
        for longest in [[4, 5], [3, 6], [usize::MAX, 0]] {
            let words = ["the longest", "at most 3 and 5", &format!("{longest:?}")];
            bench.refused(Attention::new().packed_value(&good, longest), &words);
        }
        bench.nothing_recorded();
    }
}

#[test]
fn tables_of_the_host() {
    for device in common::devices() {
        let mut bench = Bench::new(&device, [&Q, &K, &V]);
        for terms in
            [&[0.5; 3][..], &[0.5; 5], &[], &[0.5, 0.5, f32::NAN, 0.5], &[0.5, 0.5, f32::INFINITY, 0.5]]
        {
            let expected = match terms.len() {
                4 => ["finite numbers".to_owned(), terms[2].to_string()],
                count => ["one for each of 4 heads".to_owned(), count.to_string()],
            };
            let [expected, found] = &expected;
            for &name in PerHead::NAMES {
                let own = PerHead::only(name, HeadTerms::Host(terms));
                bench.refused(Attention::new().per_head(own), &[name, expected, found]);
            }
        }
        let of_two = RelativePositionBias::from_distances(&[0.5; 14], 2).unwrap();
        let words = ["relative_bias must be of 4 heads", "of 2"];
        bench.refused(Attention::new().relative_bias(&of_two), &words);
        for (table, expected, found) in [
            (&[0, 1, 1][..], "as many entries for each of 2 batch items", "is 3"),
            (
                &[0, 1, 2, 0],
                "below the 2 pages of k [2, 2, 5, 8]",
                "entry 0 of batch item 1 in the page table",
            ),
            (&[0, 1, 0, u32::MAX], "below the 2 pages", "entry 1 of batch item 1"),
        ] {
            bench.refused(Attention::new().page_table(table), &[expected, found]);
        }
        // What lies behind an item's keys may be anything, and its keys are those of its pages.
        let table = Attention::new().page_table(&[0, 9, 1, 0]);
        bench.refused(table.key_lengths(&[6, 10]), &["entry 1 of batch item 0", "below the 2 pages", "is 9"]);
        bench.refused(table.key_lengths(&[5, 11]), &["key_lengths", "at most 10", "item 1", "[5, 11]"]);
        // Packed rows in a batch, or with pages.
        let packed = Attention::new().packed(&[0, 3], &[0, 5]);
        bench.refused(packed, &["packed", "a batch of 1", "q [2, 4, 3, 8] and k [2, 2, 5, 8]"]);
        bench.refused(packed.page_table(&[0, 1]), &["packed", "without a page table"]);
        bench.record(table.key_lengths(&[5, 10])).unwrap();
        bench.recording.run().unwrap();

        let mut bench = Bench::new(&device, [&Q, &[0, 2, 5, 8], &[0, 2, 5, 6]]);
        let words = ["the pool of k", "at least one page of at least one key", "[0, 2, 5, 8]"];
        bench.refused(Attention::new().page_table(&[0, 0]), &words);
        bench.nothing_recorded();

        let mut bench = Bench::new(&device, [&[1, 4, 3, 8], &[1, 2, 5, 8], &[1, 2, 5, 6]]);
        for queries in [&[0, 2][..], &[0, 4], &[1, 3], &[0, 2, 1, 3], &[], &[3], &[0, u32::MAX, 3]] {
            let words = ["packed queries", "running sums from 0 to 3", &format!("{queries:?}")];
            bench.refused(Attention::new().packed(queries, &[0, 5]), &words);
        }
        for keys in [&[0, 4][..], &[0, 6], &[5, 0], &[]] {
            let words = ["packed keys", "running sums from 0 to 5", &format!("{keys:?}")];
            bench.refused(Attention::new().packed(&[0, 3], keys), &words);
        }
        let words = ["packed keys", "2 running sums, as of the queries", "is 3"];
        bench.refused(Attention::new().packed(&[0, 3], &[0, 1, 5]), &words);
        let packed = Attention::new().packed(&[0, 2, 3], &[0, 1, 5]);
        bench.refused(packed.key_lengths(&[1, 5]), &["key_lengths", "at most 4", "item 1", "[1, 5]"]);
        bench.refused(packed.key_lengths(&[1]), &["key_lengths", "2 batch items", "[1]"]);
        bench.nothing_recorded();
    }
}

#[test]
fn captures_out_of_range() {
    for device in common::devices() {
        let mut bench = Bench::new(&device, [&Q, &K, &V]);
        for heads in [&[4][..], &[0, 1, 2, 3, 7], &[usize::MAX]] {
            let found = format!("is {}", heads.last().unwrap());
            let capture = Capture::new(Stage::Weights).heads(heads);
            bench.refused(Attention::new().capture(capture), &["a captured head", "below the 4", &found]);
        }
        for (start, end) in [(0, 4), (3, 4), (2, 1), (usize::MAX, 0), (0, usize::MAX)] {
            let capture = Capture::new(Stage::Scores).queries(Range { start, end });
            let words = ["the captured queries", "within 0..3", &format!("{start}..{end}")];
            bench.refused(Attention::new().capture(capture), &words);
        }
        bench.nothing_recorded();
        // None of them is not out of range, nor are more heads than any list could hold.
        let mut bench = Bench::new(&device, [&Q, &K, &V]);
        for (capture, shape) in [
            (Capture::new(Stage::Scores).heads(&[]), [2, 0, 3, 5]),
            (Capture::new(Stage::Scores).queries(3..3), [2, 4, 0, 5]),
        ] {
            let made = bench.record(Attention::new().capture(capture)).unwrap();
            assert_eq!(made.captured.unwrap().shape().dims(), shape);
        }
        bench.recording.run().unwrap();
        let many = [1 << 20, 1 << 28, 0, 8];
        let mut bench = Bench::new(&device, [&many, &many, &many]);
        let made = bench.record(Attention::new().capture(Capture::new(Stage::Biased))).unwrap();
        assert_eq!(made.captured.unwrap().shape().dims(), [1 << 20, 1 << 28, 0, 0]);
    }
}

#[test]
fn a_capture_past_the_limit_says_how_to_narrow_it() {
    const MIB: u64 = 1 << 20;
    let limits = wgpu::Limits { max_storage_buffer_binding_size: MIB, ..wgpu::Limits::defaults() };
    let adapter = common::noop_adapter(wgpu::NoopBackendOptions {
        limits: Some(limits),
        ..wgpu::NoopBackendOptions::enabled()
    });
    let device = common::with_limits(&adapter, |_| {});
    assert_eq!(device.capabilities().tensor_bytes(), MIB);
    let shape = [1, 4, 1000, 8];
    let mut bench = Bench::new(&device, [&shape, &shape, &shape]);
    let (all, head) = (Capture::new(Stage::Weights), Capture::new(Stage::Scores).heads(&[2]));
    for implementation in ["tiled", "decode", "chained"] {
        let attention = Attention::new().implementation(implementation);
        for (attention, needed, what) in [
            (attention.capture(all), 16_000_000, "captured scores [1, 4, 1000, 1000]"),
            (attention.capture(head), 4_000_000, "captured scores [1, 1, 1000, 1000]"),
            (attention.capture(head.queries(100..363)), 1_052_000, "captured scores [1, 1, 263, 1000]"),
            (attention.with_weights(), 16_000_000, "weights [1, 4, 1000, 1000]"),
        ] {
            let error = bench.record(attention).unwrap_err();
            let Error::Limit { limit, needed: found, available, .. } = &error else { panic!("{error:?}") };
            assert_eq!((*limit, *found, *available), ("maxStorageBufferBindingSize", needed, MIB));
            let message = error.to_string();
            for word in [
                what,
                "all of [1, 4, 1000, 1000] would take 16000000 bytes",
                "capture fewer heads or queries",
            ] {
                assert!(message.contains(word), "`{word}` is not in: {message}");
            }
        }
    }
    assert_eq!(bench.recording.cost().flops, 0, "nothing of it is recorded");
    bench.record(Attention::new().capture(head.queries(100..362))).unwrap();
}

#[test]
fn values_of_another_recording_and_tensors_of_another_device() {
    for device in common::devices() {
        let mut bench = Bench::new(&device, [&Q, &K, &V]);
        let mut other = Recording::new(&device);
        let [q, k, v] = [Q, K, V].map(|shape| zeros(&mut other, &shape));
        let own = bench.inputs.clone();
        for (name, place, value) in [("q", 0, &q), ("k", 1, &k), ("v", 2, &v)] {
            bench.inputs[place] = value.clone();
            let words = [name, "a value of this recording", &value.shape().to_string(), "of another"];
            bench.refused(Attention::new(), &words);
            bench.inputs = own.clone();
        }
        let [mask, terms] = [&[3, 5][..], &[4]].map(|shape| zeros(&mut other, shape));
        let [lengths, padding, table] =
            [&[2][..], &[2, 5], &[2, 1]].map(|shape| zeros_of(DType::U32, &mut other, shape));
        for (name, attention) in [
            ("the mask", Attention::new().mask(Mask::Float(&mask))),
            ("key_lengths", Attention::new().key_lengths_value(&lengths)),
            ("key_padding_mask", Attention::new().key_padding_mask(&padding)),
            ("the page table", Attention::new().page_table_value(&table)),
            ("packed", Attention::new().packed_value(&table, [1, 1])),
            ("relative_bias", Attention::new().relative_bias_value(&terms)),
        ]
        .into_iter()
        .chain(each_of_heads(&terms))
        {
            bench.refused(attention, &[name, "a value of this recording", "of another"]);
        }
        bench.nothing_recorded();

        let elsewhere = if device.is_cpu() { common::adapters().pop() } else { Some(Device::cpu()) };
        let Some(elsewhere) = elsewhere else { continue };
        let tensor = |device: &Device, shape: &[usize]| {
            Tensor::from_f32(device, shape, &vec![0.0; shape.iter().product()]).unwrap()
        };
        let ([q, k, v], mask) = ([Q, K, V].map(|shape| tensor(&device, &shape)), tensor(&elsewhere, &[3, 5]));
        let [k_there, v_there] = [K, V].map(|shape| tensor(&elsewhere, &shape));
        for (call, shape) in [
            (attention(&q, &k_there, &v), "[2, 2, 5, 8]"),
            (attention(&q, &k, &v_there), "[2, 2, 5, 6]"),
            (attention(&q, &k, &v).mask(&mask), "[3, 5]"),
        ] {
            let error = call.run().unwrap_err();
            let Error::WrongDevice { argument, expected, found, .. } = &error else { panic!("{error:?}") };
            assert!(argument.contains(shape), "{error}");
            assert_eq!((expected.as_str(), found.as_str()), (device.name(), elsewhere.name()));
        }
    }
}

#[test]
fn implementations_that_are_not_there() {
    let refused = |outcome: Result<AttentionValues>, name: &str, words: &[&str]| {
        let error = outcome.expect_err("it is refused");
        let Error::Implementation { op, name: found, .. } = &error else { panic!("{error:?}") };
        assert_eq!((op.as_str(), found.as_str()), ("attention", name));
        let message = error.to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    for device in common::devices() {
        let mut bench = Bench::new(&device, [&Q, &K, &V]);
        for name in ["flash", "", "Tiled"] {
            let outcome = bench.record(Attention::new().implementation(name));
            refused(outcome, name, &["tiled, subgroup, subgroup8, decode, cooperative, chained"]);
        }
        let here = common::attention_implementations(&device);
        for name in ["subgroup", "subgroup8"].iter().filter(|name| !here.contains(name)) {
            let outcome = bench.record(Attention::new().implementation(name));
            refused(outcome, name, &["subgroup"]);
        }
        for (dims, found) in [([257, 8], "not 257 and 8"), ([8, 300], "not 8 and 300")] {
            let [d, dv] = dims;
            let mut bench = Bench::new(&device, [&[1, 2, 3, d], &[1, 2, 3, d], &[1, 2, 3, dv]]);
            for name in here.iter().filter(|name| **name != "chained") {
                let outcome = bench.record(Attention::new().implementation(name));
                refused(outcome, name, &["up to ", found]);
            }
            assert_eq!(bench.recording.cost().flops, 0);
            // Unless forced, and by the chain, it can be had.
            bench.record(Attention::new()).unwrap();
            bench.record(Attention::new().implementation("chained")).unwrap();
        }
        bench.nothing_recorded();
    }
    // Pretended: subgroup sizes smallest and largest, and whether the feature is there.
    for (min, max, feature, reason) in [
        (8, 64, true, Some("subgroups vary from 8 to 64")),
        (128, 128, true, Some("not written for subgroups of 128")),
        (32, 32, false, Some("no subgroup operations")),
        (32, 32, true, None),
        (4, 4, true, None),
    ] {
        let adapter = common::noop_adapter(wgpu::NoopBackendOptions {
            features: Some(if feature { wgpu::Features::SUBGROUP } else { wgpu::Features::empty() }),
            limits: Some(wgpu::Limits::defaults()),
            subgroup_min_size: Some(min),
            subgroup_max_size: Some(max),
            ..wgpu::NoopBackendOptions::enabled()
        });
        let mut options = DeviceOptions::default();
        options.implementations = vec!["attention=subgroup".to_owned()];
        let device = pollster::block_on(Device::from_adapter(&adapter, options)).unwrap();
        let mut bench = Bench::new(&device, [&Q, &K, &V]);
        let outcome = bench.record(Attention::new());
        match reason {
            Some(reason) => refused(outcome, "subgroup", &[reason]),
            None => assert!(outcome.is_ok(), "{min}: {outcome:?}"),
        }
        // What the call says goes before what the device was told.
        bench.record(Attention::new().implementation("tiled")).unwrap();
    }
}

#[test]
fn sizes_without_elements_whose_products_overflow() {
    let (huge, device) = (usize::MAX / 2, Device::cpu());
    for [q, k, v] in [
        [[0, huge, 2, 8], [0, huge, 2, 8], [0, huge, 2, 8]],
        [[0, 2, huge, 8], [0, 2, huge, 8], [0, 2, huge, 8]],
        [[huge, 0, huge, 8], [huge, 0, huge, 8], [huge, 0, huge, 8]],
        [[0, 2, 2, huge], [0, 2, 2, huge], [0, 2, 2, 8]],
    ] {
        let mut bench = Bench::new(&device, [&q, &k, &v]);
        let mask = zeros(&mut bench.recording, &[q[0], q[1], q[2], k[2]]);
        let attention = Attention::new().mask(Mask::Float(&mask)).with_log_sum_exp().with_weights();
        let outcome = bench.record(attention.capture(Capture::default()));
        assert!(matches!(outcome, Err(Error::Argument { .. } | Error::Limit { .. })), "{q:?}: {outcome:?}");
    }
}

#[test]
fn sums_on_the_device_that_lead_out_of_the_tensor() {
    // No check sees them; the twins must not bring the program down.
    let device = Device::cpu();
    for sums in [
        [0, 9, 3, 0, 2, 5],
        [0, 2, 3, 0, 99, 5],
        [3, 0, 0, 5, 0, 0],
        [u32::MAX; 6],
        [0, 1, u32::MAX, 0, 1, 5],
    ] {
        for implementation in common::attention_implementations(&device) {
            let mut bench = Bench::new(&device, [&[1, 4, 3, 8], &[1, 2, 5, 8], &[1, 2, 5, 6]]);
            let tensor = Tensor::from_u32(&device, [2, 3], &sums).unwrap();
            let sums = bench.recording.tensor(&tensor).unwrap();
            let attention = Attention::new().packed_value(&sums, [3, 5]).implementation(implementation);
            bench.record(attention).unwrap();
            match bench.recording.run() {
                Ok(_) | Err(Error::Rejected { .. }) => {}
                Err(error) => panic!("{implementation}: {error:?}"),
            }
        }
    }
}
