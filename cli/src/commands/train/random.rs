//! Choices by chance.

use fastrand::Rng;

/// Whether something that has this probability happens.
pub fn chance(random: &mut Rng, probability: f64) -> bool {
    random.f64() < probability
}

/// One of the items, each as likely as another.
pub fn one_of<T: Copy>(random: &mut Rng, items: &[T]) -> T {
    items[random.usize(..items.len())]
}

/// One of a table's rows, each as likely as another.
pub fn pick<T>(random: &mut Rng, rows: &'static [T]) -> &'static T {
    &rows[random.usize(..rows.len())]
}
