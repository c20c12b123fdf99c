//! Faults made by operators: each changes a few tokens of a module's code in a way that is nearly always a fault. A kernel
//! has them without a list of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

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
    pub fn plant(&self, text: &str) -> String {
        [&text[..self.range.start], &self.with, &text[self.range.end..]].concat()
    }

    /// What is changed to what.
    pub fn change(&self, text: &str) -> String {
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("`{}` → `{}`", flat(&text[self.range.clone()]), flat(&self.with))
    }
}

/// All changes of a module without its prelude, in the order of the text.
pub fn sites(text: &str) -> Vec<Site> {
    let code = Code::new(text);
    let mut sites = Vec::new();
    for body in code.reachable() {
        for at in body {
            code.expressions(at, &mut sites);
            code.statements(at, &mut sites);
        }
    }
    sites.sort_by_key(|site| site.range.start);
    sites
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Name,
    Integer,
    Float,
    Sign,
}

struct Token<'a> {
    kind: Kind,
    text: &'a str,
    at: usize,
    line: usize,
    /// Whether it is a bracket of a type's arguments, or between them.
    in_type: bool,
}

struct Line<'a> {
    file: &'a str,
    text: &'a str,
    first: usize,
    /// Its tokens without their numbers.
    shape: String,
    function: &'a str,
    /// How many lines of the function before it are the same to the letter.
    ordinal: usize,
}

struct Code<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    lines: Vec<Line<'a>>,
    /// Of each bracket that one that belongs to it, and of each `if` and `for` the brace behind its head.
    partner: BTreeMap<usize, usize>,
    /// Tokens of the heads of loops, and those that are their last parts: without these a loop does not end.
    heads: BTreeSet<usize>,
    steps: BTreeSet<usize>,
    /// Of each field of the parameters (true) and each buffer the next one of its type.
    others: BTreeMap<(bool, &'a str), &'a str>,
}

const SIGNS: [&str; 17] =
    ["<<=", ">>=", "&&", "||", "<<", ">>", "<=", ">=", "==", "!=", "->", "+=", "-=", "*=", "/=", "|=", "&="];
/// Names that look like a call's and are none.
const NO_CALLS: [&str; 5] = ["if", "for", "switch", "return", "else"];
const TYPES: [&str; 7] = ["f16", "f32", "i32", "u32", "vec2", "vec3", "vec4"];
/// Names that a statement other than an assignment or a call begins with.
const NO_STATEMENTS: [&str; 13] = [
    "let", "var", "const", "return", "if", "else", "for", "switch", "case", "default", "break", "continue",
    "fn",
];

/// How closely a sign between two operands binds them; 0 where it is none.
fn binds(sign: &str) -> u8 {
    match sign {
        "*" | "/" | "%" => 7,
        "+" | "-" => 6,
        "<<" | ">>" => 5,
        "<" | "<=" | ">" | ">=" | "==" | "!=" => 4,
        "&" | "|" | "^" => 3,
        "&&" => 2,
        "||" => 1,
        _ => 0,
    }
}

impl<'a> Code<'a> {
    fn new(text: &'a str) -> Self {
        let (tokens, lines) = read(text);
        let mut code = Self {
            text,
            tokens,
            lines,
            partner: BTreeMap::new(),
            heads: BTreeSet::new(),
            steps: BTreeSet::new(),
            others: BTreeMap::new(),
        };
        let mut open = Vec::new();
        for at in 0..code.tokens.len() {
            match code.at(at) {
                "(" | "[" | "{" => open.push(at),
                ")" | "]" | "}" => {
                    let from = open.pop().unwrap_or(0);
                    code.partner.extend([(from, at), (at, from)]);
                }
                _ => {}
            }
        }
        for at in (0..code.tokens.len()).filter(|at| code.is(*at, "for")).collect::<Vec<_>>() {
            let head = at + 1..code.partner[&(at + 1)];
            let last = head.clone().rev().find(|at| code.is(*at, ";")).unwrap_or(head.end);
            code.heads.extend(head.clone());
            code.steps.extend(last..head.end);
        }
        code.others = code.others();
        code
    }

