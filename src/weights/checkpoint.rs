//! Checkpoints: `model.safetensors`, in one file or in shards.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use serde_json::Value;

use super::files::{self, OpenFile, bad, shown};
use super::header::{self, Entry, MAX_TENSORS};
use super::json::{Object, brief};
use crate::error::{Error, Result};
use crate::host_memory;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const INDEX_SUFFIX: &str = ".safetensors.index.json";
const MAX_SHARDS: usize = 1000;
/// Bytes that are read at once.
const PIECE_BYTES: usize = 128 << 10;

/// The weights of a model, read on demand from a safetensors file that stays on disk.
///
/// A tensor is read when it is asked for, a piece at a time. The file stays open meanwhile: one that is replaced by
/// another of its name (`mv new old`) is read on to its end, as it was. One that is written over in its place (`cp new old`)
/// or cut short would give old numbers beside new ones, so its length and its time of change are looked at after each
/// read, and what they differ for is an [`Error::File`]. That needs a file system that keeps the times; of changes within one
/// tick of its clock, some milliseconds, it says nothing.
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
    File(OpenFile),
}

impl Data {
    fn open(path: &Path) -> Result<Self> {
        OpenFile::new(path, "the model's weights").map(Self::File)
    }

    fn header(&self, path: &Path) -> Result<header::Contents> {
        let length = match self {
            Self::Owned(bytes) => bytes.len() as u64,
            Self::File(file) => file.length(),
        };
        let Ok(length) = usize::try_from(length) else {
            return Err(bad(path, format!("{length} bytes are more than this machine has addresses for")));
        };
        header::read(path, length, |first, bytes| self.read(path, first, bytes))
    }

