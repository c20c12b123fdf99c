//! Rows of a table by their ids: token embeddings, and any gather of rows.

use super::axes::product;
use super::scatter::add_to_table;
use super::{LinearWeights, expect_dtype, expect_weight_dtype, size};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::embedding::gather::{Gather, Parameters, variant};
use crate::kernels::shared::WeightStorage;
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};

const OP: &str = "embedding";

/// A table `[rows, columns]` on a device, in parts where it passes the device's binding limit.
#[derive(Clone, Debug)]
pub struct EmbeddingTable {
    parts: Vec<Tensor>,
    columns: usize,
}

impl EmbeddingTable {
    /// A table without rows, to be filled by [`EmbeddingTable::push`].
    pub fn empty(columns: usize) -> Self {
        Self { parts: Vec::new(), columns }
    }

    /// A table of those values, row-major, stored as f32 or f16.
    ///
    /// # Errors
    /// [`Error::Argument`] unless they are rows of `columns` and the dtype is one of the two, [`Error::OutOfMemory`].
    pub fn new(device: &Device, columns: usize, values: &[f32], dtype: DType) -> Result<Self> {
        expect_weight_dtype(OP, dtype)?;
        let mut table = Self::empty(columns);
        let part = Self::part_rows(device, columns, dtype).saturating_mul(columns.max(1));
        for rows in values.chunks(part) {
            table.push(device, rows, dtype)?;
        }
        Ok(table)
    }

    /// Rows that one part can hold on that device: always an even number, so that f16 rows of odd length begin at
    /// words.
    pub fn part_rows(device: &Device, columns: usize, dtype: DType) -> usize {
        super::part_rows(device, columns, dtype)
    }

    /// Adds the next rows, at most [`EmbeddingTable::part_rows`], stored as f32 or f16.
    ///
    /// # Errors
    /// As [`EmbeddingTable::new`], and [`Error::Limit`] for too many rows.
    pub fn push(&mut self, device: &Device, rows: &[f32], dtype: DType) -> Result<()> {
        expect_weight_dtype(OP, dtype)?;
        let columns = self.columns;
        if columns == 0 || !rows.len().is_multiple_of(columns) {
            let (expected, found) = (format!("rows of {columns}"), format!("{} elements", rows.len()));
            return Err(Error::argument(OP, "the table", expected, found));
        }
        let shape = [rows.len() / columns, columns];
        self.parts.push(match dtype {
            DType::F16 => Tensor::from_f32_as_f16(device, shape, rows)?,
            _ => Tensor::from_f32(device, shape, rows)?,
        });
        Ok(())
    }

    /// A table of parts that are on a device already, each with rows of `columns`.
    pub(crate) fn from_parts(columns: usize, parts: Vec<Tensor>) -> Self {
        Self { parts, columns }
    }

    /// Its rows.
    pub fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.shape()[0]).sum()
    }

    /// Elements of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The tensors that it is split into.
    pub fn parts(&self) -> &[Tensor] {
        &self.parts
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(Tensor::bytes).sum()
    }

    /// The linear layer with this table for its W `[rows, columns]`, as an output projection that is tied to the
    /// embeddings (Press and Wolf 2017): the same memory.
    ///
    /// # Errors
    /// [`Error::Argument`] if the bias does not fit.
    pub fn projection(&self, device: &Device, bias: Option<&[f32]>) -> Result<LinearWeights> {
        LinearWeights::from_parts(device, self.parts.clone(), bias)
    }
}

/// Rows of a table by their ids, to be recorded: y\[r, :\] = scale · table\[id_r, :\] + positions\[p_r, :\] (Vaswani et al.
/// 2017, sections 3.4 and 3.5).
#[derive(Clone, Copy, Debug)]
pub struct Embedding<'a> {
    table: &'a EmbeddingTable,
    scale: f32,
    positions: Option<(&'a Tensor, &'a [u32])>,
}

impl<'a> Embedding<'a> {
    /// The rows as they are.
    pub fn new(table: &'a EmbeddingTable) -> Self {
        Self { table, scale: 1.0, positions: None }
    }

    /// The rows multiplied by that, such as √d.
    #[must_use]
    pub fn scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    /// With rows of another table `[positions, columns]`, f32, added: one place for each id.
    #[must_use]
    pub fn positions(mut self, table: &'a Tensor, places: &'a [u32]) -> Self {
        self.positions = Some((table, places));
        self
    }

