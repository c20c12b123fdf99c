//! What is drawn against `models/data.py`, against the calendar, and against what is written by hand.

use super::*;

fn held_out() -> Vec<(String, String)> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/dates/held_out.tsv");
    let pairs = std::fs::read_to_string(file).unwrap();
    let pair = |line: &str| line.split_once('\t').map(|(text, target)| (text.to_owned(), target.to_owned()));
    pairs.lines().map(|line| pair(line).unwrap()).collect()
}

/// The renderings of one value, without the capitals and stops of `draw_any`.
fn texts(count: usize, write: impl Fn(&mut Rng) -> String) -> HashSet<String> {
    let mut random = Rng::with_seed(1);
    (0..count).map(|_| write(&mut random)).collect()
}

/// So many texts of `models/data.py` are behind the figures below; they are what this prints, from the repository's root:
///
/// ```sh
/// python3 -c "
/// import sys; sys.path.insert(0, 'models'); import data, itertools, statistics
/// held_out = [line.rstrip('\n').split('\t') for line in open('models/dates/held_out.tsv')]
/// pairs = list(itertools.islice(data.Training(1, held_out), 300_000))
/// texts, dates = [a for a, _ in pairs], [int(b[:4]) for _, b in pairs if '-' in b]
/// print(len(dates) / len(pairs), statistics.mean(map(len, texts)), statistics.pstdev(map(len, texts)))
/// print(statistics.mean(dates), statistics.pstdev(dates), sum(len(a) >= 60 for a in texts) / len(pairs))
/// chinese = [len(a) for a in texts if max(a) > '\u2e80']
/// print(len(chinese) / len(pairs), statistics.mean(chinese))
/// print(sum(a != a.lower() and a == a.upper() for a in texts) / len(pairs))
/// for part in 'hundred and ', 'huitante', '〇':  # and the other parts
///     print(part, sum(part in a.lower() for a in texts) / len(pairs))"
/// ```
const PYTHONS: usize = 300_000;
const DATES: f64 = 0.68574;
const LENGTH: [f64; 2] = [24.35318, 16.57178];
const YEAR: [f64; 2] = [1749.86228, 325.68268];
const LONG: f64 = 0.05013;
const CHINESE: f64 = 0.32699;
const LENGTH_OF_CHINESE: f64 = 10.86627;
const CAPITALS: f64 = 0.05324;
/// The shares of the texts that have these parts, in small letters.
const PARTS: [(&str, f64); 48] = [
    ("the ", 0.05803),
    ("th of ", 0.03260),
    ("hundred and ", 0.05273),
    (" hundred", 0.10063),
    ("thousand, ", 0.02328),
    ("a thousand", 0.00024),
    ("day of ", 0.02255),
    (" oh ", 0.00329),
    (" o ", 0.00113),
    ("on ", 0.01103),
    ("sept", 0.07691),
    ("-may-", 0.00092),
    ("thirtieth", 0.00149),
    ("thurs", 0.01017),
    ("first", 0.00660),
    ("le ", 0.18047),
    ("l'an ", 0.01163),
    ("l’an ", 0.01189),
    ("du mois d’", 0.00610),
    ("premier jour", 0.00219),
    ("en date du ", 0.00603),
    ("huitante", 0.00295),
    ("quatre-vingts", 0.00123),
    ("mil ", 0.00895),
    ("mille ", 0.09250),
    ("-et-", 0.00701),
    ("1er", 0.00592),
    ("fevrier", 0.00184),
    ("février", 0.01012),
    ("dim.", 0.00324),
    ("〇", 0.02056),
    ("○", 0.00927),
    ("零", 0.02536),
    ("廿", 0.00253),
    ("元月", 0.00080),
    ("公元", 0.00903),
    ("西元", 0.00875),
    ("（", 0.01805),
    ("，", 0.02438),
    (" 年", 0.02733),
    ("１", 0.00654),
    ("佰", 0.00754),
    ("兩", 0.00031),
    ("两", 0.00832),
    ("万", 0.06349),
    ("號", 0.01156),
    ("禮", 0.00331),
    ("周", 0.01920),
];

