//! The dtype that weights are stored as.

use attentive::DType;
use clap::{Args, ValueEnum};

#[derive(Args)]
pub struct DTypeArgument {
    /// What the weights are stored as; f16 takes half the memory
    #[arg(long, env = "ATTENTIVE_DTYPE", hide_env_values = true, value_enum, default_value = "f32")]
    dtype: Name,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    F32,
    F16,
}

impl DTypeArgument {
    pub fn dtype(&self) -> DType {
        match self.dtype {
            Name::F32 => DType::F32,
            Name::F16 => DType::F16,
        }
    }
}
