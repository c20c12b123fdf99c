//! Keys and values of a multi-head attention that are no input's: PyTorch's `add_bias_kv` and `add_zero_attn`.

use super::{MultiHeadAttentionOptions, Part};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::host_memory;
use crate::ops::{Causal, Mask, concat, gather_rows};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};

/// Rows that stand behind the keys and the values of every batch item.
#[derive(Clone, Debug)]
pub(super) struct AppendedKeys {
    layer: &'static str,
    /// `[rows, heads · head_dim]` and `[rows, heads · value_head_dim]`.
    rows: [Tensor; 2],
}

/// A call's options with the keys that are appended.
pub(super) struct Extended {
    padding: Option<Value>,
    mask: Option<Value>,
}

impl AppendedKeys {
    /// Those of `bias_kv`, then, if `zero`, one of zeros; nothing if there is neither.
    pub fn new(
        device: &Device,
        layer: &'static str,
        columns: [usize; 2],
        bias_kv: Option<[&[f32]; 2]>,
        zero: bool,
    ) -> Result<Option<Self>> {
        let mut rows = Vec::new();
        for (side, columns) in columns.into_iter().enumerate() {
            let zeros = vec![0.0; if zero { columns } else { 0 }];
            let bias = bias_kv.map_or(&[][..], |bias| bias[side]);
            if bias_kv.is_some() {
                Part(layer, "bias_kv").expect(["key", "value"][side], &[columns], bias)?;
            }
            let values = host_memory::joined(&[bias, &zeros], || "appended keys".to_owned())?;
            let count = usize::from(bias_kv.is_some()) + usize::from(zero);
            rows.push(Tensor::from_f32(device, [count, columns], &values)?);
        }
        match <[Tensor; 2]>::try_from(rows) {
            Ok(rows) if rows[0].shape()[0] > 0 => Ok(Some(Self { layer, rows })),
            _ => Ok(None),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.rows.iter().map(Tensor::bytes).sum()
    }

    fn count(&self) -> usize {
        self.rows[0].shape()[0]
    }

    /// Keys and values `[batch, keys, columns]` with the rows behind them.
    pub fn append(
        &self,
        recording: &mut Recording,
        batch: usize,
        keys_and_values: [&Value; 2],
    ) -> Result<[Value; 2]> {
        let count = self.count();
        let index: Vec<u32> = (0..batch * count).map(|row| (row % count) as u32).collect();
        let mut appended = Vec::new();
        for (value, rows) in keys_and_values.into_iter().zip(&self.rows) {
            let rows = recording.tensor(rows)?;
            let rows = gather_rows(recording, &rows, &index)?.reshape([batch, count, rows.shape().last()])?;
            appended.push(concat(recording, &[value, &rows], 1)?);
        }
        let wrong = |_| Error::argument(self.layer, "keys and values", "two", "others");
        <[Value; 2]>::try_from(appended).map_err(wrong)
    }

    /// The options' masks with columns for the rows behind, which no mask leaves out and to which none adds.
    pub fn extend(
        &self,
        recording: &mut Recording,
        options: &MultiHeadAttentionOptions<'_>,
        [batch, keys]: [usize; 2],
    ) -> Result<Extended> {
        let wrong = |argument: &str, expected: String, found: String| {
            Err(Error::argument(self.layer, argument, expected, found))
        };
        let count = self.count();
        if options.causal != Causal::None {
            let expected =
                "none beside bias_kv and zero_attn, whose keys have no place in the order (give a mask)";
            return wrong("causal", expected.to_owned(), format!("{:?}", options.causal));
        }
        let device = recording.device().clone();
        let ones = |dims: &[usize]| {
            let elements = dims.iter().product();
            Tensor::from_u32(&device, dims, &vec![1; elements])
        };
        let padding = match (options.key_lengths, options.key_padding_mask) {
            (Some(_), Some(_)) => {
                return wrong(
                    "key_lengths",
                    "absent beside a key_padding_mask".to_owned(),
                    "given".to_owned(),
                );
            }
            (None, None) => None,
            (Some(lengths), None) => {
                if lengths.len() != batch || lengths.iter().any(|&length| length as usize > keys) {
                    let expected = format!("{batch} of at most {keys}");
                    return wrong("key_lengths", expected, format!("{lengths:?}"));
                }
                let takes_part = |&length: &u32| {
                    (0..keys + count).map(move |key| u32::from(key < length as usize || key >= keys))
                };
                let words: Vec<u32> = lengths.iter().flat_map(takes_part).collect();
                Some(recording.tensor(&Tensor::from_u32(&device, [batch, keys + count], &words)?)?)
            }
            (None, Some(mask)) => {
                if mask.dtype() != DType::U32 || mask.shape().dims() != [batch, keys] {
                    let found = format!("{} {}", mask.dtype(), mask.shape());
                    return wrong("key_padding_mask", format!("u32 [{batch}, {keys}]"), found);
                }
                let ones = recording.tensor(&ones(&[batch, count])?)?;
                Some(concat(recording, &[mask, &ones], 1)?)
            }
        };
        let mask = match options.mask {
            None => None,
            Some(mask) => {
                let (Mask::Bool(value) | Mask::Float(value)) = mask;
                let dims = value.shape().dims();
                let Some((_, before)) = dims.split_last().filter(|(columns, _)| **columns == keys) else {
                    let expected = format!("[…, {keys}] beside bias_kv and zero_attn");
                    return wrong("the mask", expected, value.shape().to_string());
                };
                let dims = [before, &[count]].concat();
                let none = match mask {
                    Mask::Bool(_) => ones(&dims)?,
                    Mask::Float(_) => Tensor::zeros(&device, &*dims, value.dtype())?,
                };
                let none = recording.tensor(&none)?;
                Some(concat(recording, &[value, &none], -1)?)
            }
        };
        Ok(Extended { padding, mask })
    }
}

impl Extended {
    /// The options with these masks in place of theirs.
    pub fn options<'a>(&'a self, options: &MultiHeadAttentionOptions<'a>) -> MultiHeadAttentionOptions<'a> {
        let mask = options.mask.zip(self.mask.as_ref()).map(|(mask, extended)| match mask {
            Mask::Bool(_) => Mask::Bool(extended),
            Mask::Float(_) => Mask::Float(extended),
        });
        MultiHeadAttentionOptions {
            key_lengths: None,
            key_padding_mask: self.padding.as_ref(),
            mask,
            ..*options
        }
    }
}
