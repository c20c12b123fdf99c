//! Embeddings with their layer norm.

use super::choice::choose_rows;
use super::embedding::{Embedding, EmbeddingTable, check_ids, gather_rows};
use super::{add, layer_norm, size};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::embedding::embedding_norm::{EmbeddingNorm, Parameters};
use crate::kernels::shared::WeightStorage;
use crate::ops::LayerNormWeights;
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};

/// The tables of a BERT-family embedding. The word table comes in parts where it passes the device's binding limit.
#[derive(Clone, Debug)]
pub struct EmbeddingTables {
    words: EmbeddingTable,
    position: Tensor,
    token_type: Option<Tensor>,
    norm: LayerNormWeights,
}

impl EmbeddingTables {
    /// Begins with the tables for positions `[positions, columns]` and token types `[types, columns]`, and the norm.
    ///
    /// # Errors
    /// [`Error::Argument`] if a table does not fit the norm's columns, [`Error::OutOfMemory`].
    pub fn new(
        device: &Device,
        position: &[f32],
        token_type: Option<&[f32]>,
        norm: LayerNormWeights,
    ) -> Result<Self> {
        let table = |name: &str, values: &[f32]| {
            let columns = norm.columns();
            if columns == 0 || !values.len().is_multiple_of(columns) {
                let found = format!("{} elements", values.len());
                return Err(Error::argument("embedding_norm", name, format!("rows of {columns}"), found));
            }
            Tensor::from_f32(device, [values.len() / columns, columns], values)
        };
        let position = table("the position table", position)?;
        let token_type = token_type.map(|values| table("the token type table", values)).transpose()?;
        Ok(Self { words: EmbeddingTable::empty(norm.columns()), position, token_type, norm })
    }

    /// Rows of the word table that one part can hold on that device: [`EmbeddingTable::part_rows`].
    pub fn part_rows(device: &Device, columns: usize, dtype: DType) -> usize {
        EmbeddingTable::part_rows(device, columns, dtype)
    }

    /// Adds the next rows of the word table, at most [`EmbeddingTables::part_rows`], stored as f32 or f16.
    ///
    /// # Errors
    /// As [`EmbeddingTables::new`], and [`Error::Limit`] for too many rows.
    pub fn push_words(&mut self, device: &Device, rows: &[f32], dtype: DType) -> Result<()> {
        self.words.push(device, rows, dtype)
    }

    /// The same with that word table, which has the norm's columns.
    pub(crate) fn with_words(self, words: EmbeddingTable) -> Self {
        Self { words, ..self }
    }

    /// The word table.
    pub fn words(&self) -> &EmbeddingTable {
        &self.words
    }

    /// Words in the table.
    pub fn vocabulary_size(&self) -> usize {
        self.words.rows()
    }

    /// Tensors that the word table is split into.
    pub fn parts(&self) -> usize {
        self.words.parts().len()
    }

    /// Elements of an embedding.
    pub fn columns(&self) -> usize {
        self.norm.columns()
    }

    /// The word table, that of positions, that of token types where there is one, and the norm.
    pub(crate) fn parts_to_train(&self) -> (&EmbeddingTable, &Tensor, Option<&Tensor>, &LayerNormWeights) {
        (&self.words, &self.position, self.token_type.as_ref(), &self.norm)
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let norm = [&self.norm.gamma, &self.norm.beta];
        let tables = self.words.parts().iter().chain([&self.position]).chain(&self.token_type);
        tables.chain(norm).map(Tensor::bytes).sum()
    }
}

/// The tokens to embed: one id, position and token type for each row.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// Rows of the word table.
    pub ids: &'a [u32],
    /// Rows of the position table.
    pub positions: &'a [u32],
    /// Rows of the token type table; not read where there is none.
    pub types: &'a [u32],
}

