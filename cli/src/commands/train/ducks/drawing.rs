//! Scenes as pixels: a few smooth shapes for a duck, on a ground with some noise.

use fastrand::Rng;

use super::{Duck, Ground, SIDE, SIZE, Scene};

/// Samples on a side of a pixel, of which a shape covers some.
const SAMPLES: usize = 4;

/// The size that beaks and eyes are drawn for, whatever the duck's is: so they can be counted.
const HEAD: f32 = 15.0;

const ORANGE: [f32; 3] = [240.0, 128.0, 24.0];
const DARK: [f32; 3] = [20.0, 20.0, 24.0];
const LIGHT: [f32; 3] = [250.0, 250.0, 250.0];

/// What is drawn, in units of a duck that looks right; x to the right, y downwards.
#[derive(Clone, Copy)]
enum Shape {
    /// The middle, and the half axes.
    Ellipse([f32; 2], [f32; 2]),
    /// Its corners, with the clock.
    Triangle([[f32; 2]; 3]),
}
use Shape::{Ellipse, Triangle};

const TAIL: Shape = Triangle([[-0.74, -0.10], [-0.30, 0.02], [-0.40, 0.40]]);
const BODY: Shape = Ellipse([0.0, 0.22], [0.56, 0.30]);
const NECK: Shape = Ellipse([0.34, 0.02], [0.17, 0.26]);
const WING: Shape = Ellipse([-0.12, 0.20], [0.32, 0.15]);
/// The middle of the head, which is placed by the duck's size.
const FACE: [f32; 2] = [0.40, -0.24];
const SKULL: Shape = Ellipse(FACE, [0.24, 0.24]);
/// From the middle of the head on, for a head of one size.
const BEAK: Shape = Ellipse([0.27, 0.05], [0.15, 0.075]);
const EYE: Shape = Ellipse([0.07, -0.06], [0.085, 0.085]);
const PUPIL: Shape = Ellipse([0.085, -0.055], [0.05, 0.05]);

impl Shape {
    fn contains(self, [x, y]: [f32; 2]) -> bool {
        match self {
            Ellipse([middle_x, middle_y], [across, down]) => {
                let (x, y) = ((x - middle_x) / across, (y - middle_y) / down);
                x * x + y * y <= 1.0
            }
            Triangle(corners) => (0..3).all(|corner| {
                let ([from_x, from_y], [to_x, to_y]) = (corners[corner], corners[(corner + 1) % 3]);
                (to_x - from_x) * (y - from_y) >= (to_y - from_y) * (x - from_x)
            }),
        }
    }

    /// Left and top, right and bottom.
    fn extent(self) -> [[f32; 2]; 2] {
        match self {
            Ellipse([x, y], [across, down]) => [[x - across, y - down], [x + across, y + down]],
            Triangle(corners) => {
                let ends = |axis: usize| {
                    let along = corners.map(|corner| corner[axis]);
                    [along.into_iter().fold(f32::MAX, f32::min), along.into_iter().fold(f32::MIN, f32::max)]
                };
                let [[left, right], [top, bottom]] = [ends(0), ends(1)];
                [[left, top], [right, bottom]]
            }
        }
    }
}

/// A shape of a duck: where its own origin lies, in units of the duck; pixels for a unit of it; its colour.
struct Part {
    shape: Shape,
    from: [f32; 2],
    size: f32,
    colour: [f32; 3],
}

impl Part {
    /// What it covers, from the duck's middle on, if that looks right.
    fn extent(&self, size: f32) -> [[f32; 2]; 2] {
        self.shape.extent().map(|end| [0, 1].map(|axis| self.from[axis] * size + end[axis] * self.size))
    }
}

fn parts(size: f32, colour: [f32; 3]) -> [Part; 8] {
    let is_dark = colour.iter().sum::<f32>() < 200.0;
    // Wings are seen on every colour.
    let wing = colour.map(|value| if is_dark { value + 42.0 } else { value * 0.78 });
    let body = |shape, colour| Part { shape, from: [0.0; 2], size, colour };
    let face = |shape, colour| Part { shape, from: FACE, size: HEAD, colour };
    [
        body(TAIL, colour),
        body(BODY, colour),
        body(WING, wing),
        body(NECK, colour),
        body(SKULL, colour),
        face(BEAK, ORANGE),
        face(EYE, LIGHT),
        face(PUPIL, DARK),
    ]
}

