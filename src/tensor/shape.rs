//! Shapes.

use std::fmt;
use std::ops::Index;

use crate::error::{Error, Result};

/// The sizes of a tensor's axes, the last of them contiguous.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The sizes.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The number of elements, saturating.
    pub fn elements(&self) -> u64 {
        self.0.iter().fold(1, |product: u64, &size| product.saturating_mul(size as u64))
    }

    /// The number of elements, unless it passes 2⁶⁴ − 1.
    pub fn checked_elements(&self) -> Option<u64> {
        self.0.iter().try_fold(1_u64, |product, &size| product.checked_mul(size as u64))
    }

    /// The size of the last axis; 1 for a scalar.
    pub fn last(&self) -> usize {
        self.0.last().copied().unwrap_or(1)
    }

    /// All axes but the last, multiplied: the number of rows.
    pub fn rows(&self) -> usize {
        self.0.split_last().map_or(1, |(_, rest)| rest.iter().product())
    }

    /// `shape`, if it has as many elements.
    pub(crate) fn reshaped(&self, shape: Self) -> Result<Self> {
        if shape.elements() == self.elements() {
            return Ok(shape);
        }
        let expected = format!("{} elements, as {self}", self.elements());
        Err(Error::argument("reshape", "the shape", expected, shape.to_string()))
    }

    /// The same shape with another last axis.
    pub fn with_last(&self, size: usize) -> Self {
        let mut dims = self.0.clone();
        match dims.last_mut() {
            Some(last) => *last = size,
            None => dims.push(size),
        }
        Self(dims)
    }
}

impl Index<usize> for Shape {
    type Output = usize;

    fn index(&self, axis: usize) -> &usize {
        &self.0[axis]
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Self(dims.to_vec())
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Self(dims.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Self(dims)
    }
}
