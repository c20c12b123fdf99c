//! The command line, as a user calls it.

#[path = "../common/altered.rs"]
mod altered;
#[path = "../common/command.rs"]
mod command;
#[path = "../common/mod.rs"]
mod common;

mod attention;
mod bench;
mod bert;
mod check;
mod files;
mod program;
mod translate;
mod tune;
