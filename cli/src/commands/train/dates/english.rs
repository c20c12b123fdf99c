//! Dates and numbers in English.

use fastrand::Rng;

use super::Date;
use crate::commands::train::random::{chance, one_of};

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
/// From twenty on.
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const ORDINALS: [&str; 20] = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const SHORT_MONTHS: [&[&str]; 12] = [
    &["Jan"],
    &["Feb"],
    &["Mar"],
    &["Apr"],
    &[],
    &["Jun"],
    &["Jul"],
    &["Aug"],
    &["Sep", "Sept"],
    &["Oct"],
    &["Nov"],
    &["Dec"],
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const SHORT_DAYS: [&[&str]; 7] =
    [&["Mon"], &["Tue", "Tues"], &["Wed"], &["Thu", "Thur", "Thurs"], &["Fri"], &["Sat"], &["Sun"]];

/// How the parts of a number are joined.
#[derive(Clone, Copy)]
struct Joints {
    /// Between tens and ones.
    hyphen: &'static str,
    /// After hundreds and thousands: with "and" or without.
    and: &'static str,
}

impl Joints {
    fn draw(random: &mut Rng) -> Self {
        Self { hyphen: hyphen(random), and: one_of(random, &[" and ", " "]) }
    }
}

fn hyphen(random: &mut Rng) -> &'static str {
    one_of(random, &["-", "-", "-", " "])
}

fn below_100(n: u32, hyphen: &str) -> String {
    let (tens, ones) = (n as usize / 10, n as usize % 10);
    match (tens, ones) {
        (0 | 1, _) => ONES[n as usize].to_owned(),
        (_, 0) => TENS[tens - 2].to_owned(),
        _ => format!("{}{hyphen}{}", TENS[tens - 2], ONES[ones]),
    }
}

/// `one`: what stands for one hundred's one. Nothing for 0.
fn below_1000(n: u32, joints: Joints, one: &str) -> String {
    let (hundreds, rest) = (n / 100, n % 100);
    let mut parts = Vec::new();
    if hundreds > 0 {
        parts.push(format!("{} hundred", if hundreds == 1 { one } else { ONES[hundreds as usize] }));
    }
    if rest > 0 {
        parts.push(below_100(rest, joints.hyphen));
    }
    parts.join(joints.and)
}

/// "nineteen hundred and five" for 1905.
fn in_hundreds(n: u32, joints: Joints) -> String {
    let mut text = format!("{} hundred", below_100(n / 100, joints.hyphen));
    if !n.is_multiple_of(100) {
        text += joints.and;
        text += &below_100(n % 100, joints.hyphen);
    }
    text
}

/// One of the ways to say a number.
pub fn number(random: &mut Rng, n: u32) -> String {
    let joints = Joints::draw(random);
    let one = if chance(random, 0.15) { "a" } else { "one" };
    if (1100..=9999).contains(&n) && !(n / 100).is_multiple_of(10) && chance(random, 0.06) {
        return in_hundreds(n, joints);
    }
    if n == 0 {
        return ONES[0].to_owned();
    }
    let (thousands, rest) = (n / 1000, n % 1000);
    if thousands == 0 {
        return below_1000(rest, joints, one);
    }
    let mut text = if thousands == 1 { one.to_owned() } else { below_1000(thousands, joints, "one") };
    text += " thousand";
    if rest > 0 {
        text += if rest >= 100 { one_of(random, &[", ", " ", " "]) } else { joints.and };
        text += &below_1000(rest, joints, "one");
    }
    text
}

fn year(random: &mut Rng, year: u32) -> String {
    if chance(random, 0.62) {
        return year.to_string();
    }
    let joints = Joints::draw(random);
    let (century, rest) = (year / 100, year % 100);
    let head = below_100(century, joints.hyphen);
    // A way that is likelier than another is here more than once.
    let mut ways = Vec::new();
    let mut add = |times: usize, way: String| ways.extend(std::iter::repeat_n(way, times));
    let even = century % 10 == 0;
    if rest >= 10 {
        add(if even { 2 } else { 4 }, format!("{head} {}", below_100(rest, joints.hyphen)));
    } else if rest > 0 {
        add(if even { 1 } else { 2 }, format!("{head} oh {}", ONES[rest as usize]));
        add(usize::from(!even), format!("{head} o {}", ONES[rest as usize]));
    }
    if !even {
        add(1, in_hundreds(year, joints));
    }
    if year % 1000 < 100 || chance(random, 0.15) {
        let (thousands, rest) = (year / 1000, year % 1000);
        let mut way = format!("{} thousand", ONES[thousands as usize]);
        if rest > 0 {
            way += if rest >= 100 { " " } else { joints.and };
            way += &below_1000(rest, joints, "one");
        }
        add(2, way);
    }
    ways.swap_remove(random.usize(..ways.len()))
}

pub fn date(random: &mut Rng, date: Date) -> String {
    let n = date.day;
    let mut month = MONTHS[date.month as usize - 1].to_owned();
    let short = SHORT_MONTHS[date.month as usize - 1];
    if !short.is_empty() && chance(random, 0.35) {
        month = format!("{}{}", one_of(random, short), one_of(random, &["", "."]));
    }
    let mut weekday = DAYS[date.weekday()].to_owned();
    if chance(random, 0.3) {
        weekday = format!("{}{}", one_of(random, SHORT_DAYS[date.weekday()]), one_of(random, &["", "."]));
    }
    let suffix = match (n, n % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    let hyphen = hyphen(random);
    let word = match n {
        ..=20 => ORDINALS[n as usize - 1].to_owned(),
        30 => "thirtieth".to_owned(),
        _ => format!("{}{hyphen}{}", TENS[n as usize / 10 - 2], ORDINALS[n as usize % 10 - 1]),
    };
    let (bare, padded, suffixed) = (n.to_string(), format!("{n:02}"), format!("{n}{suffix}"));
    let figure = one_of(random, &[&bare, &bare, &padded]);
    let ordinal = one_of(random, &[&suffixed, &suffixed, &word]);
    let either = one_of(random, &[figure, ordinal, ordinal]);
    let year = year(random, date.year);
    let comma = one_of(random, &[", ", " "]);
    let the = one_of(random, &["the ", ""]);
    let way = random.u32(..10);
    let mut text = match way {
        0 => format!("{figure} {month}{comma}{year}"),
        1 => format!("{ordinal} {month}{comma}{year}"),
        2 | 3 => format!("{the}{ordinal} of {month}{comma}{year}"),
        4 | 5 => format!("{month} {either}{comma}{year}"),
        6 => format!("{month} the {ordinal}{comma}{year}"),
        7 if chance(random, 0.5) => format!("{} {month} {figure}", date.year),
        7 => format!("{figure}-{}-{}", month.trim_end_matches('.'), date.year),
        8 => format!("{the}{ordinal} day of {month}{comma}{year}"),
        _ => format!("{month} {either}, {year}"),
    };
    if chance(random, 0.4) {
        let last = if way == 1 { ", the " } else { ", " };
        text = format!("{weekday}{}{text}", one_of(random, &[", ", ", ", " ", last]));
    } else if chance(random, 0.08) {
        text.insert_str(0, "on ");
    }
    text
}
