//! Pictures of ducks, drawn by code, and what is to be said of them: what the captioner is trained on.
//!
//! One to four ducks of a few colours, each looking left or right, on water or on grass. The picture decides its caption:
//!
//! | ducks | caption |
//! |---|---|
//! | one | a red duck looking left |
//! | several of one colour | three yellow ducks |
//! | two of two colours | a blue duck and a red duck, the left one first |
//! | one of another colour | a blue duck among three yellow ducks |

mod drawing;
#[cfg(test)]
mod tests;

use fastrand::Rng;

use super::random::chance;

pub use drawing::draw;

/// Pixels on a side of a picture.
pub const SIZE: usize = 64;
const SIDE: f32 = SIZE as f32;

/// The most ducks of a scene.
const MOST: usize = 4;

/// Tries to place ducks before the scene is drawn anew.
const TRIES: usize = 60;

/// Left and right are told apart only from so many pixels on.
const APART: f32 = 10.0;

/// The least and the greatest size of a duck: a duck is 1.56 of it wide and 1.06 high.
const SIZES: [f32; 2] = [13.0, 17.0];

/// A colour that ducks have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    pub name: &'static str,
    rgb: [u8; 3],
}

const fn colour(name: &'static str, rgb: [u8; 3]) -> Colour {
    Colour { name, rgb }
}

/// All of them.
pub const COLOURS: [Colour; 10] = [
    colour("black", [44, 44, 50]),
    colour("blue", [44, 92, 214]),
    colour("brown", [126, 76, 38]),
    colour("green", [36, 138, 58]),
    colour("grey", [134, 136, 142]),
    colour("pink", [246, 138, 178]),
    colour("purple", [142, 60, 176]),
    colour("red", [212, 46, 44]),
    colour("white", [246, 246, 243]),
    colour("yellow", [247, 208, 48]),
];

/// What numbers of ducks are called.
const NUMBERS: [&str; 3] = ["two", "three", "four"];

/// The other words of captions.
const WORDS: [&str; 8] = ["a", "among", "and", "duck", "ducks", "left", "looking", "right"];

/// All words of captions, in the order of their letters.
pub fn vocabulary() -> Vec<&'static str> {
    let colours = COLOURS.iter().map(|colour| colour.name);
    let mut words: Vec<&str> = WORDS.into_iter().chain(NUMBERS).chain(colours).collect();
    words.sort_unstable();
    words
}

/// Whether ducks of these two colours stand together in no picture that is trained on: some of the 45 pairs, by a hash, so that a
/// captioner can be asked for what it has only seen apart. Blue and yellow is one of them.
pub fn is_withheld(one: &Colour, other: &Colour) -> bool {
    let (first, second) = if one.name < other.name { (one, other) } else { (other, one) };
    one != other && crc32fast::hash(format!("{}-{}", first.name, second.name).as_bytes()).is_multiple_of(5)
}

/// A duck in a scene.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Duck {
    pub colour: Colour,
    /// What is added to its colour.
    shade: [i16; 3],
    pub looks_left: bool,
    /// Its middle, in pixels.
    pub at: [f32; 2],
    /// Pixels for a unit of its shape.
    size: f32,
}

/// Left, top, right and bottom, in pixels.
pub type Corners = [f32; 4];

/// Whether a point lies within, its x and y in pixels.
pub fn contains(&[left, top, right, bottom]: &Corners, [x, y]: [f32; 2]) -> bool {
    (left..=right).contains(&x) && (top..=bottom).contains(&y)
}

impl Duck {
    /// What it covers of the picture.
    pub fn bounds(&self) -> Corners {
        let [[left, top], [right, bottom]] = drawing::extent(self.size);
        let (left, right) = if self.looks_left { (-right, -left) } else { (left, right) };
        let [x, y] = self.at;
        [x + left, y + top, x + right, y + bottom]
    }
}

/// What ducks stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    Water,
    Grass,
}

/// A picture before it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    pub ducks: Vec<Duck>,
    ground: Ground,
    /// What the ground is drawn from.
    seed: u64,
}

