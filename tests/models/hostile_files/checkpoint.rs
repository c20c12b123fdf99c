use attentive::Error;
use attentive::weights::Checkpoint;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::write;

pub(crate) fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}

pub(crate) fn small() -> Vec<u8> {
    let header = json!({
        "__metadata__": {"format": "pt"},
        "table": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]},
        "half": {"dtype": "F16", "shape": [2], "data_offsets": [24, 28]},
        "brain": {"dtype": "BF16", "shape": [2], "data_offsets": [28, 32]},
        "ids": {"dtype": "I64", "shape": [1], "data_offsets": [32, 40]},
        "none": {"dtype": "F32", "shape": [0, 5], "data_offsets": [40, 40]},
        "scalar": {"dtype": "F32", "shape": [], "data_offsets": [40, 44]},
    });
    let mut data: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    data.extend([0x00, 0x3c, 0x00, 0xc0]); // f16: 1, −2
    data.extend([0x80, 0x3f, 0x00, 0xc0]); // bf16: 1, −2
    data.extend(7_i64.to_le_bytes());
    data.extend(0.5_f32.to_le_bytes());
    safetensors(&header.to_string(), &data)
}

fn opened(bytes: Vec<u8>) -> attentive::Result<Checkpoint> {
    Checkpoint::from_bytes(bytes, "test.safetensors")
}

fn refused(bytes: Vec<u8>) -> String {
    match opened(bytes) {
        Err(error @ Error::File { .. }) => error.to_string(),
        other => panic!("not refused as a file: {other:?}"),
    }
}

#[test]
fn a_sound_checkpoint_is_read() {
    let checkpoint = opened(small()).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["brain", "half", "ids", "none", "scalar", "table"]);
    assert_eq!(checkpoint.shape("table"), Some(&[3, 2][..]));
    assert_eq!(checkpoint.dtype("brain").as_deref(), Some("BF16"));
    assert_eq!(checkpoint.tensor_f32("table", &[3, 2]).unwrap(), [0., 1., 2., 3., 4., 5.]);
    assert_eq!(checkpoint.tensor_f32("half", &[2]).unwrap(), [1., -2.]);
    assert_eq!(checkpoint.tensor_f32("brain", &[2]).unwrap(), [1., -2.]);
    assert_eq!(checkpoint.tensor_f32("none", &[0, 5]).unwrap(), [0.; 0]);
    assert_eq!(checkpoint.tensor_f32("scalar", &[]).unwrap(), [0.5]);
    assert_eq!(checkpoint.rows_f32("table", &[3, 2], 1..3).unwrap(), [2., 3., 4., 5.]);
    assert_eq!(checkpoint.rows_f32("table", &[3, 2], 3..3).unwrap(), [0.; 0]);
    assert_eq!(checkpoint.rows_f32("none", &[0, 5], 0..0).unwrap(), [0.; 0]);
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
fn wrong_requests_are_errors() {
    let checkpoint = opened(small()).unwrap();
    assert!(matches!(checkpoint.tensor_f32("bert.table", &[1]), Err(Error::MissingTensor { .. })));
    assert!(matches!(checkpoint.tensor_f32("table", &[2, 3]), Err(Error::TensorShape { .. })));
    let error = checkpoint.tensor_f32("ids", &[1]).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }));
    assert!(error.to_string().contains("I64 (of ids)"), "{error}");
    for rows in [0..4, 4..4, 2..1, usize::MAX..usize::MAX, 0..usize::MAX] {
        assert!(matches!(checkpoint.rows_f32("table", &[3, 2], rows), Err(Error::Argument { .. })));
    }
    assert!(matches!(checkpoint.rows_f32("scalar", &[], 0..1), Err(Error::Argument { .. })));
}

#[test]
fn a_missing_tensor_is_reported_with_its_likes() {
    let mut header = serde_json::Map::new();
    for name in ["bert.pooler.dense.bias", "bert.layer.0.dense.bias", "bert.embeddings.words.weight", "other"]
    {
        header.insert(name.to_owned(), json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}));
    }
    let checkpoint = opened(safetensors(&Value::Object(header).to_string(), &[])).unwrap();
    let similar = |name: &str| match checkpoint.tensor_f32(name, &[0]) {
        Err(Error::MissingTensor { similar, .. }) => similar,
        other => panic!("{other:?}"),
    };
    assert_eq!(similar("pooler.dense.bias"), ["bert.pooler.dense.bias"]);
    assert_eq!(similar("bert.embeddings.words.weights"), ["bert.embeddings.words.weight"]);
    assert!(similar("embeddings.LayerNorm.bias").is_empty());
    assert!(similar("").is_empty());
}

