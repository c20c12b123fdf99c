//! transformers' `T5Attention`: biases by distance in place of a scale.

use super::Op;
use super::call::{Array, Call};
use super::file::LARGEST_SIZE;
use crate::error::Result;
use crate::layers::Parameters;
use crate::ops::{
    Alignment, Attention, Capture, Heads, KvCache, KvCacheShape, Linear, LinearWeights, RelativePositionBias,
    RelativePositionBuckets, Stage,
};
use crate::tensor::DType;

pub(super) const T5_ATTENTION: Op = Op {
    name: "T5Attention",
    attributes: &[
        &["d_model", "d_kv", "num_heads", "is_decoder"],
        &["relative_attention_num_buckets", "relative_attention_max_distance"],
    ],
    inputs: &["hidden_states", "key_value_states", "past_key", "past_value", "mask"],
    weights: &[&["q.weight", "k.weight", "v.weight", "o.weight", "relative_attention_bias.weight"]],
    outputs: &["out", "position_bias"],
    record,
};

struct Sizes {
    model_dim: usize,
    heads: usize,
    head_dim: usize,
}

fn record(call: &mut Call<'_>) -> Result<()> {
    let attributes = call.attributes();
    let size = |name: &str| attributes.needed_count(name, 1..=LARGEST_SIZE);
    let sizes = Sizes { model_dim: size("d_model")?, heads: size("num_heads")?, head_dim: size("d_kv")? };
    let Sizes { heads, head_dim, .. } = sizes;
    let hidden = sequence(call, "hidden_states", &sizes)?;
    let (batch, queries) = (hidden.shape[0], hidden.shape[1]);
    let source = match call.has("key_value_states") {
        true => sequence(call, "key_value_states", &sizes)?,
        false => hidden.clone(),
    };
    let rows = source.shape[1];
    let bias = relative_bias(call, heads)?;
    let [inner, outer] = [heads * head_dim, sizes.model_dim];
    let mut parameters = Parameters::new();
    let mut linear = |name: &str, shape: [usize; 2]| -> Result<LinearWeights> {
        let weight = call.floats(&format!("weight.{name}.weight"), &shape)?;
        let weights = LinearWeights::new(call.recording.device(), shape, &weight, None, DType::F32)?;
        parameters.linear(&format!("weight.{name}"), &weights);
        Ok(weights)
    };
    let (q, k, v) =
        (linear("q", [inner, outer])?, linear("k", [inner, outer])?, linear("v", [inner, outer])?);
    let output = linear("o", [outer, inner])?;
    call.train(&parameters.into_vec(), |array| array)?;
    let hidden = call.upload(&hidden)?;
    call.differentiate("hidden_states", &hidden, |array| array)?;
    let source = match call.has("key_value_states") {
        true => {
            let source = call.upload(&source)?;
            call.differentiate("key_value_states", &source, |array| array)?;
            source
        }
        false => hidden.clone(),
    };
    let [q, k, v] = [(q, &hidden), (k, &source), (v, &source)]
        .map(|(weights, x)| Linear::new(&weights).record(&mut call.recording, x));
    let (q, k, v) = (q?, k?, v?);
    let past = match call.has("past_key") || call.has("past_value") {
        true => Some([past(call, "past_key", batch, &sizes)?, past(call, "past_value", batch, &sizes)?]),
        false => None,
    };
    let mask = call.has("mask").then(|| call.mask("mask")).transpose()?;
    let mask = mask.map(|(shape, mask)| call.upload_mask(&shape, &mask)).transpose()?;
    mask.as_ref().map_or(Ok(()), |mask| mask.differentiate(call, "mask"))?;

    // Queries stand behind what is past; without a past the first is at the first key, as in transformers.
    let behind = past.as_ref().map_or(0, |[k, _]| k.shape[2]);
    let Some(keys) = behind.checked_add(rows) else {
        return Err(call.wrong(format!("`past_key` has {behind} keys, too many for {rows} more")));
    };
    let position = Alignment::Offset(i32::try_from(behind).unwrap_or(i32::MAX));
    let mut attention = Attention::new().scale(1.0).alignment(position);
    if let Some(bias) = &bias {
        attention = attention.relative_bias(bias);
    }
    let expects_bias = call.expects("position_bias");
    if expects_bias && let Some(bias) = &bias {
        // The scores of queries of 0 are the biases.
        call.room(&[heads, queries, keys], "the biases")?;
        let mut zeros = |rows: usize| {
            // Beside an empty one, any size has room for the biases.
            call.room(&[heads, rows], "the biases")?;
            call.upload_floats(&[1, heads, rows, 1], &vec![0.0; heads * rows])
        };
        let (none, keys) = (zeros(queries)?, zeros(keys)?);
        let (none, keys) = (Heads::dense(&none)?, Heads::dense(&keys)?);
        let capture = Attention::new().scale(1.0).alignment(position).relative_bias(bias);
        let capture = capture.capture(Capture::new(Stage::Biased));
        let captured = capture.record(&mut call.recording, &none, &keys, &keys)?.captured;
        if let Some(captured) = captured {
            call.answer("position_bias", &captured)?;
        }
    }
    let [q, k, v] = [&q, &k, &v].map(|value| Heads::in_rows(value, 0, heads, head_dim));
    let (q, k, v) = (q?, k?, v?);
    if let Some(mask) = &mask {
        attention = attention.mask(mask.get());
    }
    let attended = match past {
        None => attention.record(&mut call.recording, &q, &k, &v)?,
        Some(past) => {
            let shape = KvCacheShape {
                batch,
                key_heads: heads,
                capacity: keys,
                head_dim,
                value_dim: head_dim,
                dtype: DType::F32,
                paged: None,
            };
            let mut cache = KvCache::new(call.recording.device(), shape)?;
            let [past_k, past_v] = [call.upload(&past[0])?, call.upload(&past[1])?];
            let (past_k, past_v) = (Heads::dense(&past_k)?, Heads::dense(&past_v)?);
            cache.record_append(&mut call.recording, &past_k, &past_v, None)?;
            cache.record_append(&mut call.recording, &k, &v, None)?;
            cache.record_attention(&mut call.recording, attention, &q)?
        }
    };
    let output = Linear::new(&output).record(&mut call.recording, &attended.output)?;
    call.answer("out", &output)
}

