//! Which pieces a text begins with.

/// Pieces in the order of their bytes, each with a value.
#[derive(Debug)]
pub(super) struct Prefixes<T> {
    entries: Vec<(Box<[u8]>, T)>,
}

impl<T: Copy> Prefixes<T> {
    pub(super) fn new<'a>(pieces: impl Iterator<Item = (&'a str, T)>) -> Self {
        let mut entries: Vec<_> = pieces.map(|(piece, value)| (piece.as_bytes().into(), value)).collect();
        entries.sort_unstable_by(|(a, _): &(Box<[u8]>, T), (b, _)| a.cmp(b));
        Self { entries }
    }

    /// The pieces that the text begins with, shortest first: their lengths and values.
    pub(super) fn of<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = (usize, T)> + 'a {
        let mut left = self.entries.as_slice();
        let bytes = text.iter().enumerate().map_while(move |(depth, &byte)| {
            // All in `left` begin with the text's first `depth` bytes; a piece that ends here comes first.
            let from = left.partition_point(|(piece, _)| piece.get(depth) < Some(&byte));
            left = left.get(from..)?;
            let length = left.partition_point(|(piece, _)| piece.get(depth) == Some(&byte));
            left = left.get(..length)?;
            let (piece, value) = left.first()?;
            Some((piece.len() == depth + 1).then_some((depth + 1, *value)))
        });
        bytes.flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::Prefixes;

    #[test]
    fn prefixes_are_those_that_the_text_begins_with() {
        let pieces = ["a", "ab", "abcd", "b", "bc", "é", "éa", "\u{e8}", "abce", "zz"];
        let prefixes = Prefixes::new(pieces.into_iter().zip(0..));
        for text in ["", "a", "abcd", "abce", "abc", "bc", "éab", "è", "z", "zzz", "q", "aab"] {
            let mut expected: Vec<(usize, i32)> = pieces
                .into_iter()
                .zip(0..)
                .filter(|(piece, _)| text.starts_with(piece))
                .map(|(p, v)| (p.len(), v))
                .collect();
            expected.sort_unstable();
            assert_eq!(prefixes.of(text.as_bytes()).collect::<Vec<_>>(), expected, "{text}");
        }
        let none = Prefixes::<()>::new([].into_iter());
        assert_eq!(none.of(b"a").count(), 0);
    }
}
