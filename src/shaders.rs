//! The texts of `shaders/`, and how a module is put together from them. It knows neither kernels nor devices, so that both can
//! look at it: a tuning is told from others by a hash of these texts.
//!
//! Two kinds of lines are not WGSL. An import takes a file of `shaders/shared/`, once in each module, where its conditions hold:
//!
//! ```text
//! #import indexing
//! #import linear/weight_f16 if HALF_WEIGHTS && f16
//! #import matrices/matrices_8 if SIDE == 8
//! ```
//!
//! A condition is a constant of the variant (one that it lacks is an error), or in small letters an extension that it enables or
//! the name of its implementation. A loop is written out, with `{i}`, `{i+1}`, `{i*8}`, `{i/8}` and `{i%8}` as numbers:
//!
//! ```text
//! #for i in 0..4
//!     var sums{i} = vec4<f32>();
//! #end
//! ```

use std::collections::BTreeSet;

use crate::fnv;

/// All files, by their paths below `shaders/` without the ending, in order.
static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shader_files.rs"));

/// The text of a file. In a constant, a file that is not there does not compile.
pub(crate) const fn text(name: &str) -> &'static str {
    let mut place = 0;
    while place < FILES.len() {
        if equal(FILES[place].0.as_bytes(), name.as_bytes()) {
            return FILES[place].1;
        }
        place += 1;
    }
    panic!("shaders/ has no file of that name")
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut place = 0;
    while place < a.len() {
        if a[place] != b[place] {
            return false;
        }
        place += 1;
    }
    true
}

fn shared(name: &str) -> Option<(&'static str, &'static str)> {
    let path = format!("shared/{name}");
    let place = FILES.binary_search_by(|(known, _)| (*known).cmp(path.as_str())).ok()?;
    Some((&FILES[place].0["shared/".len()..], FILES[place].1))
}

/// Tells all texts from others: what is measured with others may hold no longer.
pub(crate) fn hash() -> u64 {
    static HASH: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *HASH.get_or_init(|| fnv::hash(FILES.iter().flat_map(|(name, text)| name.bytes().chain(text.bytes()))))
}

/// A variant, as far as conditions can ask about it.
pub(crate) trait Facts {
    /// The value of a constant, a `bool` as 0 or 1; `None` where there is no such constant.
    fn constant(&self, name: &str) -> Option<u32>;

    /// Whether that is an extension that it enables, or its implementation's name.
    fn is(&self, word: &str) -> bool;
}

/// A file of `shaders/shared/` in a module.
pub(crate) struct Imported {
    /// Its path below `shaders/shared/`, without the ending.
    pub name: &'static str,
    text: &'static str,
}

/// The shared files that a text takes, each behind those that it takes itself.
///
/// # Errors
/// The fault of an import, as a sentence.
pub(crate) fn imports(text: &str, facts: &dyn Facts) -> Result<Vec<Imported>, String> {
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    collect(text, facts, &mut seen, &mut found)?;
    Ok(found)
}

fn collect(
    text: &str,
    facts: &dyn Facts,
    seen: &mut BTreeSet<&'static str>,
    found: &mut Vec<Imported>,
) -> Result<(), String> {
    for line in text.lines() {
        let Some(import) = line.trim().strip_prefix("#import ") else { continue };
        let (name, condition) = import.split_once(" if ").unwrap_or((import, ""));
        let holds = condition.split("&&").map(str::trim).filter(|condition| !condition.is_empty());
        let mut holds = holds.map(|condition| holds_for(condition, facts));
        if !holds
            .try_fold(true, |all, one| one.map(|one| all && one))
            .map_err(|problem| format!("`{line}`: {problem}"))?
        {
            continue;
        }
        let Some((name, text)) = shared(name.trim()) else {
            return Err(format!("`{line}`: shaders/shared/ has no file `{}`", name.trim()));
        };
        if seen.insert(name) {
            collect(text, facts, seen, found)?;
            found.push(Imported { name, text });
        }
    }
    Ok(())
}

fn holds_for(condition: &str, facts: &dyn Facts) -> Result<bool, String> {
    let (name, expected) = match condition.split_once("==") {
        Some((name, value)) => {
            let value = value.trim();
            let number = value.parse::<u32>().map_err(|_| format!("`{value}` is no number"))?;
            (name.trim(), Some(number))
        }
        None => (condition, None),
    };
    let (name, wanted) = name.strip_prefix('!').map_or((name, true), |name| (name, false));
    if !name.starts_with(|first: char| first.is_ascii_uppercase()) {
        return Ok(facts.is(name) == wanted);
    }
    let value = facts.constant(name).ok_or_else(|| format!("the variant has no constant `{name}`"))?;
    Ok(expected.map_or(value != 0, |expected| value == expected) == wanted)
}

/// Appends the module of a text: the files that it takes, and itself under that name.
///
/// # Errors
/// The fault of an import or a loop, as a sentence.
pub(crate) fn append(module: &mut String, name: &str, text: &str, facts: &dyn Facts) -> Result<(), String> {
    for imported in imports(text, facts)? {
        module.push_str(&format!("\n// shaders/shared/{}.wgsl\n", imported.name));
        write_out(module, imported.text)?;
    }
    module.push_str(&format!("\n// shaders/{name}.wgsl\n"));
    write_out(module, text)
}

