//! `AttentionPlan` with every option: recorded into a host's encoder over its buffers, it gives the op's bits; buffers that
//! are missing, not asked for, too small or the same are refused by name.

use crate::common;
use attentive::kernel::Inputs;
use attentive::ops::{
    Alignment, Attention, AttentionVariableLengths, BufferPart, HeadTerms, Heads, Layout, Mask, PagedKeys,
    PerHead, Placement, RelativePositionBias, cast,
};
use attentive::recording::Value;
use attentive::verify::compare::compare_bits;
use attentive::wgpu::{self, util::DeviceExt};
use attentive::{AttentionBuffers, AttentionPlan, AttentionShape, Causal, DType, Device, Recording, Tensor};

/// A buffer's contents, or none.
type Words = Option<Vec<u32>>;

/// A plan's shape and what its buffers hold.
struct Problem {
    shape: AttentionShape,
    q: Vec<u32>,
    k: Vec<u32>,
    v: Vec<u32>,
    key_lengths: Words,
    key_padding_mask: Words,
    mask: Words,
    per_head: PerHead<Words>,
    relative_bias: Words,
    packed: Words,
    page_table: Words,
}

fn words(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn stored_as(dtype: DType, values: &[f32]) -> Vec<u32> {
    if dtype != DType::F16 {
        return words(values);
    }
    let bits = |value: f32| u32::from(attentive::half::f16::from_f32(value).to_bits());
    values.chunks(2).map(|pair| bits(pair[0]) | pair.get(1).map_or(0, |&value| bits(value)) << 16).collect()
}

/// Stored shapes of q, k, v and the output.
fn dims(shape: &AttentionShape) -> [[usize; 4]; 4] {
    let (q, k) = match (shape.packed, shape.paged) {
        (Some(all), _) => ([1, all.queries], [1, all.keys]),
        (None, Some(pool)) => ([shape.batch, shape.queries], [pool.pages, pool.page_size]),
        (None, None) => ([shape.batch, shape.queries], [shape.batch, shape.keys]),
    };
    let lay = |[batch, rows]: [usize; 2], heads: usize, columns: usize| match shape.layout {
        Layout::HeadsFirst => [batch, heads, rows, columns],
        Layout::RowsFirst => [batch, rows, heads, columns],
    };
    [
        lay(q, shape.heads, shape.head_dim),
        lay(k, shape.key_heads, shape.head_dim),
        lay(k, shape.key_heads, shape.value_dim),
        lay(q, shape.heads, shape.value_dim),
    ]
}

fn count(dims: [usize; 4]) -> usize {
    dims.iter().product()
}

impl Problem {
    fn new(shape: AttentionShape, seed: u64) -> Self {
        let mut random = Inputs::new(seed);
        let [q, k, v, _] = dims(&shape).map(count);
        let q = stored_as(shape.query_dtype, &random.values(q, 1.0));
        let [k, v] = [k, v].map(|count| stored_as(shape.key_dtype, &random.values(count, 1.0)));
        let batch = shape.batch;
        let mask = shape.mask.map(|dims| match shape.mask_dtype {
            DType::U32 => random.mask(count(dims)),
            dtype => stored_as(dtype, &random.values(count(dims), 1.0)),
        });
        // Items share the rows out: all that the first ones leave is the last one's.
        let sums = |all: usize, longest: usize| -> Vec<u32> {
            let ends = (1..batch).map(|item| (item * longest).min(all - longest.min(all) / 2) as u32);
            std::iter::once(0).chain(ends).chain([all as u32]).collect()
        };
        let packed =
            shape.packed.map(|all| [sums(all.queries, shape.queries), sums(all.keys, shape.keys)].concat());
        let page_table = shape.paged.map(|pool| {
            let pages = batch * shape.keys.div_ceil(pool.page_size);
            (0..pages).map(|entry| ((entry * 5 + 3) % pool.pages) as u32).collect()
        });
        let mut key_lengths = shape.has_key_lengths.then(|| random.below(batch, shape.keys as u32 + 1));
        if let (Some(lengths), Some(sums)) = (&mut key_lengths, &packed) {
            let keys = sums[batch + 1..].windows(2).map(|pair| pair[1] - pair[0]);
            lengths.iter_mut().zip(keys).for_each(|(length, keys)| *length = keys.min(*length));
        }
        Self {
            q,
            k,
            v,
            key_lengths,
            key_padding_mask: shape.has_key_padding_mask.then(|| random.mask(batch * shape.keys)),
            mask,
            per_head: shape.per_head.map(|name, there| {
                let spread = if name == "alibi_slopes" { 0.2 } else { 1.0 };
                there.then(|| words(&random.values(shape.heads, spread)))
            }),
            relative_bias: shape
                .relative_bias
                .map(|reach| words(&random.values(shape.heads * (2 * reach + 1), 1.0))),
            packed,
            page_table,
            shape,
        }
    }

    fn sums(&self) -> usize {
        let [output, ..] = [dims(&self.shape)[3]];
        count(output) / self.shape.value_dim
    }

    /// By the op, in the plan's layout: what is on the device for a plan is the host's here, where there is a way.
    fn by_op(&self, device: &Device, implementation: Option<&str>) -> [Vec<f32>; 2] {
        let shape = &self.shape;
        let mut recording = Recording::new(device);
        let [q_dims, k_dims, v_dims, _] = dims(shape);
        let mut tensor = |dims: &[usize], dtype: DType, words: &[u32]| -> Value {
            let tensor = match dtype {
                DType::U32 => Tensor::from_u32(device, dims, words),
                DType::F16 => {
                    let halves: &[attentive::half::f16] = bytemuck::cast_slice(words);
                    Tensor::from_f16(device, dims, &halves[..dims.iter().product()])
                }
                _ => Tensor::from_f32(device, dims, bytemuck::cast_slice(words)),
            };
            recording.tensor(&tensor.unwrap()).unwrap()
        };
        let q = tensor(&q_dims, shape.query_dtype, &self.q);
        let k = tensor(&k_dims, shape.key_dtype, &self.k);
        let v = tensor(&v_dims, shape.key_dtype, &self.v);
        let mask = self.mask.as_ref().map(|mask| tensor(&shape.mask.unwrap(), shape.mask_dtype, mask));
        let padding =
            self.key_padding_mask.as_ref().map(|mask| tensor(&[shape.batch, shape.keys], DType::U32, mask));
        let floats = |words: &Words| -> Vec<f32> {
            words.iter().flatten().map(|&word| f32::from_bits(word)).collect()
        };
        let per_head = self.per_head.as_ref().map(|_, words| words.is_some().then(|| floats(words)));
        let relative = shape.relative_bias.map(|_| {
            RelativePositionBias::from_distances(&floats(&self.relative_bias), shape.heads).unwrap()
        });
        let packed = self.packed.as_ref().map(|sums| sums.split_at(shape.batch + 1));
        let mut attention = Attention::new()
            .causal(shape.causal)
            .window(shape.window[0], shape.window[1])
            .softcap(shape.softcap)
            .output_layout(shape.layout)
            .with_log_sum_exp();
        attention = shape.alignment.map_or(attention, |alignment| attention.alignment(alignment));
        attention = shape.scale.map_or(attention, |scale| attention.scale(scale));
        attention = self.key_lengths.as_ref().map_or(attention, |lengths| attention.key_lengths(lengths));
        attention = padding.as_ref().map_or(attention, |padding| attention.key_padding_mask(padding));
        attention = match &mask {
            None => attention,
            Some(mask) if shape.mask_dtype == DType::U32 => attention.mask(Mask::Bool(mask)),
            Some(mask) => attention.mask(Mask::Float(mask)),
        };
        attention =
            attention.per_head(per_head.as_ref().map(|_, terms| terms.as_deref().map(HeadTerms::Host)));
        attention = relative.as_ref().map_or(attention, |bias| attention.relative_bias(bias));
        attention = packed.map_or(attention, |(queries, keys)| attention.packed(queries, keys));
        attention = self.page_table.as_ref().map_or(attention, |table| attention.page_table(table));
        attention = implementation.map_or(attention, |name| attention.implementation(name));
        // A plan's output is f32 whatever the queries are.
        let q = cast(&mut recording, &q, DType::F32).unwrap();
        let [q, k, v] = [&q, &k, &v].map(|value| Heads::in_layout(value, shape.layout).unwrap());
        let made = attention.record(&mut recording, &q, &k, &v).unwrap();
        let sums = made.log_sum_exp.unwrap();
        recording.output(&made.output).unwrap();
        recording.output(&sums).unwrap();
        let outputs = recording.run().unwrap();
        [made.output, sums].map(|value| outputs.tensor(&value).unwrap().to_f32().unwrap())
    }

    /// By the plan: recorded twice into one encoder over other outputs; those of both.
    fn by_plan(&self, device: &Device) -> [[Vec<f32>; 2]; 2] {
        let (host, queue) = device.wgpu().unwrap();
        let plan = AttentionPlan::new(device, &self.shape).unwrap();
        // As long as its contents, no more.
        let storage = |words: &[u32]| {
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
            let contents = bytemuck::cast_slice(words);
            host.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
        };
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|words| storage(words));
        let optional = [
            &self.key_lengths,
            &self.key_padding_mask,
            &self.mask,
            &self.relative_bias,
            &self.packed,
            &self.page_table,
        ];
        let optional = optional.map(|words| words.as_ref().map(|words| storage(words)));
        let [lengths, padding, mask, relative, packed, table] = &optional;
        let per_head = self.per_head.as_ref().map(|_, words| words.as_ref().map(|words| storage(words)));
        let outputs = count(dims(&self.shape)[3]);
        let made = [(); 2].map(|()| [outputs, self.sums()].map(|count| storage(&vec![0x7fc0_dead; count])));
        let mut encoder = host.create_command_encoder(&Default::default());
        for [output, sums] in &made {
            let buffers = AttentionBuffers {
                key_lengths: lengths.as_ref().map(BufferPart::from),
                key_padding_mask: padding.as_ref().map(BufferPart::from),
                mask: mask.as_ref().map(BufferPart::from),
                per_head: per_head.as_ref().map(|_, terms| terms.as_ref().map(BufferPart::from)),
                relative_bias: relative.as_ref().map(BufferPart::from),
                packed: packed.as_ref().map(BufferPart::from),
                page_table: table.as_ref().map(BufferPart::from),
                log_sum_exp: Some(sums.into()).filter(|_| self.shape.has_log_sum_exp),
                ..AttentionBuffers::new(&q, &k, &v, output)
            };
            plan.record(&mut encoder, buffers).unwrap();
        }
        queue.submit([encoder.finish()]);
        made.map(|buffers| {
            buffers.map(|buffer| {
                let count = buffer.size() as usize / 4;
                Tensor::from_wgpu_buffer(device, &buffer, [count], DType::F32).unwrap().to_f32().unwrap()
            })
        })
    }
}

