//! Steps of appending and attending: on a device, by the oracle, and what they leave in the cache's memory.

use attentive::kernel::Inputs;
use attentive::ops::{Attention, Heads, KvCache, KvCacheShape, Layout};
use attentive::recording::Value;
use attentive::reference::attention::{self as oracle, Dims, Options, Strided, View};
use attentive::reference::rounding_floor;
use attentive::{Causal, DType, Device, Recording, Tensor, half};

use crate::common::{self, assert_agrees};

/// Rows that are appended to all items at once, and the queries that then attend to all that is there.
pub struct Step {
    pub new: usize,
    pub counts: Vec<u32>,
    pub q: Vec<f32>,
    pub k: Vec<f32>,
    pub v: Vec<f32>,
    /// Which item each goes on from.
    pub parents: Option<Vec<u32>>,
}

/// A cache and what it goes through.
pub struct Scenario {
    shape: KvCacheShape,
    heads: usize,
    pub steps: Vec<Step>,
}

/// Key and value of each head of one token of one item.
pub type Token = [Vec<f32>; 2];

impl Scenario {
    /// Steps of that many new rows, of which each item takes its count; the rest of them is NaN.
    pub fn new(shape: KvCacheShape, heads: usize, steps: &[(usize, &[u32])], seed: u64) -> Self {
        let mut random = Inputs::new(seed);
        let KvCacheShape { batch, key_heads, head_dim, value_dim, .. } = shape;
        let steps = steps.iter().map(|&(new, counts)| {
            let mut rows = |columns: usize| {
                let mut values = random.values(batch * key_heads * new * columns, 1.0);
                for (row, values) in values.chunks_exact_mut(columns).enumerate() {
                    if (row % new) as u32 >= counts[row / new / key_heads] {
                        values.fill(f32::NAN);
                    }
                }
                values
            };
            let (k, v) = (rows(head_dim), rows(value_dim));
            let q = random.values(batch * heads * new * head_dim, 1.0);
            Step { new, counts: counts.to_vec(), q, k, v, parents: None }
        });
        Self { shape, heads, steps: steps.collect() }
    }

    /// Reordered before each step.
    pub fn reordered(mut self, parents: &[&[u32]]) -> Self {
        for (step, parents) in self.steps.iter_mut().zip(parents) {
            step.parents = Some(parents.to_vec());
        }
        self
    }

    fn stored(&self, value: f32) -> f32 {
        if self.shape.dtype == DType::F16 { half::f16::from_f32(value).to_f32() } else { value }
    }

    /// What each item has after each step.
    pub fn tokens(&self) -> Vec<Vec<Vec<Token>>> {
        let KvCacheShape { batch, key_heads, head_dim, value_dim, .. } = self.shape;
        let mut items: Vec<Vec<Token>> = vec![Vec::new(); batch];
        let mut after = Vec::new();
        for step in &self.steps {
            if let Some(parents) = &step.parents {
                items = parents.iter().map(|&parent| items[parent as usize].clone()).collect();
            }
            for (item, tokens) in items.iter_mut().enumerate() {
                for row in 0..step.counts[item] as usize {
                    let of = |values: &[f32], columns: usize| -> Vec<f32> {
                        let heads = (0..key_heads).map(|head| (item * key_heads + head) * step.new + row);
                        heads
                            .flat_map(|at| &values[at * columns..][..columns])
                            .map(|v| self.stored(*v))
                            .collect()
                    };
                    tokens.push([of(&step.k, head_dim), of(&step.v, value_dim)]);
                }
            }
            after.push(items.clone());
        }
        after
    }

