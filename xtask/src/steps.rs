//! Steps, timed, with a table at the end.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::Result;

struct Row {
    name: String,
    took: Duration,
    failed: Option<String>,
}

#[derive(Default)]
pub struct Steps(Vec<Row>);

/// The heading above a step's output.
pub fn heading(text: &str) {
    println!("\n==> {text}");
}

impl Steps {
    /// Runs a step, notes how it ended, and returns what it made.
    pub fn run<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Option<T> {
        heading(name);
        let start = Instant::now();
        let (made, failed) = match step() {
            Ok(made) => (Some(made), None),
            Err(problem) => {
                println!("{name} failed: {problem}");
                (None, Some(problem))
            }
        };
        self.0.push(Row { name: name.into(), took: start.elapsed(), failed });
        made
    }

    /// The table and the last line, `N passed, N failed`.
    pub fn table(&self) -> String {
        let failed = self.0.iter().filter(|row| row.failed.is_some()).count();
        let width = self.0.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max(4);
        let mut table = format!("{:width$}  result  seconds\n", "step");
        for row in &self.0 {
            let result = if row.failed.is_some() { "FAILED" } else { "passed" };
            table += &format!("{:width$}  {result}  {:7.1}", row.name, row.took.as_secs_f64());
            // The rest of a long message was printed where it happened.
            if let Some(problem) = &row.failed {
                table += &format!("  {}", problem.lines().next().unwrap_or_default());
            }
            table.push('\n');
        }
        table + &format!("\n{} passed, {failed} failed", self.0.len() - failed)
    }

    /// Prints the table; nothing comes after it. Failure where a step failed.
    pub fn finish(self) -> ExitCode {
        heading("summary");
        println!("{}", self.table());
        if self.0.iter().any(|row| row.failed.is_some()) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ends_with_the_count() {
        let mut steps = Steps::default();
        assert_eq!(steps.run("clippy", || Ok(7)), Some(7));
        assert_eq!(steps.run::<()>("test", || Err("one\ntwo".into())), None);
        let table = steps.table();
        assert_eq!(table.lines().last(), Some("1 passed, 1 failed"));
        assert!(table.contains("clippy  passed      0.0\n"), "{table}");
        assert!(table.contains("test    FAILED      0.0  one\n"), "{table}");
        assert_eq!(steps.finish(), ExitCode::FAILURE);
    }

    #[test]
    fn nothing_failed() {
        let mut steps = Steps::default();
        steps.run("fmt", || Ok(()));
        assert_eq!(steps.table().lines().last(), Some("1 passed, 0 failed"));
        assert_eq!(steps.finish(), ExitCode::SUCCESS);
    }
}
