//! A cache of keys and values: what is appended and attended to in one recording is what attention over the whole gives,
//! and nothing else in the cache is touched.

mod arguments;
mod scenario;

use crate::common::{self, assert_agrees};
use attentive::kernel::Inputs;
use attentive::ops::{
    Attention, Heads, KvCache, KvCacheShape, Layout, Mask, PagedKeys, PerHead, RelativePositionBias,
};
use attentive::recording::Value;
use attentive::reference::attention::{self as oracle, Dims, Options, Strided, View};
use attentive::reference::rounding_floor;
use attentive::{Causal, DType, Device, Recording, RecordingPlan, Tensor};
use scenario::{Scenario, taken};

const SHAPE: KvCacheShape = KvCacheShape {
    batch: 3,
    key_heads: 2,
    capacity: 12,
    head_dim: 7,
    value_dim: 5,
    dtype: DType::F32,
    paged: None,
};

fn pool(pages: usize, page_size: usize) -> Option<PagedKeys> {
    Some(PagedKeys { pages, page_size })
}

#[test]
fn several_steps_of_ragged_items() {
    let devices = common::devices();
    let steps: [(usize, &[u32]); 5] =
        [(5, &[5, 0, 3]), (1, &[1, 1, 1]), (1, &[0, 1, 1]), (4, &[4, 2, 0]), (1, &[1, 1, 1])];
    for (place, (dims, heads, dtype, paged)) in [
        ([7, 5], 4, DType::F32, None),
        ([33, 7], 2, DType::F16, None),
        ([1, 1], 6, DType::F16, None),
        ([1, 33], 2, DType::F32, pool(12, 3)),
        ([33, 40], 8, DType::F32, pool(9, 5)),
        ([7, 33], 2, DType::F16, pool(9, 4)),
        ([64, 64], 4, DType::F16, pool(36, 1)),
    ]
    .into_iter()
    .enumerate()
    {
        let [head_dim, value_dim] = dims;
        let shape = KvCacheShape { head_dim, value_dim, dtype, paged, ..SHAPE };
        let scenario = Scenario::new(shape, heads, &steps, place as u64);
        scenario.check(&devices, &format!("{shape:?}, {heads} heads"));
    }
}

#[test]
fn items_that_go_on_from_each_other() {
    let devices = common::devices();
    // As beams do, and as they do not: items die out, come back from one, change places.
    let parents: [&[u32]; 6] = [&[2, 1, 0], &[0, 0, 0], &[0, 1, 2], &[1, 2, 1], &[2, 0, 2], &[2, 2, 1]];
    let steps: [(usize, &[u32]); 6] = [
        (2, &[2, 0, 1]),
        (1, &[1, 1, 1]),
        (3, &[3, 1, 2]),
        (1, &[1, 1, 1]),
        (2, &[2, 2, 2]),
        (1, &[1, 1, 1]),
    ];
    for (dtype, dims) in [(DType::F32, [7, 5]), (DType::F16, [33, 64])] {
        let [head_dim, value_dim] = dims;
        // As many pages as items without anything in common need, and no more.
        let shape = KvCacheShape { head_dim, value_dim, dtype, paged: pool(36, 1), ..SHAPE };
        let scenario = Scenario::new(shape, 4, &steps, 77).reordered(&parents);
        scenario.check(&devices, &format!("reordered {shape:?}"));
    }
}