    /// The oracle's outputs `[B, H, new, Dv]` and logarithms of the sums, the last query at its item's last key.
    pub fn expected(&self) -> Vec<[Vec<f64>; 2]> {
        let KvCacheShape { batch, key_heads, head_dim, value_dim, .. } = self.shape;
        let after = self.tokens();
        let steps = self.steps.iter().zip(&after).map(|(step, items)| {
            let lengths: Vec<u32> = items.iter().map(|tokens| tokens.len() as u32).collect();
            let keys = items.iter().map(Vec::len).max().unwrap_or(0);
            let dense = |part: usize, columns: usize| {
                let mut values = vec![f32::NAN; batch * key_heads * keys * columns];
                for (row, values) in values.chunks_exact_mut(columns).enumerate() {
                    let (item, head, key) = (row / keys / key_heads, row / keys % key_heads, row % keys);
                    if let Some(token) = items[item].get(key) {
                        values.copy_from_slice(&token[part][head * columns..][..columns]);
                    }
                }
                values
            };
            let (k, v) = (dense(0, head_dim), dense(1, value_dim));
            let (heads, queries) = (self.heads, step.new);
            let dims = Dims { batch, heads, heads_kv: key_heads, queries, keys, head_dim, value_dim };
            let options = Options {
                causal: oracle::Causal::BottomRight,
                key_lengths: Some(&lengths),
                ..Options::for_head_dim(head_dim)
            };
            let q = View::new(&step.q, Strided::heads_first(heads, queries, head_dim));
            let k = View::new(&k, Strided::heads_first(key_heads, keys, head_dim));
            let v = View::new(&v, Strided::heads_first(key_heads, keys, value_dim));
            let sums = oracle::log_sum_exp(&oracle::scores(q, k, dims), dims, options);
            [oracle::attention(q, k, v, dims, options), sums]
        });
        steps.collect()
    }

    /// Fills the cache with NaN and empties it again, so that what is left of it shows, and pages come in another order.
    pub fn poison(&self, cache: &mut KvCache, device: &Device) {
        let KvCacheShape { batch, key_heads, capacity, head_dim, value_dim, .. } = self.shape;
        let mut recording = Recording::new(device);
        let mut nan = |columns: usize| {
            let values = vec![f32::NAN; batch * key_heads * capacity * columns];
            taken(&mut recording, &[batch, key_heads, capacity, columns], &values)
        };
        let (k, v) = (nan(head_dim), nan(value_dim));
        let (k, v) = (Heads::dense(&k).unwrap(), Heads::dense(&v).unwrap());
        cache.record_append(&mut recording, &k, &v, None).unwrap();
        assert_eq!(cache.lengths(), vec![capacity as u32; batch]);
        recording.run().unwrap();
        for item in (0..batch).step_by(2).chain((1..batch).step_by(2)) {
            // In two goes, the later pages first.
            cache.truncate(item, capacity / 2).unwrap();
            cache.truncate(item, 0).unwrap();
        }
        assert_eq!(cache.lengths(), vec![0; batch]);
    }

    /// Runs the steps, that many in one recording, or each by a recording that finds on the device how many keys there are;
    /// gives outputs and sums, and the cache.
    fn run(
        &self,
        device: &Device,
        implementation: &str,
        together: Option<usize>,
    ) -> (Vec<[Vec<f32>; 2]>, KvCache) {
        let KvCacheShape { batch, key_heads, head_dim, value_dim, .. } = self.shape;
        let mut cache = KvCache::new(device, self.shape).unwrap();
        self.poison(&mut cache, device);
        let mut results = Vec::new();
        for steps in self.steps.chunks(together.unwrap_or(1)) {
            let mut recording = Recording::new(device);
            let mut made = Vec::new();
            for step in steps {
                let k = taken(&mut recording, &[batch, key_heads, step.new, head_dim], &step.k);
                let v = taken(&mut recording, &[batch, key_heads, step.new, value_dim], &step.v);
                let q = taken(&mut recording, &[batch, self.heads, step.new, head_dim], &step.q);
                let [q, k, v] = [&q, &k, &v].map(|value| Heads::dense(value).unwrap());
                if let Some(parents) = &step.parents {
                    cache.reorder(parents).unwrap();
                }
                let all = step.counts.iter().all(|&count| count as usize == step.new);
                let counts = Some(&step.counts[..]).filter(|_| !all);
                match together {
                    Some(_) => cache.record_append(&mut recording, &k, &v, counts).unwrap(),
                    None => cache.record_append_at_device(&mut recording, &k, &v).unwrap(),
                }
                let attention = Attention::new()
                    .causal(Causal::BottomRight)
                    .output_layout(Layout::HeadsFirst)
                    .implementation(implementation)
                    .with_log_sum_exp();
                let values = match together {
                    Some(_) => cache.record_attention(&mut recording, attention, &q).unwrap(),
                    None => cache.record_attention_at_device(&mut recording, attention, &q).unwrap(),
                };
                let sums = values.log_sum_exp.unwrap();
                assert_eq!(values.output.shape().dims(), [batch, self.heads, step.new, value_dim]);
                recording.output(&values.output).unwrap();
                recording.output(&sums).unwrap();
                made.push([values.output, sums]);
                if together.is_none() {
                    cache.advance(&step.counts).unwrap();
                }
            }
            let outputs = recording.run().unwrap();
            let read = |value: &Value| outputs.tensor(value).unwrap().to_f32().unwrap();
            results.extend(made.iter().map(|[output, sums]| [read(output), read(sums)]));
        }
        (results, cache)
    }