#[test]
fn a_checkpoint_truncated_anywhere_is_refused() {
    let whole = small();
    for length in 0..whole.len() {
        refused(whole[..length].to_vec());
    }
    let mut longer = whole;
    longer.push(0);
    assert!(refused(longer).contains("describes 44 bytes"));
}

#[test]
fn a_checkpoint_with_any_byte_changed_does_not_panic() {
    let whole = small();
    for place in 0..whole.len() {
        for byte in [0, b'0', b'9', b'"', b'{', b'}', b'-', 0xff, whole[place] ^ 1] {
            let mut changed = whole.clone();
            changed[place] = byte;
            let Ok(checkpoint) = opened(changed) else { continue };
            for name in checkpoint.names() {
                let shape = checkpoint.shape(name).unwrap();
                let _ = checkpoint.tensor_f32(name, shape);
                let _ = checkpoint.rows_f32(name, shape, 0..1);
            }
        }
    }
}

#[test]
fn a_length_that_lies_is_refused() {
    for claimed in [u64::MAX, 1 << 40, (64 << 20) + 1] {
        let mut file = small();
        file[..8].copy_from_slice(&claimed.to_le_bytes());
        assert!(refused(file).contains("the header claims"));
    }
    let mut file = small();
    file[..8].copy_from_slice(&1_000_000_u64.to_le_bytes());
    assert!(refused(file).contains("truncated"));
}