/// One plan for all steps of a decoding: between two of them the inputs are written anew and the keys counted on the device, and
/// nothing is made.
#[test]
fn one_plan_for_all_steps() {
    let steps: [(usize, &[u32]); 6] = [
        (1, &[1, 1, 0]),
        (1, &[1, 0, 1]),
        (1, &[1, 1, 1]),
        (1, &[0, 1, 1]),
        (1, &[1, 1, 1]),
        (1, &[1, 1, 1]),
    ];
    for device in common::adapters() {
        let (host, queue) = device.wgpu().unwrap();
        for (dtype, paged) in [(DType::F32, None), (DType::F16, None), (DType::F32, pool(12, 3))] {
            let shape = KvCacheShape { dtype, paged, ..SHAPE };
            let KvCacheShape { batch, key_heads, head_dim, value_dim, .. } = shape;
            let heads = 4;
            let scenario = Scenario::new(shape, heads, &steps, 5);
            let mut cache = KvCache::new(&device, shape).unwrap();
            scenario.poison(&mut cache, &device);
            let zeros = |dims: [usize; 4]| Tensor::zeros(&device, dims, DType::F32).unwrap();
            let q = zeros([batch, heads, 1, head_dim]);
            let (k, v) = (zeros([batch, key_heads, 1, head_dim]), zeros([batch, key_heads, 1, value_dim]));
            let mut recording = Recording::new(&device);
            let taken = [&q, &k, &v].map(|tensor| recording.tensor(tensor).unwrap());
            let [q_heads, k_heads, v_heads] = [0, 1, 2].map(|place| Heads::dense(&taken[place]).unwrap());
            cache.record_append_at_device(&mut recording, &k_heads, &v_heads).unwrap();
            let attention = Attention::new().causal(Causal::BottomRight).output_layout(Layout::HeadsFirst);
            let values = cache.record_attention_at_device(&mut recording, attention, &q_heads).unwrap();
            recording.output(&values.output).unwrap();
            let plan = RecordingPlan::new(recording).unwrap();
            let output = plan.tensor(&values.output).unwrap();
            let floor = rounding_floor(head_dim + shape.capacity, 1.0) + 1e-6;
            let mut made = None;
            for (place, (step, [expected, _])) in scenario.steps.iter().zip(scenario.expected()).enumerate() {
                q.write_f32(&step.q).unwrap();
                k.write_f32(&step.k).unwrap();
                v.write_f32(&step.v).unwrap();
                cache.advance(&step.counts).unwrap();
                let mut encoder = host.create_command_encoder(&Default::default());
                plan.record(&mut encoder).unwrap();
                queue.submit([encoder.finish()]);
                let got = output.to_f32().unwrap();
                let rounded: Vec<f32> = expected.iter().map(|&value| value as f32).collect();
                let what = format!("step {place} of {shape:?}");
                assert_agrees(&device, &what, (&got, &rounded, &expected), floor);
                assert_eq!(*made.get_or_insert(device.created()), device.created(), "{what}");
            }
        }
    }
}

#[test]
fn blocks_that_items_share_come_back_once() {
    let device = Device::cpu();
    let mut cache = KvCache::new(&device, KvCacheShape { paged: pool(12, 1), ..SHAPE }).unwrap();
    let mut recording = Recording::new(&device);
    append(&mut cache, &mut recording, 1.0, &[4, 4, 4]).unwrap();
    cache.reorder(&[1, 1, 1]).unwrap();
    // Eight pages are free: two each and two.
    append(&mut cache, &mut recording, 2.0, &[4, 2, 2]).unwrap();
    assert!(append(&mut cache, &mut recording, 3.0, &[0, 1, 0]).is_err());
    cache.truncate(0, 0).unwrap();
    // The shared four stay with the others.
    append(&mut cache, &mut recording, 4.0, &[4, 0, 0]).unwrap();
    assert!(append(&mut cache, &mut recording, 5.0, &[1, 0, 0]).is_err());
    for item in 0..3 {
        cache.truncate(item, 0).unwrap();
    }
    append(&mut cache, &mut recording, 6.0, &[4, 4, 4]).unwrap();
    recording.run().unwrap();
    assert_eq!(means(&cache, &device), [6.0; 3]);
}

