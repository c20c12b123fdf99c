//! Captions against what is written by hand, and rules that all pictures keep.

use std::collections::{HashMap, HashSet};

use super::*;

fn named(name: &str) -> Colour {
    *COLOURS.iter().find(|colour| colour.name == name).unwrap()
}

/// Ducks of these colours from left to right, looking right but for those behind a "<".
fn scene(ducks: &[&str]) -> Scene {
    let duck = |(place, name): (usize, &&str)| Duck {
        colour: named(name.trim_start_matches('<')),
        shade: [0; 3],
        looks_left: name.starts_with('<'),
        at: [16.0 + 30.0 * (place % 2) as f32, 14.0 + 20.0 * (place / 2) as f32],
        size: 15.0,
    };
    Scene { ducks: ducks.iter().enumerate().map(duck).collect(), ground: Ground::Water, seed: 1 }
}

#[test]
fn the_picture_decides_its_caption() {
    for (ducks, caption) in [
        (&["red"][..], "a red duck looking right"),
        (&["<white"], "a white duck looking left"),
        (&["yellow", "<yellow"], "two yellow ducks"),
        (&["yellow", "yellow", "yellow"], "three yellow ducks"),
        (&["black"; 4], "four black ducks"),
        (&["blue", "<red"], "a blue duck and a red duck"),
        (&["red", "blue"], "a red duck and a blue duck"),
        (&["yellow", "blue", "yellow"], "a blue duck among two yellow ducks"),
        (&["yellow", "yellow", "yellow", "blue"], "a blue duck among three yellow ducks"),
        (&["blue", "yellow", "yellow", "yellow"], "a blue duck among three yellow ducks"),
    ] {
        assert_eq!(scene(ducks).caption(), caption);
        let words: Vec<&str> = caption.split(' ').collect();
        for (word, meant) in scene(ducks).meant() {
            let count = ducks.iter().filter(|duck| duck.trim_start_matches('<') == words[word]).count();
            assert_eq!(meant.len(), count, "{caption}: {}", words[word]);
        }
    }
    // The left one comes first, whichever was drawn first.
    let mut turned = scene(&["red", "blue"]);
    turned.ducks.reverse();
    assert_eq!(turned.caption(), "a red duck and a blue duck");
    assert_eq!(turned.meant()[0].1[0], turned.ducks[1].bounds());
}