#[test]
fn lying_headers_are_refused() {
    let header = |tensors: Value| refused(safetensors(&tensors.to_string(), &[0; 16]));
    let tensor = |shape: Value, from: usize, to: usize| json!({"dtype": "F32", "shape": shape, "data_offsets": [from, to]});
    let overlap = header(json!({"a": tensor(json!([3]), 0, 12), "b": tensor(json!([2]), 8, 16)}));
    assert!(overlap.contains("`b`") && overlap.contains("overlaps"), "{overlap}");
    assert!(header(json!({"a": tensor(json!([2]), 8, 16)})).contains("hole"));
    assert!(header(json!({"a": tensor(json!([4]), 16, 32)})).contains("truncated"));
    assert!(header(json!({"a": tensor(json!([4]), 16, 0)})).contains("before its start"));
    assert!(header(json!({"a": tensor(json!([5]), 0, 16)})).contains("needs 20 bytes"));
    assert!(header(json!({"a": tensor(json!([u64::MAX, 2]), 0, 16)})).contains("overflows"));
    assert!(header(json!({"a": tensor(json!([u32::MAX, u32::MAX, 0]), 0, 16)})).contains("`a`"));
    assert!(header(json!({"a": tensor(json!([1, 1, 1, 1, 1, 1, 1, 1, 4]), 0, 16)})).contains("8 dimensions"));
    assert!(
        header(json!({"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}})).contains("not valid")
    );
    assert!(header(json!({"a": {"dtype": "X7", "shape": [4], "data_offsets": [0, 16]}})).contains("X7"));
    assert!(header(json!({"a".repeat(2000): tensor(json!([4]), 0, 16)})).contains("1024"));
    assert!(header(json!([])).contains("not valid"));
    // What a file says cannot move the cursor of the user's terminal.
    let escape = header(json!({"\u{1b}[2J": tensor(json!([5]), 0, 16)}));
    assert!(!escape.contains('\u{1b}'), "{escape}");
}

#[test]
fn large_and_deep_headers_are_refused() {
    let twice = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#;
    assert!(refused(safetensors(twice, &[0; 16])).contains("same name"));
    let many: Vec<String> = (0..100_001)
        .map(|i| format!(r#""{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    let many = format!("{{{}}}", many.join(","));
    assert!(refused(safetensors(&many, &[])).contains("more than 100000 tensors"));
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    refused(safetensors(&deep, &[]));
    let deep = format!(r#"{{"__metadata__":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let _ = opened(safetensors(&deep, &[]));
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n";
    assert!(refused(pointer.to_vec()).contains("git lfs pull"));
}

#[test]
fn shards_are_read_and_checked() {
    let one = |name: &str| {
        let header = json!({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}});
        safetensors(&header.to_string(), &1_f32.to_le_bytes())
    };
    let folder = TempDir::new().unwrap();
    write(folder.path(), "1.safetensors", &one("a"));
    write(folder.path(), "2.safetensors", &one("b"));
    let index = |map: Value| {
        let index = json!({ "weight_map": map }).to_string();
        write(folder.path(), "model.safetensors.index.json", index.as_bytes());
        Checkpoint::open(folder.path())
    };
    let checkpoint = index(json!({"a": "1.safetensors", "b": "2.safetensors"})).unwrap();
    assert_eq!(checkpoint.tensor_f32("b", &[1]).unwrap(), [1.]);
    drop(checkpoint);

    let problem = |map: Value| index(map).unwrap_err().to_string();
    assert!(problem(json!({"a": "1.safetensors", "c": "2.safetensors"})).contains("`c` is in none"));
    assert!(problem(json!({"a": "3.safetensors"})).contains("3.safetensors"));
    assert!(problem(json!({"a": "../1.safetensors"})).contains("out of the folder"));
    assert!(problem(json!({"a": "/etc/passwd"})).contains("out of the folder"));
    assert!(problem(json!({"a": 1})).contains("`a` must be"));
    assert!(problem(json!(7)).contains("`weight_map` must be an object"));
    write(folder.path(), "2.safetensors", &one("a"));
    assert!(problem(json!({"a": "1.safetensors", "b": "2.safetensors"})).contains("another shard"));
}

#[test]
fn an_empty_file_and_a_folder_are_refused() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "model.safetensors", b"");
    assert!(matches!(Checkpoint::open(folder.path()), Err(Error::File { .. })));
    write(folder.path(), "x/model.safetensors/y", b"");
    assert!(matches!(Checkpoint::open(folder.path().join("x")), Err(Error::File { .. })));
    assert!(matches!(Checkpoint::open(folder.path().join("absent")), Err(Error::Io { .. })));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    let before = small();
    let after: Vec<u8> = {
        // The same header, other numbers.
        let data = before.len() - 44;
        before.iter().enumerate().map(|(place, byte)| if place < data { *byte } else { !byte }).collect()
    };
    let opened = || {
        std::fs::write(&path, &before).unwrap();
        Checkpoint::open(&path).unwrap()
    };
    let read = |checkpoint: &Checkpoint| {
        let all = checkpoint.tensor_f32("table", &[3, 2]);
        // What is read in parts, and as numbers of other types, is refused alike.
        assert_eq!(checkpoint.rows_f32("table", &[3, 2], 0..1).is_ok(), all.is_ok());
        assert_eq!(checkpoint.tensor_i64("ids", &[1]).is_ok(), all.is_ok());
        all.map_err(|error| match error {
            Error::File { path: named, problem } => {
                assert_eq!(named, path);
                problem
            }
            other => panic!("not refused as a file: {other:?}"),
        })
    };
    let write = || std::fs::File::options().write(true).open(&path).unwrap();

    let checkpoint = opened();
    assert_eq!(read(&checkpoint).unwrap(), [0., 1., 2., 3., 4., 5.]);
    // Cut within a tensor, before it, and to nothing.
    for bytes in [before.len() - 25, 100, 0] {
        let checkpoint = opened();
        write().set_len(bytes as u64).unwrap();
        let problem = read(&checkpoint).unwrap_err();
        assert!(
            problem.contains("truncated while it was read") && problem.ends_with(&bytes.to_string()),
            "{problem}"
        );
    }
    let checkpoint = opened();
    write().set_len(before.len() as u64 + 1).unwrap();
    assert!(read(&checkpoint).unwrap_err().contains("has grown while it was read"));
    // Written over in its place, as `cp` does it: at another time.
    let checkpoint = opened();
    std::fs::write(&path, &after).unwrap();
    write().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert!(read(&checkpoint).unwrap_err().contains("old and new bytes may be mixed"));
    // Another file of that name is none of its business, nor is one that is removed; not on Windows, which allows neither.
    if cfg!(unix) {
        let checkpoint = opened();
        std::fs::write(folder.path().join("new"), &after).unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(read(&checkpoint).unwrap(), [0., 1., 2., 3., 4., 5.]);
        assert_ne!(Checkpoint::open(&path).unwrap().tensor_f32("table", &[3, 2]).unwrap()[1], 1.0);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(&checkpoint).unwrap(), [0., 1., 2., 3., 4., 5.]);
    }
}
