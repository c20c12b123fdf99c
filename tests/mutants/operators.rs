//! Faults made by operators: each changes a few tokens of a module's code in a way that is nearly always a fault. A kernel
//! has them without a list of its own.

use std::ops::Range;

use crate::code::{Code, Kind, Line, Live, binds};

/// A change at one place of a module's text.
#[derive(Clone)]
pub struct Site {
    /// The file of `shaders/` that the place is in, without the folder and the ending.
    pub file: String,
    /// The same with the function, and with the number of the line among those of the function that are the same.
    pub place: String,
    /// The line, trimmed.
    pub line: String,
    pub operator: &'static str,
    /// What the changes of the lines that a `#for` writes out have in common: the file, the line with its numbers left out, the
    /// place in it, and the operator.
    pub key: String,
    range: Range<usize>,
    with: String,
}

impl Site {
    /// Whether it changes what runs.
    pub fn is_live(&self, live: &Live) -> bool {
        // What constants decide is decided the other way, and no more.
        let changes = match (live.decided(self.range.start), self.operator) {
            (Some(holds), "always") => !holds,
            (Some(holds), "never") => holds,
            (Some(_), _) => false,
            (None, _) => true,
        };
        changes && live.has(self.range.start)
    }

    pub fn plant(&self, text: &str) -> String {
        [&text[..self.range.start], &self.with, &text[self.range.end..]].concat()
    }

    /// What is changed to what.
    pub fn change(&self, text: &str) -> String {
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        // Of a member what it is one of, too.
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let before = text[..self.range.start].trim_end_matches(is_name).len();
        let owner = &text[before..self.range.start];
        format!("`{}` → `{}`", flat(&text[before..self.range.end]), flat(&format!("{owner}{}", self.with)))
    }
}

/// All changes of a module's code, in the order of the text.
pub fn sites(code: &Code<'_>) -> Vec<Site> {
    let mut sites = Vec::new();
    for body in code.bodies().into_values() {
        for at in body {
            code.expressions(at, &mut sites);
            code.statements(at, &mut sites);
        }
    }
    // `| (a & 0u)` keeps bits from being a constant.
    let hidden: Vec<Range<usize>> = code.hidden();
    sites.retain(|site| !hidden.iter().any(|bytes| bytes.contains(&site.range.start)));
    sites.sort_by_key(|site| site.range.start);
    sites
}

/// Names that look like a call's and are none.
const NO_CALLS: [&str; 5] = ["if", "for", "switch", "return", "else"];
const TYPES: [&str; 7] = ["f16", "f32", "i32", "u32", "vec2", "vec3", "vec4"];
/// Names that a statement other than an assignment or a call begins with.
const NO_STATEMENTS: [&str; 13] = [
    "let", "var", "const", "return", "if", "else", "for", "switch", "case", "default", "break", "continue",
    "fn",
];

