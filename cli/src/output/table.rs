//! Tables for the eye, aligned by the width that a terminal gives each character.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

#[derive(Clone, Copy, PartialEq)]
pub enum Align {
    Left,
    Right,
}

/// Rows of cells under a heading.
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect();
        Self { columns, rows: Vec::new() }
    }

    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let heading: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let lines = || std::iter::once(&heading).chain(&self.rows);
        let widest = |column: usize| lines().filter_map(|row| row.get(column)).map(|cell| width(cell)).max();
        let widths: Vec<usize> = (0..self.columns.len()).map(|column| widest(column).unwrap_or(0)).collect();
        for row in lines() {
            let mut line = String::new();
            for (cell, ((_, align), wide)) in row.iter().zip(self.columns.iter().zip(&widths)) {
                let fill = " ".repeat(wide - width(cell));
                line += &match align {
                    Align::Left => format!("  {cell}{fill}"),
                    Align::Right => format!("  {fill}{cell}"),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Columns on a terminal, escape sequences not counted.
fn width(text: &str) -> usize {
    let mut rest = text;
    let mut sum = 0;
    while let Some((before, after)) = rest.split_once('\x1b') {
        sum += before.width();
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    sum + rest.width()
}

/// The text in one line of at most `columns`, control characters spelled out.
pub fn shortened(text: &str, columns: usize) -> String {
    let mut shown = String::new();
    let mut used = 0;
    // Twice the room, for combining marks and the like, is enough to look at of a text of a million characters.
    for (place, c) in text.chars().enumerate() {
        // A terminal would act on these; the second group turns the direction of writing.
        let spelled = match c {
            c if c.is_control() => c.escape_default().to_string(),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                c.escape_unicode().to_string()
            }
            c => c.to_string(),
        };
        let wide = if spelled.len() > c.len_utf8() { spelled.len() } else { c.width().unwrap_or(0) };
        if used + wide > columns || place >= 8 * columns {
            while used + 1 > columns {
                let Some(last) = shown.pop() else { break };
                used -= last.width().unwrap_or(0);
            }
            return shown + "…";
        }
        shown += &spelled;
        used += wide;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_what_is_seen() {
        let mut table = Table::new(&[("name", Align::Left), ("n", Align::Right)]);
        table.row(["猫", "10"]);
        table.row(["\x1b[1mab\x1b[0m", "1"]);
        assert_eq!(table.to_string(), "  name   n\n  猫    10\n  \x1b[1mab\x1b[0m     1\n");
    }

    #[test]
    fn texts_are_cut_by_width_and_made_harmless() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("abcd", 3), "ab…");
        assert_eq!(shortened("猫猫猫", 4), "猫…");
        assert_eq!(shortened("a\x1b[2J\n", 20), "a\\u{1b}[2J\\n");
        assert_eq!(shortened("", 5), "");
        assert!(shortened(&"\u{301}".repeat(1_000_000), 10).len() < 1000);
    }
}