#[test]
fn pairs_are_distributed_as_in_python() {
    const COUNT: usize = 100_000;
    let pairs: Vec<_> = Dates::training(1, &held_out()).take(COUNT).collect();
    // Five standard errors of the difference of two means.
    let agrees = |what: &str, found: f64, expected: f64, deviation: f64| {
        let error = deviation * (1.0 / COUNT as f64 + 1.0 / PYTHONS as f64).sqrt();
        assert!((found - expected).abs() < 5.0 * error, "{what}: {found}, not {expected}");
    };
    let share_agrees = |what: &str, share: f64, holds: &dyn Fn(&str, &str) -> bool| {
        let found = pairs.iter().filter(|(text, target)| holds(text, target)).count() as f64 / COUNT as f64;
        agrees(what, found, share, (share * (1.0 - share)).sqrt());
    };
    let mean = |values: &[usize]| values.iter().sum::<usize>() as f64 / values.len() as f64;
    let is_chinese = |text: &str| text.chars().any(|character| character > '\u{2e80}');
    let lengths = |kept: &dyn Fn(&str) -> bool| -> Vec<usize> {
        pairs.iter().filter(|(text, _)| kept(text)).map(|(text, _)| text.chars().count()).collect()
    };

    share_agrees("dates", DATES, &|_, target| target.contains('-'));
    agrees("length", mean(&lengths(&|_| true)), LENGTH[0], LENGTH[1]);
    share_agrees("long texts", LONG, &|text, _| text.chars().count() >= 60);
    share_agrees("Chinese", CHINESE, &|text, _| is_chinese(text));
    let chinese = mean(&lengths(&is_chinese));
    assert!((chinese - LENGTH_OF_CHINESE).abs() < 0.1, "length of Chinese: {chinese}");
    share_agrees("capitals", CAPITALS, &|text, _| text != text.to_lowercase() && text == text.to_uppercase());
    let years: Vec<usize> =
        pairs.iter().filter_map(|(_, target)| Some(target.split_once('-')?.0.parse().unwrap())).collect();
    // There are fewer dates than pairs.
    agrees("year", mean(&years), YEAR[0], YEAR[1] / DATES.sqrt());
    let small: Vec<String> = pairs.iter().map(|(text, _)| text.to_lowercase()).collect();
    for (part, share) in PARTS {
        let found = small.iter().filter(|text| text.contains(part)).count() as f64 / COUNT as f64;
        agrees(part, found, share, (share * (1.0 - share)).sqrt());
    }
}

#[test]
fn languages_are_drawn_alike() {
    let mut counts = [0; 3];
    let mut random = Rng::with_seed(2);
    for _ in 0..30_000 {
        let language = one_of(&mut random, &LANGUAGES);
        counts[LANGUAGES.iter().position(|other| *other == language).unwrap()] += 1;
    }
    assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
}

#[test]
fn nothing_held_out_is_trained_on() {
    let held_out = held_out();
    let texts: HashSet<String> = held_out.iter().map(|(text, _)| normalized(text)).collect();
    for (text, target) in Dates::training(3, &held_out).take(50_000) {
        assert!(!texts.contains(&normalized(&text)), "{text}");
        assert!(!is_held_out(&target), "{target}");
    }
    // Held out are also texts that are drawn often, whatever their capitals.
    let first: Vec<_> =
        Dates::training(3, &[]).take(1000).map(|(text, _)| (text.to_uppercase(), String::new())).collect();
    let texts: HashSet<String> = first.iter().map(|(text, _)| normalized(text)).collect();
    let drawn = |held_out: &[(String, String)]| {
        let pairs = Dates::training(4, held_out).take(20_000);
        pairs.filter(|(text, _)| texts.contains(&normalized(text))).count()
    };
    assert!(drawn(&[]) > 100);
    assert_eq!(drawn(&first), 0);
}

/// `held_out.tsv` was made by Python: half of its values are held out, by the same CRC-32.
#[test]
fn held_out_values_are_pythons() {
    let held_out = held_out();
    let values = held_out.iter().filter(|(_, target)| is_held_out(target)).count();
    assert_eq!((held_out.len(), values), (3000, 1500));
    for (number, (_, target)) in held_out.iter().enumerate() {
        assert_eq!(is_held_out(target), number / 3 % 2 == 0, "{target}");
    }
    // Short and round ones are never held out.
    assert!((0..1000).chain((0..1000).map(|n| 1000 * n)).all(|n: u32| !is_held_out(&n.to_string())));
}

#[test]
fn the_same_seed_draws_the_same_pairs() {
    let pairs = |seed| Dates::training(seed, &[]).take(100).collect::<Vec<_>>();
    assert_eq!(pairs(4), pairs(4));
    assert_ne!(pairs(4), pairs(5));
}

#[test]
fn texts_are_normalized_as_the_tokenizer_does() {
    assert_eq!(normalized("ÉTÉ ２０００年（周日）e\u{301}"), "été 2000年(周日)é");
}