/// What the ducks of a caption are, in the order of their words.
enum Meaning<'a> {
    One(&'a Duck),
    Several(&'a [Duck]),
    Pair([&'a Duck; 2]),
    Among(&'a Duck, Vec<&'a Duck>),
}

impl Scene {
    /// What is to be said of it.
    pub fn caption(&self) -> String {
        let number = |count: usize| NUMBERS[count.clamp(2, MOST) - 2];
        match self.meaning() {
            Meaning::One(duck) => {
                let side = if duck.looks_left { "left" } else { "right" };
                format!("a {} duck looking {side}", duck.colour.name)
            }
            Meaning::Several(ducks) => format!("{} {} ducks", number(ducks.len()), ducks[0].colour.name),
            Meaning::Pair([left, right]) => {
                format!("a {} duck and a {} duck", left.colour.name, right.colour.name)
            }
            Meaning::Among(odd, others) => {
                let (one, several) = (odd.colour.name, others[0].colour.name);
                format!("a {one} duck among {} {several} ducks", number(others.len()))
            }
        }
    }

    /// The ducks that each colour of the caption is of: the number of the colour's word, and what they cover.
    pub fn meant(&self) -> Vec<(usize, Vec<Corners>)> {
        let of = |ducks: &[&Duck]| ducks.iter().map(|duck| duck.bounds()).collect();
        match self.meaning() {
            Meaning::One(duck) => vec![(1, of(&[duck]))],
            Meaning::Several(ducks) => vec![(1, ducks.iter().map(Duck::bounds).collect())],
            Meaning::Pair([left, right]) => vec![(1, of(&[left])), (5, of(&[right]))],
            Meaning::Among(odd, others) => vec![(1, of(&[odd])), (5, of(&others))],
        }
    }

    fn meaning(&self) -> Meaning<'_> {
        let ducks = &self.ducks;
        let of = |colour: Colour| ducks.iter().filter(|duck| duck.colour == colour).count();
        match ducks.as_slice() {
            [duck] => Meaning::One(duck),
            [first, .., last] if of(first.colour) == ducks.len() && of(last.colour) == ducks.len() => {
                Meaning::Several(ducks)
            }
            [one, other] if one.at[0] < other.at[0] => Meaning::Pair([one, other]),
            [one, other] => Meaning::Pair([other, one]),
            ducks => {
                let odd = ducks.iter().find(|duck| of(duck.colour) == 1).unwrap_or(&ducks[0]);
                Meaning::Among(odd, ducks.iter().filter(|duck| duck.colour != odd.colour).collect())
            }
        }
    }
}

/// Which pictures are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// Those without a withheld pair of colours.
    Known,
    /// Those with one.
    Withheld,
}

/// An endless, seeded sequence of scenes.
pub struct Scenes {
    random: Rng,
    pairs: Pairs,
}

impl Scenes {
    pub fn new(seed: u64, pairs: Pairs) -> Self {
        Self { random: Rng::with_seed(seed), pairs }
    }
}

impl Iterator for Scenes {
    type Item = Scene;

    fn next(&mut self) -> Option<Scene> {
        let random = &mut self.random;
        loop {
            let colours = match self.pairs {
                Pairs::Known => colours(random),
                Pairs::Withheld => two_colours(random, true),
            };
            if let Some(ducks) = placed(random, &colours) {
                let ground = if chance(random, 0.5) { Ground::Water } else { Ground::Grass };
                return Some(Scene { ducks, ground, seed: random.u64(..) });
            }
        }
    }
}

/// The colours of a scene's ducks, none of them withheld from each other.
fn colours(random: &mut Rng) -> Vec<Colour> {
    let one = COLOURS[random.usize(..COLOURS.len())];
    match random.u32(..20) {
        0..5 => vec![one],
        5..10 => vec![one; random.usize(2..=MOST)],
        _ => two_colours(random, false),
    }
}

/// One duck of a colour, and one to three of another.
fn two_colours(random: &mut Rng, withheld: bool) -> Vec<Colour> {
    loop {
        let [odd, other] = [0; 2].map(|_| COLOURS[random.usize(..COLOURS.len())]);
        if odd != other && is_withheld(&odd, &other) == withheld {
            let mut colours = vec![other; random.usize(1..MOST)];
            colours.push(odd);
            random.shuffle(&mut colours);
            return colours;
        }
    }
}

/// Ducks at places of their own, if that many fit as it comes.
fn placed(random: &mut Rng, colours: &[Colour]) -> Option<Vec<Duck>> {
    let mut ducks: Vec<Duck> = Vec::new();
    for &colour in colours {
        let fitting = (0..TRIES).find_map(|_| {
            let duck = duck(random, colour);
            let apart = |other: &Duck| {
                let pair_is_told =
                    colours.len() != 2 || other.colour == colour || (other.at[0] - duck.at[0]).abs() >= APART;
                pair_is_told && !overlap(&other.bounds(), &duck.bounds())
            };
            ducks.iter().all(apart).then_some(duck)
        });
        ducks.push(fitting?);
    }
    Some(ducks)
}

fn duck(random: &mut Rng, colour: Colour) -> Duck {
    let size = SIZES[0] + (SIZES[1] - SIZES[0]) * random.f32();
    let mut duck = Duck {
        colour,
        shade: [0; 3].map(|_| random.i16(-12..=12)),
        looks_left: chance(random, 0.5),
        at: [0.0; 2],
        size,
    };
    let [left, top, right, bottom] = duck.bounds();
    let mut between = |least: f32, most: f32| least + (most - least) * random.f32();
    duck.at = [between(1.0 - left, SIDE - 1.0 - right), between(1.0 - top, SIDE - 1.0 - bottom)];
    duck
}

fn overlap(one: &Corners, other: &Corners) -> bool {
    one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3]
}