/// Grouped heads, sizes that are no multiple of anything.
pub(super) fn shape() -> AttentionShape {
    AttentionShape {
        value_dim: 9,
        has_log_sum_exp: true,
        ..AttentionShape::cross([3, 4, 11, 7], 37).grouped(2)
    }
}

fn shapes() -> Vec<AttentionShape> {
    let plain = shape();
    let packed = AttentionShape {
        packed: Some(AttentionVariableLengths { queries: 27, keys: 80 }),
        causal: Causal::BottomRight,
        ..plain
    };
    let paged = AttentionShape {
        keys: 36,
        paged: Some(PagedKeys { pages: 31, page_size: 4 }),
        has_key_lengths: true,
        ..plain
    };
    let all = AttentionShape {
        causal: Causal::Offset(20),
        window: [Some(19), None],
        scale: Some(0.3),
        softcap: 4.0,
        per_head: PerHead::from_names(|_| true),
        relative_bias: Some(6),
        mask: Some([3, 1, 11, 37]),
        ..plain
    };
    let slopes = PerHead { alibi_slopes: true, ..PerHead::default() };
    let sinks = PerHead { sinks: true, ..PerHead::default() };
    vec![
        plain,
        AttentionShape { has_log_sum_exp: false, ..plain },
        AttentionShape { causal: Causal::TopLeft, ..plain },
        AttentionShape { causal: Causal::BottomRight, queries: 1, ..plain },
        AttentionShape { alignment: Some(Alignment::BottomRight), window: [Some(3), Some(2)], ..plain },
        AttentionShape { alignment: Some(Alignment::Offset(-3)), per_head: slopes, ..plain },
        AttentionShape { scale: Some(-0.2), softcap: 2.0, ..plain },
        AttentionShape { has_key_lengths: true, per_head: sinks, ..plain },
        AttentionShape { has_key_padding_mask: true, ..plain },
        AttentionShape { mask: Some([1, 4, 1, 37]), ..plain },
        AttentionShape { mask: Some([3, 1, 11, 1]), mask_dtype: DType::U32, ..plain },
        AttentionShape { mask: Some([3, 1, 11, 37]), mask_dtype: DType::F16, ..plain },
        AttentionShape { query_dtype: DType::F16, key_dtype: DType::F16, ..plain },
        AttentionShape { query_dtype: DType::F16, mask: Some([1, 1, 11, 37]), mask_dtype: DType::F16, ..all },
        AttentionShape { key_dtype: DType::F16, ..plain },
        AttentionShape { key_dtype: DType::F16, head_dim: 64, value_dim: 64, ..plain },
        AttentionShape { layout: Layout::RowsFirst, ..all },
        AttentionShape { key_dtype: DType::F16, queries: 3, mask: Some([3, 1, 3, 37]), ..all },
        AttentionShape { has_key_lengths: true, ..all },
        // Device's tables one after the other in one buffer: they are copied together.
        AttentionShape { has_key_lengths: true, layout: Layout::RowsFirst, ..packed },
        AttentionShape { per_head: PerHead::from_names(|_| true), ..packed },
        AttentionShape { relative_bias: Some(40), ..packed },
        AttentionShape { has_key_padding_mask: true, key_dtype: DType::F16, ..packed },
        paged,
        AttentionShape { has_key_lengths: false, key_dtype: DType::F16, queries: 2, ..paged },
        AttentionShape {
            has_key_lengths: false,
            has_key_padding_mask: true,
            layout: Layout::RowsFirst,
            ..paged
        },
        // Wide heads go through the chain.
        AttentionShape { head_dim: 257, has_key_lengths: true, ..plain },
        AttentionShape { batch: 0, ..plain },
        AttentionShape { keys: 0, ..plain },
    ]
}

