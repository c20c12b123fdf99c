//! Normalization before the segmentation: the precompiled map of characters, and spaces.

use std::path::Path;

use super::SPACE;
use super::model::Model;
use super::prefixes::Prefixes;
use crate::error::Result;
use crate::weights::files::bad;

/// NFKC's longest result, that of U+FDFA, has 33 bytes. What a rule may write bounds how much longer a text can become.
const MAX_RESULT_BYTES: usize = 256;
/// How much of a text one rule can match; the published ones match 5 characters at most.
const MAX_MATCH_BYTES: usize = 256;

/// Replaces characters by rules and takes spaces together.
#[derive(Debug)]
pub(super) struct Normalizer {
    rules: Rules,
    user_defined: Prefixes<()>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    whitespace_as_suffix: bool,
    space: &'static str,
}

impl Normalizer {
    pub(super) fn new(model: &Model<'_>, user_defined: Prefixes<()>, path: &Path) -> Result<Self> {
        Ok(Self {
            rules: Rules::parse(model.charsmap)
                .map_err(|problem| bad(path, format!("the map of characters: {problem}")))?,
            user_defined,
            add_dummy_prefix: model.add_dummy_prefix,
            remove_extra_whitespaces: model.remove_extra_whitespaces,
            whitespace_as_suffix: model.whitespace_as_suffix,
            space: if model.escape_whitespaces { SPACE } else { " " },
        })
    }

    /// The text as the pieces are matched against it.
    pub(super) fn normalize(&self, text: &str) -> String {
        let mut rest = text;
        if self.remove_extra_whitespaces {
            while let Some((" ", after)) = self.first(rest) {
                rest = after;
            }
        }
        if rest.is_empty() {
            return String::new();
        }
        let mut out = String::with_capacity(rest.len() + 2 * self.space.len());
        if self.add_dummy_prefix && !self.whitespace_as_suffix {
            out.push_str(self.space);
        }
        let mut after_space = self.remove_extra_whitespaces;
        while let Some((mut result, after)) = self.first(rest) {
            if after_space {
                result = result.trim_start_matches(' ');
            }
            if !result.is_empty() {
                for (place, word) in result.split(' ').enumerate() {
                    if place > 0 {
                        out.push_str(self.space);
                    }
                    out.push_str(word);
                }
                after_space = self.remove_extra_whitespaces && result.ends_with(' ');
            }
            rest = after;
        }
        if self.remove_extra_whitespaces {
            let length = out.trim_end_matches(self.space).len();
            out.truncate(length);
        }
        if self.add_dummy_prefix && self.whitespace_as_suffix {
            out.push_str(self.space);
        }
        out
    }

    /// What the text's first characters become, and the text after them; `None` at the end.
    ///
    /// A user-defined piece stays as it is, else the longest rule counts, else one character is kept.
    fn first<'a>(&'a self, text: &'a str) -> Option<(&'a str, &'a str)> {
        let character = text.chars().next()?;
        if let Some((length, _)) = self.user_defined.of(text.as_bytes()).last() {
            return text.split_at_checked(length);
        }
        if let Some((length, result)) = self.rules.longest(text) {
            return Some((result, text.get(length..)?));
        }
        text.split_at_checked(character.len_utf8())
    }
}

/// `precompiled_charsmap`: the length in bytes of a double array (Aoe, 1989; the units are those of the library
/// Darts-clone), the array, and the results that its leaves point to, each with a NUL behind it.
#[derive(Debug, Default)]
struct Rules {
    units: Vec<u32>,
    results: String,
}

impl Rules {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Some((size, rest)) = bytes.split_first_chunk::<4>() else {
            return if bytes.is_empty() {
                Ok(Self::default())
            } else {
                Err(format!("it has {} bytes, 4 at least are needed", bytes.len()))
            };
        };
        let size = u32::from_le_bytes(*size);
        let split = usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size));
        let Some((array, results)) = split.filter(|_| size.is_multiple_of(4)) else {
            return Err(format!(
                "its double array must be of whole units of 4 bytes within the {} that follow, but has {size} bytes",
                rest.len()
            ));
        };
        let units = array.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        let results = std::str::from_utf8(results)
            .map_err(|error| format!("its results are not UTF-8 at byte {}", error.valid_up_to()))?;
        let rules = Self { units, results: results.to_owned() };
        rules.check()?;
        Ok(rules)
    }

    /// Looks at every unit that a walk could end with, so that no text meets a result that is not there.
    fn check(&self) -> Result<(), String> {
        for (at, &unit) in self.units.iter().enumerate().skip(1) {
            if unit & IS_LEAF != 0 || unit & HAS_LEAF == 0 {
                continue;
            }
            let leaf = at ^ offset(unit);
            let Some(&value) = self.units.get(leaf) else {
                return Err(format!("unit {at} points to unit {leaf} of {}", self.units.len()));
            };
            if self.result(value).is_none() {
                return Err(format!(
                    "unit {at} points to byte {} of {} bytes of results, where no result of at most {MAX_RESULT_BYTES} bytes begins",
                    value & !IS_LEAF,
                    self.results.len()
                ));
            }
        }
        Ok(())
    }

    fn result(&self, leaf: u32) -> Option<&str> {
        let results = self.results.get((leaf & !IS_LEAF) as usize..)?;
        let length = results.bytes().take(MAX_RESULT_BYTES + 1).position(|byte| byte == 0)?;
        results.get(..length)
    }

    /// The longest rule for the text's beginning: how many bytes it matches, and its result.
    fn longest(&self, text: &str) -> Option<(usize, &str)> {
        let mut at = offset(*self.units.first()?);
        let mut longest = None;
        for (place, byte) in text.bytes().enumerate().take(MAX_MATCH_BYTES) {
            at ^= usize::from(byte);
            let Some(&unit) = self.units.get(at) else { break };
            if unit & (IS_LEAF | 0xFF) != u32::from(byte) {
                break;
            }
            at ^= offset(unit);
            // A damaged array may match a part of a character.
            if unit & HAS_LEAF != 0 && text.is_char_boundary(place + 1) {
                longest = self.units.get(at).map(|&leaf| (place + 1, leaf)).or(longest);
            }
        }
        longest.and_then(|(length, leaf)| Some((length, self.result(leaf)?)))
    }
}

const IS_LEAF: u32 = 1 << 31;
const HAS_LEAF: u32 = 1 << 8;

/// From a unit to its children, by exclusive or; bit 9 says that it is kept in multiples of 256.
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}
