//! Files that are no cases, and cases that are wrong.

use attentive::case_files::CaseFile;
use attentive::{Device, Error};
use serde_json::{Value, json};

/// A file as a case's maker would write it, to be damaged.
#[derive(Clone)]
pub(crate) struct Draft {
    case: Value,
    /// Name, dtype, shape, bytes.
    tensors: Vec<(String, &'static str, Vec<usize>, Vec<u8>)>,
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

impl Draft {
    /// Attention of one query to one key, whose answer is the value.
    fn new() -> Self {
        let draft = Self {
            case: json!({ "op": "scaled_dot_product_attention", "attributes": {}, "rtol": 1e-5, "atol": 1e-6 }),
            tensors: Vec::new(),
        };
        let draft =
            draft.floats("query", &[1, 1, 1, 2], &[1.0, 2.0]).floats("key", &[1, 1, 1, 2], &[3.0, 4.0]);
        draft.floats("value", &[1, 1, 1, 2], &[5.0, 6.0]).floats("expected.out", &[1, 1, 1, 2], &[5.0, 6.0])
    }

    /// With another tensor of that name, or one more.
    pub(crate) fn floats(self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        self.tensor(name, "F32", shape, bytes(values))
    }

    pub(crate) fn tensor(self, name: &str, dtype: &'static str, shape: &[usize], bytes: Vec<u8>) -> Self {
        let mut draft = self.without(name);
        draft.tensors.push((name.to_owned(), dtype, shape.to_vec(), bytes));
        draft
    }

    fn without(mut self, name: &str) -> Self {
        self.tensors.retain(|(other, ..)| other != name);
        self
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.case[key] = value;
        self
    }

    fn attribute(mut self, key: &str, value: Value) -> Self {
        self.case["attributes"][key] = value;
        self
    }

    pub(crate) fn op(op: &str, attributes: Value) -> Self {
        let case = json!({ "op": op, "attributes": attributes, "rtol": 1e-5, "atol": 1e-6 });
        Self { case, tensors: Vec::new() }
    }

    /// The file, with that text as `case`.
    fn with_text(&self, case: &str) -> Vec<u8> {
        let mut header = json!({ "__metadata__": { "case": case } });
        let mut data = Vec::new();
        for (name, dtype, shape, bytes) in &self.tensors {
            let offsets = [data.len(), data.len() + bytes.len()];
            header[name] = json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets });
            data.extend(bytes);
        }
        let header = header.to_string().into_bytes();
        [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        self.with_text(&self.case.to_string())
    }
}

/// What is said of the file: the error or the disagreement.
pub(crate) fn said(file: Vec<u8>) -> Result<String, String> {
    let report = CaseFile::from_bytes(file, "the.case").and_then(|case| case.run(&Device::cpu()));
    match report {
        Ok(report) if report.passed() => Ok(format!("{:e}", report.largest_error())),
        Ok(report) => Err(report.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[track_caller]
pub(crate) fn fails(draft: &Draft, words: &[&str]) {
    fails_as(draft.file(), words);
}

#[track_caller]
fn fails_as(file: Vec<u8>, words: &[&str]) {
    let said = said(file).expect_err("it fails");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

#[test]
fn the_draft_itself_passes() {
    assert_eq!(said(Draft::new().file()), Ok("0e0".to_owned()));
}

#[test]
fn files_that_are_no_cases() {
    let file = Draft::new().file();
    // Cut anywhere.
    for length in 0..file.len() {
        assert!(said(file[..length].to_vec()).is_err(), "{length} of {} bytes", file.len());
    }
    fails_as(b"these are no tensors at all".to_vec(), &["the.case", "not a safetensors file"]);
    fails_as(vec![0xff; 64], &["not a safetensors file"]);
    fails_as(Draft::new().with_text("{"), &["not valid JSON"]);
    fails_as(Draft::new().with_text("[1]"), &["needed a JSON object", "a list"]);
    fails_as(Draft::new().with_text(&"[".repeat(100_000)), &["not valid JSON"]);
    let header = br#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#;
    let plain = [&(header.len() as u64).to_le_bytes()[..], header].concat();
    fails_as(plain, &["no key `case`"]);
    let header = br#"{"__metadata__":{"case":7}}"#;
    let number = [&(header.len() as u64).to_le_bytes()[..], header].concat();
    fails_as(number, &["the safetensors header is not valid"]);
    // Each byte of the header, wrong in turn: an error, a disagreement, or at most a name that nobody reads.
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    for place in 0..8 + header {
        for byte in [0, b'"', b'9', b'z', 0xff] {
            let mut file = file.clone();
            file[place] = byte;
            let _ = said(file);
        }
    }
}

#[test]
fn descriptions_that_are_wrong() {
    let draft = Draft::new;
    let mut nothing = draft();
    nothing.case = json!({});
    fails(&nothing, &["`case` has no `op`"]);
    fails(&draft().with("op", json!(3)), &["`op` must be a string", "3"]);
    fails(&draft().with("op", json!("Attentoin")), &["op `Attentoin`", "scaled_dot_product_attention"]);
    fails(&draft().with("rtoll", json!(1)), &["unknown key `rtoll`", "rtol"]);
    fails(&draft().with("rtol", Value::Null), &["no `rtol`"]);
    fails(&draft().with("atol", json!(-1)), &["`atol` must be 0 or more", "-1"]);
    fails(&draft().with("atol", json!("small")), &["`atol` must be a number", "small"]);
    fails(&draft().with("attributes", json!([])), &["`attributes` must be an object"]);
    fails(&draft().attribute("is_casual", json!(true)), &["no attribute `is_casual`", "is_causal"]);
    fails(&draft().attribute("is_causal", json!("yes")), &["`is_causal` must be true or false", "yes"]);
    fails(&draft().attribute("is_causal", json!(2)), &["`is_causal` must be true or false"]);
    fails(&draft().attribute("scale", json!([1])), &["`scale` must be a number"]);
    fails(&draft().attribute("scale", json!(1e300)), &["`scale` must be a number within f32"]);
    assert!(said(draft().attribute("is_causal", json!(1)).attribute("scale", Value::Null).file()).is_ok());
}

#[test]
fn tensors_that_are_wrong() {
    let draft = Draft::new;
    fails(&draft().without("key"), &["there is no tensor `key`"]);
    fails(&draft().without("expected.out"), &["there is no answer", "expected.out"]);
    fails(&draft().floats("bias", &[1], &[0.0]), &["no tensor `bias`", "attn_mask"]);
    fails(&draft().floats("weight.bias", &[1], &[0.0]), &["no tensor `weight.bias`"]);
    fails(
        &draft().floats("expected.weights", &[1], &[0.0]),
        &["no tensor `expected.weights`", "expected.out"],
    );
    fails(&draft().floats("a\u{1b}[2J", &[1], &[0.0]), &["no tensor `a\\u{1b}[2J`"]);
    let wide = [1.0_f64, 2.0].into_iter().flat_map(f64::to_le_bytes).collect();
    fails(&draft().tensor("query", "F64", &[1, 1, 1, 2], wide), &["F64 (of query)", "F32, F16, BF16"]);
    let ids = [1_i64, 2].into_iter().flat_map(i64::to_le_bytes).collect();
    fails(&draft().tensor("attn_mask", "I64", &[1, 2], ids), &["I64 (of attn_mask)"]);
    fails(&draft().tensor("attn_mask", "BOOL", &[1, 1], vec![2]), &["attn_mask", "BOOL has a 2"]);
    fails(&draft().floats("key", &[1, 1, 1, 3], &[0.0; 3]), &["k must be", "[1, 1, 1, 2]", "[1, 1, 1, 3]"]);
    fails(&draft().floats("key", &[1, 1, 2], &[0.0; 2]), &["`key` [1, 1, 2]", "the rank of `query`"]);
    fails(&draft().floats("attn_mask", &[1, 2], &[0.0; 2]), &["the mask", "broadcastable", "[1, 2]"]);
    fails(
        &draft().floats("expected.out", &[2], &[5.0, 6.0]),
        &["`expected.out` is [2]", "`out` is [1, 1, 1, 2]"],
    );
    let two_heads = draft().floats("query", &[1, 2, 1, 2], &[1.0; 4]);
    fails(&two_heads, &["2 heads", "`key` 1", "`enable_gqa`"]);
    // No element, but sizes whose product no usize holds.
    let huge = 1 << 60;
    for name in ["query", "key", "value"] {
        fails(&draft().floats(name, &[huge, huge, 0, 2], &[]), &[]);
        fails(&draft().floats(name, &[0, huge, huge, huge], &[]), &[]);
    }
}

#[test]
fn answers_that_are_wrong() {
    let answer = |values: &[f32]| Draft::new().floats("expected.out", &[1, 1, 1, 2], values);
    fails(&answer(&[5.0, 6.001]), &["out: element 1 is 6e0, not 6.00", "1 of 2 elements"]);
    fails(&answer(&[f32::NAN, 6.0]), &["out: element 0 is 5e0, not NaN"]);
    fails(&answer(&[5.0, f32::INFINITY]), &["element 1", "inf"]);
    let nan = Draft::new().floats("value", &[1, 1, 1, 2], &[f32::NAN, 6.0]);
    fails(&nan, &["element 0 is NaN, not 5"]);
    // The same NaN as in the answer is right.
    assert!(said(nan.floats("expected.out", &[1, 1, 1, 2], &[f32::NAN, 6.0]).file()).is_ok());
    // f16: the result is rounded to it before it is compared, and no further.
    let f16 = |value: f32| half::f16::from_f32(value).to_le_bytes();
    let exact = Draft::new().with("rtol", json!(0)).with("atol", json!(0));
    let exact = exact.floats("value", &[1, 1, 1, 2], &[1.0 / 3.0, 6.0]);
    let third =
        exact.clone().tensor("expected.out", "F16", &[1, 1, 1, 2], [f16(1.0 / 3.0), f16(6.0)].concat());
    assert_eq!(said(third.file()), Ok("0e0".to_owned()));
    let next = exact.tensor("expected.out", "F16", &[1, 1, 1, 2], [f16(0.3337), f16(6.0)].concat());
    fails(&next, &["element 0"]);
}

/// A multi-head attention of width 2 with one head, on one position of one text.
fn multi_head() -> Draft {
    let draft = Draft::op("MultiheadAttention", json!({ "embed_dim": 2, "num_heads": 1, "bias": false }));
    let draft = draft.floats("query", &[1, 1, 2], &[1.0, 2.0]).floats("key", &[1, 1, 2], &[1.0, 2.0]);
    let draft = draft.floats("value", &[1, 1, 2], &[1.0, 2.0]);
    let identity = [1.0, 0.0, 0.0, 1.0];
    let draft = draft.floats("weight.in_proj_weight", &[6, 2], &[identity; 3].concat());
    let draft = draft.floats("weight.out_proj.weight", &[2, 2], &identity);
    draft.floats("expected.attn_output", &[1, 1, 2], &[1.0, 2.0])
}

#[test]
fn modules_that_are_wrong() {
    assert_eq!(said(multi_head().file()), Ok("0e0".to_owned()));
    let with = |key: &str, value: Value| multi_head().attribute(key, value);
    fails(&with("embed_dim", Value::Null), &["`embed_dim` is missing"]);
    fails(&with("embed_dim", json!(1e18)), &["`embed_dim` must be a whole number"]);
    fails(&with("embed_dim", json!(3)), &["`query`", "3 columns", "[1, 1, 2]"]);
    fails(&with("num_heads", json!(0)), &["`num_heads` must be a whole number from 1"]);
    fails(&with("num_heads", json!(3)), &["model_dim", "a multiple of heads", "2 for 3"]);
    fails(&with("kdim", json!(3)), &["`key`", "3 columns"]);
    fails(&with("bias", json!(true)), &["there is no tensor `weight.in_proj_bias`"]);
    fails(&with("add_bias_kv", json!(true)), &["there is no tensor `weight.bias_k`"]);
    let bias = multi_head().floats("weight.bias_k", &[1, 1, 2], &[0.0; 2]);
    fails(&bias, &["does not take the tensor `weight.bias_k`"]);
    let bias = bias.attribute("add_bias_kv", json!(true)).floats("weight.bias_v", &[1, 2], &[0.0; 2]);
    fails(&bias, &["`weight.bias_v` should be [1, 1, 2], but is [1, 2]"]);
    let more = multi_head().floats("weight.q_proj_weight", &[2, 2], &[0.0; 4]);
    fails(&more, &["does not take the tensor `weight.q_proj_weight`"]);
    let short = multi_head().floats("weight.out_proj.weight", &[2, 1], &[0.0; 2]);
    fails(&short, &["`weight.out_proj.weight` should be [2, 2], but is [2, 1]"]);
    fails(&multi_head().floats("key", &[2, 1, 2], &[0.0; 4]), &["`key` and `value` of one length"]);
    let mask = multi_head().tensor("attn_mask", "BOOL", &[2, 1], vec![0, 0]);
    fails(&mask, &["`attn_mask` must be [1, 1]", "[2, 1]"]);
    let padding = multi_head().tensor("key_padding_mask", "BOOL", &[1, 2], vec![0, 0]);
    fails(&padding, &["`key_padding_mask` must be [1, 1]", "[1, 2]"]);
    let layers =
        Draft::op("TransformerEncoder", json!({ "d_model": 2, "nhead": 1, "num_layers": 1_000_000 }));
    let layers = layers.floats("src", &[1, 1, 2], &[0.0; 2]).floats("expected.out", &[1, 1, 2], &[0.0; 2]);
    fails(&layers, &["there is no tensor `weight.layers.0."]);
    let activation =
        Draft::op("TransformerEncoderLayer", json!({ "d_model": 2, "nhead": 1, "activation": "selu" }));
    let activation =
        activation.floats("src", &[1, 1, 2], &[0.0; 2]).floats("expected.out", &[1, 1, 2], &[0.0; 2]);
    fails(&activation, &["`activation` must be relu", "gelu_tanh", "selu"]);
}

#[test]
fn two_float_masks_are_added() {
    // Of two keys the padding leaves the first, the mask pulls down the second: value 1 remains.
    let draft = Draft::op(
        "MultiheadAttention",
        json!({ "embed_dim": 1, "num_heads": 1, "bias": false, "batch_first": true }),
    );
    let draft = draft.floats("query", &[1, 1, 1], &[1.0]).floats("key", &[1, 2, 1], &[0.0, 0.0]);
    let draft = draft.floats("value", &[1, 2, 1], &[1.0, 3.0]);
    let draft = draft.floats("weight.in_proj_weight", &[3, 1], &[1.0; 3]).floats(
        "weight.out_proj.weight",
        &[1, 1],
        &[1.0],
    );
    let draft =
        draft.floats("attn_mask", &[1, 2], &[0.0, -1.0]).floats("key_padding_mask", &[1, 2], &[0.0, 1.0]);
    assert_eq!(said(draft.floats("expected.attn_output", &[1, 1, 1], &[2.0]).file()), Ok("0e0".to_owned()));
}

#[test]
fn a_file_that_is_not_there() {
    assert!(matches!(CaseFile::open("no/such.safetensors"), Err(Error::Io { .. })));
    assert!(matches!(CaseFile::open(crate::common::repository()), Err(Error::File { .. })));
}

/// ONNX's Attention of one query to one key, in one head.
fn onnx_attention() -> Draft {
    let draft = Draft::op("Attention", json!({})).floats("Q", &[1, 1, 1, 2], &[1.0, 2.0]);
    let draft = draft.floats("K", &[1, 1, 1, 2], &[3.0, 4.0]).floats("V", &[1, 1, 1, 2], &[5.0, 6.0]);
    draft.floats("expected.Y", &[1, 1, 1, 2], &[5.0, 6.0])
}

#[test]
fn attentions_that_are_wrong() {
    assert_eq!(said(onnx_attention().file()), Ok("0e0".to_owned()));
    let with = |key: &str, value: Value| onnx_attention().attribute(key, value);
    fails(&with("softmax_precision", json!(7)), &["`softmax_precision` must be 1, 10, 11 or 16", "7"]);
    fails(
        &with("qk_matmul_output_mode", json!(4)),
        &["`qk_matmul_output_mode` must be a whole number from 0 to 3"],
    );
    fails(&with("left_window_size", json!(-2)), &["`left_window_size` must be -1 or more", "-2"]);
    fails(&with("left_window_size", json!(1.5)), &["`left_window_size` must be a whole number", "1.5"]);
    fails(&with("q_num_heads", json!(2)), &["`Q` [1, 1, 1, 2]", "`q_num_heads`, which is 2"]);
    fails(&with("softcap", json!(-1)), &["softcap", "-1"]);
    let rows = onnx_attention().floats("Q", &[1, 1, 2], &[1.0, 2.0]);
    fails(&rows, &["`Q` [1, 1, 2]", "`q_num_heads`, which is not given"]);
    let past = onnx_attention().floats("past_key", &[1, 1, 1, 2], &[0.0; 2]);
    fails(&past, &["there is no tensor `past_value`"]);
    let past = past.floats("past_value", &[1, 1, 1, 3], &[0.0; 3]);
    fails(&past, &["v must be [1, 1, 1, 2]", "[1, 1, 1, 3]"]);
    let lengths = |values: &[i64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let nonpad = |shape: &[usize], values: &[i64]| {
        onnx_attention().tensor("nonpad_kv_seqlen", "I64", shape, lengths(values))
    };
    assert!(said(nonpad(&[1], &[1]).file()).is_ok());
    fails(&nonpad(&[1], &[-1]), &["`nonpad_kv_seqlen` must count from 0", "-1"]);
    fails(&nonpad(&[1], &[2]), &["key_lengths", "at most 1"]);
    fails(&nonpad(&[2], &[1, 1]), &["key_lengths", "1 batch items"]);
    fails(&nonpad(&[1, 1], &[1]), &["`nonpad_kv_seqlen` [1, 1] must be [batch]"]);
    let both = past.floats("past_value", &[1, 1, 1, 2], &[0.0; 2]).tensor(
        "nonpad_kv_seqlen",
        "I64",
        &[1],
        lengths(&[1]),
    );
    fails(&both, &["`nonpad_kv_seqlen` cannot stand beside"]);
    fails(&onnx_attention().floats("attn_mask", &[], &[0.0]), &["`attn_mask` must have an axis of keys"]);
    fails(&onnx_attention().floats("attn_mask", &[1, 2], &[0.0; 2]), &["the mask", "[1, 2]"]);
    // A small file may not ask for a large mask.
    let huge = onnx_attention().floats("K", &[1, 0, 1 << 40, 2], &[]).floats("V", &[1, 0, 1 << 40, 2], &[]);
    fails(&huge.floats("attn_mask", &[1 << 20, 0], &[]), &[]);
}

/// 3 · 4 by Gemm, with 2 as the gradient of its answer: that of A is 2 · 4, and that of B 2 · 3.
fn with_gradients() -> Draft {
    let draft = Draft::op("Gemm", json!({})).floats("A", &[1, 1], &[3.0]).floats("B", &[1, 1], &[4.0]);
    let draft = draft.floats("expected.Y", &[1, 1], &[12.0]).floats("upstream.Y", &[1, 1], &[2.0]);
    draft.floats("gradient.A", &[1, 1], &[8.0]).floats("gradient.B", &[1, 1], &[6.0])
}

#[test]
fn gradients_that_are_wrong() {
    let draft = with_gradients;
    assert_eq!(said(draft().file()), Ok("0e0".to_owned()));
    fails(&draft().floats("gradient.A", &[1, 1], &[8.001]), &["gradient.A: element 0 is 8e0, not 8.00"]);
    fails(&draft().floats("gradient.B", &[1, 1], &[f32::NAN]), &["gradient.B: element 0 is 6e0, not NaN"]);
    // Their tolerance is that of the answers, or their own.
    let near = draft().floats("gradient.A", &[1, 1], &[8.001]);
    assert!(said(near.clone().with("gradient_atol", json!(2e-3)).file()).is_ok());
    assert!(said(near.clone().with("gradient_rtol", json!(2e-4)).file()).is_ok());
    let both = near.with("rtol", json!(1e-3)).floats("expected.Y", &[1, 1], &[12.001]);
    assert!(said(both.clone().file()).is_ok());
    fails(&both.with("gradient_rtol", json!(0)), &["gradient.A: element 0"]);
    fails(&draft().with("gradient_atol", json!(-1)), &["`gradient_atol` must be 0 or more", "-1"]);

    // Either without the other, and names that there are not.
    fails(&draft().without("upstream.Y"), &["`gradient.A` needs", "upstream.Y"]);
    let alone = draft().without("gradient.A").without("gradient.B");
    fails(&alone, &["`upstream.Y` is there, but no gradient.NAME"]);
    fails(
        &draft().without("gradient.B").floats("gradient.C", &[1], &[0.0]),
        &["`gradient.C` is there, but no `C`"],
    );
    fails(&draft().floats("gradient.D", &[1], &[0.0]), &["no tensor `gradient.D`", "gradient.NAME"]);
    fails(&draft().floats("upstream.Z", &[1], &[0.0]), &["no tensor `upstream.Z`"]);
    fails(&draft().floats("gradient.weight.A", &[1], &[0.0]), &["no tensor `gradient.weight.A`"]);
    fails(&draft().floats("gradient.A", &[1], &[8.0]), &["`gradient.A` is [1], but `A` is [1, 1]"]);
    fails(&draft().floats("upstream.Y", &[1], &[2.0]), &["`upstream.Y` is [1], but `Y` is [1, 1]"]);

    // What takes none.
    let attention = Draft::new().floats("upstream.out", &[1, 1, 1, 2], &[1.0; 2]);
    let mask = attention.clone().tensor("attn_mask", "BOOL", &[1, 1], vec![1]);
    fails(
        &mask.floats("gradient.attn_mask", &[1, 1], &[0.0]),
        &["`attn_mask` is BOOL and takes no gradient"],
    );
    // A key that nothing else stands beside has the weight 1 whatever its score is.
    let alone = attention.floats("gradient.query", &[1, 1, 1, 2], &[0.0; 2]);
    let alone = alone.floats("gradient.key", &[1, 1, 1, 2], &[0.0; 2]);
    assert_eq!(said(alone.floats("gradient.value", &[1, 1, 1, 2], &[1.0; 2]).file()), Ok("0e0".to_owned()));

    // What this library has no gradient of: keys that are no input's, an op without a rule, what an op gives beside its output.
    let bias = multi_head().attribute("add_bias_kv", json!(true));
    let bias =
        bias.floats("weight.bias_k", &[1, 1, 2], &[0.0; 2]).floats("weight.bias_v", &[1, 1, 2], &[0.0; 2]);
    let bias = bias.floats("upstream.attn_output", &[1, 1, 2], &[1.0; 2]);
    let bias = bias.floats("gradient.weight.bias_k", &[1, 1, 2], &[0.0; 2]);
    fails(&bias, &["MultiheadAttention", "gives no gradient by `weight.bias_k`"]);
    let spatial = Draft::op("SpatialAttention", json!({})).floats("x", &[1, 1, 1, 1], &[1.0]);
    let spatial = spatial.floats("weight.conv.weight", &[1, 2, 1, 1], &[1.0; 2]);
    let spatial =
        spatial.floats("expected.out", &[1, 1, 1, 1], &[0.0]).floats("upstream.out", &[1, 1, 1, 1], &[1.0]);
    fails(&spatial.floats("gradient.x", &[1, 1, 1, 1], &[0.0]), &["gradient", "mean_max"]);
    let beside = multi_head().floats("upstream.attn_output_weights", &[1, 1, 1], &[1.0]);
    let beside = beside.floats("expected.attn_output_weights", &[1, 1, 1], &[1.0]);
    fails(&beside.floats("gradient.query", &[1, 1, 2], &[0.0; 2]), &["gradient"]);
    let past = onnx_attention().floats("past_key", &[1, 1, 1, 2], &[0.0; 2]);
    let past = past.floats("past_value", &[1, 1, 1, 2], &[0.0; 2]).floats(
        "upstream.present_key",
        &[1, 1, 2, 2],
        &[1.0; 4],
    );
    fails(&past.floats("gradient.K", &[1, 1, 1, 2], &[0.0; 2]), &["gradient"]);
    // No element, but sizes whose product no usize holds.
    let huge = 1 << 60;
    let empty = draft().floats("A", &[huge, 0], &[]).floats("gradient.A", &[huge, 0], &[]);
    fails(&empty.floats("upstream.Y", &[huge, huge, 0], &[]), &[]);
}

#[test]
fn functions_that_are_wrong() {
    let linear = || {
        let draft =
            Draft::op("linear", json!({ "activation": "relu" })).floats("input", &[1, 2], &[1.0, -2.0]);
        let draft = draft.floats("weight", &[1, 2], &[1.0, 2.0]).floats("bias", &[1], &[4.0]);
        draft.floats("expected.out", &[1, 1], &[1.0])
    };
    assert_eq!(said(linear().file()), Ok("0e0".to_owned()));
    fails(&linear().attribute("activation", json!("selu")), &["`activation` must be relu", "selu"]);
    fails(&linear().floats("weight", &[2], &[0.0; 2]), &["`weight` must have 2 axes", "[2]"]);
    fails(&linear().floats("bias", &[2], &[0.0; 2]), &["`bias` should be [1], but is [2]"]);
    fails(&linear().floats("input", &[1, 3], &[0.0; 3]), &["linear", "[1, 3]"]);
    fails(&linear().floats("residual", &[2, 1], &[0.0; 2]), &["residual", "[2, 1]"]);
    let integers = |values: &[i64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let embedding = |ids: &[i64]| {
        let draft = Draft::op("embedding", json!({})).tensor("input", "I64", &[1], integers(ids));
        draft.floats("weight", &[2, 1], &[5.0, 7.0]).floats("expected.out", &[1, 1], &[7.0])
    };
    assert_eq!(said(embedding(&[1]).file()), Ok("0e0".to_owned()));
    fails(&embedding(&[2]), &["embedding", "ids[0]", "2"]);
    fails(&embedding(&[-1]), &["`input` must count from 0", "-1"]);
    let loss = |target: &[i64]| {
        let draft = Draft::op("cross_entropy", json!({})).floats("input", &[1, 1], &[5.0]);
        draft.tensor("target", "I64", &[1], integers(target)).floats("expected.out", &[], &[0.0])
    };
    assert_eq!(said(loss(&[0]).file()), Ok("0e0".to_owned()));
    assert_eq!(said(loss(&[-100]).file()), Ok("0e0".to_owned()));
    fails(&loss(&[1]), &["targets[0]", "below 1"]);
    fails(&loss(&[-1]), &["`target` must count from 0 or be -100", "-1"]);
    fails(&loss(&[0]).attribute("label_smoothing", json!(2)), &["label_smoothing", "from 0 to 1"]);
    fails(&loss(&[0]).floats("input", &[1, 1, 1], &[5.0]), &["`input` must have 2 axes"]);
    let pooling = |length: i64| {
        let draft = Draft::op("Pooling", json!({ "pooling_mode": "max" })).floats(
            "token_embeddings",
            &[1, 2, 1],
            &[3.0, 4.0],
        );
        let draft = draft.tensor("lengths", "I64", &[1], integers(&[length]));
        draft.floats("expected.sentence_embedding", &[1, 1], &[3.0])
    };
    assert_eq!(said(pooling(1).file()), Ok("0e0".to_owned()));
    fails(&pooling(3), &["lengths[0]", "at most 2"]);
    fails(
        &pooling(1).attribute("pooling_mode", json!("median")),
        &["`pooling_mode` must be mean or cls or max"],
    );
}

#[test]
fn other_ops_that_are_wrong() {
    let softmax = |axis: i64| {
        let draft = Draft::op("Softmax", json!({ "axis": axis })).floats("input", &[1, 2], &[0.0, 0.0]);
        draft.floats("expected.output", &[1, 2], &[0.5, 0.5])
    };
    assert_eq!(said(softmax(-1).file()), Ok("0e0".to_owned()));
    fails(&softmax(2), &["softmax", "axis", "2"]);
    fails(&softmax(i64::MIN), &["softmax", "axis"]);
    let gelu = Draft::op("Gelu", json!({ "approximate": "erf" })).floats("X", &[1], &[0.0]);
    fails(&gelu.floats("expected.Y", &[1], &[0.0]), &["`approximate` must be none or tanh", "erf"]);
    let product =
        Draft::op("MatMul", json!({})).floats("A", &[1, 2], &[1.0; 2]).floats("B", &[3, 1], &[1.0; 3]);
    fails(&product.floats("expected.Y", &[1, 1], &[2.0]), &["matmul", "[1, 2]", "[3, 1]"]);
    let gemm = Draft::op("Gemm", json!({ "transA": 1 })).floats("A", &[1, 2], &[1.0; 2]).floats(
        "B",
        &[2, 1],
        &[1.0; 2],
    );
    fails(&gemm.floats("expected.Y", &[1, 1], &[2.0]), &["gemm", "[1, 2]", "[2, 1]"]);
    let norm = |op: &str, scale: &str| {
        let draft = Draft::op(op, json!({ "stash_type": 11 })).floats("X", &[1, 2], &[1.0; 2]);
        draft.floats(scale, &[2], &[1.0; 2]).floats("expected.Y", &[1, 2], &[1.0; 2])
    };
    for (op, scale) in [("LayerNormalization", "Scale"), ("RMSNormalization", "scale")] {
        fails(&norm(op, scale), &["`stash_type` must be 1"]);
        fails(&norm(op, scale).attribute("stash_type", json!(1)).floats(scale, &[3], &[1.0; 3]), &["[3]"]);
    }
    let position = |position: i64| {
        let draft = Draft::op("RotaryEmbedding", json!({})).floats("X", &[1, 1, 1, 2], &[1.0; 2]);
        let draft = draft.floats("cos_cache", &[1, 1], &[1.0]).floats("sin_cache", &[1, 1], &[0.0]);
        let draft = draft.tensor("position_ids", "I64", &[1, 1], position.to_le_bytes().to_vec());
        draft.floats("expected.Y", &[1, 1, 1, 2], &[1.0; 2])
    };
    assert_eq!(said(position(0).file()), Ok("0e0".to_owned()));
    fails(&position(1), &["positions[0]", "below 1"]);
    fails(&position(-1), &["`position_ids` must count from 0", "-1"]);
    let flat = position(0).tensor("position_ids", "I64", &[1], 0_i64.to_le_bytes().to_vec());
    fails(&flat, &["`position_ids` [1] must be [batch, length]"]);
}
