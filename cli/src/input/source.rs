//! A file's bytes as UTF-8, whatever Unicode form it has them in. What is no text is refused by what it is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use crate::output::{Failure, Result, note};

/// Bytes at the beginning by which a file is judged.
const SAMPLE: u64 = 8192;

/// Bytes that are taken at once to be decoded.
const CHUNK: usize = 1 << 16;

/// First bytes, what has them, and what to do about it.
const KNOWN: [(&[u8], &str); 15] = [
    (b"\xff\xfe\0\0", "it is UTF-32 text; `iconv -f UTF-32 -t UTF-8` converts it"),
    (b"\0\0\xfe\xff", "it is UTF-32 text; `iconv -f UTF-32 -t UTF-8` converts it"),
    (b"\x1f\x8b", "it is compressed by gzip; `gzip -dc FILE | attentive … --input -` reads it"),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd; `zstd -dc FILE | attentive … --input -` reads it"),
    (b"\xfd7zXZ\0", "it is compressed by xz; `xz -dc FILE | attentive … --input -` reads it"),
    (b"BZh", "it is compressed by bzip2; `bzip2 -dc FILE | attentive … --input -` reads it"),
    (
        b"PK\x03\x04",
        "it is a ZIP archive, as are .xlsx, .docx and .npz; save or unpack it as text, CSV or JSON",
    ),
    (b"\xd0\xcf\x11\xe0", "it is a document of an office program, such as .xls; save it as CSV or text"),
    (b"PAR1", "it is a Parquet file; save it as CSV or JSONL"),
    (b"ARROW1\0\0", "it is an Arrow file; save it as CSV or JSONL"),
    (b"SQLite format 3\0", "it is an SQLite database; export a table as CSV"),
    (b"\x93NUMPY", "it is a NumPy array, not text"),
    (b"%PDF-", "it is a PDF, not text"),
    (b"\x89PNG", "it is a picture, not text"),
    (b"\x7fELF", "it is a program, not text"),
];

/// Which byte of a UTF-16 unit comes first.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn unit(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }
}

/// An input and its name.
pub struct Source {
    pub bytes: Box<dyn BufRead>,
    pub name: String,
}

/// Opens a file, or standard input for `-`. The bytes are UTF-8 without a byte order mark, as far as they are text at all.
pub fn open(path: &Path) -> Result<Source> {
    if path == Path::new("-") {
        return decoded(Box::new(io::stdin()), "standard input".to_owned());
    }
    let file = File::open(path).map_err(|error| Failure::file(path, error))?;
    decoded(Box::new(file), path.display().to_string())
}

fn decoded(mut from: Box<dyn Read>, name: String) -> Result<Source> {
    let failed = |error: io::Error| Failure::Failed(format!("{name}: {error}"));
    let mut sample = Vec::new();
    from.by_ref().take(SAMPLE).read_to_end(&mut sample).map_err(failed)?;
    let is_known = |(magic, _): &&(&[u8], &str)| {
        // Three letters might begin a text: bzip2 goes on with a digit and with those of π.
        sample.starts_with(magic) && (*magic != b"BZh" || sample.get(4..10) == Some(b"1AY&SY"))
    };
    if let Some((_, what)) = KNOWN.iter().find(is_known) {
        return Err(Failure::Failed(format!("{name}: {what}")));
    }
    let (mark, order) = match sample.as_slice() {
        [0xef, 0xbb, 0xbf, ..] => (3, None),
        [0xff, 0xfe, ..] => (2, Some(Order::Little)),
        [0xfe, 0xff, ..] => (2, Some(Order::Big)),
        sample => (0, utf16_by_nuls(sample)),
    };
    let rest = Cursor::new(sample.split_off(mark)).chain(from);
    let bytes: Box<dyn BufRead> = match order {
        None => Box::new(BufReader::with_capacity(CHUNK, rest)),
        Some(order) => {
            let without = if mark == 0 { ", by its NUL bytes (it has no byte order mark)" } else { "" };
            let which = if order == Order::Little { "little" } else { "big" };
            note(format_args!("{name} is read as UTF-16, {which}-endian{without}"));
            Box::new(BufReader::with_capacity(CHUNK, Utf16::new(rest, order, mark as u64)))
        }
    };
    Ok(Source { bytes, name })
}

/// The order of what must be UTF-16 without a mark: ASCII characters are a NUL and a letter each, and in other scripts line breaks
/// still are. `None` for what has no such pattern.
fn utf16_by_nuls(sample: &[u8]) -> Option<Order> {
    let pairs = || sample.chunks_exact(2);
    let nuls = |place: usize| pairs().filter(|pair| pair[place] == 0).count();
    let breaks = |order: Order| pairs().filter(|pair| order.unit([pair[0], pair[1]]) == 0x0a).count();
    let all_breaks = sample.iter().filter(|&&byte| byte == b'\n').count();
    let units = pairs().len();
    let fits = |order: Order| {
        let (zero, other) = if order == Order::Little { (nuls(1), nuls(0)) } else { (nuls(0), nuls(1)) };
        let letters = zero * 5 >= units * 2 && other * 20 <= units;
        let lines = zero > 0 && breaks(order) > 0 && breaks(order) * 2 > all_breaks;
        let units = pairs().map(|pair| order.unit([pair[0], pair[1]]));
        // The sample may end within a pair of surrogates.
        let broken = char::decode_utf16(units).filter(std::result::Result::is_err).count();
        units_enough(sample.len()) && (letters || lines) && broken <= 1
    };
    [Order::Little, Order::Big].into_iter().find(|&order| fits(order))
}

