//! Checkpoints: `model.safetensors`, in one file or in shards.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use serde_json::Value;

use super::files::{self, bad, shown};
use super::header::{self, Entry, MAX_TENSORS};
use super::json::{Object, brief};
use crate::error::{Error, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const INDEX_SUFFIX: &str = ".safetensors.index.json";
const MAX_SHARDS: usize = 1000;

/// The weights of a model, read on demand from a safetensors file that stays on disk.
///
/// Files are memory-mapped, so a tensor costs memory only once it is asked for. A file must not be
/// changed while its checkpoint is open: the system may then end the process. [`Checkpoint::from_bytes`]
/// has no such condition.
///
/// ```no_run
/// # fn main() -> attentive::Result<()> {
/// let checkpoint = attentive::weights::Checkpoint::open("all-MiniLM-L6-v2")?;
/// let table = checkpoint.tensor_f32("embeddings.word_embeddings.weight", &[30522, 384])?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    shards: Vec<Shard>,
    tensors: BTreeMap<String, (usize, Entry)>,
    /// That of a single file.
    metadata: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Owned(Vec<u8>),
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(memmap2::Mmap),
}

impl Data {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            #[cfg(not(target_arch = "wasm32"))]
            Self::Mapped(map) => map,
        }
    }
}

impl Checkpoint {
    /// Opens a safetensors file, an index of shards (`….safetensors.index.json`), or the folder that
    /// holds either of them under its usual name, `model.safetensors[.index.json]`.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that is missing or cannot be read, [`Error::File`] for one that is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = if path.is_dir() { find(path)? } else { path.to_owned() };
        if file.to_string_lossy().ends_with(INDEX_SUFFIX) {
            return Self::open_shards(&file);
        }
        let data = map(&file)?;
        Self::from_data(file, data)
    }

    /// A safetensors file that is in memory already; `name` stands for its path in errors.
    ///
    /// # Errors
    /// [`Error::File`] for bytes that are no safetensors file.
    pub fn from_bytes(bytes: Vec<u8>, name: impl Into<PathBuf>) -> Result<Self> {
        Self::from_data(name.into(), Data::Owned(bytes))
    }

    fn from_data(path: PathBuf, data: Data) -> Result<Self> {
        let header::Contents { tensors, metadata } = header::read(&path, data.bytes())?;
        let tensors = tensors.into_iter().map(|(name, entry)| (name, (0, entry))).collect();
        Ok(Self { shards: vec![Shard { path: path.clone(), data }], path, tensors, metadata })
    }

    fn open_shards(index: &Path) -> Result<Self> {
        let object = Object::read(index, "the list of a sharded checkpoint's files")?;
        let Some(weight_map) = object.object("weight_map")? else {
            return Err(bad(index, "the key `weight_map` is missing"));
        };
        let names: BTreeSet<&str> = weight_map
            .iter()
            .map(|(name, file)| match file {
                Value::String(file) => Ok(file.as_str()),
                other => Err(bad(
                    index,
                    format!("`weight_map`: `{}` must be a file's name, but is {}", shown(name), brief(other)),
                )),
            })
            .collect::<Result<_>>()?;
        if names.len() > MAX_SHARDS {
            return Err(bad(index, format!("{} shards, more than the {MAX_SHARDS} allowed", names.len())));
        }
        let folder = index.parent().unwrap_or(Path::new(""));
        let (mut shards, mut tensors) = (Vec::new(), BTreeMap::new());
        for (number, name) in names.into_iter().enumerate() {
            let path = files::inside(folder, name, index)?;
            let data = map(&path)?;
            for (tensor, entry) in header::read(&path, data.bytes())?.tensors {
                if tensors.insert(tensor.clone(), (number, entry)).is_some() {
                    return Err(bad(&path, format!("another shard has the tensor `{}` too", shown(&tensor))));
                }
            }
            if tensors.len() > MAX_TENSORS {
                return Err(bad(index, format!("more than {MAX_TENSORS} tensors")));
            }
            shards.push(Shard { path, data });
        }
        if let Some(name) = weight_map.keys().find(|&name| !tensors.contains_key(name)) {
            return Err(bad(index, format!("the tensor `{}` is in none of the shards", shown(name))));
        }
        Ok(Self { path: index.to_owned(), shards, tensors, metadata: BTreeMap::new() })
    }

    /// The file (the index, where there are shards).
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors' names, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A text of the file's metadata, or `None` if it has none under this key; shards have none.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// A tensor's shape, or `None` if there is no such tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, entry)| entry.shape.as_slice())
    }

    /// The type of a tensor's elements as safetensors writes it (`F32`, `F16`, `BF16`, `I64`, …), or
    /// `None` if there is no such tensor.
    pub fn dtype(&self, name: &str) -> Option<String> {
        self.tensors.get(name).map(|(_, entry)| entry.dtype.to_string())
    }

    /// A tensor as f32, in row-major order; F16 and BF16 are widened, which is exact.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorShape`] if the file has another shape than `expected_shape`,
    /// [`Error::Unsupported`] for another dtype, [`Error::OutOfMemory`].
    pub fn tensor_f32(&self, name: &str, expected_shape: &[usize]) -> Result<Vec<f32>> {
        let (path, dtype, bytes) = self.tensor(name, expected_shape)?;
        widen(path, name, dtype, bytes)
    }

    /// A tensor of I64, I32 or BOOL (0 and 1), in row-major order.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor_f32`]; [`Error::File`] for a boolean that is neither 0 nor 1.
    pub fn tensor_i64(&self, name: &str, expected_shape: &[usize]) -> Result<Vec<i64>> {
        let (path, dtype, bytes) = self.tensor(name, expected_shape)?;
        match dtype {
            Dtype::BOOL => match bytes.iter().find(|byte| **byte > 1) {
                Some(byte) => Err(bad(path, format!("the tensor `{}` of BOOL has a {byte}", shown(name)))),
                None => Ok(bytes.iter().map(|&byte| byte.into()).collect()),
            },
            Dtype::I32 => {
                let (words, _) = bytes.as_chunks::<4>();
                Ok(words.iter().map(|&word| i32::from_le_bytes(word).into()).collect())
            }
            Dtype::I64 => {
                let (words, _) = bytes.as_chunks::<8>();
                Ok(words.iter().map(|&word| i64::from_le_bytes(word)).collect())
            }
            other => Err(header::unsupported_dtype(path, name, other, &["I64", "I32", "BOOL"])),
        }
    }

    /// Some rows of a tensor, that is, indices of its first axis, as f32.
    ///
    /// A large embedding table can so go to a device in pieces.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor_f32`], and [`Error::Argument`] for rows that the tensor does not have.
    pub fn rows_f32(&self, name: &str, expected_shape: &[usize], rows: Range<usize>) -> Result<Vec<f32>> {
        let (path, dtype, bytes) = self.tensor(name, expected_shape)?;
        let Some(&all) = expected_shape.first() else {
            return Err(Error::argument("rows_f32", name, "a tensor with rows", "a scalar"));
        };
        if rows.start > rows.end || rows.end > all {
            return Err(Error::argument(
                "rows_f32",
                format!("rows of {name}"),
                format!("inside 0..{all}"),
                format!("{rows:?}"),
            ));
        }
        // `all` is 0 only if the rows are none, too.
        let row = bytes.len().checked_div(all).unwrap_or(0);
        widen(path, name, dtype, &bytes[rows.start * row..rows.end * row])
    }

    fn tensor(&self, name: &str, expected_shape: &[usize]) -> Result<(&Path, Dtype, &[u8])> {
        let Some((shard, entry)) = self.tensors.get(name) else {
            return Err(self.missing(name));
        };
        let Shard { path, data } = &self.shards[*shard];
        if entry.shape != expected_shape {
            return Err(Error::TensorShape {
                path: path.clone(),
                name: name.to_owned(),
                expected: expected_shape.to_vec(),
                found: entry.shape.clone(),
            });
        }
        Ok((path, entry.dtype, &data.bytes()[entry.bytes.clone()]))
    }

    /// The error for a tensor that is not there.
    pub(crate) fn missing(&self, name: &str) -> Error {
        let (path, name, similar) = (self.path.clone(), name.to_owned(), self.similar(name));
        Error::MissingTensor { path, name, similar }
    }

    /// The names that share the most segments with `name`, at its end (`bert.encoder.x` for `encoder.x`)
    /// or at its start.
    fn similar(&self, name: &str) -> Vec<String> {
        let shared = |other: &str| {
            let same = |(a, b): &(&str, &str)| a == b;
            let at_end = name.rsplit('.').zip(other.rsplit('.')).take_while(same).count();
            at_end.max(name.split('.').zip(other.split('.')).take_while(same).count())
        };
        let best = self.names().map(shared).max().unwrap_or(0);
        // One common segment of several is a word such as `weight`, which says nothing.
        if best == 0 || best == 1 && name.contains('.') {
            return Vec::new();
        }
        self.names().filter(|other| shared(other) == best).take(5).map(shown).collect()
    }
}

