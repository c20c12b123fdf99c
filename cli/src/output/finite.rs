//! Numbers that are none: NaN and infinity among the results, told with the texts that they belong to.

use std::io::IsTerminal;

use super::{Failure, RED, Result, count, paint, say, thousands};
use crate::input::Row;

/// Rows that are named before it says how many more there are.
const NAMED: usize = 10;

/// The rows whose results have a NaN or an infinity, which make the exit status 1.
#[must_use]
pub struct NotFinite(bool);

impl NotFinite {
    /// Names them on stderr. `found` are places among the rows that have a text, as the results come; `noun` is what a
    /// row is called, such as `line`.
    pub fn say(rows: &[Row], found: &[usize], noun: &str) -> Self {
        let lines: Vec<u64> = rows.iter().filter(|row| row.text.is_ok()).map(|row| row.line).collect();
        let named: Vec<u64> = found.iter().filter_map(|&place| lines.get(place).copied()).collect();
        Self::say_lines(&named, lines.len(), noun)
    }

    /// The same of the rows' lines themselves, among so many results.
    pub fn say_lines(named: &[u64], of: usize, noun: &str) -> Self {
        if let Some(text) = sentence(named, of, noun) {
            error(&text);
        }
        Self(!named.is_empty())
    }

    /// Of a result that belongs to no row.
    pub fn say_of(what: &str, is_finite: bool) -> Self {
        if !is_finite {
            error(&format!("{what} not finite (NaN or infinity)"));
        }
        Self(!is_finite)
    }

    /// Fails if there are any.
    pub fn end(self) -> Result<()> {
        if self.0 { Err(Failure::Said) } else { Ok(()) }
    }
}

fn error(text: &str) {
    say(format_args!("{}: {text}", paint(std::io::stderr().is_terminal(), RED, "error")));
}

/// `2 of 5 results are not finite (NaN or infinity; null in JSON): lines 2 and 4`; nothing where there are none.
fn sentence(named: &[u64], of: usize, noun: &str) -> Option<String> {
    let shown: Vec<String> = named.iter().take(NAMED).map(u64::to_string).collect();
    let (last, others) = shown.split_last()?;
    let more = named.len() - shown.len();
    let list = match (others, more) {
        ([], 0) => format!("{noun} {last}"),
        (others, 0) => format!("{noun}s {} and {last}", others.join(", ")),
        (_, more) => format!("{noun}s {} and {more} more", shown.join(", ")),
    };
    let are = if named.len() == 1 { "is" } else { "are" };
    let number = thousands(named.len() as u64);
    Some(format!(
        "{number} of {} {are} not finite (NaN or infinity; null in JSON): {list}",
        count(of, "result")
    ))
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn rows_are_named_up_to_ten() {
        assert_eq!(sentence(&[], 5, "line"), None);
        let said = |named: &[u64], of| sentence(named, of, "line").unwrap();
        assert_eq!(said(&[7], 1), "1 of 1 result is not finite (NaN or infinity; null in JSON): line 7");
        assert!(said(&[2, 4, 5], 9).ends_with("lines 2, 4 and 5"));
        let many: Vec<u64> = (1..=12).collect();
        assert!(said(&many, 2000).starts_with("12 of 2,000 results are"));
        assert!(said(&many, 20).ends_with("lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more"));
    }
}
