//! Models written here byte by byte; comparisons with SentencePiece itself are in tests/models/tokenizers/sentencepiece.rs.

use proptest::prelude::*;

use super::{PieceKind, SentencePiece};
use crate::error::{Error, Result};

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn float(field: u64, value: f32) -> Vec<u8> {
    [varint(field << 3 | 5), value.to_le_bytes().to_vec()].concat()
}

fn piece(text: &str, score: f32, kind: u64) -> Vec<u8> {
    bytes(1, &[bytes(1, text.as_bytes()), float(2, score), number(3, kind)].concat())
}

/// `<unk>`, `<s>`, `</s>`, normal pieces, and then what else the model has.
fn model(pieces: &[(&str, f32)], rest: &[u8]) -> Vec<u8> {
    let mut out = [piece("<unk>", 0.0, 2), piece("<s>", 0.0, 3), piece("</s>", 0.0, 3)].concat();
    for &(text, score) in pieces {
        out.extend(piece(text, score, 1));
    }
    out.extend(rest);
    out
}

/// A double array with a block of 256 units for each place in the rules' tree.
fn charsmap(rules: &[(&str, &str)]) -> Vec<u8> {
    let mut results = Vec::new();
    let mut prefixes: Vec<&[u8]> = vec![b""];
    for (from, _) in rules {
        for length in 1..=from.len() {
            prefixes.push(&from.as_bytes()[..length]);
        }
    }
    prefixes.sort_unstable();
    prefixes.dedup();
    let block = |prefix: &[u8]| 256 * (1 + prefixes.iter().position(|&p| p == prefix).unwrap());
    let mut units = vec![0u32; 256 * (1 + prefixes.len())];
    for &prefix in &prefixes {
        let at = match prefix.split_last() {
            None => 0,
            Some((&last, before)) => block(before) ^ usize::from(last),
        };
        units[at] = ((at ^ block(prefix)) as u32) << 10 | u32::from(prefix.last().copied().unwrap_or(0));
        if let Some((_, to)) = rules.iter().find(|(from, _)| from.as_bytes() == prefix) {
            units[at] |= 1 << 8;
            units[block(prefix)] = 1 << 31 | results.len() as u32;
            results.extend(to.bytes().chain([0]));
        }
    }
    let array: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    [(array.len() as u32).to_le_bytes().to_vec(), array, results].concat()
}

fn normalizer(charsmap: &[u8]) -> Vec<u8> {
    bytes(3, &bytes(2, charsmap))
}

const ABC: [(&str, f32); 6] =
    [("▁", -2.0), ("a", -3.0), ("b", -3.0), ("▁a", -2.5), ("ab", -4.0), ("▁abc", -20.0)];

fn read(bytes: &[u8]) -> Result<SentencePiece> {
    SentencePiece::from_bytes(bytes, "a.spm")
}

