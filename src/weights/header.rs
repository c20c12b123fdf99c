//! The header of a safetensors file: `u64` length, JSON, data.
//!
//! safetensors parses into maps first and counts later; here the caps hold while it is read, and each
//! error names the tensor. Its own rules (no holes, no overlap, sizes that follow from shape and dtype)
//! are then checked by safetensors itself.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

use super::files::{LFS_POINTER, bad, is_lfs_pointer, shown};
use crate::error::{Error, Result};
use crate::host_memory;

/// The most tensors in a file; the largest published checkpoints have a tenth of it in all shards.
pub(super) const MAX_TENSORS: usize = 100_000;
const MAX_HEADER_BYTES: u64 = 64 << 20;
const MAX_DIMENSIONS: usize = 8;
const MAX_NAME_BYTES: usize = 1024;
const LENGTH_BYTES: usize = 8;

/// A tensor's place in the file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Byte range in the whole file; it lies inside the file.
    pub(super) bytes: Range<usize>,
}

/// The contents of a header.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) tensors: BTreeMap<String, Entry>,
    /// `__metadata__`.
    pub(super) metadata: BTreeMap<String, String>,
}

/// Reads and checks the header of `path`, a file of that many bytes; `read` fills a slice with those from a place on.
pub(super) fn read(
    path: &Path,
    file_bytes: usize,
    read: impl Fn(usize, &mut [u8]) -> Result<()>,
) -> Result<Contents> {
    let mut begin = [0; 64];
    let begin = &mut begin[..file_bytes.min(64)];
    read(0, begin)?;
    if is_lfs_pointer(begin) {
        return Err(bad(path, LFS_POINTER));
    }
    let Some(length) = begin.first_chunk::<LENGTH_BYTES>() else {
        return Err(bad(
            path,
            format!(
                "a safetensors file starts with {LENGTH_BYTES} bytes of length, this one has {file_bytes}"
            ),
        ));
    };
    let length = u64::from_le_bytes(*length);
    let rest = file_bytes - LENGTH_BYTES;
    if length > MAX_HEADER_BYTES {
        return Err(bad(
            path,
            format!(
                "the header claims {length} bytes, more than the {MAX_HEADER_BYTES} allowed: not a safetensors file?"
            ),
        ));
    }
    let Some(length) = usize::try_from(length).ok().filter(|&length| length <= rest) else {
        return Err(bad(
            path,
            format!("the header claims {length} bytes, but only {rest} follow: the file is truncated"),
        ));
    };
    let mut header = host_memory::zeroed(length, || format!("the header of {}", path.display()))?;
    read(LENGTH_BYTES, &mut header)?;
    let Header { mut tensors, metadata: Texts(metadata) } =
        serde_json::from_slice(&header).map_err(|error| {
            bad(path, format!("the safetensors header is not valid: {}", shown(&error.to_string())))
        })?;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    check(path, &tensors, rest - length)?;

    let start = LENGTH_BYTES + length;
    let entries: BTreeMap<_, _> = tensors
        .iter()
        .map(|(name, TensorInfo { dtype, shape, data_offsets: (from, to) })| {
            let entry = Entry { dtype: *dtype, shape: shape.clone(), bytes: start + from..start + to };
            (name.clone(), entry)
        })
        .collect();
    if entries.len() != tensors.len() {
        return Err(bad(path, "two tensors have the same name"));
    }
    Metadata::new(None, tensors).map_err(|error| bad(path, error.to_string()))?;
    Ok(Contents { tensors: entries, metadata })
}

/// Sizes and places; `tensors` are sorted by offset.
fn check(path: &Path, tensors: &[(String, TensorInfo)], data: usize) -> Result<()> {
    let mut end = 0;
    for (name, info) in tensors {
        let wrong = |problem: String| -> Result<()> {
            Err(bad(path, format!("the tensor `{}`: {problem}", shown(name))))
        };
        let (from, to) = info.data_offsets;
        if from > to {
            return wrong(format!("its data ends at byte {to}, before its start at {from}"));
        }
        let bits = info
            .shape
            .iter()
            .try_fold(1_usize, |product, &n| product.checked_mul(n))
            .and_then(|elements| elements.checked_mul(info.dtype.bitsize()));
        match bits {
            None => return wrong(format!("its size overflows with the shape {:?}", info.shape)),
            Some(bits) if !bits.is_multiple_of(8) || bits / 8 != to - from => {
                return wrong(format!(
                    "{:?} of {} needs {} bytes, but its offsets {from} to {to} hold {}",
                    info.shape,
                    info.dtype,
                    bits.div_ceil(8),
                    to - from
                ));
            }
            Some(_) => {}
        }
        if to > data {
            return wrong(format!(
                "its data ends at byte {to}, but the file holds {data} bytes of data: it is truncated"
            ));
        }
        if from != end {
            let how = if from < end { "overlaps the tensor before it" } else { "leaves a hole before it" };
            return wrong(format!("its data starts at byte {from}, not at {end}: it {how}"));
        }
        end = to;
    }
    if end != data {
        return Err(bad(
            path,
            format!("the header describes {end} bytes of data, but the file holds {data}"),
        ));
    }
    Ok(())
}

/// The header, its tensors in the file's order.
struct Header {
    tensors: Vec<(String, TensorInfo)>,
    metadata: Texts,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with one entry for each tensor")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let (mut tensors, mut metadata) = (Vec::new(), Texts::default());
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        metadata = map.next_value()?;
                        continue;
                    }
                    if tensors.len() == MAX_TENSORS {
                        return Err(A::Error::custom(format_args!("more than {MAX_TENSORS} tensors")));
                    }
                    if name.len() > MAX_NAME_BYTES {
                        return Err(A::Error::custom("a tensor's name has more than 1024 bytes"));
                    }
                    let RawInfo { dtype, shape, data_offsets } = map.next_value()?;
                    tensors.push((name, TensorInfo { dtype, shape: shape.0, data_offsets }));
                }
                Ok(Header { tensors, metadata })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Texts by key, of bounded number.
#[derive(Default)]
struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Texts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings as `__metadata__`")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((key, text)) = map.next_entry()? {
                    if texts.len() == MAX_TENSORS {
                        return Err(A::Error::custom(format_args!("more than {MAX_TENSORS} texts")));
                    }
                    texts.insert(key, text);
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[derive(Deserialize)]
struct RawInfo {
    dtype: Dtype,
    shape: Shape,
    data_offsets: (usize, usize),
}

/// A shape of bounded rank.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dimensions;
        impl<'de> Visitor<'de> for Dimensions {
            type Value = Shape;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a shape")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(dimension) = seq.next_element()? {
                    if shape.len() == MAX_DIMENSIONS {
                        return Err(de::Error::custom(format_args!("more than {MAX_DIMENSIONS} dimensions")));
                    }
                    shape.push(dimension);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Dimensions)
    }
}

/// The error for a tensor whose elements are of none of the types that are read here.
pub(super) fn unsupported_dtype(path: &Path, name: &str, dtype: Dtype, supported: &[&str]) -> Error {
    let found = format!("{dtype} (of {})", shown(name));
    let supported = supported.iter().map(|&dtype| dtype.to_owned()).collect();
    Error::Unsupported { path: path.to_owned(), what: "tensor dtype", found, supported }
}
