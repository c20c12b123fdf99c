// The bindings of the fused kernels, and how an output is stored: of `flash_subgroup8` the form says that the output's rows
// too are whole vec4s.

#import attention/output_blocks if subgroup8 && ALIGNED
#import attention/output_elements if !ALIGNED
#import attention/output_elements if !subgroup8

@group(0) @binding(1) var<storage, read> q: array<QueryBlock>;
@group(0) @binding(2) var<storage, read> k: array<KeyBlock>;
@group(0) @binding(3) var<storage, read> v: array<ValueBlock>;
@group(0) @binding(4) var<storage, read> mask: array<u32>;
@group(0) @binding(5) var<storage, read> items: array<u32>;
@group(0) @binding(6) var<storage, read> head_terms: array<f32>;
@group(0) @binding(7) var<storage, read_write> output: array<OutputBlock>;
@group(0) @binding(8) var<storage, read_write> sums: array<f32>;
