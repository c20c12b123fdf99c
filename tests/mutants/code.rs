//! A module's code as tokens: which of it runs in a variant, and what a sign stands between.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Name,
    Integer,
    Float,
    Sign,
}

pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub at: usize,
    pub line: usize,
    /// Whether it is a bracket of a type's arguments, or between them.
    pub in_type: bool,
}

pub struct Line<'a> {
    pub file: &'a str,
    pub text: &'a str,
    pub first: usize,
    /// Its tokens without their numbers.
    pub shape: String,
    pub function: &'a str,
    /// How many lines of the function before it are the same to the letter.
    pub ordinal: usize,
}

pub struct Code<'a> {
    pub text: &'a str,
    pub tokens: Vec<Token<'a>>,
    pub lines: Vec<Line<'a>>,
    /// Of each bracket that one that belongs to it, and of each `if` and `for` the brace behind its head.
    pub partner: BTreeMap<usize, usize>,
    /// Tokens of the heads of loops, and those that are their last parts: without these a loop does not end.
    pub heads: BTreeSet<usize>,
    pub steps: BTreeSet<usize>,
    /// Of each field of the parameters (true) and each buffer the next one of its type.
    pub others: BTreeMap<(bool, &'a str), &'a str>,
}

/// What of a module runs in a variant.
pub struct Live {
    /// Conditions on constants: where each begins, where it ends, and whether it holds.
    conditions: BTreeMap<usize, (usize, bool)>,
    /// The bytes of the bodies of `main` and of the functions that it comes to, and of what does not run in them.
    bodies: Vec<Range<usize>>,
    dead: Vec<Range<usize>>,
}

impl Live {
    pub fn has(&self, place: usize) -> bool {
        let is_in = |bytes: &Range<usize>| bytes.contains(&place);
        self.bodies.iter().any(is_in) && !self.dead.iter().any(is_in)
    }

    /// Of the condition there that constants decide, whether it holds.
    pub fn decided(&self, place: usize) -> Option<bool> {
        let (_, (end, holds)) = self.conditions.range(..=place).next_back()?;
        // What is added to its end lies there.
        (place <= *end).then_some(*holds)
    }
}

const SIGNS: [&str; 17] =
    ["<<=", ">>=", "&&", "||", "<<", ">>", "<=", ">=", "==", "!=", "->", "+=", "-=", "*=", "/=", "|=", "&="];

