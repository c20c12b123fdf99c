//! Tokens as labels: harmless, short, and as wide as guessed.

use attentive::models::MapToken;
use unicode_width::UnicodeWidthChar;

use crate::output::shortened;

/// A token in at most so many columns, in one order of writing; control characters are spelled out.
pub fn plain(token: &MapToken, columns: usize) -> String {
    match token.label.as_str() {
        "" => "(empty)".to_owned(),
        blank if blank.trim().is_empty() => "␣".to_owned(),
        label => shortened(label, columns),
    }
}

/// As [`plain`], for a line from left to right.
pub fn label(token: &MapToken, columns: usize) -> String {
    let short = plain(token, columns);
    // The dots of a cut Hebrew or Arabic word would stand at the wrong end.
    if short.ends_with('…') && right_to_left(&short) { format!("{short}\u{200f}") } else { short }
}

/// All that is known of a token, in one line.
pub fn whole(token: &MapToken) -> String {
    let text = shortened(&token.label, 400);
    if token.source.is_empty() || token.source == token.label {
        return text;
    }
    format!("{text} ({})", shortened(&token.source, 400))
}

/// Whether the first letter that has a direction is written from right to left (Hebrew, Arabic and their kin).
pub fn right_to_left(text: &str) -> bool {
    let strong = text.chars().find(|c| c.is_alphabetic());
    strong.is_some_and(|c| {
        matches!(u32::from(c), 0x590..=0x8ff | 0xfb1d..=0xfdff | 0xfe70..=0xfeff | 0x10800..=0x10fff | 0x1e800..=0x1efff)
    })
}

/// About how many em a label is wide, in the widest of the common fonts.
pub fn ems(text: &str) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | '\'' | '|' | '!' | '.' | ',' | ':' | ';' | ' ' | 'I' => 0.34,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' | '/' | '"' => 0.43,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 1.0,
        '#' => 0.84,
        'A'..='Z' => 0.74,
        '\0'..='\u{7f}' => 0.62,
        c => match c.width().unwrap_or(0) {
            0 => 0.0,
            1 => 0.68,
            _ => 1.02,
        },
    };
    text.chars().map(em).sum()
}

/// For XML and HTML. What XML forbids is replaced.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() && !matches!(c, '\n' | '\t') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_and_harmless() {
        let of = |text: &str| label(&MapToken::new(text), 8);
        assert_eq!([of("##ing"), of(""), of(" "), of("\t")], ["##ing", "(empty)", "␣", "␣"]);
        assert_eq!(of(&"x".repeat(60)), "xxxxxxx…");
        assert_eq!(of("中文字典很大"), "中文字…");
        assert_eq!(of("\u{7}"), "\\u{7}");
        assert_eq!(of("\u{202e}abc"), "\\u{202e…");
        assert!(of("האינטרנציונליזם").ends_with("…\u{200f}"));
        assert_eq!(of("שלום"), "שלום");
        assert!(right_to_left("«مرحبا") && !right_to_left("42 abc") && !right_to_left(""));
    }

    #[test]
    fn xml_is_escaped() {
        assert_eq!(escaped("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(escaped("a\0\u{1b}\u{ffff}"), "a\u{fffd}\u{fffd}\u{fffd}");
    }
}
