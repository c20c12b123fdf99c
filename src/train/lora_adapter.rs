//! Adapters in the form of PEFT, Hugging Face's library of them.

use std::collections::HashMap;
use std::path::Path;

use serde_json::json;

use super::Lora;
use super::checkpoint::{by_name, write};
use crate::error::{Error, Result};
use crate::tensor::DType;

/// What PEFT's names begin with.
const PREFIX: &str = "base_model.model.";

impl Lora {
    /// Writes `adapter_model.safetensors` and `adapter_config.json` into a folder, f32, as PEFT has them: what was trained, without the
    /// model that it is to be merged with. `base_model` is what that is called, a folder or a model of the Hugging Face hub, and
    /// `task_type` what it is for there, such as `FEATURE_EXTRACTION` or `SEQ_CLS`.
    ///
    /// # Errors
    /// [`Error::Io`]; those of reading tensors.
    pub fn save_adapter(&self, folder: impl AsRef<Path>, base_model: &str, task_type: &str) -> Result<()> {
        let folder = folder.as_ref();
        let io = |path: &Path, source| Error::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(|error| io(folder, error))?;
        let options = self.options();
        let config = json!({
            "peft_type": "LORA",
            "task_type": task_type,
            "base_model_name_or_path": base_model,
            "r": options.rank,
            "lora_alpha": options.alpha,
            "lora_dropout": 0.0,
            "target_modules": options.targets,
            "modules_to_save": (!options.whole.is_empty()).then_some(&options.whole),
            "bias": "none",
            "fan_in_fan_out": false,
            "init_lora_weights": true,
            "inference_mode": true,
        });
        let tensors = by_name(self.parameters())?;
        let tensors = tensors.into_iter().map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor)).collect();
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        write(&folder.join("adapter_model.safetensors"), &tensors, DType::F32, metadata)?;
        let path = folder.join("adapter_config.json");
        std::fs::write(&path, format!("{config:#}\n")).map_err(|error| io(&path, error))
    }
}
