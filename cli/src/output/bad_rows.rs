//! Rows of the input that have no text, told on stderr.

use super::{Failure, Result, count, note, say};
use crate::input::Row;

/// Rows that are named before it says how many more there are; texts that were cut, too.
pub const NAMED_ROWS: usize = 10;

/// The rows that could not be read or that the model cannot take, which make the exit status 1.
#[derive(Default)]
#[must_use]
pub struct BadRows {
    bad: usize,
    rows: usize,
}

impl BadRows {
    /// Names them, and says how many more there are.
    pub fn say(rows: &[Row]) -> Self {
        let mut bad = Self::default();
        bad.add(rows);
        bad.say_rest();
        bad
    }

    /// Names those of the next rows.
    pub fn add(&mut self, rows: &[Row]) {
        for row in rows {
            let Err(problem) = &row.text else { continue };
            if self.bad < NAMED_ROWS {
                say(format_args!("line {}: {problem}", row.line));
            }
            self.bad += 1;
        }
        self.rows += rows.len();
    }

    /// Says how many were not named, after all rows.
    pub fn say_rest(&self) {
        if self.bad > NAMED_ROWS {
            say(format_args!("and {} more", count(self.bad - NAMED_ROWS, "such line")));
        }
    }

    /// Says how many were not `done`, such as `answered`, and fails if there are any.
    pub fn end(self, done: &str) -> Result<()> {
        if self.bad == 0 {
            return Ok(());
        }
        note(format_args!("{} of {} not {done}", self.bad, count(self.rows, "row")));
        Err(Failure::Said)
    }
}