/// Records word + position (+ token type), normalized: gives `[tokens, columns]` f32. Where one of the tables or the norm is
/// trained it is recorded as a gather, sums and a layer norm.
///
/// # Errors
/// [`Error::Argument`] for an id, position or type past its table, or lists of different lengths.
pub fn embedding_norm(
    recording: &mut Recording,
    tokens: Tokens<'_>,
    tables: &EmbeddingTables,
) -> Result<Value> {
    recording.atomically(|recording| {
        const OP: &str = "embedding_norm";
        let rows = tokens.ids.len();
        let types = tables.token_type.as_ref();
        let lists = [
            ("ids", tokens.ids, Some(tables.vocabulary_size())),
            ("positions", tokens.positions, Some(tables.position.shape()[0])),
            ("types", tokens.types, types.map(|table| table.shape()[0])),
        ];
        for (name, list, limit) in lists {
            let Some(limit) = limit else { continue };
            if list.len() != rows {
                return Err(Error::argument(
                    OP,
                    name,
                    format!("one for each of {rows} ids"),
                    list.len().to_string(),
                ));
            }
            check_ids(OP, name, list, limit)?;
        }
        if is_trained(recording, tables)? {
            return composed(recording, tokens, tables);
        }
        let types_or_zeros = if types.is_some() { tokens.types.to_vec() } else { vec![0; rows] };
        let words = [tokens.ids, tokens.positions, &types_or_zeros].concat();
        let device = recording.device().clone();
        let packed = Tensor::from_u32(&device, [3, rows], &words)?;
        let packed = recording.tensor(&packed)?;
        let columns = tables.columns();
        let y = recording.temporary([rows, columns], DType::F32)?;
        let absent = recording.absent()?;
        let position = recording.tensor(&tables.position)?;
        let token_type = match types {
            Some(types) => recording.tensor(types)?,
            None => absent,
        };
        let (gamma, beta) = (recording.tensor(&tables.norm.gamma)?, recording.tensor(&tables.norm.beta)?);
        let base = choose_rows(&device, OP, columns, false)?;
        let mut first_id = 0;
        for part in tables.words.parts() {
            let id_count = size(OP, "the word table", part.shape()[0])?;
            let ids = first_id..first_id + id_count;
            first_id += id_count;
            if tables.parts() > 1 && !tokens.ids.iter().any(|id| ids.contains(id)) {
                continue;
            }
            let parameters = Parameters {
                rows: size(OP, "tokens", rows)?,
                columns: size(OP, "columns", columns)?,
                first_id: ids.start,
                id_count,
                epsilon: tables.norm.epsilon,
                has_types: types.is_some().into(),
            };
            let storage = WeightStorage::of(part.dtype(), device.capabilities().shader_f16);
            let variant = storage.add_to(base.clone());
            let part = recording.tensor(part)?;
            let bindings = [&packed, &part, &position, &token_type, &gamma, &beta, &y];
            recording.dispatch_trusted(&EmbeddingNorm, variant, &parameters, &bindings)?;
        }
        Ok(y)
    })
}

/// Whether a table or the norm is tracked where rules count.
fn is_trained(recording: &mut Recording, tables: &EmbeddingTables) -> Result<bool> {
    if !recording.is_taping() {
        return Ok(false);
    }
    let others = [&tables.position, &tables.norm.gamma, &tables.norm.beta];
    for tensor in tables.words.parts().iter().chain(&tables.token_type).chain(others) {
        let value = recording.tensor(tensor)?;
        if recording.is_tracked(&value) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The same by ops that have rules: the kernel keeps nothing for a gradient.
fn composed(recording: &mut Recording, tokens: Tokens<'_>, tables: &EmbeddingTables) -> Result<Value> {
    let words = Embedding::new(&tables.words).positions(&tables.position, tokens.positions);
    let mut sum = words.record(recording, tokens.ids)?;
    if let Some(types) = &tables.token_type {
        let types = recording.tensor(types)?;
        let types = gather_rows(recording, &types, tokens.types)?;
        sum = add(recording, &sum, &types)?;
    }
    layer_norm(recording, &sum, None, &tables.norm)
}
