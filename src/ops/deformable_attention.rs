//! The sampling of multi-scale deformable attention.

use super::axes::product;
use super::{expect_dtype, expect_shape, size};
use crate::error::{Error, Result};
use crate::kernels::vision::deformable_attention::{self as kernel, Parameters, variant};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};

const OP: &str = "deformable_attention";

/// The inputs of [`deformable_attention`]; S is Σ height · width over the levels.
#[derive(Clone, Copy, Debug)]
pub struct DeformableInputs<'a> {
    /// `[batch, S, heads, head_dim]`: the levels one after the other, each row by row.
    pub values: &'a Value,
    /// Height and width of each level.
    pub shapes: &'a [[usize; 2]],
    /// In parts of a level's width and height, x before y: points `[batch, queries, levels, 2]`, or boxes
    /// `[batch, queries, levels, 4]` (middle, width, height).
    pub references: &'a Value,
    /// x before y, `[batch, queries, heads, levels, points, 2]`: in elements of the level from a point, in halves of the box
    /// over the number of points from a box.
    pub offsets: &'a Value,
    /// `[batch, queries, heads, levels, points]`; over the levels and points of a head they sum to 1 in the paper.
    pub weights: &'a Value,
    /// Values that take part, u32 `[batch, S]`, nonzero for true; the others count as 0.
    pub padding: Option<&'a Value>,
}

/// Records Σ_l Σ_p weight · v_l(reference + offset) for each query and head (Zhu et al. 2021, equation 3, without its
/// projections): gives `[batch, queries, heads · head_dim]`, f32. Sampling is bilinear, as PyTorch's `grid_sample` with
/// `align_corners=False` and zeros outside. A location that is NaN makes its query's head NaN.
///
/// # Errors
/// [`Error::Argument`] for shapes or dtypes that do not fit, [`Error::Limit`].
pub fn deformable_attention(recording: &mut Recording, inputs: &DeformableInputs<'_>) -> Result<Value> {
    let &DeformableInputs { values, shapes, references, offsets, weights, padding } = inputs;
    let needed = [("values", values), ("references", references), ("offsets", offsets), ("weights", weights)];
    for (name, value) in needed {
        expect_dtype(OP, name, value, &[DType::F32])?;
    }
    let &[batch, positions, heads, head_dim] = values.shape().dims() else {
        let found = values.shape().to_string();
        return Err(Error::argument(OP, "values", "[batch, S, heads, head_dim]", found));
    };
    let levels = shapes.len();
    // Height, width and the first value of each.
    let mut table = Vec::with_capacity(3 * levels);
    let mut end = 0_usize;
    for &[height, width] in shapes {
        table.extend([size(OP, "a height", height)?, size(OP, "a width", width)?, size(OP, "a level", end)?]);
        end = end.saturating_add(height.saturating_mul(width));
    }
    if end != positions {
        let expected = format!("[{batch}, {end}, {heads}, {head_dim}] for levels of {shapes:?}");
        return Err(Error::argument(OP, "values", expected, values.shape().to_string()));
    }
    let &[_, queries, _, parts] = references.shape().dims() else {
        let expected = format!("[{batch}, queries, {levels}, 2 or 4]");
        return Err(Error::argument(OP, "references", expected, references.shape().to_string()));
    };
    if !matches!(parts, 2 | 4) || references.shape().dims() != [batch, queries, levels, parts] {
        let expected = format!("[{batch}, {queries}, {levels}, 2 or 4]");
        return Err(Error::argument(OP, "references", expected, references.shape().to_string()));
    }
    let &[_, _, _, _, points] = weights.shape().dims() else {
        let expected = format!("[{batch}, {queries}, {heads}, {levels}, points]");
        return Err(Error::argument(OP, "weights", expected, weights.shape().to_string()));
    };
    expect_shape(OP, "weights", weights, &[batch, queries, heads, levels, points])?;
    expect_shape(OP, "offsets", offsets, &[batch, queries, heads, levels, points, 2])?;
    if let Some(padding) = padding {
        expect_dtype(OP, "padding", padding, &[DType::U32])?;
        expect_shape(OP, "padding", padding, &[batch, positions])?;
    }
    for (name, value) in needed {
        product(OP, name, value.shape().dims())?;
    }
    let parameters = Parameters {
        elements: product(OP, "the elements of the output", &[batch, queries, heads, head_dim])?,
        queries: size(OP, "the queries", queries)?,
        heads: size(OP, "the heads", heads)?,
        head_dim: size(OP, "head_dim", head_dim)?,
        positions: size(OP, "the values", positions)?,
        levels: size(OP, "the levels", levels)?,
        points: size(OP, "the points", points)?,
        boxes: u32::from(parts == 4),
        has_padding: padding.is_some().into(),
    };
    let table = Tensor::from_u32(recording.device(), [levels, 3], &table)?;
    let table = recording.tensor(&table)?;
    let absent = recording.absent()?;
    let output = recording.temporary([batch, queries, heads.saturating_mul(head_dim)], DType::F32)?;
    let bindings = [values, &table, references, offsets, weights, padding.unwrap_or(&absent), &output];
    recording.dispatch_trusted(&kernel::DeformableAttention, variant(), &parameters, &bindings)?;
    Ok(output)
}
