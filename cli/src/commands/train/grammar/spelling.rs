//! How words that stand next to each other are written: "a" or "an", elision (l'oiseau, qu'il), contraction (du, aux); and
//! a text's words again.

/// Before these, nothing is elided, though they begin with a silent letter.
const ASPIRATED: [&str; 3] = ["hibou", "hiboux", "huit"];

/// Whether a French word is spoken with a vowel first, so that a word before it is elided.
pub fn begins_with_vowel(word: &str) -> bool {
    const VOWELS: [char; 15] = ['a', 'e', 'i', 'o', 'u', 'h', 'à', 'â', 'é', 'è', 'ê', 'î', 'ô', 'œ', 'û'];
    word.starts_with(VOWELS) && !ASPIRATED.contains(&word)
}

pub fn english(words: &[&'static str]) -> String {
    let mut written = Vec::with_capacity(words.len());
    for (place, word) in words.iter().enumerate() {
        let vowel = words.get(place + 1).is_some_and(|next| next.starts_with(['a', 'e', 'i', 'o', 'u']));
        written.push(if *word == "a" && vowel { "an" } else { *word });
    }
    joined(&written)
}

pub fn french(words: &[&'static str]) -> String {
    let mut written: Vec<&str> = Vec::with_capacity(words.len());
    let mut words = words.iter().copied().peekable();
    while let Some(word) = words.next() {
        let vowel = words.peek().is_some_and(|next| begins_with_vowel(next));
        let word = match word {
            "le" | "la" if vowel => "l'",
            "que" if vowel => "qu'",
            "ne" if vowel => "n'",
            "de" if vowel => "d'",
            word => word,
        };
        // The articles are as they are after elision: "de l'oiseau", but "du canard".
        match (written.last().copied(), word) {
            (Some("de"), "le") => contract(&mut written, "du"),
            (Some("de"), "les") => contract(&mut written, "des"),
            (Some("à"), "le") => contract(&mut written, "au"),
            (Some("à"), "les") => contract(&mut written, "aux"),
            _ => written.push(word),
        }
    }
    joined(&written)
}

fn contract(written: &mut Vec<&str>, both: &'static str) {
    written.pop();
    written.push(both);
}

/// The words as one text, without a space after an apostrophe.
pub fn joined(words: &[&str]) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() && !text.ends_with('\'') {
            text.push(' ');
        }
        text += word;
    }
    text
}

/// A text's words; what is elided is a word of its own, with its apostrophe.
#[cfg(test)]
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').flat_map(|part| part.split_inclusive('\'')).filter(|word| !word.is_empty())
}
