//! ONNX's Attention, opset 23 to 25.

use super::Op;
use super::call::{Call, DeviceMask, HostMask};
use super::file::LARGEST_SIZE;
use crate::error::Result;
use crate::ops::{Alignment, Attention, Capture, Causal, Heads, KvCache, KvCacheShape, Layout, Stage};
use crate::recording::Value;
use crate::tensor::DType;

pub(super) const ATTENTION: Op = Op {
    name: "Attention",
    attributes: &[
        &["is_causal", "scale", "softcap", "q_num_heads", "kv_num_heads", "softmax_precision"],
        &["qk_matmul_output_mode", "left_window_size", "right_window_size"],
    ],
    inputs: &["Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen"],
    weights: &[],
    outputs: &["Y", "present_key", "present_value", "qk_matmul_output"],
    record,
};

/// ONNX's numbers for f32, f16, f64 and bf16.
const PRECISIONS: [i64; 4] = [1, 10, 11, 16];

/// `[batch, heads, length, columns]`, or with those heads `[batch, length, heads · columns]`.
fn heads<'a>(call: &Call<'_>, name: &str, value: &'a Value, attribute: &str) -> Result<Heads<'a>> {
    let given = call.attributes().count(attribute, 0..=LARGEST_SIZE)?.filter(|&heads| heads > 0);
    match (value.shape().dims(), given) {
        (&[_, heads, _, _], given) if given.is_none_or(|given| given == heads) => Heads::dense(value),
        (&[_, _, width], Some(heads)) if width.is_multiple_of(heads) => {
            Heads::in_rows(value, 0, heads, width / heads)
        }
        (_, given) => {
            let heads = given.map_or("not given".to_owned(), |heads| heads.to_string());
            let problem = format!(
                "`{name}` {} must be [batch, heads, length, columns], or [batch, length, heads · columns] with the heads in `{attribute}`, which is {heads}",
                value.shape()
            );
            Err(call.wrong(problem))
        }
    }
}

fn record(call: &mut Call<'_>) -> Result<()> {
    let attributes = call.attributes();
    let (query, key, value) = (call.value("Q")?, call.value("K")?, call.value("V")?);
    let q = heads(call, "Q", &query, "q_num_heads")?;
    let k = heads(call, "K", &key, "kv_num_heads")?;
    let v = heads(call, "V", &value, "kv_num_heads")?;
    // Of softmax's precision more is kept than any of these asks for; the tolerance is the judge of f64.
    if attributes.integer("softmax_precision")?.is_some_and(|precision| !PRECISIONS.contains(&precision)) {
        return Err(attributes.not_supported("softmax_precision", "1, 10, 11 or 16"));
    }

    let past = match (call.has("past_key"), call.has("past_value")) {
        (false, false) => None,
        _ => Some((call.value("past_key")?, call.value("past_value")?)),
    };
    let past_length = past.as_ref().map_or(0, |(key, _)| key.shape().dims().get(2).copied().unwrap_or(0));
    let keys = past_length.saturating_add(k.dims()[2]);
    let cache = cache(call, [&k, &v], past.as_ref(), keys)?;
    let lengths = call.has("nonpad_kv_seqlen").then(|| call.counts("nonpad_kv_seqlen")).transpose()?;
    if past.is_some() && lengths.is_some() {
        return Err(call.wrong("`nonpad_kv_seqlen` cannot stand beside `past_key` and `past_value`"));
    }

    // Where the queries stand: behind the past, or at the end of each item's keys.
    let alignment = match &lengths {
        Some(_) => Alignment::BottomRight,
        None => Alignment::Offset(i32::try_from(past_length).unwrap_or(i32::MAX)),
    };
    let causal = match (attributes.flag("is_causal", false)?, alignment) {
        (false, _) => Causal::None,
        (true, Alignment::Offset(offset)) => Causal::Offset(offset),
        (true, _) => Causal::BottomRight,
    };
    let [left, right] =
        ["left_window_size", "right_window_size"].map(|name| match attributes.integer(name)? {
            None | Some(-1) => Ok(None),
            Some(size) => u32::try_from(size)
                .map(Some)
                .map_err(|_| attributes.not_supported(name, "-1 or more, and at most 2³² − 1")),
        });
    let rows_first = query.shape().rank() == 3;
    let layout = if rows_first { Layout::RowsFirst } else { Layout::HeadsFirst };
    let mut attention = Attention::new().causal(causal).window(left?, right?).output_layout(layout);
    if causal == Causal::None {
        attention = attention.alignment(alignment);
    }
    if let Some(scale) = attributes.number("scale")? {
        attention = attention.scale(scale);
    }
    if let Some(softcap) = attributes.number("softcap")? {
        attention = attention.softcap(softcap);
    }
    let stage = match attributes.count("qk_matmul_output_mode", 0..=3)?.unwrap_or(0) {
        0 => Stage::Scores,
        1 => Stage::Softcapped,
        2 => Stage::Biased,
        _ => Stage::Weights,
    };
    if call.expects("qk_matmul_output") {
        attention = attention.capture(Capture::new(stage));
    }
    let mask = mask(call, keys)?;
    if let Some(mask) = &mask {
        attention = attention.mask(mask.get());
    }
    if let Some((shape, lengths)) = &lengths {
        if shape.len() != 1 {
            return Err(call.wrong(format!("`nonpad_kv_seqlen` {shape:?} must be [batch]")));
        }
        attention = attention.key_lengths(lengths);
    }

    let values = match &cache {
        Some(cache) => {
            let (keys, values) =
                (call.recording.tensor(cache.keys())?, call.recording.tensor(cache.values())?);
            call.answer_tensor("present_key", cache.keys());
            call.answer_tensor("present_value", cache.values());
            attention.record(&mut call.recording, &q, &Heads::dense(&keys)?, &Heads::dense(&values)?)?
        }
        None => attention.record(&mut call.recording, &q, &k, &v)?,
    };
    call.answer("Y", &values.output)?;
    values.captured.map_or(Ok(()), |captured| call.answer("qk_matmul_output", &captured))
}

