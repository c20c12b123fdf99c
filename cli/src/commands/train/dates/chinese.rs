//! Dates and numbers in Chinese.

use fastrand::Rng;

use super::Date;
use crate::commands::train::random::{chance, one_of};

const DIGITS: [char; 10] = ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九'];
/// The characters that banks write, which are hard to alter.
const FORMAL: [&str; 2] = ["零一二三四五六七八九十百千两", "零壹贰叁肆伍陆柒捌玖拾佰仟贰"];
const TRADITIONAL: [&str; 2] = ["两万号礼周贰陆", "兩萬號禮週貳陸"];
const FULLWIDTH: [&str; 2] = ["0123456789", "０１２３４５６７８９"];

/// The text with each character of the first list as that of the second.
fn replaced(text: &str, [from, to]: [&str; 2]) -> String {
    let other = |character| from.chars().zip(to.chars()).find(|(from, _)| *from == character);
    text.chars().map(|character| other(character).map_or(character, |(_, to)| to)).collect()
}

/// `two`: the word for 2 before 千 and 百; `inner`: a part stands before, so that 10 to 19 begin with 一. Nothing for 0.
fn below_10000(n: u32, two: char, inner: bool) -> String {
    let (mut text, mut gap) = (String::new(), false);
    for (unit, name) in [(1000, "千"), (100, "百"), (10, "十"), (1, "")] {
        let digit = n / unit % 10;
        if digit == 0 {
            gap = !text.is_empty();
            continue;
        }
        if gap {
            text.push('零');
        }
        gap = false;
        match (unit, digit) {
            (10, 1) if text.is_empty() && !inner => {}
            (100 | 1000, 2) => text.push(two),
            _ => text.push(DIGITS[digit as usize]),
        }
        text += name;
    }
    text
}

/// One of the ways to say a number.
pub fn number(random: &mut Rng, n: u32) -> String {
    let two = one_of(random, &['两', '二']);
    let (high, low) = (n / 10_000, n % 10_000);
    let mut text = String::new();
    if high > 0 {
        text = if high == 2 { two.to_string() } else { below_10000(high, two, false) };
        text.push('万');
        if low > 0 && low < 1000 {
            text.push('零');
        }
    }
    text += &below_10000(low, two, high > 0);
    if text.is_empty() {
        text.push('零');
    }
    if chance(random, 0.1) {
        replaced(&text, FORMAL)
    } else if chance(random, 0.15) {
        text.replace('零', "〇")
    } else {
        text
    }
}

/// A month or a day in characters.
fn small(random: &mut Rng, n: u32) -> String {
    if 20 < n && n < 30 && chance(random, 0.08) {
        return format!("廿{}", DIGITS[n as usize - 20]);
    }
    below_10000(n, '二', false)
}

/// The year's digits in characters, or as a number.
fn year(random: &mut Rng, year: u32) -> String {
    let zero = one_of(random, &["零", "〇", "〇", "○"]);
    if chance(random, 0.15) {
        return number(random, year);
    }
    let digits = year.to_string();
    let digits: String = digits.bytes().map(|digit| DIGITS[usize::from(digit - b'0')]).collect();
    digits.replace('零', zero)
}

pub fn date(random: &mut Rng, date: Date) -> String {
    let characters = chance(random, 0.5);
    // Months and days are not written as the year is.
    let mixed = chance(random, 0.1);
    let year = if characters { year(random, date.year) } else { date.year.to_string() };
    let (mut month, day);
    if characters != mixed {
        (month, day) = (small(random, date.month), small(random, date.day));
        if characters && date.month == 1 && chance(random, 0.1) {
            month = "元".to_owned();
        }
    } else if chance(random, 0.4) {
        (month, day) = (format!("{:02}", date.month), format!("{:02}", date.day));
    } else {
        (month, day) = (date.month.to_string(), date.day.to_string());
    }
    let gap = if chance(random, 0.12) { " " } else { "" };
    let end = one_of(random, &["日", "日", "号"]);
    let mut text = [&year, "年", &month, "月", &day, end].join(gap);
    if chance(random, 0.08) {
        text.insert_str(0, one_of(random, &["公元", "西元"]));
    }
    if chance(random, 0.4) {
        let weekday = weekday(random, date.weekday());
        text = match random.u32(..5) {
            0 => format!("{text} {weekday}"),
            1 => format!("{text}{weekday}"),
            2 => format!("{text}（{weekday}）"),
            3 => format!("{text}，{weekday}"),
            _ => format!("{weekday}{}{text}", one_of(random, &["，", " ", ""])),
        };
    }
    if !characters && chance(random, 0.06) {
        text = replaced(&text, FULLWIDTH);
    }
    if chance(random, 0.15) {
        text = replaced(&text, TRADITIONAL);
    }
    text
}

/// `day`: 0 is Monday.
fn weekday(random: &mut Rng, day: usize) -> String {
    let name = one_of(random, &["星期", "星期", "周", "礼拜"]);
    let sunday = one_of(random, &['日', '天']);
    let day = match day {
        6 if name == "周" => '日',
        6 => sunday,
        _ => DIGITS[day + 1],
    };
    format!("{name}{day}")
}