/// The checkpoint's file in a folder.
fn find(folder: &Path) -> Result<PathBuf> {
    if let Some(name) = [SINGLE, INDEX].into_iter().find(|name| folder.join(name).exists()) {
        return Ok(folder.join(name));
    }
    let others = ["pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack"];
    match others.into_iter().find(|name| folder.join(name).exists()) {
        Some(other) => Err(bad(
            folder,
            format!(
                "there is {other}, but only safetensors is read: {SINGLE} is needed (pickled weights can run code; transformers' `save_pretrained` writes safetensors)"
            ),
        )),
        None => {
            Err(bad(folder, format!("there is neither {SINGLE} nor {INDEX}, which hold the model's weights")))
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn map(path: &Path) -> Result<Data> {
    let (file, _) = files::open(path, "the model's weights")?;
    // SAFETY: the mapping is read-only and private to this value. That nobody changes the file
    // meanwhile cannot be enforced; `Checkpoint`'s documentation asks for it.
    let map = unsafe { memmap2::Mmap::map(&file) };
    map.map(Data::Mapped).map_err(|source| Error::Io { path: path.to_owned(), source })
}

#[cfg(target_arch = "wasm32")]
fn map(path: &Path) -> Result<Data> {
    files::read(path, u64::MAX - 1, "the model's weights").map(Data::Owned)
}

fn widen(path: &Path, name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>> {
    let size = match dtype {
        Dtype::F32 => 4,
        Dtype::F16 | Dtype::BF16 => 2,
        other => return Err(header::unsupported_dtype(path, name, other, &["F32", "F16", "BF16"])),
    };
    let elements = bytes.len() / size;
    let mut values: Vec<f32> = Vec::new();
    values.try_reserve_exact(elements).map_err(|_| Error::OutOfMemory {
        device: "the host".to_owned(),
        what: format!("the tensor `{}`", shown(name)),
        needed: elements as u64 * 4,
    })?;
    // The bytes have no alignment, so they are copied, not cast.
    let pair = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
    match dtype {
        Dtype::F16 => values.extend(bytes.chunks_exact(2).map(|b| f16::from_bits(pair(b)).to_f32())),
        Dtype::BF16 => values.extend(bytes.chunks_exact(2).map(|b| bf16::from_bits(pair(b)).to_f32())),
        _ => values.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
    }
    Ok(values)
}