/// The present keys and values, where there is a past or they are asked for: the past, and the new ones behind it.
fn cache(
    call: &mut Call<'_>,
    [k, v]: [&Heads<'_>; 2],
    past: Option<&(Value, Value)>,
    capacity: usize,
) -> Result<Option<KvCache>> {
    if past.is_none() && !call.expects("present_key") && !call.expects("present_value") {
        return Ok(None);
    }
    let [batch, key_heads, _, head_dim] = k.dims();
    let value_dim = v.dims()[3];
    let shape =
        KvCacheShape { batch, key_heads, capacity, head_dim, value_dim, dtype: DType::F32, paged: None };
    let mut cache = KvCache::new(call.recording.device(), shape)?;
    if let Some((key, value)) = past {
        cache.record_append(&mut call.recording, &Heads::dense(key)?, &Heads::dense(value)?, None)?;
    }
    cache.record_append(&mut call.recording, k, v, None)?;
    Ok(Some(cache))
}

/// The mask; one that has fewer columns than there are keys leaves out the others.
fn mask(call: &mut Call<'_>, keys: usize) -> Result<Option<DeviceMask>> {
    if !call.has("attn_mask") {
        return Ok(None);
    }
    let (mut shape, mut mask) = call.mask("attn_mask")?;
    let Some(columns) = shape.last_mut() else {
        return Err(call.wrong("`attn_mask` must have an axis of keys, but is a scalar"));
    };
    let found = std::mem::replace(columns, keys.max(*columns));
    if found < keys {
        call.room(&shape, "the mask of all keys")?;
        mask = match mask {
            HostMask::Bool(values) => HostMask::Bool(padded(&values, found, keys, false, &shape)),
            HostMask::Float(values) => {
                HostMask::Float(padded(&values, found, keys, f32::NEG_INFINITY, &shape))
            }
        };
    }
    let mask = call.upload_mask(&shape, &mask)?;
    // One with more keys than the file's has other elements.
    if found >= keys {
        mask.differentiate(call, "attn_mask")?;
    }
    Ok(Some(mask))
}

/// Rows of `columns` as rows of `wanted`, which is more.
fn padded<T: Copy>(values: &[T], columns: usize, wanted: usize, filling: T, shape: &[usize]) -> Vec<T> {
    let rows = shape[..shape.len() - 1].iter().product();
    let mut padded = Vec::with_capacity(rows * wanted);
    for row in 0..rows {
        padded.extend_from_slice(&values[row * columns..(row + 1) * columns]);
        padded.resize((row + 1) * wanted, filling);
    }
    padded
}
