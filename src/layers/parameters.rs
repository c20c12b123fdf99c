//! The tensors of a layer that can be trained, by the names that a checkpoint has for them.
//!
//! A device's tensors are not a checkpoint's: three projections are packed into one, a matrix is cut by columns or into parts
//! that fit a binding. [`Slice`] says which rows of a parameter are which part of which tensor, so that what was trained can be
//! written as it was read.

use std::ops::Range;

use crate::ops::{
    AdditiveAttentionWeights, EmbeddingTable, EmbeddingTables, LayerNormWeights, LinearWeights,
};
use crate::tensor::Tensor;

/// A tensor on the device that can be trained.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Parameter {
    /// On the device, f32 if it is to be trained; an optimizer updates it in place.
    pub tensor: Tensor,
    /// What its rows are in a checkpoint, from the first on, all of them.
    pub slices: Vec<Slice>,
    /// Whether weight decay applies: to matrices and tables, and not to biases and norms.
    pub decays: bool,
    name: String,
}

impl Parameter {
    /// A tensor that is one of a checkpoint as it is.
    pub fn new(name: impl Into<String>, tensor: &Tensor, decays: bool) -> Self {
        let (name, shape) = (name.into(), tensor.shape().dims().to_vec());
        let rows = 0..shape.first().copied().unwrap_or(1);
        Self::of_slices(tensor, vec![Slice { name, shape, rows, at: [0; 2] }], decays)
    }

    /// Its own name: that of its first slice, with the place of a part that is not the tensor's first, such as `weight[0, 64]`.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn of_slices(tensor: &Tensor, slices: Vec<Slice>, decays: bool) -> Self {
        let name = slices.first().map_or(String::new(), |slice| match slice.at {
            [0, 0] => slice.name.clone(),
            [row, column] => format!("{}[{row}, {column}]", slice.name),
        });
        Self { tensor: tensor.clone(), slices, decays, name }
    }
}

/// Rows of a parameter that are a part of a checkpoint's tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slice {
    /// The tensor's name in the checkpoint.
    pub name: String,
    /// Its sizes there.
    pub shape: Vec<usize>,
    /// The rows of the parameter.
    pub rows: Range<usize>,
    /// The first row and column of the checkpoint's tensor that they are.
    pub at: [usize; 2],
}

/// Parameters, gathered from layer to layer. A tensor that is there already, such as a table that two layers share, is not taken
/// again.
#[derive(Debug, Default)]
pub struct Parameters(Vec<Parameter>);

impl Parameters {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<Parameter> {
        self.0
    }

    /// A tensor of a checkpoint as it is.
    pub fn tensor(&mut self, name: impl Into<String>, tensor: &Tensor, decays: bool) {
        let Parameter { tensor, slices, decays, .. } = Parameter::new(name, tensor, decays);
        self.push(&tensor, slices, decays);
    }

    fn push(&mut self, tensor: &Tensor, slices: Vec<Slice>, decays: bool) {
        if !self.0.iter().any(|other| other.tensor.storage().is(tensor.storage())) {
            self.0.push(Parameter::of_slices(tensor, slices, decays));
        }
    }

    /// `name.weight` and `name.bias`.
    pub fn linear(&mut self, name: &str, weights: &LinearWeights) {
        self.linear_as([&format!("{name}.weight"), &format!("{name}.bias")], weights);
    }

    /// A linear layer whose weight and bias have names of their own.
    pub(crate) fn linear_as(&mut self, [weight, bias]: [&str; 2], weights: &LinearWeights) {
        let (parts, own_bias) = weights.tensors();
        self.parts(weight, parts);
        if let Some(own_bias) = own_bias {
            self.tensor(bias, own_bias, false);
        }
    }

    /// A layer whose outputs are those of several, one after the other, each with its number of rows: `NAME.weight` and `NAME.bias`.
    pub(crate) fn packed(&mut self, names: &[(String, usize)], weights: &LinearWeights) {
        let names = |ending: &str| {
            names.iter().map(|(name, rows)| (format!("{name}{ending}"), *rows)).collect::<Vec<_>>()
        };
        self.packed_as(&names(".weight"), &names(".bias"), weights);
    }