/// `[batch, length, d_model]`.
fn sequence(call: &mut Call<'_>, name: &str, sizes: &Sizes) -> Result<Array> {
    let array = call.array(name)?;
    if array.shape.len() != 3 || array.shape[2] != sizes.model_dim {
        let problem =
            format!("`{name}` must be [batch, length, {}], but is {:?}", sizes.model_dim, array.shape);
        return Err(call.wrong(problem));
    }
    Ok(array)
}

/// `[batch, heads, length, d_kv]`.
fn past(call: &mut Call<'_>, name: &str, batch: usize, sizes: &Sizes) -> Result<Array> {
    let array = call.array(name)?;
    match *array.shape.as_slice() {
        [items, heads, _, columns] if [items, heads, columns] == [batch, sizes.heads, sizes.head_dim] => {
            Ok(array)
        }
        _ => {
            let expected = format!("[{batch}, {}, length, {}]", sizes.heads, sizes.head_dim);
            Err(call.wrong(format!("`{name}` must be {expected}, but is {:?}", array.shape)))
        }
    }
}

/// The table, where the file has one.
fn relative_bias(call: &mut Call<'_>, heads: usize) -> Result<Option<RelativePositionBias>> {
    let attributes = call.attributes();
    let count = |name: &str| attributes.count(name, 1..=LARGEST_SIZE);
    let t5 = RelativePositionBuckets::t5(!attributes.flag("is_decoder", false)?);
    let buckets = RelativePositionBuckets {
        buckets: count("relative_attention_num_buckets")?.unwrap_or(t5.buckets),
        max_distance: count("relative_attention_max_distance")?.unwrap_or(t5.max_distance),
        ..t5
    };
    const TABLE: &str = "weight.relative_attention_bias.weight";
    if !call.has(TABLE) {
        return Ok(None);
    }
    let table = call.floats(TABLE, &[buckets.buckets, heads])?;
    RelativePositionBias::new(&table, heads, &buckets).map(Some)
}
