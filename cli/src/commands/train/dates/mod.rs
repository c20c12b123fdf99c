//! Written dates and numbers in English, French and Chinese, and what they are in figures: the pairs that the models of
//! dates in `models/` were trained on, drawn as `models/data.py` draws them.
//!
//! A date becomes its ISO form, a number its digits. Forms of which the reader cannot know the order (3/5/1979) or the
//! century (79) are not made.

mod chinese;
mod english;
mod french;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use fastrand::Rng;
use unicode_normalization_alignments::UnicodeNormalization;

use super::random::{chance, one_of};

const LARGEST_NUMBER: u32 = 999_999;

/// So many texts are drawn where a long one is wanted, before any will do.
const TRIES: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Language {
    English,
    French,
    Chinese,
}

const LANGUAGES: [Language; 3] = [Language::English, Language::French, Language::Chinese];

/// A day of the Gregorian calendar, also before there was one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Date {
    year: u32,
    month: u32,
    day: u32,
}

impl Date {
    /// None where the month has no such day.
    fn new(year: u32, month: u32, day: u32) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        (1..=days).contains(&day).then_some(Self { year, month, day })
    }

    fn draw(random: &mut Rng) -> Self {
        let year = if chance(random, 0.4) { random.u32(1900..=2050) } else { random.u32(1000..=2199) };
        let month = random.u32(1..=12);
        loop {
            let day = if chance(random, 0.05) { 1 } else { random.u32(1..=31) };
            if let Some(date) = Self::new(year, month, day) {
                return date;
            }
        }
    }

    /// 0 is Monday.
    fn weekday(self) -> usize {
        // January and February are the last months of a year that begins in March, so that a leap day ends it.
        let (year, month) =
            if self.month > 2 { (self.year, self.month) } else { (self.year - 1, self.month + 12) };
        let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * (month - 3) + 2) / 5 + self.day;
        ((days + 1) % 7) as usize
    }

    fn iso(self) -> String {
        format!("{}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// Year first: the only order of figures alone that all three languages read alike.
    fn figures(self, random: &mut Rng) -> String {
        let Self { year, month, day } = self;
        let separator = one_of(random, &["-", "/", ".", " "]);
        if chance(random, 0.5) {
            format!("{year}{separator}{month:02}{separator}{day:02}")
        } else {
            format!("{year}{separator}{month}{separator}{day}")
        }
    }
}

/// An endless, seeded sequence of pairs of a text and its figures, without the texts and the values that are held out.
pub struct Dates {
    random: Rng,
    held_out: HashSet<String>,
}

impl Dates {
    /// `held_out`: the pairs of `models/dates/held_out.tsv`, whose texts are left out, however they are capitalized.
    pub fn training(seed: u64, held_out: &[(String, String)]) -> Self {
        let held_out = held_out.iter().map(|(text, _)| normalized(text)).collect();
        Self { random: Rng::with_seed(seed), held_out }
    }
}

impl Iterator for Dates {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let language = one_of(&mut self.random, &LANGUAGES);
            let (text, target) = draw(&mut self.random, language);
            if !is_held_out(&target) && !self.held_out.contains(&normalized(&text)) {
                return Some((text, target));
            }
        }
    }
}

/// Whether a date, or a number from 1,000 on, is one of the 2.5 % that training never sees in any form.
pub fn is_held_out(target: &str) -> bool {
    target.len() >= 4 && !is_round(target) && crc32fast::hash(target.as_bytes()).is_multiple_of(40)
}

/// Numbers that are said in few ways: below a hundred, and whole thousands.
fn is_round(target: &str) -> bool {
    target.parse::<u32>().is_ok_and(|number| number < 100 || number.is_multiple_of(1000))
}

/// What the tokenizer's normalizer makes of a text.
fn normalized(text: &str) -> String {
    text.nfkc().map(|(character, _)| character).collect::<String>().to_lowercase()
}

/// A pair; one in twenty of English and French is a long one.
fn draw(random: &mut Rng, language: Language) -> (String, String) {
    if language != Language::Chinese && chance(random, 0.05) {
        let least = one_of(random, &[60, 68]);
        for _ in 0..TRIES {
            let pair = draw_any(random, language);
            if pair.0.chars().count() >= least {
                return pair;
            }
        }
    }
    draw_any(random, language)
}

fn draw_any(random: &mut Rng, language: Language) -> (String, String) {
    let (mut text, target) = if chance(random, 0.7) {
        let date = Date::draw(random);
        let text = if chance(random, 0.02) {
            date.figures(random)
        } else {
            match language {
                Language::English => english::date(random, date),
                Language::French => french::date(random, date),
                Language::Chinese => chinese::date(random, date),
            }
        };
        (text, date.iso())
    } else {
        let number = draw_number(random);
        let text = match language {
            Language::English => english::number(random, number),
            Language::French => french::number(random, number),
            Language::Chinese => chinese::number(random, number),
        };
        (text, number.to_string())
    };
    if language == Language::French && chance(random, 0.15) {
        text = french::without_accents(&text);
    }
    let way = random.f64();
    if way < 0.25 {
        text = text.to_lowercase();
    } else if way < 0.33 {
        text = text.to_uppercase();
    } else if way < 0.45 {
        text = capitalized(&text);
    }
    if chance(random, 0.04) {
        text.push(if language == Language::Chinese { '。' } else { '.' });
    }
    (text, target)
}

/// People say small and round numbers more often than others.
fn draw_number(random: &mut Rng) -> u32 {
    let way = random.f64();
    if way < 0.4 {
        random.u32(0..=LARGEST_NUMBER)
    } else if way < 0.65 {
        10f64.powf(6.0 * random.f64()) as u32
    } else if way < 0.8 {
        random.u32(0..=100)
    } else {
        let zeros = random.u32(1..=5);
        random.u32(1..=999.min(10u32.pow(6 - zeros) - 1)) * 10u32.pow(zeros)
    }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