#[test]
fn the_calendar_holds() {
    let date = |year, month, day| Date::new(year, month, day).unwrap();
    for (year, month, day, weekday) in [
        (1789, 7, 14, 1),
        (1969, 7, 20, 6),
        (1000, 1, 1, 2),
        (2000, 2, 29, 1),
        (2000, 3, 1, 2),
        (2199, 12, 31, 1),
    ] {
        assert_eq!(date(year, month, day).weekday(), weekday, "{year}-{month}-{day}");
    }
    for (year, month, day) in [(2023, 2, 30), (2023, 2, 29), (1900, 2, 29), (2023, 4, 31), (2023, 1, 0)] {
        assert_eq!(Date::new(year, month, day), None);
    }
    // Day after day, a weekday follows on another.
    let mut weekday = date(1000, 1, 1).weekday();
    for year in 1000..2200 {
        for (month, day) in (1..=12).flat_map(|month| (1..=31).map(move |day| (month, day))) {
            let Some(date) = Date::new(year, month, day) else { continue };
            assert_eq!(date.weekday(), weekday, "{date:?}");
            weekday = (weekday + 1) % 7;
        }
    }
    let mut random = Rng::with_seed(6);
    for _ in 0..10_000 {
        let Date { year, month, day } = Date::draw(&mut random);
        assert!((1000..2200).contains(&year) && Date::new(year, month, day).is_some());
    }
}

/// The name of another weekday is in no text of a date.
#[test]
fn weekdays_are_those_of_their_dates() {
    let mut random = Rng::with_seed(7);
    let mut named = 0;
    for _ in 0..20_000 {
        let date = Date::draw(&mut random);
        let english = english::date(&mut random, date);
        let french = french::date(&mut random, date);
        let chinese = replaced_traditional(&chinese::date(&mut random, date));
        for day in 0..7 {
            let names = [
                (&english, ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][day]),
                (&french, ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"][day]),
                (&french, ["lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."][day]),
            ];
            for (text, name) in names.into_iter().filter(|(text, name)| text.contains(name)) {
                assert_eq!(day, date.weekday(), "{name} in {text}");
                named += 1;
            }
            for name in ["星期", "周", "礼拜"] {
                for day_name in [["一", "二", "三", "四", "五", "六", "日"][day], "天"] {
                    if chinese.contains(&format!("{name}{day_name}")) {
                        assert_eq!(if day_name == "天" { 6 } else { day }, date.weekday(), "{chinese}");
                        named += 1;
                    }
                }
            }
        }
    }
    assert!(named > 20_000, "{named}");
}

fn replaced_traditional(text: &str) -> String {
    text.replace('週', "周").replace('禮', "礼")
}

#[test]
fn numbers_are_written_right() {
    let english = |n| texts(3000, |random| english::number(random, n));
    let french = |n| texts(3000, |random| french::number(random, n));
    let chinese = |n| texts(3000, |random| chinese::number(random, n));
    let has = |texts: &HashSet<String>, expected: &[&str]| {
        for text in expected {
            assert!(texts.contains(*text), "{text} is not in {texts:?}");
        }
    };
    let is = |texts: &HashSet<String>, expected: &[&str]| {
        has(texts, expected);
        assert_eq!(texts.len(), expected.len(), "{texts:?}");
    };
    is(&english(0), &["zero"]);
    is(&english(13), &["thirteen"]);
    is(&english(40), &["forty"]);
    is(&english(42), &["forty-two", "forty two"]);
    is(&english(100), &["one hundred", "a hundred"]);
    is(&english(2005), &["two thousand and five", "two thousand five"]);
    has(&english(1905), &["one thousand, nine hundred and five", "a thousand nine hundred five"]);
    has(&english(1905), &["nineteen hundred and five"]);
    has(&english(123_646), &["one hundred and twenty-three thousand, six hundred and forty-six"]);
    is(&french(0), &["zéro"]);
    is(&french(16), &["seize"]);
    is(&french(21), &["vingt et un", "vingt-et-un"]);
    has(&french(71), &["soixante et onze", "soixante-et-onze", "septante et un"]);
    has(&french(80), &["quatre-vingts", "quatre vingts", "huitante"]);
    has(&french(91), &["quatre-vingt-onze", "nonante et un"]);
    is(&french(200), &["deux cents", "deux-cents"]);
    is(&french(201), &["deux cent un", "deux-cent-un"]);
    is(&french(1000), &["mille"]);
    has(&french(80_000), &["quatre-vingt mille", "quatre-vingt-mille"]);
    has(&french(200_180), &["deux cent mille cent quatre-vingts"]);
    is(&chinese(0), &["零", "〇"]);
    is(&chinese(10), &["十", "拾"]);
    is(&chinese(12), &["十二", "拾贰"]);
    has(&chinese(101), &["一百零一", "一百〇一", "壹佰零壹"]);
    has(&chinese(110), &["一百一十"]);
    has(&chinese(2222), &["两千两百二十二", "二千二百二十二"]);
    has(&chinese(20_015), &["两万零一十五", "二万零一十五"]);
    has(&chinese(100_500), &["十万零五百"]);
    has(&chinese(606_096), &["六十万六千零九十六"]);
}

