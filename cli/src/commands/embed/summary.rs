//! The summary of embeddings for a person: how similar the texts are, and the time and memory it took.

use attentive::Embedder;
use attentive::models::Embeddings;

use super::{Embedded, Times};
use crate::output::{Align, Table, bytes, count, shortened, thousands};

/// Texts up to which every pair is shown.
const MATRIX: usize = 12;
/// Texts among which the most similar pairs are looked for.
const COMPARED: usize = 1000;
/// Pairs shown.
const PAIRS: usize = 10;

/// The similarities; of a single text its vector's beginning.
pub fn view(texts: &[&str], embeddings: &Embeddings) -> String {
    match texts.len() {
        0 => "There are no texts.\n".to_owned(),
        1 => single(embeddings),
        2..=MATRIX => matrix(texts, embeddings),
        _ => pairs(texts, embeddings),
    }
}

fn single(embeddings: &Embeddings) -> String {
    let row = embeddings.row(0);
    let first: Vec<String> = row.iter().take(8).map(|value| format!("{value:.6}")).collect();
    let more = if row.len() > first.len() { ", …" } else { "" };
    let norm = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    format!("[{}{more}]\n{} dimensions, norm {norm:.6}\n", first.join(", "), row.len())
}

fn cosine(embeddings: &Embeddings, first: usize, second: usize) -> String {
    let cosine = embeddings.cosine(first, second);
    if cosine.is_nan() { "–".to_owned() } else { format!("{cosine:.3}") }
}

fn columns() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(100)
}

fn label(text: &str, width: usize) -> String {
    if text.is_empty() { "(empty)".to_owned() } else { shortened(text, width) }
}

fn matrix(texts: &[&str], embeddings: &Embeddings) -> String {
    let numbers: Vec<String> = (1..=texts.len()).map(|number| number.to_string()).collect();
    let mut heading = vec![("", Align::Right)];
    heading.extend(numbers.iter().map(|number| (number.as_str(), Align::Right)));
    heading.push(("", Align::Left));
    let mut table = Table::new(&heading);
    let room = columns().saturating_sub(4 + 8 * texts.len()).clamp(24, 72);
    for (row, text) in texts.iter().enumerate() {
        let cosines = (0..texts.len()).map(|column| cosine(embeddings, row, column));
        let cells = std::iter::once(numbers[row].clone()).chain(cosines).chain([label(text, room)]);
        table.row(cells);
    }
    format!("Cosine similarities\n{table}")
}

fn pairs(texts: &[&str], embeddings: &Embeddings) -> String {
    let compared = texts.len().min(COMPARED);
    let mut best: Vec<(f32, usize, usize)> = Vec::new();
    for second in 1..compared {
        for first in 0..second {
            let cosine = embeddings.cosine(first, second);
            let enters = best.len() < PAIRS || best.last().is_some_and(|(least, ..)| cosine > *least);
            if enters && !cosine.is_nan() {
                let place = best.partition_point(|(known, ..)| *known >= cosine);
                best.insert(place, (cosine, first, second));
                best.truncate(PAIRS);
            }
        }
    }
    let mut table = Table::new(&[("cosine", Align::Right), ("", Align::Right), ("", Align::Left)]);
    for (cosine, first, second) in best {
        table.row([format!("{cosine:.3}"), (first + 1).to_string(), label(texts[first], 72)]);
        table.row([String::new(), (second + 1).to_string(), label(texts[second], 72)]);
    }
    let among = if compared < texts.len() {
        format!("the first {} of {}", thousands(compared as u64), count(texts.len(), "text"))
    } else {
        count(compared, "text")
    };
    format!("The most similar pairs among {among}\n{table}")
}

/// Device, model, sizes and times.
pub fn lines(embedder: &Embedder, model: &str, embedded: &Embedded, times: &Times) -> String {
    let Embedded { statistics, dimensions, .. } = embedded;
    let normalized = if embedder.normalizes() { ", normalized" } else { "" };
    let pooling = format!("{:?}", embedder.pooling()).to_lowercase();
    let padding = match statistics.padded_tokens - statistics.tokens.min(statistics.padded_tokens) {
        0 => String::new(),
        padding => format!(" and {} of padding", thousands(padding as u64)),
    };
    let cut = match embedded.cut {
        0 => String::new(),
        cut => format!(", {cut} cut"),
    };
    let batches = match statistics.batches {
        1 => "1 batch".to_owned(),
        batches => format!("{} batches", thousands(batches as u64)),
    };
    let first = format!("first batch {:.2} s", times.first.as_secs_f64());
    let rest = match statistics.batches {
        0 => String::new(),
        1 => format!(", {first}"),
        _ => format!(", {first}, the rest {:.2} s", times.rest.as_secs_f64()),
    };
    format!(
        "device  {}\nmodel   {model}: {dimensions} dimensions, {pooling} pooling{normalized}\n\
         texts   {}{cut}, {} tokens{padding}, {batches}\n\
         memory  weights {}, temporaries {} at the peak ({} without sharing)\n\
         time    loading {:.2} s{rest}\n",
        embedder.device().name(),
        thousands(statistics.texts as u64),
        thousands(statistics.tokens as u64),
        bytes(embedder.weight_bytes()),
        bytes(statistics.peak_bytes),
        bytes(statistics.unshared_bytes),
        times.load.as_secs_f64(),
    )
}
