//! Data, notices and failures, and where each goes.

mod answers;
mod bad_rows;
pub mod by_length;
mod finite;
pub mod npy;
mod pending;
mod png;
mod standard;
mod table;
mod target;
mod whole_file;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use attentive::Error;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use self::png::png;
pub use answers::{Answers, objects};
pub use bad_rows::{BadRows, NAMED_ROWS};
pub use by_length::ByLength;
pub use finite::NotFinite;
pub use pending::lock_folder;
#[cfg(target_os = "linux")]
pub use standard::hand_on;
pub use standard::stdout;
pub use table::{Align, Table, shortened};
pub use target::{Target, Writer, extension, is_stdout};
use whole_file::WholeFile;

/// How a command ends other than well.
#[derive(Debug)]
pub enum Failure {
    /// The call was wrong: exit status 2.
    Usage(String),
    /// Something failed: exit status 1.
    Failed(String),
    /// Something disagreed or failed, and that was said already: exit status 1.
    Said,
    /// Nobody reads our output any more, as when `head` has its lines: exit status 0, unless the status is what was asked for.
    Closed,
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub fn report(self) -> ExitCode {
        let (text, code) = match self {
            Self::Usage(text) => (text, 2),
            Self::Failed(text) => (text, 1),
            Self::Said => return ExitCode::from(1),
            Self::Closed => return ExitCode::SUCCESS,
        };
        say(format_args!("{}: {text}", paint(io::stderr().is_terminal(), RED, "error")));
        ExitCode::from(code)
    }

    /// An error of the system on a file.
    pub fn file(path: &Path, error: impl Display) -> Self {
        Self::Failed(format!("{}: {error}", path.display()))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::DeviceSpec { .. } | Error::Variable { .. } => Self::Usage(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

/// A line on stderr. A closed stderr is no reason to stop.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Something that the user should know, on stderr.
pub fn note(text: impl Display) {
    say(format_args!("{}: {text}", paint(io::stderr().is_terminal(), YELLOW, "note")));
}

/// Writes to stdout.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = standard::stdout()?;
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(stdout_failure)
}

pub fn stdout_failure(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Failed(format!("standard output: {error}")),
    }
}

pub const RED: anstyle::AnsiColor = anstyle::AnsiColor::Red;
pub const GREEN: anstyle::AnsiColor = anstyle::AnsiColor::Green;
pub const YELLOW: anstyle::AnsiColor = anstyle::AnsiColor::Yellow;

/// The text in bold and in that colour, where a terminal shows it and NO_COLOR does not forbid it.
pub fn paint(terminal: bool, color: anstyle::AnsiColor, text: &str) -> String {
    if !terminal || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return text.to_owned();
    }
    let style = color.on_default().bold();
    format!("{style}{text}{style:#}")
}

/// [`paint`] for stdout.
pub fn painted(color: anstyle::AnsiColor, text: &str) -> String {
    paint(io::stdout().is_terminal(), color, text)
}

/// A bar on stderr, if that is a terminal.
pub fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}, {elapsed}");
    let bar = ProgressBar::no_length();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Shows how much is done.
pub fn advance(bar: &ProgressBar, done: usize, total: usize) {
    bar.set_length(total as u64);
    bar.set_position(done as u64);
}

/// `1 text`, `2 texts`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number as u64), if number == 1 { "" } else { "s" })
}

/// 1234567 as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest binary unit that fits.
pub fn bytes(number: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| number >= *unit) {
        Some((unit, name)) if number.is_multiple_of(unit) => format!("{} {name}", number / unit),
        Some((unit, name)) => format!("{:.1} {name}", number as f64 / unit as f64),
        None => format!("{number} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1234567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([12, 16384, 134217728, 1536 << 20].map(bytes), ["12 B", "16 KiB", "128 MiB", "1.5 GiB"]);
        assert_eq!(count(1, "text"), "1 text");
    }
}
