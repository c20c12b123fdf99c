//! A checkpoint's tensors by name; in the end, none may be left that nothing asked for.

use std::collections::HashSet;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::{HostLayerNorm, HostLinear, MultiHeadAttentionWeights};
use crate::ops::EmbeddingTable;
use crate::tensor::DType;
use crate::weights::Checkpoint;

pub(super) struct Source<'a> {
    checkpoint: &'a Checkpoint,
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
    pub fn new(checkpoint: &'a Checkpoint) -> Self {
        Self { checkpoint, used: HashSet::new() }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.checkpoint.contains(name)
    }

    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.used.insert(name.to_owned());
        self.checkpoint.tensor_f32(name, shape)
    }

    /// A table that may be too large for one piece of memory.
    pub fn table(
        &mut self,
        device: &Device,
        name: &str,
        [rows, columns]: [usize; 2],
        dtype: DType,
    ) -> Result<EmbeddingTable> {
        self.used.insert(name.to_owned());
        let mut table = EmbeddingTable::empty(columns);
        let part = EmbeddingTable::part_rows(device, columns, dtype);
        for first in (0..rows).step_by(part) {
            let part = first..rows.min(first.saturating_add(part));
            table.push(device, &self.checkpoint.rows_f32(name, &[rows, columns], part)?, dtype)?;
        }
        Ok(table)
    }

    pub fn linear(&mut self, name: &str, shape: [usize; 2]) -> Result<LinearTensors> {
        let weight = self.tensor(&format!("{name}.weight"), &shape)?;
        Ok(LinearTensors { weight, bias: self.tensor(&format!("{name}.bias"), &shape[..1])? })
    }

    pub fn norm(&mut self, name: &str, width: usize) -> Result<NormTensors> {
        let gamma = self.tensor(&format!("{name}.weight"), &[width])?;
        Ok(NormTensors { gamma, beta: self.tensor(&format!("{name}.bias"), &[width])? })
    }

    /// Projections under fairseq's names.
    pub fn attention(&mut self, name: &str, width: usize) -> Result<AttentionTensors> {
        let mut part = |part: &str| self.linear(&format!("{name}.{part}"), [width, width]);
        let (query, key, value) = (part("q_proj")?, part("k_proj")?, part("v_proj")?);
        Ok(AttentionTensors { query, key, value, output: part("out_proj")? })
    }

    /// Tensors that repeat others.
    pub fn ignore(&mut self, names: &[&str]) {
        self.used.extend(names.iter().map(|&name| name.to_owned()));
    }

    /// A tensor that nothing accounts for may change what the model computes.
    pub fn check_all_used(&self, supported: &str) -> Result<()> {
        match self.checkpoint.names().find(|name| !self.used.contains(*name)) {
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