#[test]
fn captions_have_the_words_of_the_vocabulary_and_all_of_them() {
    let vocabulary = vocabulary();
    assert!(vocabulary.is_sorted() && vocabulary.len() == 21);
    let mut left: HashSet<&str> = vocabulary.iter().copied().collect();
    for scene in Scenes::new(5, Pairs::Known).take(1000) {
        for word in scene.caption().split(' ') {
            assert!(vocabulary.contains(&word), "{word}");
            left.remove(word);
        }
    }
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn withheld_pairs_are_never_trained_on_and_each_colour_is_in_both() {
    let pair = |scene: &Scene| {
        let mut names: Vec<&str> = scene.ducks.iter().map(|duck| duck.colour.name).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let of = |pairs| {
        let mut found: HashMap<Vec<&str>, usize> = HashMap::new();
        for scene in Scenes::new(2, pairs).take(4000) {
            *found.entry(pair(&scene)).or_default() += 1;
        }
        found
    };
    let (known, withheld) = (of(Pairs::Known), of(Pairs::Withheld));
    assert!(known.keys().all(|pair| !withheld.contains_key(pair)));
    let pairs = |found: &HashMap<Vec<&str>, usize>| found.keys().filter(|pair| pair.len() == 2).count();
    // All 45 are one or the other.
    assert_eq!((pairs(&known), pairs(&withheld), withheld.len()), (45 - WITHHELD, WITHHELD, WITHHELD));
    // Alone and in pairs each colour is often seen.
    for Colour { name, .. } in COLOURS {
        let count = |alone: bool| -> usize {
            let of = known.iter().filter(|(pair, _)| pair.contains(&name) && (pair.len() == 1) == alone);
            of.map(|(_, count)| count).sum()
        };
        assert!(count(true) > 120 && count(false) > 120, "{name}: {} and {}", count(true), count(false));
    }
}

/// How many of the 45 pairs are withheld.
const WITHHELD: usize = 10;

#[test]
fn ducks_lie_in_the_picture_and_apart() {
    let mut numbers = [0; MOST + 1];
    for scene in Scenes::new(3, Pairs::Known).take(2000) {
        numbers[scene.ducks.len()] += 1;
        for (place, duck) in scene.ducks.iter().enumerate() {
            let [left, top, right, bottom] = duck.bounds();
            assert!(left >= 1.0 && top >= 1.0 && right <= SIDE - 1.0 && bottom <= SIDE - 1.0);
            assert!(scene.ducks[..place].iter().all(|other| !overlap(&other.bounds(), &duck.bounds())));
        }
        if let [one, other] = scene.ducks.as_slice() {
            assert!(one.colour == other.colour || (one.at[0] - other.at[0]).abs() >= APART);
        }
    }
    assert!(numbers[0] == 0 && numbers[1..].iter().all(|&number| number > 200), "{numbers:?}");
}

/// What is drawn of a duck is within its bounds, and reaches them.
#[test]
fn bounds_are_those_of_what_is_drawn() {
    for scene in Scenes::new(7, Pairs::Known).take(60) {
        let with = draw(&scene);
        for (place, duck) in scene.ducks.iter().enumerate() {
            let mut without = scene.clone();
            without.ducks.remove(place);
            let without = draw(&without);
            let changed = (0..SIZE * SIZE).filter(|at| with[at * 3..][..3] != without[at * 3..][..3]);
            let (mut least, mut most) = ([SIZE; 2], [0; 2]);
            for at in changed {
                let pixel = [at % SIZE, at / SIZE];
                least = [0, 1].map(|axis| least[axis].min(pixel[axis]));
                most = [0, 1].map(|axis| most[axis].max(pixel[axis] + 1));
            }
            let [left, top, right, bottom] = duck.bounds();
            for (drawn, bound) in [(least[0], left), (least[1], top)] {
                assert!(drawn as f32 > bound - 1.0 && (drawn as f32) < bound + 2.0, "{drawn} and {bound}");
            }
            for (drawn, bound) in [(most[0], right), (most[1], bottom)] {
                assert!((drawn as f32) < bound + 1.0 && drawn as f32 > bound - 2.0, "{drawn} and {bound}");
            }
        }
    }
}

#[test]
fn a_seed_gives_the_same_pictures_again() {
    let pictures = |seed| -> Vec<Vec<u8>> {
        Scenes::new(seed, Pairs::Known).take(5).map(|scene| draw(&scene)).collect()
    };
    assert_eq!(pictures(1), pictures(1));
    assert_ne!(pictures(1), pictures(2));
    assert!(pictures(1).iter().all(|picture| picture.len() == SIZE * SIZE * 3));
}

/// A body has about its colour, in the one picture as in the other.
#[test]
fn ducks_have_their_colours() {
    for scene in Scenes::new(11, Pairs::Known).take(100) {
        let picture = draw(&scene);
        for duck in &scene.ducks {
            // Below the wing.
            let at = [duck.at[0] as usize, (duck.at[1] + 0.43 * duck.size) as usize];
            let pixel = &picture[(at[1] * SIZE + at[0]) * 3..][..3];
            let distance = |colour: &Colour| -> i32 {
                colour.rgb.iter().zip(pixel).map(|(a, b)| (i32::from(*a) - i32::from(*b)).pow(2)).sum()
            };
            let nearest = COLOURS.iter().min_by_key(|colour| distance(colour)).unwrap();
            assert_eq!(nearest.name, duck.colour.name, "{pixel:?}");
        }
    }
}