#[test]
fn a_prefill_in_chunks_is_the_whole() {
    for paged in [None, pool(8, 4)] {
        let shape = KvCacheShape { batch: 2, capacity: 13, head_dim: 33, paged, ..SHAPE };
        let KvCacheShape { batch, key_heads, head_dim, value_dim, .. } = shape;
        let (heads, all) = (4, 13);
        let whole = Scenario::new(shape, heads, &[(all, &[13, 13])], 9);
        let step = &whole.steps[0];
        let [expected, expected_sums] = &whole.expected()[0];
        let run = |device: &Device, chunks: &[usize], by_offset: bool| {
            let mut cache = KvCache::new(device, shape).unwrap();
            let mut recording = Recording::new(device);
            let q = taken(&mut recording, &[batch, heads, all, head_dim], &step.q);
            let k = taken(&mut recording, &[batch, key_heads, all, head_dim], &step.k);
            let v = taken(&mut recording, &[batch, key_heads, all, value_dim], &step.v);
            let mut first = 0;
            let mut sums = Vec::new();
            for &new in chunks {
                // Some rows of what is there, without a copy.
                let chunk = |value, heads: usize, columns: usize| {
                    let strides = [heads * all * columns, all * columns, columns];
                    Heads::strided(value, [batch, heads, new, columns], first * columns, strides).unwrap()
                };
                let (k, v) = (chunk(&k, key_heads, head_dim), chunk(&v, key_heads, value_dim));
                cache.record_append(&mut recording, &k, &v, None).unwrap();
                let q = chunk(&q, heads, head_dim);
                let causal = if by_offset { Causal::Offset(first as i32) } else { Causal::BottomRight };
                let attention =
                    Attention::new().causal(causal).output_layout(Layout::HeadsFirst).with_log_sum_exp();
                let made = cache.record_attention(&mut recording, attention, &q).unwrap();
                recording.output(&made.output).unwrap();
                let made_sums = made.log_sum_exp.unwrap();
                recording.output(&made_sums).unwrap();
                sums.push((new, first, made.output, made_sums));
                first += new;
            }
            let outputs = recording.run().unwrap();
            let mut output = vec![f32::NAN; expected.len()];
            let mut log_sums = vec![f32::NAN; batch * heads * all];
            for (new, first, values, made) in sums {
                let read = |value: &Value| outputs.tensor(value).unwrap().to_f32().unwrap();
                for (columns, from, to) in
                    [(value_dim, read(&values), &mut output), (1, read(&made), &mut log_sums)]
                {
                    for (head, rows) in from.chunks_exact(new * columns).enumerate() {
                        to[(head * all + first) * columns..][..new * columns].copy_from_slice(rows);
                    }
                }
            }
            [output, log_sums]
        };
        let twin = run(&Device::cpu(), &[13], false);
        let floor = rounding_floor(head_dim + all, 1.0) + 1e-6;
        for device in common::devices() {
            for (chunks, by_offset) in
                [(&[13][..], false), (&[5, 4, 4], true), (&[9, 1, 3], false), (&[1; 13], true)]
            {
                let [output, sums] = run(&device, chunks, by_offset);
                let what = format!("{paged:?} in {chunks:?}");
                assert_agrees(&device, &what, (&output, &twin[0], expected), floor);
                assert_agrees(&device, &format!("sums, {what}"), (&sums, &twin[1], expected_sums), floor);
            }
        }
    }
}

/// Appends rows of that value, as many to each item as told.
fn append(
    cache: &mut KvCache,
    recording: &mut Recording,
    value: f32,
    counts: &[u32],
) -> attentive::Result<()> {
    let KvCacheShape { key_heads, head_dim, value_dim, .. } = *cache.shape();
    let (items, new) = (counts.len(), counts.iter().copied().max().unwrap_or(0) as usize);
    let mut rows = |columns: usize| {
        taken(recording, &[items, key_heads, new, columns], &vec![value; items * key_heads * new * columns])
    };
    let (k, v) = (rows(head_dim), rows(value_dim));
    cache.record_append(recording, &Heads::dense(&k)?, &Heads::dense(&v)?, Some(counts))
}