#[test]
fn every_option_gives_the_ops_bits_twice() {
    for device in common::adapters() {
        for (seed, shape) in shapes().into_iter().enumerate() {
            // The op on packed items says the longest itself.
            let mut shape = shape;
            let problem = Problem::new(shape, seed as u64);
            if let (Some(packed), Some(_)) = (&problem.packed, shape.packed) {
                let longest =
                    |sums: &[u32]| sums.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap() as usize;
                let (queries, keys) = packed.split_at(shape.batch + 1);
                shape = AttentionShape { queries: longest(queries), keys: longest(keys), ..shape };
            }
            let problem = Problem { shape, ..problem };
            let expected = problem.by_op(&device, None);
            let parts = if shape.has_log_sum_exp { 2 } else { 1 };
            for (time, got) in problem.by_plan(&device).iter().enumerate() {
                for part in 0..parts {
                    let comparison = compare_bits(&got[part], &expected[part]);
                    let name = ["output", "log-sum-exp"][part];
                    let what = format!("{}: {name} {time} of {shape:?}", device.name());
                    // Nothing is written twice, and the first time not by the second.
                    let empty = got[part].is_empty() && expected[part].is_empty();
                    assert!(comparison.passed || empty, "{what}: {comparison}");
                }
            }
        }
    }
}

