//! Rows: texts with the places that they have.

use attentive::Error;

/// One text, or why there is none.
#[derive(Debug, PartialEq)]
pub struct Row {
    /// From 1, in the file; for arguments their place.
    pub line: u64,
    pub text: Result<String, String>,
}

/// Leaves out the rows that the model cannot answer, with the reason in their place.
pub fn check_rows(rows: &mut [Row], check: impl Fn(&str) -> attentive::Result<()>) {
    refuse_rows(rows, |text| check(text).err().map(|error| reason(&error)));
}

/// Leaves out the rows of which something is wrong, with that in their place.
pub fn refuse_rows(rows: &mut [Row], wrong: impl Fn(&str) -> Option<String>) {
    for row in rows {
        if let Some(problem) = row.text.as_deref().ok().and_then(&wrong) {
            row.text = Err(problem);
        }
    }
}

/// An error about one text, without the op and the number that the list of one gave it.
fn reason(error: &Error) -> String {
    match error.root() {
        Error::Argument { argument, expected, found, .. } => {
            let argument = argument.trim_end_matches(" 0").trim_end_matches(" of pair");
            format!("the {} must be {expected}, but is {found}", argument.trim_start_matches("the "))
        }
        Error::Tokenize { problem, .. } => problem.clone(),
        error => error.to_string(),
    }
}