/// How closely a sign between two operands binds them; 0 where it is none.
pub fn binds(sign: &str) -> u8 {
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
    pub fn new(text: &'a str) -> Self {
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

    pub fn at(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    pub fn is(&self, at: usize, text: &str) -> bool {
        self.at(at) == text
    }

    pub fn before(&self, at: usize) -> &'a str {
        at.checked_sub(1).map_or("", |before| self.at(before))
    }

    /// The bytes of some tokens.
    pub fn bytes(&self, tokens: Range<usize>) -> Range<usize> {
        let last = &self.tokens[tokens.end - 1];
        self.tokens[tokens.start].at..last.at + last.text.len()
    }

    pub fn words(&self, tokens: Range<usize>) -> &'a str {
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

    /// The tokens of the bodies of all functions, by their names.
    pub fn bodies(&self) -> BTreeMap<&'a str, Range<usize>> {
        let mut bodies = BTreeMap::new();
        for at in (0..self.tokens.len()).filter(|at| self.is(*at, "fn")) {
            let open = (self.partner[&(at + 2)]..).find(|at| self.is(*at, "{")).unwrap_or(at);
            bodies.insert(self.at(at + 1), open + 1..self.partner[&open]);
        }
        bodies
    }

    /// The bytes of each ` | (a & 0u)`: it changes nothing.
    pub fn hidden(&self) -> Vec<Range<usize>> {
        let zeros = (2..self.tokens.len()).filter(|at| self.is(*at, "0u") && self.is(at - 1, "&"));
        let groups = zeros.filter_map(|at| self.partner.get(&(at + 1)).map(|open| open - 1..at + 2));
        // The left operand's end is where the sign's change begins.
        groups.map(|tokens| self.bytes(tokens.start - 1..tokens.start).end..self.bytes(tokens).end).collect()
    }

    /// What runs with those constants.
    pub fn live(&self, constants: &BTreeMap<String, u32>) -> Live {
        let mut live = Live { conditions: BTreeMap::new(), bodies: Vec::new(), dead: Vec::new() };
        for at in 0..self.tokens.len() {
            if self.is(at, "if") {
                self.branch(at, constants, &mut live);
            }
            if self.is(at, "switch") {
                self.cases(at, constants, &mut live);
            }
        }
        let (mut bodies, mut wanted) = (self.bodies(), vec!["main"]);
        while let Some(name) = wanted.pop() {
            let Some(body) = bodies.remove(name) else { continue };
            let places = body.clone().filter(|at| !live.dead.iter().any(|dead| dead.contains(at)));
            wanted.extend(places.map(|at| self.at(at)));
            live.bodies.push(body);
        }
        let bytes = |tokens: &Range<usize>| if tokens.is_empty() { 0..0 } else { self.bytes(tokens.clone()) };
        live.bodies = live.bodies.iter().map(bytes).collect();
        live.dead = live.dead.iter().map(bytes).collect();
        live
    }

    /// Of an `if` on a constant: the body that does not run, and what does not run behind a body that returns.
    fn branch(&self, at: usize, constants: &BTreeMap<String, u32>, live: &mut Live) {
        let condition = at + 2..self.partner[&(at + 1)];
        let Some(holds) = self.holds(condition.clone(), constants) else { return };
        let bytes = self.bytes(condition.clone());
        live.conditions.insert(bytes.start, (bytes.end, holds));
        let body = condition.end + 1;
        let end = self.partner[&body];
        let mut last = end + 1;
        if !holds {
            live.dead.push(body + 1..end);
        } else if self.is(end + 1, "else") {
            // With all the branches that follow.
            while self.is(last, "else") {
                let open = (last..self.tokens.len()).find(|at| self.is(*at, "{")).unwrap_or(last);
                last = self.partner[&open] + 1;
            }
            live.dead.push(end + 2..last);
        }
        if holds && self.returns(body) && !self.is(at - 1, "else") {
            let block = (0..at).rev().find(|open| self.is(*open, "{") && self.partner[open] > at);
            live.dead.extend(block.map(|open| last..self.partner[&open]));
        }
    }

    /// Whether a body's last statement is a `return`.
    fn returns(&self, body: usize) -> bool {
        let last = self.partner[&body] - 1;
        let before = (body..last).rev().find(|at| [";", "{", "}"].contains(&self.at(*at)));
        self.is(last, ";") && before.is_some_and(|before| self.is(before + 1, "return"))
    }

    fn holds(&self, condition: Range<usize>, constants: &BTreeMap<String, u32>) -> Option<bool> {
        let value = |at: usize| match self.tokens[at].kind {
            Kind::Integer => self.at(at).trim_end_matches('u').parse().ok(),
            _ => constants.get(self.at(at)).copied(),
        };
        let first = condition.start;
        match condition.len() {
            1 => value(first).map(|value| value != 0),
            2 if self.is(first, "!") => value(first + 1).map(|value| value == 0),
            3 => {
                let (left, right) = (value(first)?, value(first + 2)?);
                match self.at(first + 1) {
                    "==" => Some(left == right),
                    "!=" => Some(left != right),
                    "<" => Some(left < right),
                    "<=" => Some(left <= right),
                    ">" => Some(left > right),
                    ">=" => Some(left >= right),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Of a `switch` on a constant: the bodies that do not run.
    fn cases(&self, at: usize, constants: &BTreeMap<String, u32>, live: &mut Live) {
        let Some(value) = constants.get(self.at(at + 2)) else { return };
        let mut case = self.partner[&(at + 1)] + 2;
        let mut is_any = false;
        while self.is(case, "case") || self.is(case, "default") {
            let open = (case..self.tokens.len()).find(|at| self.is(*at, "{")).unwrap_or(case);
            let is_this = match self.is(case, "default") {
                true => !is_any,
                false => self.at(case + 1).trim_end_matches('u').parse() == Ok(*value),
            };
            is_any |= is_this;
            if !is_this {
                live.dead.push(case..self.partner[&open]);
            }
            case = self.partner[&open] + 1;
        }
    }

    /// Whether a sign at that place stands between two operands.
    pub fn is_between(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1).map(|before| &self.tokens[before]) else { return false };
        let operand = before.kind != Kind::Sign || [")", "]"].contains(&before.text) || before.in_type;
        operand && before.text != "return"
    }

    /// The first token of the left operand of the sign at that place.
    pub fn left(&self, sign: usize) -> usize {
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
    pub fn right(&self, sign: usize) -> usize {
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

    /// The arguments between that bracket and its partner.
    pub fn arguments(&self, open: usize) -> Vec<Range<usize>> {
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
        let ordinal = before.entry((file, function, whole.trim())).or_insert(0);
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
