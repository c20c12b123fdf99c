//! Texts of megabytes: the tokens that are kept are those of the whole, and all are counted.

use std::time::{Duration, Instant};

use attentive::weights::{Tokenizer, TruncationSide};

fn tokenizer(name: &str) -> Tokenizer {
    Tokenizer::open(crate::common::repository().join(format!("tests/fixtures/tokenizers/{name}.json")))
        .unwrap()
}

/// `count` words, some of them often, some of them once.
fn text(count: usize, seed: u64) -> String {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut text = String::new();
    for _ in 0..count {
        match rng.u32(..10) {
            0 => text.push_str(&rng.u32(..100_000).to_string()),
            1 => text.push_str("世界 你好，"),
            2 => text.push_str("[MASK]<mask>, it\'s"),
            3 => text.push_str("Hello.\n"),
            _ => text.push_str(["the", "cat", "sat", "mat", "world"][rng.usize(..5)]),
        }
        text.push(' ');
    }
    text
}

#[test]
fn long_texts_have_the_tokens_of_the_whole() {
    for name in ["uncased", "cased", "bytes", "bytes-prefix", "unigram", "camembert", "mpnet"] {
        let mut tokenizer = tokenizer(name);
        let long = text(20_000, 3);
        // With room for all, nothing is left out.
        let whole = tokenizer.encode(&long, usize::MAX).unwrap();
        assert_eq!(whole.total_tokens, whole.ids.len());
        let special = tokenizer.special_tokens();
        let inner = &whole.ids[1..whole.ids.len() - 1];
        for side in [TruncationSide::Right, TruncationSide::Left] {
            tokenizer.set_truncation_side(side);
            for limit in [special + 1, 64, 512, 5000] {
                let found = tokenizer.encode(&long, limit).unwrap();
                assert_eq!((found.ids.len(), found.total_tokens), (limit, whole.total_tokens), "{name}");
                let kept = limit - special;
                let kept = match side {
                    TruncationSide::Right => &inner[..kept],
                    TruncationSide::Left => &inner[inner.len() - kept..],
                };
                assert_eq!(&found.ids[1..limit - 1], kept, "{name}, {side:?}, {limit}");
                let (again, origins) = tokenizer.encode_with_origins(&long, None, limit).unwrap();
                assert_eq!((&again.ids, again.total_tokens), (&found.ids, found.total_tokens), "{name}");
                for (token, origin) in again.tokens.iter().zip(&origins) {
                    let Some(origin) = origin else { continue };
                    assert!(long.get(origin.bytes.clone()).is_some(), "{name}: {token}");
                }
            }
        }
    }
}

#[test]
fn of_a_long_pair_the_longer_is_cut_first() {
    for name in ["uncased", "bytes", "unigram"] {
        let tokenizer = tokenizer(name);
        let (long, longer) = (text(10_000, 5), text(30_000, 6));
        for (first, second) in [(&long, &longer), (&longer, &long), (&long, &"the cat".to_owned())] {
            let whole = tokenizer.encode_pair(first, second, usize::MAX).unwrap();
            let lengths = [first, second].map(|text| {
                tokenizer.encode(text, usize::MAX).unwrap().total_tokens - tokenizer.special_tokens()
            });
            assert_eq!(whole.total_tokens, lengths[0] + lengths[1] + tokenizer.special_tokens_in_pair());
            let found = tokenizer.encode_pair(first, second, 128).unwrap();
            assert_eq!((found.ids.len(), found.total_tokens), (128, whole.total_tokens), "{name}");
            let room = 128 - tokenizer.special_tokens_in_pair();
            let short = lengths[0].min(lengths[1]).min(room / 2);
            let kept = if lengths[0] <= lengths[1] { short } else { room - short };
            assert_eq!(found.ids[..=kept], whole.ids[..=kept], "{name}");
        }
    }
}

/// A line of 20 MB took 15 s and 2 GB.
#[test]
fn a_line_of_megabytes_takes_no_long_time() {
    let tokenizer = tokenizer("uncased");
    let line = "the cat sat on a mat, and hello world. ".repeat(20 << 20 >> 5);
    let start = Instant::now();
    let found = tokenizer.encode(&line, 256).unwrap();
    let taken = start.elapsed();
    let once = tokenizer.encode("the cat sat on a mat, and hello world. ", 256).unwrap().ids.len() - 2;
    assert_eq!((found.ids.len(), found.total_tokens), (256, once * (20 << 20 >> 5) + 2));
    assert!(taken < Duration::from_secs(30), "{taken:?}");
}
