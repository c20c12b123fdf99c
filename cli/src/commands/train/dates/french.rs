//! Dates and numbers in French.

use fastrand::Rng;

use super::Date;
use crate::commands::train::random::{chance, one_of};

const ONES: [&str; 20] = [
    "zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze",
    "treize", "quatorze", "quinze", "seize", "dix-sept", "dix-huit", "dix-neuf",
];
/// From vingt on, as the Swiss count.
const TENS: [&str; 8] =
    ["vingt", "trente", "quarante", "cinquante", "soixante", "septante", "huitante", "nonante"];
const MONTHS: [&str; 12] = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
];
const SHORT_MONTHS: [&[&str]; 12] = [
    &["janv.", "janv", "jan."],
    &["févr.", "févr", "fév."],
    &[],
    &["avr.", "avr"],
    &[],
    &[],
    &["juil.", "juil"],
    &[],
    &["sept.", "sept"],
    &["oct.", "oct"],
    &["nov.", "nov"],
    &["déc.", "déc"],
];
const DAYS: [&str; 7] = ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"];
const SHORT_DAYS: [&str; 7] = ["lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."];

/// `last`: nothing follows, so that quatre-vingts has its s.
fn below_100(n: u32, swiss: bool, last: bool) -> String {
    if n < 20 {
        return ONES[n as usize].to_owned();
    }
    let (mut tens, mut ones) = (n as usize / 10, n as usize % 10);
    if matches!(tens, 7 | 9) && !swiss {
        (tens, ones) = (tens - 1, ones + 10);
    }
    let word = if tens == 8 && !swiss { "quatre-vingt" } else { TENS[tens - 2] };
    match ones {
        0 if tens == 8 && !swiss && last => format!("{word}s"),
        0 => word.to_owned(),
        1 | 11 if tens != 8 || swiss => format!("{word} et {}", ONES[ones]),
        _ => format!("{word}-{}", ONES[ones]),
    }
}

/// Nothing for 0.
fn below_1000(n: u32, swiss: bool, last: bool) -> String {
    let (hundreds, rest) = (n / 100, n % 100);
    let mut words = Vec::new();
    match hundreds {
        0 => {}
        1 => words.push("cent".to_owned()),
        _ => {
            let plural = if last && rest == 0 { "s" } else { "" };
            words.push(format!("{} cent{plural}", ONES[hundreds as usize]));
        }
    }
    if rest > 0 {
        words.push(below_100(rest, swiss, last));
    }
    words.join(" ")
}

/// With the hyphens of 1990, those of before, or none.
fn spelling(random: &mut Rng, text: &str) -> String {
    match random.u32(..5) {
        0 => text.replace(' ', "-"),
        1 => text.replace('-', " "),
        2 => text.replace(" et ", "-et-"),
        _ => text.to_owned(),
    }
}

/// One of the ways to say a number.
pub fn number(random: &mut Rng, n: u32) -> String {
    let swiss = chance(random, 0.15);
    let (thousands, rest) = (n / 1000, n % 1000);
    let mut words = Vec::new();
    match thousands {
        0 => {}
        1 => words.push("mille".to_owned()),
        _ => words.push(below_1000(thousands, swiss, false) + " mille"),
    }
    if rest > 0 {
        words.push(below_1000(rest, swiss, true));
    } else if thousands == 0 {
        words.push(ONES[0].to_owned());
    }
    spelling(random, &words.join(" "))
}

fn year(random: &mut Rng, year: u32) -> String {
    if chance(random, 0.62) {
        return year.to_string();
    }
    if (1100..2000).contains(&year) && chance(random, 0.3) {
        let (century, rest) = (year as usize / 100, year % 100);
        let mut text = format!("{} cent", ONES[century]);
        if rest > 0 {
            text.push(' ');
            text += &below_100(rest, chance(random, 0.15), true);
        }
        return spelling(random, &text);
    }
    let text = number(random, year);
    match text.strip_prefix("mille") {
        Some(rest) if 1000 < year && chance(random, 0.25) => format!("mil{rest}"),
        _ => text,
    }
}

pub fn date(random: &mut Rng, date: Date) -> String {
    let n = date.day;
    let mut month = MONTHS[date.month as usize - 1];
    let short = SHORT_MONTHS[date.month as usize - 1];
    if !short.is_empty() && chance(random, 0.3) {
        month = one_of(random, short);
    }
    let weekday = if chance(random, 0.75) { DAYS[date.weekday()] } else { SHORT_DAYS[date.weekday()] };
    let (bare, padded) = (n.to_string(), format!("{n:02}"));
    let day = if n == 1 {
        one_of(random, &["1er", "1er", "premier", "1", "01"]).to_owned()
    } else {
        let words = spelling(random, &below_100(n, false, true));
        one_of(random, &[&bare, &bare, &padded, &words, &words]).clone()
    };
    let de = if month.starts_with(['a', 'o']) { "d’" } else { "de " };
    let year = year(random, date.year);
    let mut le = one_of(random, &["le ", ""]);
    let with_weekday = chance(random, 0.4);
    let text = match random.u32(..10) {
        0 => {
            // Day and month in figures only where the words around are French.
            if !with_weekday {
                le = "le ";
            }
            let separator = one_of(random, &["/", ".", "-"]);
            if chance(random, 0.5) {
                format!("{padded}{separator}{:02}{separator}{}", date.month, date.year)
            } else {
                format!("{bare}{separator}{}{separator}{}", date.month, date.year)
            }
        }
        1 => format!("{day} {month} de l{}an {year}", one_of(random, &["'", "’"])),
        2 => format!("{day} du mois {de}{month} {year}"),
        3 if n == 1 => {
            le = "le ";
            format!("premier jour {de}{month} {year}")
        }
        _ => format!("{day} {month}{}{year}", one_of(random, &[" ", " ", " ", ", "])),
    };
    if with_weekday {
        match random.u32(..4) {
            0 => format!("{weekday} {text}"),
            1 => format!("{le}{weekday} {text}"),
            2 => format!("{weekday}, {le}{text}"),
            _ => format!("{weekday} {le}{text}"),
        }
    } else if chance(random, 0.04) {
        format!("en date du {text}")
    } else {
        format!("{le}{text}")
    }
}

/// As on a keyboard that has no accents. Dates and numbers have but these two.
pub fn without_accents(text: &str) -> String {
    text.replace('é', "e").replace('û', "u")
}