/// The mean of what each item's queries see: with keys that are alike, all weights are.
fn means(cache: &KvCache, device: &Device) -> Vec<f32> {
    let KvCacheShape { batch, key_heads, head_dim, value_dim, .. } = *cache.shape();
    let mut recording = Recording::new(device);
    let q = taken(&mut recording, &[batch, key_heads, 1, head_dim], &vec![0.0; batch * key_heads * head_dim]);
    let made = cache.record_attention(&mut recording, Attention::new(), &Heads::dense(&q).unwrap()).unwrap();
    recording.output(&made.output).unwrap();
    let values = recording.run().unwrap().tensor(&made.output).unwrap().to_f32().unwrap();
    let rows: Vec<&[f32]> = values.chunks_exact(key_heads * value_dim).collect();
    // All heads and columns of an item are alike.
    assert!(rows.iter().all(|row| row.iter().all(|value| (value - row[0]).abs() <= 1e-6)), "{values:?}");
    rows.iter().map(|row| row[0]).collect()
}

#[test]
fn what_is_truncated_is_appended_anew() {
    for device in common::devices() {
        // A pool that holds what all items have only if each gives its pages back.
        for (dtype, paged) in
            [(DType::F32, None), (DType::F16, None), (DType::F32, pool(9, 2)), (DType::F16, pool(6, 3))]
        {
            let mut cache =
                KvCache::new(&device, KvCacheShape { dtype, paged, capacity: 6, ..SHAPE }).unwrap();
            let run = |cache: &mut KvCache, value: f32, counts: &[u32]| {
                let mut recording = Recording::new(&device);
                append(cache, &mut recording, value, counts).unwrap();
                recording.run().unwrap();
            };
            let assert_means = |cache: &KvCache, expected: [f32; 3]| {
                let got = means(cache, &device);
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5;
                assert!(
                    got.iter().zip(&expected).all(near),
                    "{}: {dtype} {paged:?}: {got:?}, not {expected:?}",
                    device.name()
                );
            };
            run(&mut cache, f32::NAN, &[6, 6, 6]);
            for item in [1, 0, 2] {
                cache.truncate(item, 0).unwrap();
            }
            assert_eq!(cache.lengths(), [0, 0, 0]);
            // A query that sees nothing gives 0.
            assert_means(&cache, [0.0, 0.0, 0.0]);
            run(&mut cache, 2.0, &[6, 3, 6]);
            assert_means(&cache, [2.0, 2.0, 2.0]);
            cache.truncate(0, 2).unwrap();
            cache.truncate(2, 6).unwrap();
            cache.truncate(1, 1).unwrap();
            assert_eq!(cache.lengths(), [2, 1, 6]);
            assert_means(&cache, [2.0, 2.0, 2.0]);
            run(&mut cache, 8.0, &[4, 1, 0]);
            assert_eq!(cache.lengths(), [6, 2, 6]);
            assert_means(&cache, [6.0, 5.0, 2.0]);
            // In one recording: what is truncated after it was recorded is as if it had not been.
            let mut recording = Recording::new(&device);
            cache.truncate(0, 5).unwrap();
            append(&mut cache, &mut recording, f32::NAN, &[1, 4, 0]).unwrap();
            cache.truncate(0, 0).unwrap();
            cache.truncate(1, 2).unwrap();
            append(&mut cache, &mut recording, 1.0, &[3, 3, 0]).unwrap();
            recording.run().unwrap();
            assert_means(&cache, [1.0, 2.6, 2.0]);
        }
    }
}