#[test]
fn dates_are_written_right() {
    let has = |write: fn(&mut Rng, Date) -> String, [year, month, day]: [u32; 3], expected: &[&str]| {
        let date = Date::new(year, month, day).unwrap();
        let texts = texts(50_000, |random| write(random, date));
        for text in expected {
            assert!(texts.contains(*text), "{text} is not in the texts of {date:?}");
        }
    };
    let july = [
        "14 July 1789",
        "Tuesday, July 14, 1789",
        "the 14th of Jul. 1789",
        "on the fourteenth day of July, 1789",
        "July the 14th 1789",
        "1789 July 14",
        "14-Jul-1789",
        "July 14th, seventeen eighty-nine",
        "Tues. 14th July, 1789",
    ];
    has(english::date, [1789, 7, 14], &july);
    has(
        english::date,
        [1901, 5, 31],
        &["May 31st, nineteen oh one", "the thirty-first of May 1901", "31-May-1901"],
    );
    has(
        english::date,
        [2000, 1, 2],
        &["2nd January 2000", "Jan. second, two thousand", "Sunday, the 2nd Jan 2000"],
    );
    has(english::date, [2022, 9, 23], &["23rd of Sept 2022", "September 23rd, twenty twenty-two"]);
    has(
        english::date,
        [1911, 11, 12],
        &["November 12th, nineteen eleven", "Nov 12, nineteen hundred and eleven"],
    );
    let july = [
        "le 14 juillet 1789",
        "mardi 14 juillet 1789",
        "mar., le quatorze juillet 1789",
        "le 14/07/1789",
        "le mardi 14-7-1789",
        "14 juil. dix-sept cent quatre-vingt-neuf",
        "14 du mois de juillet 1789",
        "14 juillet mil sept cent quatre-vingt-neuf",
        "en date du 14 juillet 1789",
        "14 juillet de l’an 1789",
    ];
    has(french::date, [1789, 7, 14], &july);
    has(
        french::date,
        [2001, 8, 1],
        &["le premier jour d’août 2001", "1er août deux mille un", "01 du mois d’août 2001"],
    );
    let july = [
        "1789年7月14日",
        "1789年07月14号",
        "一七八九年七月十四日",
        "公元1789年7月14日",
        "1789年7月14日星期二",
        "1789年7月14日（周二）",
        "禮拜二，1789年7月14號",
        "１７８９年７月１４日",
        "一千七百八十九年七月十四日",
        "1789 年 7 月 14 日",
        "1789年七月十四日",
        "一七八九年7月14日",
    ];
    has(chinese::date, [1789, 7, 14], &july);
    has(
        chinese::date,
        [2001, 1, 28],
        &["二〇〇一年元月廿八日", "二○○一年一月二十八日星期日", "二零零一年一月二十八号"],
    );
    let figures = texts(1000, |random| Date::new(1789, 7, 4).unwrap().figures(random));
    assert!(
        figures.contains("1789-07-04") && figures.contains("1789/7/4") && figures.len() == 8,
        "{figures:?}"
    );
}

#[test]
fn targets_are_iso_dates_or_digits() {
    for (text, target) in Dates::training(8, &[]).take(20_000) {
        match target.split('-').map(|part| part.parse().unwrap()).collect::<Vec<u32>>()[..] {
            [number] => assert!(number <= LARGEST_NUMBER && number.to_string() == target, "{target}"),
            [year, month, day] => assert_eq!(Date::new(year, month, day).unwrap().iso(), target),
            _ => panic!("{target}"),
        }
        assert!(!text.is_empty() && text.chars().count() < 100, "{text}");
    }
}

#[test]
fn accents_are_all_taken_away() {
    let mut random = Rng::with_seed(9);
    for _ in 0..20_000 {
        let date = Date::draw(&mut random);
        let text = french::date(&mut random, date) + &french::number(&mut random, 300_000);
        let plain = french::without_accents(&text);
        assert!(plain.chars().all(|character| character.is_ascii() || character == '’'), "{plain}");
    }
}
