//! Models: others' answers, tokenizers, async runs, damaged folders.

#[path = "../common/altered.rs"]
mod altered;
#[path = "../common/mod.rs"]
mod common;

mod answers;
mod attention_maps;
mod bahdanau;
mod bert;
mod bert_sizes;
mod captioner;
mod futures;
mod gru;
mod hostile_files;
mod tokenizers;
mod training;
mod training_lora;
mod training_parts;
mod training_pytorch;
mod translation;
