//! Model folders with other numbers in them, or other words in their files.
#![allow(dead_code)] // Each test crate uses some of this.

use std::path::Path;

use tempfile::TempDir;

/// A copy of a model's folder whose F32 tensors are what `change` makes of them, given their names.
pub fn with_weights(folder: &Path, change: impl Fn(&str, &mut [f32])) -> TempDir {
    let copied = copy(folder);
    let path = copied.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let places: Vec<(String, std::ops::Range<usize>)> = {
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let start = bytes.as_ptr() as usize;
        let of_f32 =
            tensors.tensors().into_iter().filter(|(_, tensor)| tensor.dtype() == safetensors::Dtype::F32);
        let place = |data: &[u8]| data.as_ptr() as usize - start..data.as_ptr() as usize - start + data.len();
        of_f32.map(|(name, tensor)| (name, place(tensor.data()))).collect()
    };
    for (name, place) in places {
        let stored = &mut bytes[place];
        let mut values: Vec<f32> =
            stored.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        change(&name, &mut values);
        for (stored, value) in stored.chunks_exact_mut(4).zip(values) {
            stored.copy_from_slice(&value.to_le_bytes());
        }
    }
    std::fs::write(&path, bytes).unwrap();
    copied
}

/// A copy of a BERT in which the word of that id has the largest number there is in its embedding, to which its token type
/// adds: what reads the word is NaN, all else is finite. All weights are.
pub fn with_a_word_too_large(folder: &Path, hidden: usize, id: usize) -> TempDir {
    with_weights(folder, |name, values| {
        if name.ends_with("word_embeddings.weight") {
            values[id * hidden] = f32::MAX;
        } else if name.ends_with("token_type_embeddings.weight") {
            values.iter_mut().step_by(hidden).for_each(|value| *value = 1e32);
        }
    })
}

/// A copy of a folder, with its folders.
pub fn copy(folder: &Path) -> TempDir {
    let copied = tempfile::tempdir().unwrap();
    copy_into(folder, copied.path());
    copied
}

fn copy_into(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy_into(&entry.path(), &to);
        } else {
            // Not its permissions, which may forbid writing.
            std::fs::write(&to, std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}