/// Appends a text without its imports, with its loops written out.
fn write_out(module: &mut String, text: &str) -> Result<(), String> {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if trimmed.starts_with("#import ") {
            continue;
        }
        let Some(head) = trimmed.strip_prefix("#for ") else {
            module.push_str(line);
            module.push('\n');
            continue;
        };
        let (name, numbers) = loop_of(head).ok_or_else(|| format!("`{trimmed}` is not `#for i in 0..4`"))?;
        let mut body = Vec::new();
        loop {
            match lines.next() {
                Some(line) if line.trim() == "#end" => break,
                Some(line) => body.push(line),
                None => return Err(format!("`{trimmed}` has no `#end`")),
            }
        }
        for number in numbers {
            for line in &body {
                module.push_str(&numbered(line, name, number));
                module.push('\n');
            }
        }
    }
    Ok(())
}

fn loop_of(head: &str) -> Option<(&str, std::ops::Range<u32>)> {
    let (name, range) = head.split_once(" in ")?;
    let (first, end) = range.split_once("..")?;
    Some((name.trim(), first.trim().parse().ok()?..end.trim().parse().ok()?))
}

/// A line with each `{i}`, `{i+1}` and the like as a number; other braces stay.
fn numbered(line: &str, name: &str, number: u32) -> String {
    let mut written = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        written.push_str(before);
        let value =
            from.find('}').and_then(|close| Some((value_of(from.get(1..close)?, name, number)?, close)));
        match value {
            Some((value, close)) => {
                written.push_str(&value.to_string());
                rest = &from[close + 1..];
            }
            None => {
                written.push('{');
                rest = &from[1..];
            }
        }
    }
    written + rest
}

fn value_of(expression: &str, name: &str, number: u32) -> Option<u32> {
    let operation = expression.strip_prefix(name)?;
    let Some(operator) = operation.chars().next() else { return Some(number) };
    let operand: u32 = operation.get(operator.len_utf8()..)?.parse().ok()?;
    match operator {
        '+' => number.checked_add(operand),
        '*' => number.checked_mul(operand),
        '/' => number.checked_div(operand),
        '%' => number.checked_rem(operand),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Half;

    impl Facts for Half {
        fn constant(&self, name: &str) -> Option<u32> {
            [("HALF", 1), ("WIDE", 0), ("SIDE", 8)]
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| *value)
        }

        fn is(&self, word: &str) -> bool {
            ["f16", "tiled"].contains(&word)
        }
    }

    fn names(text: &str) -> Result<Vec<&'static str>, String> {
        imports(text, &Half).map(|files| files.iter().map(|file| file.name).collect())
    }

    #[test]
    fn a_file_comes_once_behind_those_that_it_takes() {
        let found = names("#import activation\n#import is_nan\n#import tanh\n").unwrap();
        assert_eq!(found.iter().filter(|name| **name == "is_nan").count(), 1, "{found:?}");
        assert_eq!(found.last(), Some(&"activation"));
    }

    #[test]
    fn conditions_are_constants_extensions_and_implementations() {
        for (condition, holds) in [
            ("HALF", true),
            ("!HALF", false),
            ("WIDE", false),
            ("SIDE == 8", true),
            ("SIDE == 16", false),
            ("f16 && tiled && HALF", true),
            ("f16 && !tiled", false),
            ("subgroup", false),
        ] {
            assert_eq!(
                names(&format!("#import tanh if {condition}")).unwrap().len(),
                usize::from(holds),
                "{condition}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, word) in [
            ("#import nothing", "has no file `nothing`"),
            ("#import tanh if HEIGHT", "no constant `HEIGHT`"),
            ("#import tanh if SIDE == x", "`x` is no number"),
        ] {
            let problem = names(text).unwrap_err();
            assert!(problem.contains(word) && problem.contains(text), "{problem}");
        }
        let mut module = String::new();
        for text in ["#for i in 0..4\n", "#for i of 4\n#end\n", "#for i in 0..x\n#end\n"] {
            assert!(append(&mut module, "a", text, &Half).is_err(), "{text}");
        }
    }

    #[test]
    fn loops_are_written_out() {
        let mut module = String::new();
        let text = "if (a) { b(); }\n#for i in 0..2\n{ x{i} = y{i+1}[{i*8}u]; { } {j}\n#end\nend\n";
        write_out(&mut module, text).unwrap();
        assert_eq!(module, "if (a) { b(); }\n{ x0 = y1[0u]; { } {j}\n{ x1 = y2[8u]; { } {j}\nend\n");
    }

    #[test]
    fn files_are_in_order_so_that_they_are_found() {
        assert!(FILES.is_sorted_by(|a, b| a.0 < b.0) && FILES.len() > 80);
        assert!(FILES.iter().all(|(name, file)| std::ptr::eq(text(name), *file)));
    }
}
