//! Weights as text, for a terminal.

use super::label::label;
use super::svg::number;
use super::{Drawing, pair};
use crate::output::{Align, Table};

/// Columns of a token's name.
const NAME: usize = 24;
/// Columns of the longest bar.
const BAR: f64 = 40.0;
/// Tokens that are listed, and maps.
const TOKENS: usize = 48;
const MAPS: usize = 24;
/// Tokens named in a line.
const STRONGEST: usize = 4;

/// What a chosen token attends to, or what each token attends to most.
pub fn text(drawing: &Drawing<'_>) -> String {
    let maps = drawing.maps;
    let [layers, heads, rows, columns] = maps.shape();
    if layers * heads == 0 || rows * columns == 0 {
        return "There are no weights.\n".to_owned();
    }
    let mean = if layers * heads == 1 { maps.clone() } else { maps.mean() };
    let name = match layers * heads {
        1 => drawing.name(0, 0),
        several => format!("mean of {several} heads"),
    };
    let mut text = match drawing.from.filter(|row| *row < rows) {
        Some(row) => bars(drawing, mean.row(0, 0, row), row, &name) + &each_head(drawing, row),
        None => each_token(drawing, |row| mean.row(0, 0, row), &name),
    };
    if pair::is_pair(maps) {
        text += &quarters(pair::split(&mean, 0, 0), &name);
    }
    text
}

/// `a 0.412, b 0.081`: the largest weights of a row.
fn strongest(drawing: &Drawing<'_>, weights: &[f32]) -> String {
    let named = order(weights).into_iter().take(STRONGEST).filter(|&place| weights[place] > 0.0);
    let named = named.map(|place| {
        format!("{} {}", label(&drawing.maps.columns()[place], NAME), number(weights[place].into()))
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() { "–".to_owned() } else { named.join("  ") }
}

/// The places by falling weight.
fn order(weights: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    order
}

fn bars(drawing: &Drawing<'_>, weights: &[f32], row: usize, name: &str) -> String {
    let columns = drawing.maps.columns();
    let most = f64::from(drawing.most(weights));
    let mut places: Vec<usize> = (0..columns.len()).collect();
    let mut rest = String::new();
    if places.len() > TOKENS {
        places = order(weights);
        places.truncate(TOKENS);
        rest = format!("  and {} weaker\n", columns.len() - TOKENS);
    }
    let mut table = Table::new(&[
        ("", Align::Right),
        ("token", Align::Left),
        ("weight", Align::Right),
        ("", Align::Left),
    ]);
    for place in places {
        let weight = f64::from(weights[place]);
        let eighths = (weight / most * BAR * 8.0).clamp(0.0, BAR * 8.0).round() as usize;
        let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
        let bar = format!("{}{part}", "█".repeat(eighths / 8));
        table.row([place.to_string(), label(&columns[place], NAME), number(weight), bar]);
    }
    let from = label(&drawing.maps.rows()[row], NAME);
    format!("{} “{from}” (token {row}), {name}\n{table}{rest}", drawing.sides[0])
}

fn each_head(drawing: &Drawing<'_>, row: usize) -> String {
    let maps = drawing.maps;
    let [layers, heads, ..] = maps.shape();
    if layers * heads < 2 {
        return String::new();
    }
    let mut table = Table::new(&[("head", Align::Left), ("strongest", Align::Left)]);
    // Where there are too many to read, the layers' means stand for them.
    let means = (layers * heads > MAPS).then(|| maps.mean_of_heads());
    for layer in 0..layers {
        match &means {
            Some(means) => {
                let number = maps.layers()[layer].map_or(String::new(), |layer| format!("layer {layer}, "));
                table.row([format!("{number}mean of {heads}"), strongest(drawing, means.row(layer, 0, row))]);
            }
            None => {
                for head in 0..heads {
                    table.row([drawing.name(layer, head), strongest(drawing, maps.row(layer, head, row))]);
                }
            }
        }
    }
    let narrow =
        if means.is_some() { "  --layers and --heads show heads one by one, -o all of them\n" } else { "" };
    format!("\n{table}{narrow}")
}

fn each_token<'a>(drawing: &Drawing<'_>, row: impl Fn(usize) -> &'a [f32], name: &str) -> String {
    let [from, to] = drawing.sides;
    let to = format!("{to} (strongest)");
    let mut table = Table::new(&[("", Align::Right), (from, Align::Left), (&to, Align::Left)]);
    let tokens = drawing.maps.rows();
    for (place, token) in tokens.iter().enumerate().take(TOKENS) {
        table.row([place.to_string(), label(token, NAME), strongest(drawing, row(place))]);
    }
    let rest = match tokens.len().saturating_sub(TOKENS) {
        0 => String::new(),
        more => format!("  and {more} more tokens; --from shows one, -o all\n"),
    };
    format!("{name}\n{table}{rest}")
}

fn quarters(split: [[f64; 3]; 2], name: &str) -> String {
    let mut table = Table::new(&[
        ("", Align::Left),
        ("to A", Align::Right),
        ("to B", Align::Right),
        ("to special tokens", Align::Right),
    ]);
    for (from, shares) in pair::PARTS.iter().zip(split) {
        let shares = shares.map(|share| format!("{:.1} %", 100.0 * share));
        table.row(std::iter::once(format!("from {from}")).chain(shares));
    }
    format!("\nBetween the two texts, {name}\n{table}")
}