    /// Every implementation on every device against the oracle, and the cache's memory against what was appended.
    pub fn check(&self, devices: &[Device], what: &str) {
        let expected = self.expected();
        let tokens = self.tokens();
        let lengths: Vec<u32> = tokens.last().unwrap().iter().map(|tokens| tokens.len() as u32).collect();
        let (twins, _) = self.run(&Device::cpu(), "tiled", Some(1));
        // Values near 1, scores within ±6: an exponential of those is good to 15 units in the last place.
        let floor = rounding_floor(self.shape.head_dim + self.shape.capacity, 1.0) + 1e-6;
        for device in devices {
            for implementation in common::attention_implementations(device) {
                for together in [Some(self.steps.len()), Some(2), None] {
                    let (got, cache) = self.run(device, implementation, together);
                    for (place, ((got, twin), expected)) in got.iter().zip(&twins).zip(&expected).enumerate()
                    {
                        for (part, name) in ["output", "log-sum-exp"].iter().enumerate() {
                            let what = format!(
                                "{what}, {implementation}, {together:?} together: {name} of step {place}"
                            );
                            assert_agrees(device, &what, (&got[part], &twin[part], &expected[part]), floor);
                        }
                    }
                    assert_eq!(cache.lengths(), lengths);
                    if self.steps.iter().any(|step| step.parents.is_some()) {
                        // Items share what they have, and what none has is left.
                        continue;
                    }
                    self.check_memory(&cache, tokens.last().unwrap(), &format!("{}: {what}", device.name()));
                }
            }
        }
    }

    /// Each row of the cache is one that was appended, bit for bit and once, or NaN as it was (or 0, in the part of a
    /// page that passed the capacity).
    fn check_memory(&self, cache: &KvCache, items: &[Vec<Token>], what: &str) {
        let KvCacheShape { key_heads, head_dim, value_dim, paged, .. } = self.shape;
        for (part, tensor, columns) in [(0, cache.keys(), head_dim), (1, cache.values(), value_dim)] {
            let &[_, heads, rows, row] = tensor.shape().dims() else { panic!("{:?}", tensor.shape()) };
            assert_eq!(heads, key_heads);
            let mut missing: Vec<(usize, Vec<u32>)> = Vec::new();
            for tokens in items {
                for head in 0..key_heads {
                    let of = |token: &Token| token[part][head * columns..][..columns].to_vec();
                    missing.extend(tokens.iter().map(|token| (head, bits(&of(token)))));
                }
            }
            for (index, values) in tensor.to_f32().unwrap().chunks_exact(row).enumerate() {
                let (piece, head, key) = (index / rows / heads, index / rows % heads, index % rows);
                assert!(values[columns..].iter().all(|&value| value == 0.0), "{what}: behind row {index}");
                // In one piece the place is known; in pages it is the one that is still missing.
                let found = match paged {
                    None => items[piece].get(key).map(|token| &token[part][head * columns..][..columns]),
                    Some(_) if values[..columns].iter().all(|&value| value == 0.0) => continue,
                    Some(_) => {
                        Some(values).filter(|values| !values[..columns].iter().all(|value| value.is_nan()))
                    }
                };
                let Some(expected) = found else {
                    assert!(values[..columns].iter().all(|v| v.is_nan()), "{what}: row {index}: {values:?}");
                    continue;
                };
                let expected = (head, bits(&expected[..columns]));
                let place = missing.iter().position(|row| *row == expected);
                let place =
                    place.unwrap_or_else(|| panic!("{what}: row {index}: {values:?} was not appended"));
                missing.swap_remove(place);
                assert_eq!(bits(&values[..columns]), expected.1, "{what}: row {index}");
            }
            assert!(missing.is_empty(), "{what}: {} rows are not there", missing.len());
        }
    }
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// A value of that shape.
pub fn taken(recording: &mut Recording, shape: &[usize], values: &[f32]) -> Value {
    let tensor = Tensor::from_f32(recording.device(), shape, values).unwrap();
    recording.tensor(&tensor).unwrap()
}