/// Queries, keys and values in the rows of one buffer, and in pieces of one buffer that begin anywhere; the output among
/// other things: all is as by the op.
#[test]
fn packed_and_placed_tensors_need_no_copy() {
    let (batch, heads, key_heads, length) = (2, 4, 2, 13);
    for device in common::adapters() {
        let (host, queue) = device.wgpu().unwrap();
        let storage = |words: &[u32]| {
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
            let contents = bytemuck::cast_slice(words);
            host.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
        };
        for (head_dim, key_dtype) in [(8, DType::F32), (7, DType::F32), (6, DType::F16)] {
            let row = (heads + 2 * key_heads) * head_dim;
            let values = Inputs::new(head_dim as u64).values(batch * length * row, 1.0);
            let packed = AttentionShape {
                query_dtype: key_dtype,
                key_dtype,
                causal: Causal::TopLeft,
                ..AttentionShape::packed_qkv([batch, heads, length, head_dim], key_heads)
            };
            // The same three behind each other, as [batch, length, heads, head_dim], the first at element 3.
            let [queries, keys] = [heads, key_heads].map(|heads| batch * length * heads * head_dim);
            let at = |offset: usize, heads: usize| {
                Some(Placement { offset, strides: [length * heads * head_dim, head_dim, heads * head_dim] })
            };
            let pieces = AttentionShape {
                q_placement: at(3, heads),
                k_placement: at(3 + queries, key_heads),
                v_placement: at(3 + queries + keys, key_heads),
                // Heads first, five elements between two rows.
                output_placement: Some(Placement {
                    offset: 1,
                    strides: [heads * length * (head_dim + 5), length * (head_dim + 5), head_dim + 5],
                }),
                ..packed
            };
            let columns = |first: usize, count: usize| {
                values.chunks(row).flat_map(move |row| row[first..first + count].to_vec())
            };
            let widths = [heads, key_heads].map(|heads| heads * head_dim);
            let behind_each_other: Vec<f32> = [f32::NAN; 3]
                .into_iter()
                .chain(columns(0, widths[0]))
                .chain(columns(widths[0], widths[1]))
                .chain(columns(widths[0] + widths[1], widths[1]))
                .collect();

            let mut recording = Recording::new(&device);
            let dims = [batch, length, row];
            let tensor = match key_dtype {
                DType::F16 => Tensor::from_f32_as_f16(&device, dims, &values),
                _ => Tensor::from_f32(&device, dims, &values),
            };
            let x = recording.tensor(&tensor.unwrap()).unwrap();
            let in_rows =
                |first: usize, heads: usize| Heads::in_rows(&x, first * head_dim, heads, head_dim).unwrap();
            let (q, k, v) =
                (in_rows(0, heads), in_rows(heads, key_heads), in_rows(heads + key_heads, key_heads));
            let output = recording.temporary([batch, length, heads, head_dim], DType::F32).unwrap();
            let attention = Attention::new().causal(Causal::TopLeft);
            let to = Heads::in_layout(&output, Layout::RowsFirst).unwrap();
            attention.record_into(&mut recording, &q, &k, &v, &to).unwrap();
            recording.output(&output).unwrap();
            let expected = recording.run().unwrap().tensor(&output).unwrap().to_f32().unwrap();

            let by_plan = |shape: &AttentionShape, values: &[f32], elements: usize| -> Vec<f32> {
                let plan = AttentionPlan::new(&device, shape).unwrap();
                let (x, y) = (storage(&stored_as(key_dtype, values)), storage(&vec![0x7fc0_dead; elements]));
                let mut encoder = host.create_command_encoder(&Default::default());
                plan.record(&mut encoder, AttentionBuffers::new(&x, &x, &x, &y)).unwrap();
                queue.submit([encoder.finish()]);
                Tensor::from_wgpu_buffer(&device, &y, [elements], DType::F32).unwrap().to_f32().unwrap()
            };
            let what = format!("{}: {head_dim} {key_dtype}", device.name());
            let got = by_plan(&packed, &values, batch * length * heads * head_dim);
            assert!(compare_bits(&got, &expected).passed, "{what}, in rows");
            let elements = 1 + batch * heads * length * (head_dim + 5);
            let got = by_plan(&pieces, &behind_each_other, elements);
            let mut left = vec![f32::from_bits(0x7fc0_dead); elements];
            for (place, row) in expected.chunks(head_dim).enumerate() {
                let (item, place, head) = (place / (length * heads), place / heads % length, place % heads);
                let first = 1 + ((item * heads + head) * length + place) * (head_dim + 5);
                left[first..first + head_dim].copy_from_slice(row);
            }
            // Rows that begin anywhere are read one element at a time, so that a bit may differ.
            let same = |(got, left): (&f32, &f32)| {
                got.to_bits() == left.to_bits() || (got - left).abs() <= 1e-6 * left.abs().max(1.0)
            };
            assert!(got.iter().zip(&left).all(same), "{what}, in pieces: {got:?} {left:?}");
            // One word less than they reach to is refused by name.
            let plan = AttentionPlan::new(&device, &pieces).unwrap();
            let stored = stored_as(key_dtype, &behind_each_other);
            let (x, y) = (storage(&stored[..stored.len() - 1]), storage(&vec![0; elements]));
            let mut encoder = host.create_command_encoder(&Default::default());
            let outcome = plan.record(&mut encoder, AttentionBuffers::new(&x, &x, &x, &y));
            common::assert_refused(outcome, &["the buffer of v", "at least"]);
        }
        let overlapping = AttentionShape {
            output_placement: Some(Placement { offset: 0, strides: [8, 8, 4] }),
            ..AttentionShape::new([2, 2, 3, 8])
        };
        common::assert_refused(AttentionPlan::new(&device, &overlapping), &["the output", "do not overlap"]);
        let far = Some(Placement { offset: usize::MAX, strides: [usize::MAX; 3] });
        let far = AttentionShape { k_placement: far, ..AttentionShape::new([2, 2, 3, 8]) };
        assert!(AttentionPlan::new(&device, &far).is_err());
    }
}

