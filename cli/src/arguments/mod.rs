//! Arguments that commands share, and what is made of them: devices, models, texts.

mod activation;
mod batch;
mod bert;
mod device;
mod dtype;
mod model;
mod picture;
mod prompt;
mod texts;

pub use activation::ActivationName;
pub use batch::BatchArgument;
pub use bert::BertArguments;
pub use device::{DeviceArgument, DevicesArgument, OpenArguments, taken_by_auto};
pub use dtype::DTypeArgument;
pub use model::{
    GOOGLE_BERT, HELSINKI, ModelArguments, Place, SENTENCE_TRANSFORMERS, caption, is_of_a_model,
};
pub use picture::{PictureArguments, capture_failure};
pub use prompt::PromptArguments;
pub use texts::TextArguments;
