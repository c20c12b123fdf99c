//! The folder of a model that was trained on: that of the model it began as, with other weights.

use std::path::{Path, PathBuf};

use super::save_weights;
use crate::error::{Error, Result};
use crate::layers::Parameter;
use crate::tensor::DType;
use crate::weights::Checkpoint;

/// Ends of the names of files that describe a model and its tokenizer.
const DESCRIBING: [&str; 6] = ["json", "txt", "model", "spm", "vocab", "md"];

/// Writes a folder of sentence-transformers or Hugging Face to `to`: what describes the model and its tokenizer in `from`, the folder
/// that it was loaded from, and its checkpoint's tensors, stored as f32 or f16, with the values that the parameters have now. Tensors
/// that were not trained, such as heads, are there as they were.
///
/// # Errors
/// [`Error::Io`]; [`Error::Argument`] for the same folder twice, and for parameters that are not all in the checkpoint; those of reading
/// it and the parameters.
pub fn save_folder(
    parameters: &[Parameter],
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    dtype: DType,
) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let io = |path: &Path, source| Error::Io { path: path.to_owned(), source };
    std::fs::create_dir_all(to).map_err(|error| io(to, error))?;
    if from.canonicalize().ok() == to.canonicalize().ok() {
        let found = to.display().to_string();
        return Err(Error::argument("save_folder", "the folder", "another than the model's own", found));
    }
    let checkpoint = Checkpoint::open(from)?;
    let named = by_checkpoint(parameters, &checkpoint)?;
    let is_trained =
        |name: &str| named.iter().flat_map(|parameter| &parameter.slices).any(|slice| slice.name == name);
    let mut others = Vec::new();
    for name in checkpoint.names().filter(|name| !is_trained(name)) {
        // Places and the like are numbers of another kind, which libraries make themselves.
        let is_float = checkpoint.dtype(name).is_some_and(|dtype| dtype.contains('F'));
        if let (true, Some(shape)) = (is_float, checkpoint.shape(name)) {
            others.push((name.to_owned(), shape.to_vec(), checkpoint.tensor_f32(name, shape)?));
        }
    }
    copy_descriptions(from, to, true)?;
    let others: Vec<(&str, &[usize], &[f32])> = others
        .iter()
        .map(|(name, shape, values)| (name.as_str(), shape.as_slice(), values.as_slice()))
        .collect();
    save_weights(to.join("model.safetensors"), &named, &others, dtype)
}

/// The parameters by the names that this checkpoint has: behind a prefix, and with the names of norms of TensorFlow's time.
fn by_checkpoint(parameters: &[Parameter], checkpoint: &Checkpoint) -> Result<Vec<Parameter>> {
    let Some(first) = parameters.first() else { return Ok(Vec::new()) };
    let prefix = checkpoint.names().find_map(|name| name.strip_suffix(first.name())).unwrap_or("").to_owned();
    let mut named = parameters.to_vec();
    for slice in named.iter_mut().flat_map(|parameter| &mut parameter.slices) {
        let name = format!("{prefix}{}", slice.name);
        let old = name.strip_suffix("weight").map(|norm| format!("{norm}gamma"));
        let old = old.or_else(|| name.strip_suffix("bias").map(|norm| format!("{norm}beta")));
        let names = [Some(name.clone()), old];
        let found = names.into_iter().flatten().find(|name| checkpoint.shape(name) == Some(&slice.shape));
        slice.name = found.ok_or_else(|| {
            let expected = format!("`{name}` of shape {:?}", slice.shape);
            Error::argument(
                "save_folder",
                "the checkpoint's tensors",
                expected,
                "none of that name and shape",
            )
        })?;
    }
    Ok(named)
}

/// Copies the files that describe a model, of this folder and of those in it.
fn copy_descriptions(from: &Path, to: &Path, with_folders: bool) -> Result<()> {
    let io = |path: &Path, source| Error::Io { path: path.to_owned(), source };
    for entry in std::fs::read_dir(from).map_err(|error| io(from, error))? {
        let path: PathBuf = entry.map_err(|error| io(from, error))?.path();
        let Some(name) = path.file_name() else { continue };
        let to = to.join(name);
        if path.is_dir() {
            // Modules of sentence-transformers; what is in folders of those belongs to other programs.
            if with_folders && path.join("config.json").is_file() {
                std::fs::create_dir_all(&to).map_err(|error| io(&to, error))?;
                copy_descriptions(&path, &to, false)?;
            }
            continue;
        }
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let is_index = name.to_string_lossy().ends_with(".index.json");
        if DESCRIBING.contains(&ending.as_str()) && !is_index {
            std::fs::copy(&path, &to).map_err(|error| io(&path, error))?;
        }
    }
    Ok(())
}
