//! Ops, layers and recordings: results, refusals, sizes of 0.

#[path = "../common/mod.rs"]
mod common;

mod arguments;
mod attention_arguments;
mod attention_options;
mod attention_output_arguments;
mod attention_plan;
mod attention_plan_arguments;
mod case_files;
mod decoding;
mod empty;
mod gradient_attention;
mod gradient_products;
mod gradient_recurrent;
mod gradient_scored_attention;
mod gradients;
mod kv_cache;
mod number_ops;
mod own_kernels;
mod random_sizes;
mod recording;
mod scored_attention;
mod tensor_ops;
mod training;
mod vision;