impl Code<'_> {
    fn add(&self, sites: &mut Vec<Site>, operator: &'static str, tokens: Range<usize>, with: String) {
        let line = self.tokens[tokens.start].line;
        self.add_at(sites, operator, line, tokens.start, self.bytes(tokens), with);
    }

    fn add_at(
        &self,
        sites: &mut Vec<Site>,
        operator: &'static str,
        line: usize,
        token: usize,
        range: Range<usize>,
        with: String,
    ) {
        let Line { file, text, first, shape, function, ordinal } = &self.lines[line];
        sites.push(Site {
            file: (*file).to_owned(),
            place: format!(
                "{file} {function}{}",
                if *ordinal > 0 { format!(" {}", ordinal + 1) } else { String::new() }
            ),
            line: (*text).to_owned(),
            operator,
            key: format!("{file}|{function}|{shape}|{ordinal}|{}|{operator}", token.wrapping_sub(*first)),
            range,
            with,
        });
    }

    /// The changes of the expression that begins or has its sign at that place.
    fn expressions(&self, at: usize, sites: &mut Vec<Site>) {
        let token = &self.tokens[at];
        if token.in_type || self.steps.contains(&at) {
            return;
        }
        let replace = |sites: &mut Vec<Site>, operator, with: String| {
            self.add(sites, operator, at..at + 1, with);
        };
        match token.kind {
            Kind::Float => match token.text {
                "0.0" => replace(sites, "another number", "1.0".to_owned()),
                "1.0" => replace(sites, "another number", "0.0".to_owned()),
                _ => {}
            },
            Kind::Integer => {
                let digits = token.text.trim_end_matches('u');
                if let Ok(number) = digits.parse::<u32>() {
                    let suffix = &token.text[digits.len()..];
                    replace(sites, "another number", format!("{}{suffix}", number + 1));
                }
            }
            Kind::Name => self.names(at, sites),
            Kind::Sign if self.is(at, "[") && self.is_between(at) => {
                let index = at + 1..self.partner[&at];
                let with = format!("({}) + 1u", self.words(index.clone()));
                self.add(sites, "the next index", index, with);
            }
            Kind::Sign if binds(token.text) > 0 && self.is_between(at) => self.operations(at, sites),
            Kind::Sign if ["-", "!"].contains(&token.text) => {
                replace(sites, "no sign", String::new());
            }
            Kind::Sign => {}
        }
    }

    fn names(&self, at: usize, sites: &mut Vec<Site>) {
        let name = self.at(at);
        let is_member = self.before(at) == ".";
        let is_declared = ["let", "var", "fn"].contains(&self.before(at)) || self.is(at + 1, ":");
        if is_declared {
            return;
        }
        let mut replace = |operator, with: String| self.add(sites, operator, at..at + 1, with);
        if is_member {
            let other = match name {
                "x" => "y",
                "y" => "x",
                "z" => "w",
                "w" => "z",
                "xy" => "zw",
                "zw" => "xy",
                _ => "",
            };
            if !other.is_empty() {
                replace("another component", other.to_owned());
            }
        }
        let is_field = is_member && at > 1 && self.is(at - 2, "parameters");
        let is_buffer = !is_member && self.is(at + 1, "[");
        if let (Some(other), true) = (self.others.get(&(is_field, name)), is_field || is_buffer) {
            replace(if is_field { "another parameter" } else { "another buffer" }, (*other).to_owned());
        }
        let stem = name.trim_end_matches(|last: char| last.is_ascii_digit());
        let is_type = TYPES.contains(&name);
        if let (Ok(number), false) = (name[stem.len()..].parse::<u32>(), is_type) {
            replace("the neighbour", format!("{stem}{}", number ^ 1));
        }
        let is_call = self.is(at + 1, "(")
            && !NO_CALLS.contains(&name)
            && !TYPES.contains(&name)
            && !name.starts_with(char::is_uppercase);
        if is_call && !is_member {
            match name {
                "subgroupMax" => replace("another reduction", "subgroupMin".to_owned()),
                "subgroupMin" => replace("another reduction", "subgroupMax".to_owned()),
                "subgroupAdd" => replace("another reduction", "subgroupInclusiveAdd".to_owned()),
                _ => {}
            }
            let end = self.partner[&(at + 1)];
            let arguments = self.arguments(at + 1);
            if let Some(first) = arguments.first() {
                self.add(sites, "the first argument alone", at..end + 1, self.grouped(first));
            }
            if let (Some(second), "min" | "max" | "select") = (arguments.get(1), name) {
                self.add(sites, "the second argument alone", at..end + 1, self.grouped(second));
            }
        }
    }

    fn grouped(&self, tokens: &Range<usize>) -> String {
        let words = self.words(tokens.clone());
        if tokens.len() > 1 { format!("({words})") } else { words.to_owned() }
    }

    /// The changes of a sign between two operands.
    fn operations(&self, at: usize, sites: &mut Vec<Site>) {
        let (left, right) = (self.left(at)..at, at + 1..self.right(at));
        let in_head = self.heads.contains(&at);
        let sign = self.at(at);
        let mut replace = |operator, with: &str| self.add(sites, operator, at..at + 1, with.to_owned());
        let has_float = left.clone().chain(right.clone()).any(|at| self.tokens[at].kind == Kind::Float);
        match sign {
            "==" => replace("the other comparison", "!="),
            "!=" => replace("the other comparison", "=="),
            // Of floats they hardly ever differ.
            _ if binds(sign) == 4 && has_float => {}
            "<" => replace("one further", "<="),
            "<=" => replace("one less far", "<"),
            // A loop that goes down to 0 would not end.
            ">" if !in_head => replace("one further", ">="),
            ">=" => replace("one less far", ">"),
            "+" if !in_head => replace("minus for plus", "-"),
            "-" if !in_head => replace("plus for minus", "+"),
            "/" => replace("the rest", "%"),
            "%" => replace("the quotient", "/"),
            _ => {}
        }
        let line = self.tokens[at].line;
        let end = |tokens: &Range<usize>| self.bytes(tokens.clone()).end;
        // For u32 alone: others are no valid module.
        let side = match sign {
            "<" | ">=" => Some(&left),
            ">" | "<=" => Some(&right),
            _ => None,
        };
        if let (Some(side), false) = (side, has_float) {
            self.add_at(sites, "off by one", line, at, end(side)..end(side), " + 1u".to_owned());
        }
        if ["+", "-", "*", "/", "%", "<<", ">>", "&", "|", "^", "&&", "||"].contains(&sign) {
            let range = end(&left)..end(&right);
            self.add_at(sites, "no right operand", line, at, range, String::new());
        }
        let is_first = !left.clone().any(|other| {
            self.depth(left.start, other) == 0
                && !self.tokens[other].in_type
                && self.is_between(other)
                && binds(self.at(other)) == binds(sign)
        });
        if ["+", "*", "&", "|", "^", "&&", "||"].contains(&sign) && is_first {
            let range = self.bytes(left.clone()).start..self.bytes(right).start;
            self.add_at(sites, "no left operand", line, at, range, String::new());
        }
    }

    /// How many brackets are open at a place that were not at another.
    fn depth(&self, from: usize, at: usize) -> usize {
        (from..at)
            .filter(|open| self.partner.get(open).is_some_and(|close| *close > *open && *close >= at))
            .count()
    }

    /// The changes of the statement that begins at that place.
    fn statements(&self, at: usize, sites: &mut Vec<Site>) {
        if self.heads.contains(&at) || self.tokens[at].kind != Kind::Name {
            return;
        }
        if self.is(at, "if") {
            let condition = at + 2..self.partner[&(at + 1)];
            for (operator, with) in [("always", "true"), ("never", "false")] {
                self.add(sites, operator, condition.clone(), with.to_owned());
            }
        }
        if [";", "{", "}"].contains(&self.before(at)) && !NO_STATEMENTS.contains(&self.at(at)) {
            let end = (at..self.tokens.len()).find(|at| [";", "{", "}"].contains(&self.at(*at)));
            if let Some(end) = end.filter(|end| self.is(*end, ";")) {
                self.add(sites, "left out", at..end + 1, String::new());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Code, sites};

    const TEXT: &str = "
// shaders/family/name.wgsl
fn unused() {
    f(1u);
}

fn main() {
    if (WIDE) {
        y[i] = a - b * 2.5;
    }
    for (var k = 0u; k < n; k = k + 1u) {
        s1 += max(x, vec2<u32>(y)).x; // a comment + 1
    }
}
";

    fn changes(text: &str, wide: u32) -> Vec<String> {
        let code = Code::new(text);
        let live = code.live(&BTreeMap::from([("WIDE".to_owned(), wide)]));
        let sites = sites(&code);
        let live = sites.iter().filter(|site| site.is_live(&live));
        live.map(|site| format!("{} {}", site.operator, site.change(text))).collect()
    }

    #[test]
    fn operators_change_what_runs() {
        let of_loop = [
            "another number `0u` → `1u`",
            "off by one `k` → `k + 1u`",
            "one further `<` → `<=`",
            "the neighbour `s1` → `s0`",
            "left out `s1 += max(x, vec2<u32>(y)).x;` → ``",
            "the first argument alone `max(x, vec2<u32>(y))` → `x`",
            "the second argument alone `max(x, vec2<u32>(y))` → `(vec2<u32>(y))`",
            "another component `.x` → `.y`",
        ];
        let of_branch = [
            "never `WIDE` → `false`",
            "left out `y[i] = a - b * 2.5;` → ``",
            "the next index `i` → `(i) + 1u`",
            "no right operand `a - b * 2.5` → `a`",
            "plus for minus `-` → `+`",
            "no left operand `b *` → ``",
            "no right operand `b * 2.5` → `b`",
        ];
        let sorted = |changes: Vec<String>| {
            let mut changes = changes;
            changes.sort();
            changes
        };
        let wanted = |first: &[&str]| {
            sorted(first.iter().chain(&of_loop).map(|change| (*change).to_owned()).collect())
        };
        assert_eq!(sorted(changes(TEXT, 1)), wanted(&of_branch));
        assert_eq!(sorted(changes(TEXT, 0)), wanted(&["always `WIDE` → `true`"]));
    }

    #[test]
    fn nothing_is_changed_behind_what_returns() {
        let text = "
fn main() {
    if (WIDE > 0u) {
        f();
        return;
    }
    g();
}
";
        assert_eq!(changes(text, 1), ["never `WIDE > 0u` → `false`", "left out `f();` → ``"]);
        assert_eq!(changes(text, 0), ["always `WIDE > 0u` → `true`", "left out `g();` → ``"]);
    }

    #[test]
    fn a_change_is_one_of_the_text() {
        let code = Code::new(TEXT);
        let site = sites(&code).into_iter().find(|site| site.operator == "one further").unwrap();
        assert_eq!(site.plant(TEXT), TEXT.replace("k < n", "k <= n"));
        assert_eq!((site.file.as_str(), site.place.as_str()), ("family/name", "family/name main"));
    }
}