fn problem(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

#[test]
fn the_pieces_with_the_greatest_sum_are_taken() {
    let model = read(&model(&ABC, &[])).unwrap();
    assert_eq!(model.pieces().len(), 9);
    assert_eq!(model.pieces()[1].kind, PieceKind::Control);
    // ▁a + b: -5.5; ▁ + ab: -6; ▁ + a + b: -8.
    assert_eq!(model.encode("ab"), ["▁a", "b"]);
    // ▁ + ab: -6, then an unknown character: less than -20 by the penalty.
    assert_eq!(model.encode("abc"), ["▁abc"]);
    assert_eq!(model.encode("  ab \u{20}b  "), ["▁a", "b", "▁", "b"]);
    assert_eq!(model.encode("xyaxy"), ["▁", "xy", "a", "xy"]);
    assert_eq!(model.encode("</s><unk>"), ["▁", "</s><unk>"]);
    assert_eq!(model.encode(""), [""; 0]);
    assert_eq!(model.encode("   "), [""; 0]);
}

#[test]
fn the_first_of_two_equal_paths_is_kept() {
    let model = read(&model(&[("▁", 0.0), ("a", -1.0), ("aa", -2.0)], &[])).unwrap();
    // For "aa": "aa" was offered first. For "aaa": "aa" + "a" and "a" + "aa" are equal, the latter came first.
    assert_eq!(model.encode("aa"), ["▁", "aa"]);
    assert_eq!(model.encode("aaa"), ["▁", "a", "aa"]);
}

#[test]
fn user_defined_pieces_are_never_split() {
    let rest = [piece("bab", -90.0, 4), piece("▁b", -1.0, 5), piece("<0x61>", 0.0, 6)].concat();
    let model = read(&model(&ABC, &rest)).unwrap();
    assert_eq!(model.encode("babab"), ["▁", "bab", "ab"]);
    assert_eq!(model.encode("bb <0x61>"), ["▁", "b", "b", "▁", "<0x61>"]);
}

#[test]
fn unknown_characters_become_bytes_where_the_model_says_so() {
    let model = read(&model(&ABC, &bytes(2, &number(35, 1)))).unwrap();
    assert!(model.byte_fallback());
    assert_eq!(model.encode("a★é"), ["▁a", "<0xE2>", "<0x98>", "<0x85>", "<0xC3>", "<0xA9>"]);
}

#[test]
fn rules_replace_the_longest_match() {
    let rules = [("\t", " "), ("A", "a"), ("AB", "ab"), ("ABC", "abc"), ("é", "e\u{301}"), ("\u{200b}", "")];
    let model = read(&model(&ABC, &normalizer(&charsmap(&rules)))).unwrap();
    for (text, normalized) in [
        ("ABAABCé", "▁abaabce\u{301}"),
        ("\t A\t\tB \t", "▁a▁B"),
        ("\u{200b}\u{200b}", ""),
        (" \u{200b} a", "▁a"),
        ("è", "▁è"),
        ("x", "▁x"),
    ] {
        assert_eq!(model.normalize(text), normalized, "{text:?}");
    }
}

#[test]
fn spaces_are_as_the_model_says() {
    let with = |flags: &[(u64, u64)], trainer: &[u8]| {
        let flags: Vec<u8> = flags.iter().flat_map(|&(field, value)| number(field, value)).collect();
        read(&model(&ABC, &[bytes(3, &flags), bytes(2, trainer)].concat())).unwrap().normalize("  a  b ")
    };
    assert_eq!(with(&[], &[]), "▁a▁b");
    assert_eq!(with(&[(3, 0)], &[]), "a▁b");
    assert_eq!(with(&[(4, 0)], &[]), "▁▁▁a▁▁b▁");
    assert_eq!(with(&[(3, 0), (4, 0)], &[]), "▁▁a▁▁b▁");
    assert_eq!(with(&[(5, 0)], &[]), " a b");
    assert_eq!(with(&[], &number(24, 1)), "a▁b▁");
}

#[test]
fn what_a_file_lacks_or_contradicts_is_said() {
    let sound = model(&ABC, &[]);
    assert!(problem(b"").starts_with("a.spm: none of its 0 pieces is a normal one"));
    assert!(problem(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
    assert!(problem(&sound[..sound.len() - 1]).contains("a value of "));
    assert!(problem(&[sound.clone(), piece("a", 0.0, 1)].concat()).contains("the piece `a` is there twice"));
    assert!(problem(&[sound.clone(), piece("", 0.0, 1)].concat()).contains("piece 9: its text is empty"));
    assert!(
        problem(&[sound.clone(), piece("c", f32::NAN, 1)].concat()).contains("piece 9: its score is NaN")
    );
    assert!(problem(&[sound.clone(), piece("c", 0.0, 7)].concat()).contains("piece 9: the type 7"));
    assert!(problem(&[sound.clone(), piece(&"c".repeat(5000), 0.0, 1)].concat()).contains("5000 bytes"));
    assert!(problem(&[sound.clone(), piece("?", 0.0, 2)].concat()).contains("but there are 2"));
    assert!(problem(&[sound.clone(), bytes(1, &bytes(1, b"\xFF"))].concat()).contains("not UTF-8"));
    assert!(problem(&[sound.clone(), number(3, 1)].concat()).contains("normalizer_spec: a whole number"));
    for (kind, name) in [(2, "bpe"), (3, "word"), (4, "char"), (9, "9")] {
        let error = read(&[sound.clone(), bytes(2, &number(3, kind))].concat()).unwrap_err();
        assert!(matches!(&error, Error::Unsupported { found, .. } if found == name), "{error}");
    }
    let error = read(&[sound, bytes(5, &bytes(2, b"....."))].concat()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}

#[test]
fn a_damaged_map_of_characters_is_told_when_it_is_read() {
    let with = |map: &[u8]| problem(&model(&ABC, &normalizer(map)));
    let sound = charsmap(&[("A", "a"), ("é", "e")]);
    assert!(read(&model(&ABC, &normalizer(&sound))).is_ok());
    assert!(with(b"abc").contains("the map of characters: it has 3 bytes"));
    assert!(with(&[6, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]).contains("whole units of 4 bytes"));
    assert!(with(&[255; 8]).contains("but has 4294967295 bytes"));
    assert!(with(&[&sound[..], b"\xC3\0"].concat()).contains("not UTF-8 at byte 4"));
    // Without its last byte the last result has no end.
    assert!(with(&sound[..sound.len() - 1]).contains("where no result of at most 256 bytes begins"));
    let long = "x".repeat(257);
    assert!(with(&charsmap(&[("A", &long)])).contains("where no result of at most 256 bytes begins"));
    assert!(read(&model(&ABC, &normalizer(&charsmap(&[("A", &long[..256])])))).is_ok());
    // The leaf of the first unit that has one is moved out of the array.
    let mut moved = sound.clone();
    let unit = moved[4..].chunks(4).position(|unit| unit[1] & 1 != 0).unwrap();
    moved[4 + 4 * unit + 3] = 0x7F;
    assert!(with(&moved).contains(&format!("unit {unit} points to unit")));
}

#[test]
fn an_endless_walk_and_half_characters_do_no_harm() {
    // Every byte leads back to the same block, and each is the end of a rule.
    let mut units: Vec<u32> = (0..256u32).map(|byte| byte << 10 | byte | 1 << 8).collect();
    units[0] = 1 << 31;
    let array: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let map = [1024u32.to_le_bytes().to_vec(), array, b"a\0".to_vec()].concat();
    if let Ok(model) = read(&model(&ABC, &normalizer(&map))) {
        for text in ["aaaa".repeat(1000), "é".repeat(1000), "a\0b".repeat(300)] {
            model.encode(&text);
        }
    }
    // A rule for the first byte of é alone.
    let mut half = charsmap(&[("A", "a")]);
    let at = 4 + 4 * (256 + usize::from(b'A'));
    let unit = u32::from_le_bytes(half[at..at + 4].try_into().unwrap());
    let from = 256 ^ usize::from(b'A') ^ (unit >> 10) as usize;
    let to = 256 ^ 0xC3;
    let moved = ((to ^ from) as u32) << 10 | 1 << 8 | 0xC3;
    half[4 + 4 * to..4 + 4 * to + 4].copy_from_slice(&moved.to_le_bytes());
    let model = read(&model(&ABC, &normalizer(&half))).unwrap();
    assert_eq!(model.normalize("éAé"), "▁éaé");
}

/// A sound model with everything in it.
fn whole() -> Vec<u8> {
    let rules = charsmap(&[("A", "a"), ("é", "e\u{301}"), ("\t", " ")]);
    let flags = [bytes(2, &rules), number(3, 1), number(4, 1)].concat();
    let rest = [
        piece("bab", 0.0, 4),
        bytes(2, &[number(3, 1), number(35, 1)].concat()),
        bytes(3, &flags),
        bytes(5, &[]),
    ];
    model(&ABC, &rest.concat())
}

proptest! {
    #[test]
    fn damaged_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
        text in ".{0,40}",
    ) {
        let mut file = whole();
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        if let Ok(model) = read(&file) {
            for text in [text.as_str(), "ABab\té babbab a  ", "\u{e9}\u{c3}\u{301}"] {
                model.encode(text);
            }
        }
    }

    #[test]
    fn any_bytes_never_panic(file in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&file);
        let _ = read(&model(&ABC, &file));
        if let Ok(model) = read(&model(&ABC, &normalizer(&file))) {
            model.encode("Abab \u{e9}");
        }
    }

    #[test]
    fn any_units_never_panic(units in prop::collection::vec(any::<u32>(), 0..300), text in ".{0,20}") {
        let array: Vec<u8> = units.iter().flat_map(|unit| (unit & 0x8007_FFFF).to_le_bytes()).collect();
        let map = [(array.len() as u32).to_le_bytes().to_vec(), array, vec![0; 1 << 9]].concat();
        if let Ok(model) = read(&model(&ABC, &normalizer(&map))) {
            model.encode(&text);
        }
    }

    #[test]
    fn pieces_put_together_are_the_normalized_text(text in "[ab x\u{e9}★]{0,40}") {
        let model = read(&model(&ABC, &[])).unwrap();
        prop_assert_eq!(model.encode(&text).concat(), model.normalize(&text));
    }
}
