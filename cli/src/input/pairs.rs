//! Pairs of sentences: lines that a tab parts.

use super::row::{Row, refuse_rows};

/// The two sentences of a line.
pub fn parted(line: &str) -> Result<(&str, &str), String> {
    match line.split('\t').collect::<Vec<_>>().as_slice() {
        &[first, second] => Ok((first, second)),
        parts => Err(format!("it must have 2 sentences, parted by a tab, but has {}", parts.len())),
    }
}

/// Makes lines of pairs whose parts are not two into bad rows.
pub fn expect_pairs(rows: &mut [Row]) {
    refuse_rows(rows, |line| parted(line).err());
}

#[cfg(test)]
mod tests {
    use super::parted;

    #[test]
    fn pairs_are_parted_by_one_tab() {
        assert_eq!(parted("a b\tc"), Ok(("a b", "c")));
        assert!(
            parted("a").unwrap_err().contains("has 1") && parted("a\tb\tc").unwrap_err().contains("has 3")
        );
    }
}
