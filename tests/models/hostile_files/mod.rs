//! Model files that are damaged, lie, or ask for what there is not: always an error that says what is
//! wrong, never a panic. Sound ones stand beside them, so that not everything is refused.

mod checkpoint;
mod config;
mod folder;
mod heads;
mod seq2seq_tokenizer;
mod tokenizer;

use std::path::Path;

use serde_json::Value;

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}

fn write(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}