    fn at(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.at(at) == text
    }

    fn before(&self, at: usize) -> &'a str {
        at.checked_sub(1).map_or("", |before| self.at(before))
    }

    /// The bytes of some tokens.
    fn bytes(&self, tokens: Range<usize>) -> Range<usize> {
        let last = &self.tokens[tokens.end - 1];
        self.tokens[tokens.start].at..last.at + last.text.len()
    }

    fn words(&self, tokens: Range<usize>) -> &'a str {
        &self.text[self.bytes(tokens)]
    }

    fn others(&self) -> BTreeMap<(bool, &'a str), &'a str> {
        let mut types: BTreeMap<(bool, String), Vec<&'a str>> = BTreeMap::new();
        for at in 0..self.tokens.len() {
            if self.is(at, "struct") && self.is(at + 1, "Parameters") {
                for field in at + 3..self.partner[&(at + 2)] {
                    if self.is(field + 1, ":") {
                        types.entry((true, self.at(field + 2).to_owned())).or_default().push(self.at(field));
                    }
                }
            }
            if self.is(at, "var") && self.is(at + 2, "storage") {
                let Some(colon) = (at..self.tokens.len()).find(|at| self.is(*at, ":")) else { continue };
                let Some(end) = (colon..self.tokens.len()).find(|at| self.is(*at, ";")) else { continue };
                let kind = format!("{}{}", self.words(at..colon - 1), self.words(colon..end));
                types.entry((false, kind)).or_default().push(self.at(colon - 1));
            }
        }
        let mut others = BTreeMap::new();
        for ((is_field, _), names) in &types {
            for (name, next) in
                names.iter().zip(names.iter().cycle().skip(1)).filter(|(name, next)| name != next)
            {
                others.insert((*is_field, *name), *next);
            }
        }
        others
    }

    /// The tokens of the bodies of `main` and of the functions that it comes to.
    fn reachable(&self) -> Vec<Range<usize>> {
        let mut bodies = BTreeMap::new();
        for at in (0..self.tokens.len()).filter(|at| self.is(*at, "fn")) {
            let open = (self.partner[&(at + 2)]..).find(|at| self.is(*at, "{")).unwrap_or(at);
            bodies.insert(self.at(at + 1), open + 1..self.partner[&open]);
        }
        let (mut found, mut wanted) = (BTreeMap::new(), vec!["main"]);
        while let Some(name) = wanted.pop() {
            let Some(body) = bodies.remove(name) else { continue };
            wanted.extend(body.clone().map(|at| self.at(at)));
            found.insert(body.start, body);
        }
        found.into_values().collect()
    }

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

    /// Whether a sign at that place stands between two operands.
    fn is_between(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1).map(|before| &self.tokens[before]) else { return false };
        let operand = before.kind != Kind::Sign || [")", "]"].contains(&before.text) || before.in_type;
        operand && before.text != "return"
    }

    /// The first token of the left operand of the sign at that place.
    fn left(&self, sign: usize) -> usize {
        let mut at = sign;
        while at > 0 {
            let before = at - 1;
            let text = self.at(before);
            if [")", "]"].contains(&text) {
                at = self.partner[&before];
                continue;
            }
            let ends = ["(", "[", "{", "}", ",", ";", "=", ":", "return", "->"].contains(&text);
            let binds_less = binds(text) > 0
                && !self.tokens[before].in_type
                && self.is_between(before)
                && binds(text) < binds(self.at(sign));
            if ends && !self.tokens[before].in_type || binds_less {
                break;
            }
            at = before;
        }
        at
    }

    /// The token behind its right operand.
    fn right(&self, sign: usize) -> usize {
        let mut at = sign + 1;
        while at < self.tokens.len() {
            let text = self.at(at);
            if ["(", "["].contains(&text) {
                at = self.partner[&at] + 1;
                continue;
            }
            let in_type = self.tokens[at].in_type;
            let ends = [")", "]", "{", "}", ",", ";", ":"].contains(&text) && !in_type;
            let binds_no_closer =
                binds(text) > 0 && !in_type && at > sign + 1 && binds(text) <= binds(self.at(sign));
            if ends || binds_no_closer {
                break;
            }
            at += 1;
        }
        at
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

    /// The arguments between that bracket and its partner.
    fn arguments(&self, open: usize) -> Vec<Range<usize>> {
        let end = self.partner[&open];
        let (mut arguments, mut first, mut at) = (Vec::new(), open + 1, open + 1);
        while at < end {
            if ["(", "[", "{"].contains(&self.at(at)) {
                at = self.partner[&at];
            } else if self.is(at, ",") && !self.tokens[at].in_type {
                arguments.push(first..at);
                first = at + 1;
            }
            at += 1;
        }
        if first < end {
            arguments.push(first..end);
        }
        arguments
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

fn read(text: &str) -> (Vec<Token<'_>>, Vec<Line<'_>>) {
    let (mut tokens, mut lines) = (Vec::<Token>::new(), Vec::new());
    let (mut file, mut start, mut types) = ("", 0, 0_usize);
    let (mut function, mut before) = ("", BTreeMap::new());
    for (number, whole) in text.split_inclusive('\n').enumerate() {
        if let Some(name) =
            whole.trim().strip_prefix("// shaders/").and_then(|name| name.strip_suffix(".wgsl"))
        {
            file = name;
        }
        let code = whole.split("//").next().unwrap_or_default();
        let first = tokens.len();
        let mut place = 0;
        while let Some(next) = code[place..].chars().next() {
            let rest = &code[place..];
            let length_of = |holds: fn(char) -> bool| rest.find(|c| !holds(c)).unwrap_or(rest.len());
            let (kind, length) = if next.is_ascii_digit() {
                let length = length_of(|c| c.is_ascii_alphanumeric() || c == '.');
                // The sign of an exponent is a part of its number.
                let exponent = rest[..length].ends_with('e') && !rest.starts_with("0x");
                let length = match exponent {
                    true => length + 1 + rest[length + 1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(0),
                    false => length,
                };
                let float = rest[..length].contains('.') || exponent;
                (if float { Kind::Float } else { Kind::Integer }, length)
            } else if next.is_ascii_alphabetic() || next == '_' {
                (Kind::Name, length_of(|c| c.is_ascii_alphanumeric() || c == '_'))
            } else if next.is_whitespace() {
                place += next.len_utf8();
                continue;
            } else {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign) && types == 0);
                (Kind::Sign, sign.map_or(next.len_utf8(), |sign| sign.len()))
            };
            let token = &rest[..length];
            // A type's arguments follow its name at once; comparisons have spaces around them.
            let opens = token == "<" && !code[..place].ends_with(' ');
            types += usize::from(opens);
            let in_type = types > 0;
            types -= usize::from(token == ">" && types > 0);
            tokens.push(Token { kind, text: token, at: start + place, line: number, in_type });
            place += length;
        }
        let shape = tokens[first..].iter().map(shape_of).collect::<Vec<_>>().join(" ");
        if whole.starts_with("fn ") {
            function = tokens[first + 1].text;
        }
        let ordinal = before.entry((file, function, whole)).or_insert(0);
        lines.push(Line { file, text: whole.trim(), first, shape, function, ordinal: *ordinal });
        *ordinal += 1;
        start += whole.len();
    }
    (tokens, lines)
}

/// A token without its number; a float is no number of a loop that is written out.
fn shape_of(token: &Token<'_>) -> String {
    match token.kind {
        Kind::Integer => "#".to_owned(),
        Kind::Name => {
            let stem = token.text.trim_end_matches(|last: char| last.is_ascii_digit());
            if stem.len() < token.text.len() { format!("{stem}#") } else { stem.to_owned() }
        }
        Kind::Float | Kind::Sign => token.text.to_owned(),
    }
}
