//! The command line, as a user calls it.

#[path = "../../../tests/common/altered.rs"]
mod altered;
#[path = "../../../tests/common/mod.rs"]
mod common;

mod attention;
mod bench;
mod bert;
mod caption;
mod check;
mod classifier;
mod command;
mod files;
mod npy;
mod program;
mod sentences;
mod train;
mod train_bert;
mod translate;
mod tune;
