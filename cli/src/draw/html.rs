//! A page that holds all that it shows: data, style and script. It asks no server for anything.

use attentive::models::MapToken;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::colours::Theme;
use super::label::{escaped, plain, right_to_left, whole};
use super::{Drawing, pair};

/// The page: self-contained, without network, for light and dark.
pub fn page(drawing: &Drawing<'_>) -> String {
    format!(
        include_str!("page.html"),
        title = escaped(&drawing.title()),
        caption = escaped(&drawing.caption),
        style = include_str!("page.css"),
        data = in_script(&data(drawing)),
        script = include_str!("page.js"),
    )
}

/// The data that the page's script reads. The weights are the f32 themselves, little-endian, in base64.
fn data(drawing: &Drawing<'_>) -> Value {
    let maps = drawing.maps;
    let same = maps.is_self_attention();
    let bytes: Vec<u8> = maps.weights().iter().flat_map(|weight| weight.to_le_bytes()).collect();
    json!({
        "sides": drawing.sides,
        "unnumbered": drawing.unnumbered,
        "rows": tokens(maps.rows()),
        "columns": (!same).then(|| tokens(maps.columns())),
        "layers": maps.layers(),
        "heads": maps.heads(),
        "from": drawing.from,
        "most": drawing.most.map(decimal),
        "sums": drawing.about_sums(),
        "pair": pair::is_pair(maps),
        "parts": pair::PARTS,
        "palettes": { "light": Theme::Light.palette().digits(), "dark": Theme::Dark.palette().digits() },
        "weights": STANDARD.encode(bytes),
    })
}

/// The shortest number that is this f32 again: 0.3, not the f64 0.30000001192092896 that it is.
fn decimal(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(number.into())
}

/// Each token's label, all that is known of it, its part of a pair, and the direction of its script.
fn tokens(tokens: &[MapToken]) -> Vec<Value> {
    let token = |token: &MapToken| {
        json!({
            "label": plain(token, 400),
            "whole": whole(token),
            "part": pair::part(token),
            "right_to_left": right_to_left(&token.label),
        })
    };
    tokens.iter().map(token).collect()
}

/// JSON that cannot end the script element that it stands in.
fn in_script(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}