/// Queries, keys, values and a mask in one buffer, the output in the middle of another, at other places each time.
#[test]
fn parts_of_buffers_are_as_whole_buffers() {
    let shape =
        AttentionShape { mask: Some([1, 1, 5, 9]), ..AttentionShape::cross([2, 4, 5, 8], 9).grouped(2) };
    let problem = Problem::new(shape, 31);
    for device in common::adapters() {
        let (host, queue) = device.wgpu().unwrap();
        let [expected, _] = problem.by_op(&device, None);
        let plan = AttentionPlan::new(&device, &shape).unwrap();
        let alignment = u64::from(host.limits().min_storage_buffer_offset_alignment);
        let inputs = [&problem.q, &problem.k, &problem.v, problem.mask.as_ref().unwrap()];
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let storage = |words: &[u32]| {
            let contents = bytemuck::cast_slice(words);
            host.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
        };
        for before in [0, 1, 3] {
            // Each behind what is before it, at the next place that is allowed.
            let mut arena = vec![0x7fc0_dead; before * alignment as usize / 4];
            let places = inputs.map(|words| {
                arena.resize((arena.len() * 4).next_multiple_of(alignment as usize) / 4, 0x7fc0_dead);
                arena.extend(words);
                ((arena.len() - words.len()) * 4, words.len() * 4)
            });
            let inputs = storage(&arena);
            let first = (before + 1) as u64 * alignment;
            let output = storage(&vec![0x7fc0_dead; first as usize / 4 + expected.len() + 7]);
            let part = |(offset, bytes): (usize, usize)| wgpu::BufferBinding {
                buffer: &inputs,
                offset: offset as u64,
                size: wgpu::BufferSize::new(bytes as u64),
            };
            let [q, k, v, mask] = places.map(part);
            let to = BufferPart { buffer: &output, offset: first, size: None };
            let buffers = AttentionBuffers { mask: Some(mask.into()), ..AttentionBuffers::new(q, k, v, to) };
            let mut encoder = host.create_command_encoder(&Default::default());
            plan.record(&mut encoder, buffers).unwrap();
            queue.submit([encoder.finish()]);
            let elements = output.size() as usize / 4;
            let got = Tensor::from_wgpu_buffer(&device, &output, [elements], DType::F32).unwrap();
            let got = got.to_f32().unwrap();
            let (around, own) = (first as usize / 4, first as usize / 4 + expected.len());
            assert!(compare_bits(&got[around..own], &expected).passed, "{}", device.name());
            let left = got[..around].iter().chain(&got[own..]);
            assert!(left.into_iter().all(|value| value.to_bits() == 0x7fc0_dead), "{}", device.name());

            let refused = |buffers: AttentionBuffers<'_>, words: &[&str]| {
                let mut encoder = host.create_command_encoder(&Default::default());
                common::assert_refused(plan.record(&mut encoder, buffers), words);
            };
            let between = BufferPart { offset: buffers.v.offset + 4, ..buffers.v };
            let words = ["the offset of v", &format!("a multiple of {alignment}"), "bytes"];
            refused(AttentionBuffers { v: between, ..buffers }, &words);
            let short = BufferPart { size: wgpu::BufferSize::new(2 * 4 * 5 * 8 * 4 - 4), ..buffers.q };
            refused(
                AttentionBuffers { q: short, ..buffers },
                &["the buffer of q", "1280 bytes", "1276 bytes"],
            );
            let late = BufferPart { offset: first + 4096 * alignment, ..buffers.output };
            refused(
                AttentionBuffers { output: late, ..buffers },
                &["the buffer of output", "is 0 bytes from byte"],
            );
            let own = BufferPart { buffer: &inputs, offset: 0, size: None };
            refused(
                AttentionBuffers { output: own, ..buffers },
                &["the output", "a value of its own", "that of q"],
            );
        }
    }
}

#[test]
fn a_plan_takes_what_its_device_is_forced_to() {
    for adapter in common::usable_adapters() {
        let plain = common::open(&adapter, &Default::default());
        for implementation in common::attention_implementations(&plain) {
            let mut options = attentive::DeviceOptions::default();
            options.implementations = vec![format!("attention={implementation}")];
            let device = common::open(&adapter, &options);
            let problem = Problem::new(AttentionShape { has_key_lengths: true, queries: 9, ..shape() }, 77);
            let expected = problem.by_op(&plain, Some(implementation));
            let [_, got] = problem.by_plan(&device);
            for (got, expected) in got.iter().zip(&expected) {
                let comparison = compare_bits(got, expected);
                assert!(comparison.passed, "{} {implementation}: {comparison}", device.name());
            }
        }
    }
}
