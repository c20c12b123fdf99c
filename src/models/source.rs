//! A checkpoint's tensors by name; in the end, none may be left that nothing asked for.

use std::collections::HashSet;
use std::ops::Range;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::{HostLayerNorm, HostLinear, MultiHeadAttentionWeights};
use crate::ops::EmbeddingTable;
use crate::tensor::DType;
use crate::weights::Checkpoint;

pub(super) struct Source<'a> {
    checkpoint: &'a Checkpoint,
    prefix: &'static str,
    used: HashSet<String>,
}

/// W and bias.
pub(super) struct LinearTensors {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// γ and β.
pub(super) struct NormTensors {
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

/// The four projections.
pub(super) struct AttentionTensors {
    query: LinearTensors,
    key: LinearTensors,
    value: LinearTensors,
    output: LinearTensors,
}

impl LinearTensors {
    pub fn host(&self) -> HostLinear<'_> {
        HostLinear { weight: &self.weight, bias: Some(&self.bias) }
    }
}

impl NormTensors {
    pub fn host(&self) -> HostLayerNorm<'_> {
        HostLayerNorm { gamma: &self.gamma, beta: &self.beta }
    }
}

impl AttentionTensors {
    pub fn weights(&self) -> MultiHeadAttentionWeights<'_> {
        MultiHeadAttentionWeights {
            query: self.query.host(),
            key: self.key.host(),
            value: self.value.host(),
            output: self.output.host(),
        }
    }
}

impl<'a> Source<'a> {
    /// Names as they are.
    pub fn new(checkpoint: &'a Checkpoint) -> Self {
        Self::under("", checkpoint)
    }

    /// Names behind a prefix.
    pub fn under(prefix: &'static str, checkpoint: &'a Checkpoint) -> Self {
        Self { checkpoint, prefix, used: HashSet::new() }
    }

    /// The whole name of a tensor.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.checkpoint.contains(&self.name(name))
    }

    fn ask(&mut self, name: &str) -> String {
        let name = self.name(name);
        self.used.insert(name.clone());
        name
    }

    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = self.ask(name);
        self.checkpoint.tensor_f32(&name, shape)
    }

    /// Some rows of a table that may be too large for one piece of memory.
    pub fn rows(&mut self, name: &str, shape: [usize; 2], rows: Range<usize>) -> Result<Vec<f32>> {
        let name = self.ask(name);
        self.checkpoint.rows_f32(&name, &shape, rows)
    }

    /// A table that may be too large for one piece of memory.
    pub fn table(
        &mut self,
        device: &Device,
        name: &str,
        [rows, columns]: [usize; 2],
        dtype: DType,
    ) -> Result<EmbeddingTable> {
        let mut table = EmbeddingTable::empty(columns);
        let part = EmbeddingTable::part_rows(device, columns, dtype);
        for first in (0..rows).step_by(part) {
            let part = first..rows.min(first.saturating_add(part));
            table.push(device, &self.rows(name, [rows, columns], part)?, dtype)?;
        }
        Ok(table)
    }

    pub fn linear(&mut self, name: &str, shape: [usize; 2]) -> Result<LinearTensors> {
        let weight = self.tensor(&format!("{name}.weight"), &shape)?;
        Ok(LinearTensors { weight, bias: self.tensor(&format!("{name}.bias"), &shape[..1])? })
    }

    /// γ and β, which checkpoints of TensorFlow's time call so, and later ones weight and bias.
    pub fn norm(&mut self, name: &str, width: usize) -> Result<NormTensors> {
        let old = self.contains(&format!("{name}.gamma"));
        let [gamma, beta] = if old { ["gamma", "beta"] } else { ["weight", "bias"] };
        let gamma = self.tensor(&format!("{name}.{gamma}"), &[width])?;
        Ok(NormTensors { gamma, beta: self.tensor(&format!("{name}.{beta}"), &[width])? })
    }

    /// Projections by the names of the query's, key's, value's and output's.
    pub fn attention<N: AsRef<str>>(
        &mut self,
        [query, key, value, output]: &[N; 4],
        width: usize,
    ) -> Result<AttentionTensors> {
        let mut part = |name: &N| self.linear(name.as_ref(), [width, width]);
        Ok(AttentionTensors {
            query: part(query)?,
            key: part(key)?,
            value: part(value)?,
            output: part(output)?,
        })
    }

    /// Tensors that repeat others.
    pub fn ignore(&mut self, names: &[&str]) {
        self.used.extend(names.iter().map(|name| format!("{}{name}", self.prefix)));
    }

    /// A tensor that nothing accounts for may change what the model computes; those that begin with one of `unused`,
    /// behind the prefix or not, do not.
    pub fn check_all_used(&self, unused: &[&str], supported: &str) -> Result<()> {
        let accounted = |name: &str| {
            let bare = name.strip_prefix(self.prefix).unwrap_or(name);
            self.used.contains(name)
                || unused.iter().any(|unused| bare.starts_with(unused) || name.starts_with(unused))
        };
        match self.checkpoint.names().find(|name| !accounted(name)) {
            None => Ok(()),
            Some(name) => Err(Error::Unsupported {
                path: self.checkpoint.path().to_owned(),
                what: "tensor",
                found: name.to_owned(),
                supported: vec![supported.to_owned()],
            }),
        }
    }
}
