//! The gradient of a gather.

use super::size;
use crate::error::Result;
use crate::kernels::embedding::scatter_add::{LONGEST, Parameters, ScatterAdd, segments, variant};
use crate::recording::{Gradients, Recording, Value};
use crate::tensor::DType;

const OP: &str = "scatter_add";

/// Adds scale · dy\[r, :\] to row ids\[r\] of a table's gradient, dy `[ids, columns]`, for the rows whose ids are among
/// `part`, the table's first id and the one behind its last. A table that is not tracked is left alone, and so is one that none
/// of them is of.
pub(super) fn add_to_table(
    recording: &mut Recording,
    gradients: &mut Gradients,
    (table, part): (&Value, [u32; 2]),
    ids: &[u32],
    (dy, scale): (&Value, f32),
) -> Result<()> {
    if !recording.is_tracked(table) {
        return Ok(());
    }
    let [first, end] = part;
    let inside = ids.iter().zip(0..).filter(|(id, _)| (first..end).contains(id));
    let mut destinations: Vec<(u32, u32)> = inside.map(|(id, row)| (id - first, row)).collect();
    if destinations.is_empty() {
        return Ok(());
    }
    // Among equal ids by row: one order, and the same bits each time.
    destinations.sort_unstable();
    let y = gradients.in_parts(recording, table)?;
    scatter(recording, &destinations, (dy, scale), &y)
}

/// Adds rows of dy to rows of y: pairs of a destination and a row, sorted. Destinations of more rows than a segment has come in
/// levels: partial sums first, then these.
fn scatter(
    recording: &mut Recording,
    destinations: &[(u32, u32)],
    (dy, scale): (&Value, f32),
    y: &Value,
) -> Result<()> {
    let (mut short, mut cut, mut partial) = (Vec::new(), Vec::new(), Vec::new());
    for run in destinations.chunk_by(|a, b| a.0 == b.0) {
        if run.len() <= LONGEST {
            short.extend_from_slice(run);
            continue;
        }
        for piece in run.chunks(LONGEST) {
            let row = partial.len() as u32;
            partial.push((run[0].0, row));
            cut.extend(piece.iter().map(|(_, from)| (row, *from)));
        }
    }
    dispatch(recording, &short, (dy, scale), y)?;
    if partial.is_empty() {
        return Ok(());
    }
    let sums = recording.zeros([partial.len(), dy.shape().last()], DType::F32)?;
    dispatch(recording, &cut, (dy, scale), &sums)?;
    scatter(recording, &partial, (&sums, 1.0), y)
}

fn dispatch(
    recording: &mut Recording,
    destinations: &[(u32, u32)],
    (dy, scale): (&Value, f32),
    y: &Value,
) -> Result<()> {
    let columns = dy.shape().last();
    let [segments, order] = segments(destinations);
    let count = segments.len() / 3;
    if count == 0 || columns == 0 {
        return Ok(());
    }
    size(OP, "the elements", count.saturating_mul(columns))?;
    let parameters =
        Parameters { segments: size(OP, "segments", count)?, columns: size(OP, "columns", columns)?, scale };
    let segments = recording.constant([count, 3], DType::U32, segments)?;
    let order = recording.constant([order.len()], DType::U32, order)?;
    recording.dispatch_trusted(&ScatterAdd, variant(), &parameters, &[&segments, &order, dy, y])
}