/// Fewer bytes show no pattern.
fn units_enough(bytes: usize) -> bool {
    bytes >= 4
}

/// UTF-16 as UTF-8.
struct Utf16<R> {
    from: R,
    order: Order,
    /// UTF-8 that was not taken yet.
    ready: Cursor<Vec<u8>>,
    /// A byte or a high surrogate that waits for what it belongs to.
    left: Vec<u8>,
    /// Bytes before `left`.
    taken: u64,
    ended: bool,
}

impl<R: Read> Utf16<R> {
    fn new(from: R, order: Order, taken: u64) -> Self {
        Self { from, order, ready: Cursor::default(), left: Vec::new(), taken, ended: false }
    }

    fn fill(&mut self) -> io::Result<()> {
        let before = self.left.len();
        let read = self.from.by_ref().take(CHUNK as u64).read_to_end(&mut self.left)?;
        self.ended = self.left.len() == before && read == 0;
        let wrong = |at: u64, what: &str| {
            io::Error::new(io::ErrorKind::InvalidData, format!("not valid UTF-16: {what} at byte {}", at + 1))
        };
        let whole = self.left.len() / 2 * 2;
        let units: Vec<u16> =
            self.left[..whole].chunks_exact(2).map(|pair| self.order.unit([pair[0], pair[1]])).collect();
        // A high surrogate at the end waits for its other half.
        let waits = !self.ended && units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit));
        let units = &units[..units.len() - usize::from(waits)];
        let mut text = String::new();
        for character in char::decode_utf16(units.iter().copied()) {
            match character {
                Ok(character) => text.push(character),
                Err(_) => {
                    let at = self.taken + 2 * text.encode_utf16().count() as u64;
                    return Err(wrong(at, "half a character"));
                }
            }
        }
        self.left.drain(..2 * units.len());
        self.taken += 2 * units.len() as u64;
        if self.ended && !self.left.is_empty() {
            return Err(wrong(self.taken, "half a unit"));
        }
        self.ready = Cursor::new(text.into_bytes());
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.ready.read(buffer)? {
                0 if !self.ended && !buffer.is_empty() => self.fill()?,
                read => return Ok(read),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, order: Order) -> Vec<u8> {
        let bytes = |unit: u16| if order == Order::Little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn read(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        let mut read = Vec::new();
        match decoded(Box::new(Cursor::new(bytes)), "t".to_owned()) {
            Ok(mut source) => source.bytes.read_to_end(&mut read).map_err(|error| error.to_string())?,
            Err(Failure::Failed(problem)) => return Err(problem),
            Err(other) => panic!("{other:?}"),
        };
        Ok(read)
    }

    #[test]
    fn unicode_is_read_in_all_its_forms() {
        let texts =
            ["hello\nworld\n", "日本語\n三\n", "naïve 😀\r\n", "a\nb", &"long 😀 line\n".repeat(30_000)];
        for text in texts {
            assert_eq!(read(text.as_bytes().to_vec()).unwrap(), text.as_bytes());
            assert_eq!(read([b"\xef\xbb\xbf", text.as_bytes()].concat()).unwrap(), text.as_bytes());
            for (order, mark) in [(Order::Little, b"\xff\xfe"), (Order::Big, b"\xfe\xff")] {
                let bytes = utf16(text, order);
                let short = &text[..text.len().min(20)];
                assert!(read([mark, &bytes[..]].concat()).unwrap() == text.as_bytes(), "{order:?} {short}");
                assert!(read(bytes).unwrap() == text.as_bytes(), "{order:?} {short} without a mark");
            }
        }
        assert_eq!(read(Vec::new()).unwrap(), b"");
    }

    #[test]
    fn a_nul_alone_makes_no_utf16() {
        for text in ["a\0b\nc\n", "\0", "a\n\0b\nc\nd\n", "plain\n"] {
            assert_eq!(read(text.as_bytes().to_vec()).unwrap(), text.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn half_a_character_is_no_utf16() {
        let mut bytes = [b"\xff\xfe", &utf16("ab", Order::Little)[..]].concat();
        bytes.push(b'c');
        assert!(read(bytes.clone()).unwrap_err().contains("half a unit at byte 7"));
        bytes.push(0xd8);
        assert!(read(bytes.clone()).unwrap_err().contains("half a character at byte 7"));
        bytes.extend(utf16("d", Order::Little));
        assert!(read(bytes).unwrap_err().contains("half a character at byte 7"));
    }

    #[test]
    fn what_is_no_text_is_refused_by_what_it_is() {
        let files: [(&[u8], &str); 6] = [
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"PK\x03\x04\x14\0", "xlsx"),
            (b"PAR1\x15\x04", "Parquet"),
            (b"\xff\xfe\0\0a\0\0\0", "UTF-32"),
            (b"BZh91AY&SY", "bzip2"),
            (b"\0\0\xfe\xff\0\0\0a", "UTF-32"),
        ];
        for (bytes, word) in files {
            let problem = read(bytes.to_vec()).unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
        assert!(read(b"BZh is how it begins\n".to_vec()).is_ok());
    }
}