    /// The same with names of their own for weights and biases.
    pub(crate) fn packed_as(
        &mut self,
        names: &[(String, usize)],
        biases: &[(String, usize)],
        weights: &LinearWeights,
    ) {
        let (parts, bias) = weights.tensors();
        let mut first = 0;
        for part in parts {
            let end = first + part.shape()[0];
            let slices = overlapping(names, first..end).map(|(name, all, rows, row)| Slice {
                name: name.clone(),
                shape: vec![all, part.shape().last()],
                rows,
                at: [row, 0],
            });
            self.push(part, slices.collect(), true);
            first = end;
        }
        if let Some(bias) = bias {
            let slices = overlapping(biases, 0..bias.shape()[0]).map(|(name, all, rows, row)| Slice {
                name: name.clone(),
                shape: vec![all],
                rows,
                at: [row, 0],
            });
            self.push(bias, slices.collect(), false);
        }
    }

    /// Columns of `weight` from one on, and `bias`, if the layer has one.
    pub(crate) fn columns(
        &mut self,
        [weight, bias]: [&str; 2],
        columns: usize,
        first: usize,
        weights: &LinearWeights,
    ) {
        let (parts, own_bias) = weights.tensors();
        let (all, mut row) = (weights.outputs(), 0);
        for part in parts {
            let rows = 0..part.shape()[0];
            let slice = Slice { name: weight.to_owned(), shape: vec![all, columns], rows, at: [row, first] };
            row += part.shape()[0];
            self.push(part, vec![slice], true);
        }
        if let Some(own_bias) = own_bias {
            self.tensor(bias, own_bias, false);
        }
    }

    /// `name.weight` and `name.bias`, which are γ and β.
    pub fn norm(&mut self, name: &str, weights: &LayerNormWeights) {
        self.tensor(format!("{name}.weight"), &weights.gamma, false);
        self.tensor(format!("{name}.bias"), &weights.beta, false);
    }

    /// `name.query.weight`, `name.key.weight` and `name.key.bias`, which are W_q, W_k and b, and `name.value.weight`, which is w_v as
    /// a layer of one output, `[1, A]`.
    pub fn additive_attention(&mut self, name: &str, weights: &AdditiveAttentionWeights) {
        let (query, key, score) = weights.parts();
        self.linear(&format!("{name}.query"), query);
        self.linear(&format!("{name}.key"), key);
        self.tensor(format!("{name}.value.weight"), score, true);
    }

    /// A table under its whole name.
    pub fn table(&mut self, name: &str, table: &EmbeddingTable) {
        self.parts(name, table.parts());
    }

    /// The tables of words, positions and token types under their whole names, and the norm's.
    pub(crate) fn embeddings(
        &mut self,
        [words, positions, types, norm]: [&str; 4],
        tables: &EmbeddingTables,
    ) {
        let (own_words, own_positions, own_types, own_norm) = tables.parts_to_train();
        self.table(words, own_words);
        self.tensor(positions, own_positions, true);
        if let Some(own_types) = own_types {
            self.tensor(types, own_types, true);
        }
        self.norm(norm, own_norm);
    }

    /// A matrix in parts by rows.
    fn parts(&mut self, name: &str, parts: &[Tensor]) {
        let all: usize = parts.iter().map(|part| part.shape()[0]).sum();
        let mut row = 0;
        for part in parts {
            let (rows, columns) = (part.shape()[0], part.shape().last());
            let slice =
                Slice { name: name.to_owned(), shape: vec![all, columns], rows: 0..rows, at: [row, 0] };
            self.push(part, vec![slice], true);
            row += rows;
        }
    }
}

/// Of pieces of that many rows, one after the other, those that have some of `rows`: the name, all of its rows, those of the part's rows
/// that are its, and the first of them in it.
fn overlapping(
    names: &[(String, usize)],
    rows: Range<usize>,
) -> impl Iterator<Item = (&String, usize, Range<usize>, usize)> {
    let mut first = 0;
    names.iter().filter_map(move |(name, count)| {
        let own = first..first + count;
        first = own.end;
        let both = own.start.max(rows.start)..own.end.min(rows.end);
        (!both.is_empty())
            .then(|| (name, *count, both.start - rows.start..both.end - rows.start, both.start - own.start))
    })
}
