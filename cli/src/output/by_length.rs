//! How many answers are right, by the length of what was asked.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::{Align, Table, thousands};

/// Rows where each length is one of its own; of more different lengths, ranges of several are a row.
const MOST_ROWS: usize = 12;

/// The answers to sources of some lengths.
#[derive(Clone, Debug, PartialEq)]
pub struct LengthRow {
    /// Words of the sources.
    pub words: RangeInclusive<usize>,
    pub pairs: usize,
    /// Exactly right answers.
    pub right: usize,
}

impl LengthRow {
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.pairs.max(1) as f64
    }

    /// `5`, or `6–10`.
    pub fn name(&self) -> String {
        let (first, last) = (self.words.start(), self.words.end());
        if first == last { first.to_string() } else { format!("{first}–{last}") }
    }
}

/// Rows by rising length.
#[derive(Clone, Debug, PartialEq)]
pub struct ByLength(Vec<LengthRow>);

impl ByLength {
    /// Of sources, and whether the answer to each was right.
    pub fn of<'a>(answers: impl IntoIterator<Item = (&'a str, bool)>) -> Self {
        let mut counts: BTreeMap<usize, [usize; 2]> = BTreeMap::new();
        for (source, is_right) in answers {
            let [pairs, right] = counts.entry(source.split_whitespace().count()).or_default();
            *pairs += 1;
            *right += usize::from(is_right);
        }
        // The smallest round range that makes few rows of them.
        let longest = counts.last_key_value().map_or(0, |(&words, _)| words);
        let widths = [5, 10, 20, 50, 100, 1000];
        let width = match counts.len() <= MOST_ROWS {
            true => 1,
            false => {
                let fits = |width: &&usize| longest.div_ceil(**width) <= MOST_ROWS;
                widths.iter().find(fits).copied().unwrap_or(longest)
            }
        };
        let mut rows: Vec<LengthRow> = Vec::new();
        for (words, [pairs, right]) in counts {
            // A range begins behind a multiple of its width.
            let first = words.saturating_sub(1) / width * width + 1;
            let words = if width == 1 { words..=words } else { first..=first + width - 1 };
            match rows.last_mut().filter(|row| row.words == words) {
                Some(row) => (row.pairs, row.right) = (row.pairs + pairs, row.right + right),
                None => rows.push(LengthRow { words, pairs, right }),
            }
        }
        Self(rows)
    }

    pub fn rows(&self) -> &[LengthRow] {
        &self.0
    }

    pub fn table(&self) -> Table {
        table(&[("exact", self)])
    }

    /// An object for each row.
    pub fn json(&self) -> Value {
        let row = |row: &LengthRow| {
            let words = [row.words.start(), row.words.end()];
            json!({ "words": words, "pairs": row.pairs, "right": row.right, "accuracy": row.accuracy() })
        };
        self.0.iter().map(row).collect()
    }
}

/// A column for each of several that have answered the same sources.
pub fn table(columns: &[(&str, &ByLength)]) -> Table {
    let names = columns.iter().map(|(name, _)| (*name, Align::Right));
    let head: Vec<(&str, Align)> =
        [("words", Align::Right), ("pairs", Align::Right)].into_iter().chain(names).collect();
    let mut table = Table::new(&head);
    let Some((_, first)) = columns.first() else { return table };
    for (place, row) in first.0.iter().enumerate() {
        let cells = columns.iter().map(|(_, of)| {
            of.0.get(place).map_or_else(String::new, |row| format!("{:.1} %", 100.0 * row.accuracy()))
        });
        table.row([row.name(), thousands(row.pairs as u64)].into_iter().chain(cells));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_is_a_row_where_they_are_few() {
        let found = ByLength::of([("a b", true), ("a", true), ("c  d ", false), ("", false)]);
        let row = |words, pairs, right| LengthRow { words: words..=words, pairs, right };
        assert_eq!(found.rows(), [row(0, 1, 0), row(1, 1, 1), row(2, 2, 1)]);
        assert_eq!(
            found.table().to_string(),
            "  words  pairs    exact\n      0      1    0.0 %\n      1      1  100.0 %\n      2      2   50.0 %\n"
        );
        assert_eq!(found.json()[2], json!({ "words": [2, 2], "pairs": 2, "right": 1, "accuracy": 0.5 }));
        assert_eq!(ByLength::of([]).rows(), []);
        assert!(table(&[]).to_string().starts_with("  words"));
    }

    #[test]
    fn many_lengths_are_ranges() {
        let texts: Vec<String> = (1..=43).map(|words| "x ".repeat(words)).collect();
        let found = ByLength::of(texts.iter().map(|text| (text.as_str(), text.len() <= 2 * 7)));
        let names: Vec<String> = found.rows().iter().map(LengthRow::name).collect();
        assert_eq!(names, ["1–5", "6–10", "11–15", "16–20", "21–25", "26–30", "31–35", "36–40", "41–45"]);
        assert_eq!(found.rows().iter().map(|row| row.pairs).sum::<usize>(), 43);
        assert_eq!((found.rows()[1].right, found.rows()[8].pairs), (2, 3));
        let long: Vec<String> = (0..13).map(|power| "x ".repeat(1 << power)).collect();
        let found = ByLength::of(long.iter().map(|text| (text.as_str(), true)));
        assert_eq!(found.rows().iter().map(|row| row.pairs).sum::<usize>(), 13);
    }
}
