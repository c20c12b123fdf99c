//! What weights are stored as.

use attentive::DType;
use clap::ValueEnum;

#[derive(Clone, Copy, ValueEnum)]
pub enum DTypeName {
    F32,
    F16,
}

impl DTypeName {
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
        }
    }
}