    /// Fills `out` with the bytes from `first` on.
    fn read(&self, path: &Path, first: usize, out: &mut [u8]) -> Result<()> {
        match self {
            Self::Owned(bytes) => {
                out.copy_from_slice(&bytes[first..][..out.len()]);
                Ok(())
            }
            Self::File(file) => file.read(path, first as u64, out),
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
        let data = Data::open(&file)?;
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
        let header::Contents { tensors, metadata } = data.header(&path)?;
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
            let data = Data::open(&path)?;
            for (tensor, entry) in data.header(&path)?.tensors {
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
    /// [`Error::Unsupported`] for another dtype, [`Error::OutOfMemory`]; [`Error::Io`] and [`Error::File`] if the file cannot
    /// be read any more, or has changed.
    pub fn tensor_f32(&self, name: &str, expected_shape: &[usize]) -> Result<Vec<f32>> {
        self.floats(name, expected_shape)?.all()
    }

    /// A tensor of I64, I32 or BOOL (0 and 1), in row-major order.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor_f32`]; [`Error::File`] for a boolean that is neither 0 nor 1.
    pub fn tensor_i64(&self, name: &str, expected_shape: &[usize]) -> Result<Vec<i64>> {
        let Tensor { path, data, dtype, bytes, .. } = self.tensor(name, expected_shape)?;
        let size = match dtype {
            Dtype::BOOL => 1,
            Dtype::I32 => 4,
            Dtype::I64 => 8,
            other => return Err(header::unsupported_dtype(path, name, other, &["I64", "I32", "BOOL"])),
        };
        let what = || format!("the tensor `{}`", shown(name));
        let mut values = host_memory::with_room(bytes.len() / size, what)?;
        let mut buffer = [0; 4096];
        for first in bytes.clone().step_by(buffer.len()) {
            let piece = &mut buffer[..(bytes.end - first).min(4096)];
            data.read(path, first, piece)?;
            match dtype {
                Dtype::BOOL => match piece.iter().find(|byte| **byte > 1) {
                    Some(byte) => {
                        return Err(bad(path, format!("the tensor `{}` of BOOL has a {byte}", shown(name))));
                    }
                    None => values.extend(piece.iter().map(|&byte| i64::from(byte))),
                },
                Dtype::I32 => {
                    let (words, _) = piece.as_chunks::<4>();
                    values.extend(words.iter().map(|&word| i64::from(i32::from_le_bytes(word))));
                }
                _ => {
                    let (words, _) = piece.as_chunks::<8>();
                    values.extend(words.iter().map(|&word| i64::from_le_bytes(word)));
                }
            }
        }
        Ok(values)
    }

    /// Some rows of a tensor, that is, indices of its first axis, as f32.
    ///
    /// A large embedding table can so go to a device in pieces.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor_f32`], and [`Error::Argument`] for rows that the tensor does not have.
    pub fn rows_f32(&self, name: &str, expected_shape: &[usize], rows: Range<usize>) -> Result<Vec<f32>> {
        self.floats(name, expected_shape)?.rows(rows)?.all()
    }

    /// A tensor whose values are to be read as f32.
    pub(crate) fn floats(&self, name: &str, expected_shape: &[usize]) -> Result<Floats<'_>> {
        let tensor = self.tensor(name, expected_shape)?;
        let size = match tensor.dtype {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            other => {
                return Err(header::unsupported_dtype(tensor.path, name, other, &["F32", "F16", "BF16"]));
            }
        };
        Ok(Floats { tensor, size })
    }

    fn tensor(&self, name: &str, expected_shape: &[usize]) -> Result<Tensor<'_>> {
        let Some((name, (shard, entry))) = self.tensors.get_key_value(name) else {
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
        let Entry { dtype, shape, bytes } = entry;
        Ok(Tensor { path, data, name, dtype: *dtype, shape, bytes: bytes.clone() })
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

/// A tensor's place.
#[derive(Clone)]
struct Tensor<'a> {
    path: &'a Path,
    data: &'a Data,
    name: &'a str,
    dtype: Dtype,
    shape: &'a [usize],
    bytes: Range<usize>,
}

/// A tensor, or some rows of one, whose values are read as f32.
#[derive(Clone)]
pub(crate) struct Floats<'a> {
    tensor: Tensor<'a>,
    /// Bytes of a value in the file.
    size: usize,
}

impl Floats<'_> {
    /// Its name in the file.
    pub fn name(&self) -> &str {
        self.tensor.name
    }

    /// How many values.
    pub fn len(&self) -> usize {
        self.tensor.bytes.len() / self.size
    }

    /// Some rows of it.
    pub fn rows(self, rows: Range<usize>) -> Result<Self> {
        let Tensor { name, shape, ref bytes, .. } = self.tensor;
        let Some(&all) = shape.first() else {
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
        let bytes = bytes.start + rows.start * row..bytes.start + rows.end * row;
        Ok(Self { tensor: Tensor { bytes, ..self.tensor }, size: self.size })
    }

    /// Fills `out` with the values from `first` on.
    pub fn read(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let Tensor { path, data, dtype, bytes, .. } = &self.tensor;
        let mut first = bytes.start + first * self.size;
        // Small enough for the processor's cache: the bytes have no alignment, so they are copied, not cast.
        let mut buffer = [0; PIECE_BYTES];
        for out in out.chunks_mut(PIECE_BYTES / self.size) {
            let piece = &mut buffer[..out.len() * self.size];
            data.read(path, first, piece)?;
            first += piece.len();
            let pairs = piece.as_chunks::<2>().0.iter().map(|&pair| u16::from_le_bytes(pair));
            match dtype {
                Dtype::F16 => {
                    out.iter_mut().zip(pairs).for_each(|(out, bits)| *out = f16::from_bits(bits).into())
                }
                Dtype::BF16 => {
                    out.iter_mut().zip(pairs).for_each(|(out, bits)| *out = bf16::from_bits(bits).into())
                }
                _ => {
                    let words = piece.as_chunks::<4>().0;
                    out.iter_mut().zip(words).for_each(|(out, &word)| *out = f32::from_le_bytes(word));
                }
            }
        }
        Ok(())
    }

    /// All its values.
    pub fn all(&self) -> Result<Vec<f32>> {
        let mut values = host_memory::zeroed(self.len(), || format!("the tensor `{}`", shown(self.name())))?;
        self.read(0, &mut values)?;
        Ok(values)
    }
}