/// What a duck of that size covers, from its middle on, if it looks right: left and top, right and bottom.
pub fn extent(size: f32) -> [[f32; 2]; 2] {
    parts(size, [0.0; 3]).iter().fold([[f32::MAX; 2], [f32::MIN; 2]], |[least, most], part| {
        let [first, last] = part.extent(size);
        [[0, 1].map(|axis| least[axis].min(first[axis])), [0, 1].map(|axis| most[axis].max(last[axis]))]
    })
}

/// The picture: RGB, `[64, 64, 3]`.
pub fn draw(scene: &Scene) -> Vec<u8> {
    let mut pixels = ground(scene.ground, scene.seed);
    scene.ducks.iter().for_each(|duck| draw_duck(&mut pixels, duck));
    pixels.into_iter().flatten().map(|value| value.clamp(0.0, 255.0).round() as u8).collect()
}

fn draw_duck(pixels: &mut [[f32; 3]], duck: &Duck) {
    let within = |from: f32, to: f32| from.floor().max(0.0) as usize..to.ceil().min(SIDE) as usize;
    let colour = std::array::from_fn(|c| f32::from(duck.colour.rgb[c]) + f32::from(duck.shade[c]));
    let side = if duck.looks_left { -1.0 } else { 1.0 };
    for part in parts(duck.size, colour.map(|value: f32| value.clamp(0.0, 255.0))) {
        let [[left, top], [right, bottom]] = part.extent(duck.size);
        let (left, right) = if duck.looks_left { (-right, -left) } else { (left, right) };
        let [x, y] = duck.at;
        for row in within(y + top, y + bottom) {
            for column in within(x + left, x + right) {
                let sample = |number: usize| {
                    let offset = |step: usize| (step as f32 + 0.5) / SAMPLES as f32;
                    let x = (column as f32 + offset(number % SAMPLES) - duck.at[0]) * side;
                    let y = row as f32 + offset(number / SAMPLES) - duck.at[1];
                    let from = part.from.map(|place| place * duck.size);
                    part.shape.contains([(x - from[0]) / part.size, (y - from[1]) / part.size])
                };
                let covered = (0..SAMPLES * SAMPLES).filter(|&number| sample(number)).count();
                let share = covered as f32 / (SAMPLES * SAMPLES) as f32;
                let pixel = &mut pixels[row * SIZE + column];
                for (value, wanted) in pixel.iter_mut().zip(part.colour) {
                    *value += share * (wanted - *value);
                }
            }
        }
    }
}

/// Water with ripples, or grass with blades.
fn ground(ground: Ground, seed: u64) -> Vec<[f32; 3]> {
    let mut random = Rng::with_seed(seed);
    let (far, near) = match ground {
        Ground::Water => ([176.0, 216.0, 226.0], [122.0, 182.0, 200.0]),
        Ground::Grass => ([190.0, 216.0, 150.0], [146.0, 186.0, 106.0]),
    };
    let tint: f32 = 16.0 * (random.f32() - 0.5);
    let mut pixels = vec![[0.0; 3]; SIZE * SIZE];
    for (place, pixel) in pixels.iter_mut().enumerate() {
        let depth = (place / SIZE) as f32 / (SIDE - 1.0);
        let noise = 8.0 * (random.f32() - 0.5);
        *pixel = std::array::from_fn(|c| far[c] + depth * (near[c] - far[c]) + tint + noise);
    }
    let (strokes, across, down) = match ground {
        Ground::Water => (22, 7, 1),
        Ground::Grass => (90, 1, 3),
    };
    for _ in 0..strokes {
        let (left, top) = (random.usize(..SIZE), random.usize(..SIZE));
        let change = 22.0 * (random.f32() - 0.5);
        for row in top..(top + down).min(SIZE) {
            for column in left..(left + across).min(SIZE) {
                pixels[row * SIZE + column].iter_mut().for_each(|value| *value += change);
            }
        }
    }
    pixels
}