#[test]
fn options_beside_the_caches_own() {
    let shape = KvCacheShape { batch: 2, capacity: 16, paged: pool(8, 4), ..SHAPE };
    let KvCacheShape { batch, key_heads, head_dim, value_dim, .. } = shape;
    let (heads, queries, lengths) = (4, 3, [14, 9]);
    let scenario = Scenario::new(shape, heads, &[(14, &lengths)], 5);
    let (tokens, mut random) = (&scenario.tokens()[0], Inputs::new(6));
    let q = random.values(batch * heads * queries * head_dim, 1.0);
    // The keys of whole pages.
    let keys = 16;
    let mask = random.values(heads * queries * keys, 1.0);
    let (slopes, sinks) = ([0.5, 0.25, 0.125, 1.0], [0.3, -1.0, 2.0, 0.0]);
    // Distances beyond the reach on one side, within it on the other.
    let relative = random.values(heads * 13, 1.0);
    let bias = RelativePositionBias::from_distances(&relative, heads).unwrap();
    let dense = |part: usize, columns: usize| {
        let mut values = vec![f32::NAN; batch * key_heads * keys * columns];
        for (row, values) in values.chunks_exact_mut(columns).enumerate() {
            if let Some(token) = tokens[row / keys / key_heads].get(row % keys) {
                values.copy_from_slice(&token[part][row / keys % key_heads * columns..][..columns]);
            }
        }
        values
    };
    let (k, v) = (dense(0, head_dim), dense(1, value_dim));
    let dims = Dims { batch, heads, heads_kv: key_heads, queries, keys, head_dim, value_dim };
    let options = Options {
        scale: 0.4,
        softcap: 3.0,
        causal: oracle::Causal::BottomRight,
        position: oracle::Causal::BottomRight,
        window: [Some(5), None],
        per_head: PerHead::from_names(|name| match name {
            "alibi_slopes" => Some(&slopes[..]),
            "sinks" => Some(&sinks[..]),
            _ => None,
        }),
        relative: Some(&relative),
        key_lengths: Some(&lengths),
        mask: oracle::Mask::Float { data: &mask, strides: [0, queries * keys, keys, 1] },
    };
    let expected = oracle::attention(
        View::new(&q, Strided::heads_first(heads, queries, head_dim)),
        View::new(&k, Strided::heads_first(key_heads, keys, head_dim)),
        View::new(&v, Strided::heads_first(key_heads, keys, value_dim)),
        dims,
        options,
    );
    let run = |device: &Device, implementation: &str| {
        let mut cache = KvCache::new(device, shape).unwrap();
        scenario.poison(&mut cache, device);
        let mut recording = Recording::new(device);
        let step = &scenario.steps[0];
        let k = taken(&mut recording, &[batch, key_heads, step.new, head_dim], &step.k);
        let v = taken(&mut recording, &[batch, key_heads, step.new, value_dim], &step.v);
        let (k, v) = (Heads::dense(&k).unwrap(), Heads::dense(&v).unwrap());
        cache.record_append(&mut recording, &k, &v, Some(&step.counts)).unwrap();
        let q = taken(&mut recording, &[batch, heads, queries, head_dim], &q);
        let mask = taken(&mut recording, &[heads, queries, keys], &mask);
        let attention = Attention::new()
            .scale(0.4)
            .softcap(3.0)
            .causal(Causal::BottomRight)
            .window(Some(5), None)
            .alibi_slopes(&slopes)
            .relative_bias(&bias)
            .sinks(&sinks)
            .mask(Mask::Float(&mask))
            .output_layout(Layout::HeadsFirst)
            .implementation(implementation);
        let made = cache.record_attention(&mut recording, attention, &Heads::dense(&q).unwrap()).unwrap();
        recording.output(&made.output).unwrap();
        recording.run().unwrap().tensor(&made.output).unwrap().to_f32().unwrap()
    };
    let twin = run(&Device::cpu(), "tiled");
    for device in common::devices() {
        for implementation in common::attention_implementations(&device) {
            let got = run(&device, implementation);
            let floor = rounding_floor(head_dim + keys, 1.0) + 1e-6;
            assert_agrees(&device, implementation, (&got, &twin, &expected), floor);
        }
    }
}