    /// Records it: gives `[ids, columns]` f32.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id or place past its table, lists of different lengths, or a table of positions that
    /// does not fit; [`Error::Limit`].
    pub fn record(self, recording: &mut Recording, ids: &[u32]) -> Result<Value> {
        recording.atomically(|recording| {
            let (rows, columns) = (ids.len(), self.table.columns);
            let position = self.positions.map(|(table, _)| recording.tensor(table)).transpose()?;
            let positions = match &position {
                Some(position) => {
                    expect_dtype(OP, "the table of positions", position, &[DType::F32])?;
                    match *position.shape().dims() {
                        [rows, found] if found == columns => rows,
                        _ => {
                            let (expected, found) =
                                (format!("[positions, {columns}]"), position.shape().to_string());
                            return Err(Error::argument(OP, "the table of positions", expected, found));
                        }
                    }
                }
                None => 0,
            };
            let places = self.positions.map(|(_, places)| places);
            check_ids(OP, "ids", ids, self.table.rows())?;
            if let Some(places) = places {
                if places.len() != rows {
                    let expected = format!("one for each of {rows} ids");
                    return Err(Error::argument(OP, "positions", expected, places.len().to_string()));
                }
                check_ids(OP, "positions", places, positions)?;
            }
            let parts = self.table.parts.iter().map(|part| recording.tensor(part));
            let parts = parts.collect::<Result<Vec<_>>>()?;
            let inputs: Vec<&Value> = parts.iter().chain(&position).collect();
            let record = |recording: &mut Recording| self.gather(recording, ids, &parts, position.as_ref());
            recording.differentiable(&inputs, record, |_| {
                let (ids, places) = (ids.to_vec(), places.unwrap_or_default().to_vec());
                let (parts, position) = (parts.clone(), position.clone());
                Box::new(move |recording, gradients, dy| {
                    let mut first = 0;
                    for part in &parts {
                        let range = [first, first + part.shape().dims()[0] as u32];
                        first = range[1];
                        add_to_table(recording, gradients, (part, range), &ids, (dy, self.scale))?;
                    }
                    if let Some(position) = &position {
                        let range = [0, position.shape().dims()[0] as u32];
                        add_to_table(recording, gradients, (position, range), &places, (dy, 1.0))?;
                    }
                    Ok(())
                })
            })
        })
    }

    /// The dispatches of arguments that fit.
    fn gather(
        self,
        recording: &mut Recording,
        ids: &[u32],
        parts: &[Value],
        position: Option<&Value>,
    ) -> Result<Value> {
        let (rows, columns) = (ids.len(), self.table.columns);
        let places = self.positions.map(|(_, places)| places);
        let device = recording.device().clone();
        let words = [ids, places.unwrap_or(&vec![0; rows])].concat();
        let tokens = recording.constant([2, rows], DType::U32, words)?;
        let y = recording.temporary([rows, columns], DType::F32)?;
        let absent = recording.absent()?;
        size(OP, "the elements", rows.saturating_mul(columns))?;
        let mut first_id = 0;
        for part in parts {
            let id_count = size(OP, "the table", part.shape().dims()[0])?;
            let part_ids = first_id..first_id + id_count;
            first_id = part_ids.end;
            if parts.len() > 1 && !ids.iter().any(|id| part_ids.contains(id)) {
                continue;
            }
            let parameters = Parameters {
                rows: size(OP, "ids", rows)?,
                columns: size(OP, "columns", columns)?,
                first_id: part_ids.start,
                id_count,
                scale: self.scale,
                has_positions: position.is_some().into(),
            };
            let storage = WeightStorage::of(part.dtype(), device.capabilities().shader_f16);
            let bindings = [&tokens, part, position.unwrap_or(&absent), &y];
            recording.dispatch_trusted(&Gather, variant(storage), &parameters, &bindings)?;
        }
        Ok(y)
    }
}

/// [`Error::Argument`] for an id past the rows of its table.
pub(super) fn check_ids(op: &str, name: &str, ids: &[u32], rows: usize) -> Result<()> {
    match ids.iter().enumerate().find(|(_, id)| **id as usize >= rows) {
        None => Ok(()),
        Some((place, found)) => {
            let expected = format!("below {rows}, the rows of its table");
            Err(Error::argument(op, format!("{name}[{place}]"), expected, found.to_string()))
        }
    }
}

/// Records rows of a value `[rows, …]`, f32, in another order or number: y\[r\] = x\[index_r\].
///
/// # Errors
/// [`Error::Argument`] for an index past the rows, a value without axes or of another dtype, [`Error::Limit`].
pub fn gather_rows(recording: &mut Recording, x: &Value, index: &[u32]) -> Result<Value> {
    const OP: &str = "gather_rows";
    expect_dtype(OP, "x", x, &[DType::F32])?;
    let Some((&rows, rest)) = x.shape().dims().split_first() else {
        return Err(Error::argument(OP, "x", "[rows, …]", x.shape().to_string()));
    };
    check_ids(OP, "index", index, rows)?;
    let columns = product(OP, "the columns", rest)?;
    size(OP, "the elements", index.len().saturating_mul(columns as usize))?;
    let parameters = Parameters {
        rows: size(OP, "the index", index.len())?,
        columns,
        first_id: 0,
        id_count: size(OP, "the rows", rows)?,
        scale: 1.0,
        has_positions: 0,
    };
    let shape = [&[index.len()], rest].concat();
    let record = |recording: &mut Recording| {
        let words = [index, &vec![0; index.len()]].concat();
        let tokens = recording.constant([2, index.len()], DType::U32, words)?;
        let y = recording.temporary(shape, DType::F32)?;
        let absent = recording.absent()?;
        let bindings = [&tokens, x, &absent, &y];
        recording.dispatch_trusted(&Gather, variant(WeightStorage::F32), &parameters, &bindings)?;
        Ok(y)
    };
    recording.differentiable(&[x], record, |_| {
        let (x, index) = (x.clone(), index.to_vec());
        Box::new(move |recording, gradients, dy| {
            let dy = dy.reshape([index.len(), parameters.columns as usize])?;
            add_to_table(recording, gradients, (&x, [0, parameters.id_count]), &index, (&dy, 1.0))
        })
    })
}
