//! Tensors without elements whose other sizes are 0, small, or past what a product of two of them can hold: each is
//! computed or refused, and soon.

use serde_json::{Value, json};

use super::damaged::{Draft, fails, said};

const SIZES: [usize; 4] = [0, 1, 1 << 31, 1 << 62];

/// Tensors of a case by name and shape, all of zeros: floats, but for `I64` and `BOOL` where the name, or the op, says so.
type Shapes = Vec<(&'static str, Vec<usize>)>;

fn draft(op: &str, attributes: Value, shapes: &Shapes) -> Option<Draft> {
    let mut draft = Draft::op(op, attributes);
    for (name, shape) in shapes {
        let elements = if shape.contains(&0) {
            0
        } else {
            shape.iter().try_fold(1, |all: usize, size| all.checked_mul(*size))?
        };
        if elements > 64 {
            return None;
        }
        draft = match *name {
            "lengths" | "key_lengths" | "spatial_shapes" | "input_spatial_shapes" | "target" => {
                draft.tensor(name, "I64", shape, vec![0; 8 * elements])
            }
            "input" if op == "embedding" => draft.tensor(name, "I64", shape, vec![0; 8 * elements]),
            "padding_mask" | "input_padding_mask" => draft.tensor(name, "BOOL", shape, vec![0; elements]),
            _ => draft.floats(name, shape, &vec![0.0; elements]),
        };
    }
    Some(draft)
}

/// Runs the op with every choice of N sizes that a small file can have.
fn sweep<const N: usize>(op: &str, case: impl Fn([usize; N]) -> (Value, Shapes)) {
    let mut tried = 0;
    for number in 0..SIZES.len().pow(N as u32) {
        let sizes = std::array::from_fn(|place| SIZES[number / SIZES.len().pow(place as u32) % SIZES.len()]);
        let (attributes, shapes) = case(sizes);
        let Some(draft) = draft(op, attributes, &shapes) else { continue };
        tried += 1;
        let outcome = std::panic::catch_unwind(|| said(draft.file()));
        assert!(outcome.is_ok(), "{op}: panicked with {shapes:?}");
    }
    assert!(tried >= 1 << N, "{op}: only {tried} cases");
}

#[test]
fn additive_and_luong_attention() {
    let inputs = |[items, queries, keys, query_dim, key_dim, value_dim]: [usize; 6]| {
        vec![
            ("query", vec![items, queries, query_dim]),
            ("key", vec![items, keys, key_dim]),
            ("value", vec![items, keys, value_dim]),
            ("key_lengths", vec![items]),
            ("expected.out", vec![0]),
            ("expected.weights", vec![0]),
        ]
    };
    sweep("AdditiveAttention", |[a, b, c, query_dim, key_dim, value_dim, width]: [usize; 7]| {
        let mut shapes = inputs([a, b, c, query_dim, key_dim, value_dim]);
        shapes.push(("weight.w_v", vec![width]));
        shapes.push(("weight.W_q", vec![width, query_dim]));
        shapes.push(("weight.W_k", vec![width, key_dim]));
        (json!({}), shapes)
    });
    sweep("LuongAttention", |sizes: [usize; 5]| {
        let [a, b, c, columns, value_dim] = sizes;
        (json!({ "score": "dot" }), inputs([a, b, c, columns, columns, value_dim]))
    });
    sweep("LuongAttention", |sizes: [usize; 6]| {
        let mut shapes = inputs(sizes);
        shapes.push(("weight.W", vec![sizes[3], sizes[4]]));
        (json!({ "score": "general" }), shapes)
    });
    sweep("LuongAttention", |[a, b, c, query_dim, key_dim, value_dim, width]: [usize; 7]| {
        let mut shapes = inputs([a, b, c, query_dim, key_dim, value_dim]);
        shapes.push(("weight.v", vec![width]));
        shapes.push(("weight.W", vec![width, query_dim.saturating_add(key_dim)]));
        (json!({ "score": "concat" }), shapes)
    });
}

/// With the gradients of what they are given.
#[test]
fn functions() {
    sweep("linear", |[rows, inputs, outputs, columns]: [usize; 4]| {
        let shapes = vec![
            ("input", vec![rows, columns]),
            ("weight", vec![outputs, inputs]),
            ("bias", vec![outputs]),
            ("residual", vec![rows, outputs]),
            ("expected.out", vec![0]),
            ("upstream.out", vec![rows, outputs]),
            ("gradient.input", vec![rows, columns]),
            ("gradient.weight", vec![outputs, inputs]),
            ("gradient.bias", vec![outputs]),
            ("gradient.residual", vec![rows, outputs]),
        ];
        (json!({ "activation": "gelu" }), shapes)
    });
    sweep("embedding", |[texts, length, rows, columns]: [usize; 4]| {
        let shapes = vec![
            ("input", vec![texts, length]),
            ("weight", vec![rows, columns]),
            ("expected.out", vec![0]),
            ("upstream.out", vec![texts, length, columns]),
            ("gradient.weight", vec![rows, columns]),
        ];
        (json!({}), shapes)
    });
    sweep("cross_entropy", |[rows, classes, targets]: [usize; 3]| {
        let shapes = vec![
            ("input", vec![rows, classes]),
            ("target", vec![targets]),
            ("expected.out", vec![]),
            ("upstream.out", vec![]),
            ("gradient.input", vec![rows, classes]),
        ];
        (json!({}), shapes)
    });
    for mode in ["mean", "cls", "max"] {
        sweep("Pooling", |[batch, length, columns, lengths]: [usize; 4]| {
            let shapes = vec![
                ("token_embeddings", vec![batch, length, columns]),
                ("lengths", vec![lengths]),
                ("expected.sentence_embedding", vec![0]),
                ("upstream.sentence_embedding", vec![batch, columns]),
                ("gradient.token_embeddings", vec![batch, length, columns]),
            ];
            (json!({ "pooling_mode": mode, "normalize": true }), shapes)
        });
    }
}

/// Gradients of layers whose parameters are put together from parts.
#[test]
fn gradients() {
    sweep("LuongAttention", |[items, queries, keys, query_dim, key_dim, width]: [usize; 6]| {
        let columns = query_dim.saturating_add(key_dim);
        let shapes = vec![
            ("query", vec![items, queries, query_dim]),
            ("key", vec![items, keys, key_dim]),
            ("value", vec![items, keys, 1]),
            ("weight.W", vec![width, columns]),
            ("weight.v", vec![width]),
            ("expected.out", vec![0]),
            ("upstream.out", vec![items, queries, 1]),
            ("gradient.query", vec![items, queries, query_dim]),
            ("gradient.weight.W", vec![width, columns]),
            ("gradient.weight.v", vec![width]),
        ];
        (json!({ "score": "concat" }), shapes)
    });
    sweep("GRU", |[batch, length, input_dim, hidden_dim]: [usize; 4]| {
        let gates = hidden_dim.saturating_mul(3);
        let shapes = vec![
            ("input", vec![length, batch, input_dim]),
            ("h_0", vec![1, batch, hidden_dim]),
            ("weight.weight_ih_l0", vec![gates, input_dim]),
            ("weight.weight_hh_l0", vec![gates, hidden_dim]),
            ("expected.output", vec![0]),
            ("upstream.output", vec![length, batch, hidden_dim]),
            ("upstream.h_n", vec![1, batch, hidden_dim]),
            ("gradient.input", vec![length, batch, input_dim]),
            ("gradient.h_0", vec![1, batch, hidden_dim]),
            ("gradient.weight.weight_ih_l0", vec![gates, input_dim]),
        ];
        (json!({ "input_size": input_dim, "hidden_size": hidden_dim, "bias": false }), shapes)
    });
    sweep("scaled_dot_product_attention", |[items, heads, queries, keys, columns]: [usize; 5]| {
        let shapes = vec![
            ("query", vec![items, heads, queries, columns]),
            ("key", vec![items, heads, keys, columns]),
            ("value", vec![items, heads, keys, columns]),
            ("attn_mask", vec![queries, keys]),
            ("expected.out", vec![0]),
            ("upstream.out", vec![items, heads, queries, columns]),
            ("gradient.key", vec![items, heads, keys, columns]),
            ("gradient.attn_mask", vec![queries, keys]),
        ];
        (json!({}), shapes)
    });
}

#[test]
fn gru() {
    sweep("GRU", |[batch, length, input_dim, hidden_dim]: [usize; 4]| {
        let gates = hidden_dim.saturating_mul(3);
        let mut shapes = vec![
            ("input", vec![batch, length, input_dim]),
            ("lengths", vec![batch]),
            ("expected.output", vec![0]),
            ("expected.h_n", vec![0]),
        ];
        for suffix in [
            ["weight.weight_ih_l0", "weight.weight_hh_l0"],
            ["weight.weight_ih_l0_reverse", "weight.weight_hh_l0_reverse"],
        ] {
            shapes.push((suffix[0], vec![gates, input_dim]));
            shapes.push((suffix[1], vec![gates, hidden_dim]));
        }
        let attributes = json!({
            "input_size": input_dim, "hidden_size": hidden_dim, "bias": false, "batch_first": true, "bidirectional": true,
        });
        (attributes, shapes)
    });
    // In the order of length and batch too, with states to begin with.
    sweep("GRU", |[batch, length, wrong]: [usize; 3]| {
        let attributes = json!({ "input_size": 1, "hidden_size": 1, "bias": false });
        let shapes = vec![
            ("input", vec![length, batch, 1]),
            ("h_0", vec![wrong, batch, 1]),
            ("weight.weight_ih_l0", vec![3, 1]),
            ("weight.weight_hh_l0", vec![3, 1]),
            ("expected.output", vec![0]),
        ];
        (attributes, shapes)
    });
}

#[test]
fn t5() {
    let shapes = |[batch, queries, keys, past]: [usize; 4], decodes: bool| {
        let mut shapes = vec![
            ("hidden_states", vec![batch, queries, 2]),
            ("key_value_states", vec![batch, keys, 2]),
            ("weight.q.weight", vec![2, 2]),
            ("weight.k.weight", vec![2, 2]),
            ("weight.v.weight", vec![2, 2]),
            ("weight.o.weight", vec![2, 2]),
            ("weight.relative_attention_bias.weight", vec![4, 2]),
            ("expected.out", vec![0]),
            ("expected.position_bias", vec![0]),
        ];
        if decodes {
            shapes.push(("past_key", vec![batch, 2, past, 1]));
            shapes.push(("past_value", vec![batch, 2, past, 1]));
        }
        shapes
    };
    let attributes = json!({ "d_model": 2, "d_kv": 1, "num_heads": 2, "relative_attention_num_buckets": 4, "relative_attention_max_distance": 3 });
    sweep("T5Attention", |sizes: [usize; 4]| (attributes.clone(), shapes(sizes, true)));
    sweep("T5Attention", |[a, b, c]: [usize; 3]| (attributes.clone(), shapes([a, b, c, 0], false)));
}

#[test]
fn vision() {
    sweep("SqueezeExcitation", |[batch, channels, height, width, hidden]: [usize; 5]| {
        let shapes = vec![
            ("x", vec![batch, channels, height, width]),
            ("weight.fc1.weight", vec![hidden, channels]),
            ("weight.fc2.weight", vec![channels, hidden]),
            ("expected.out", vec![0]),
        ];
        (json!({}), shapes)
    });
    sweep("CBAM", |[batch, channels, height, width, hidden, window]: [usize; 6]| {
        let shapes = vec![
            ("x", vec![batch, channels, height, width]),
            ("weight.channel.mlp.0.weight", vec![hidden, channels]),
            ("weight.channel.mlp.2.weight", vec![channels, hidden]),
            ("weight.spatial.conv.weight", vec![1, 2, window, window]),
            ("expected.out", vec![0]),
        ];
        (json!({}), shapes)
    });
}

#[test]
fn sampled_places() {
    sweep("ms_deform_attn", |[batch, positions, heads, columns, queries, levels, points]: [usize; 7]| {
        let shapes = vec![
            ("value", vec![batch, positions, heads, columns]),
            ("spatial_shapes", vec![levels, 2]),
            ("reference_points", vec![batch, queries, levels, 2]),
            ("sampling_offsets", vec![batch, queries, heads, levels, points, 2]),
            ("attention_weights", vec![batch, queries, heads, levels, points]),
            ("padding_mask", vec![batch, positions]),
            ("expected.out", vec![0]),
        ];
        (json!({}), shapes)
    });
    sweep("MSDeformAttn", |[batch, positions, queries, levels]: [usize; 4]| {
        let mut shapes = vec![
            ("query", vec![batch, queries, 1]),
            ("reference_points", vec![batch, queries, 1, 2]),
            ("input_flatten", vec![batch, positions, 1]),
            ("input_spatial_shapes", vec![levels, 2]),
            ("input_padding_mask", vec![batch, positions]),
            ("expected.out", vec![0]),
        ];
        for (name, outputs) in [
            ("weight.value_proj.weight", 1),
            ("weight.sampling_offsets.weight", 2),
            ("weight.attention_weights.weight", 1),
            ("weight.output_proj.weight", 1),
        ] {
            shapes.push((name, vec![outputs, 1]));
        }
        (json!({ "d_model": 1, "n_levels": 1, "n_heads": 1, "n_points": 1 }), shapes)
    });
}

/// As many elements in another shape.
#[test]
fn weights_of_another_shape() {
    let module = |attention_weights: [usize; 2], output: [usize; 2]| {
        let draft =
            Draft::op("MSDeformAttn", json!({ "d_model": 2, "n_levels": 1, "n_heads": 1, "n_points": 1 }));
        let draft =
            draft.floats("query", &[1, 1, 2], &[0.0; 2]).floats("reference_points", &[1, 1, 1, 2], &[0.5; 2]);
        let draft = draft.floats("input_flatten", &[1, 1, 2], &[0.0; 2]).floats(
            "expected.out",
            &[1, 1, 2],
            &[0.0; 2],
        );
        let draft = draft.tensor("input_spatial_shapes", "I64", &[1, 2], [1_i64.to_le_bytes(); 2].concat());
        let draft = draft.floats("weight.value_proj.weight", &[2, 2], &[0.0; 4]);
        let draft = draft.floats("weight.sampling_offsets.weight", &[2, 2], &[0.0; 4]);
        let draft = draft.floats("weight.attention_weights.weight", &attention_weights, &[0.0; 2]);
        draft.floats("weight.output_proj.weight", &output, &[0.0; 4])
    };
    assert_eq!(said(module([1, 2], [2, 2]).file()), Ok("0e0".to_owned()));
    fails(&module([2, 1], [2, 2]), &["`weight.attention_weights.weight` should be [1, 2], but is [2, 1]"]);
    fails(&module([1, 2], [1, 4]), &["`weight.output_proj.weight` should be [2, 2], but is [1, 4]"]);
}
