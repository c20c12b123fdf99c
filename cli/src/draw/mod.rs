//! Pictures of attention weights: HTML, SVG, PNG, and their numbers as .npy and as text; and of accuracy by length.

mod accuracy;
#[cfg(all(test, unix, feature = "pictures"))]
#[path = "../../../tests/common/browser.rs"]
mod browser;
mod colours;
mod gaze;
mod html;
mod label;
mod pair;
mod picture;
#[cfg(feature = "pictures")]
mod png;
mod svg;
// They read SVG by resvg.
#[cfg(all(test, feature = "pictures"))]
mod tests;
mod text;
mod views;

use attentive::models::AttentionMaps;

use crate::output::shortened;

pub use accuracy::accuracy_by_length;
pub use colours::Theme;
pub use gaze::Photo;
pub use label::label;
pub use picture::{Picture, Target, chart_target, target};
pub use text::text;

/// Says that there is no such picture.
#[cfg(not(feature = "pictures"))]
pub fn without_pictures(what: &str) -> String {
    format!("{what} needs the feature `pictures`, which this program was built without")
}

/// The view that a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum View {
    /// One map: tokens by tokens
    Map,
    /// All maps, small: layers by heads
    Heads,
    /// What one token attends to, in every map (needs --from)
    From,
    /// Lines between two columns of tokens, as thick as the weight
    Links,
    /// How much of each text's attention goes to each text of a pair
    Pair,
}

/// Maps to be drawn, and how. It knows nothing of where they come from: a translation's rows are its target's tokens,
/// and its columns the source's.
#[derive(Clone, Debug)]
pub struct Drawing<'a> {
    /// What is looked at, such as the text.
    pub title: String,
    /// Beside the title: the model, what was merged or left out.
    pub caption: String,
    /// The weights.
    pub maps: &'a AttentionMaps,
    /// What rows and columns are: `from` and `to`, or `target` and `source`.
    pub sides: [&'a str; 2],
    /// What a map is that has no number: a mean over heads or layers; empty for the only one.
    pub unnumbered: String,
    /// The row that is looked at.
    pub from: Option<usize>,
    /// Where the colours end; by itself, at the largest weight that is drawn.
    pub most: Option<f32>,
    pub theme: Theme,
    /// What a captioner looked at: the columns are its places, and the view is that of where it looked.
    pub photo: Option<Photo<'a>>,
    /// By itself: what `from` attends to, where there is one; else the map, or the heads where there are several.
    pub view: Option<View>,
}

impl Drawing<'_> {
    /// The title in one line, harmless.
    fn title(&self) -> String {
        shortened(&self.title, 600)
    }

    /// The view that is drawn.
    pub fn view(&self) -> View {
        let [layers, heads, ..] = self.maps.shape();
        self.view.unwrap_or(match self.from {
            Some(_) => View::From,
            None if layers * heads == 1 => View::Map,
            None => View::Heads,
        })
    }

    /// The name of the map at these places: `layer 4, head 3`.
    pub fn name(&self, layer: usize, head: usize) -> String {
        let number = |numbers: &[Option<usize>], place: usize| numbers.get(place).copied().flatten();
        let layer = number(self.maps.layers(), layer).map(|layer| format!("layer {layer}"));
        let head = number(self.maps.heads(), head).map(|head| format!("head {head}"));
        let unnumbered = Some(self.unnumbered.clone()).filter(|name| !name.is_empty());
        let parts = [layer, head.or(unnumbered)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Where the colours end.
    pub fn most(&self, weights: &[f32]) -> f32 {
        let largest = weights.iter().copied().filter(|weight| weight.is_finite()).fold(0.0, f32::max);
        self.most.unwrap_or(if largest > 0.0 { largest } else { 1.0 })
    }

    /// A sentence about the rows' sums.
    pub fn about_sums(&self) -> String {
        let [.., columns] = self.maps.shape();
        let sums = self.maps.weights().chunks(columns.max(1));
        let sums = sums.map(|row| row.iter().map(|&weight| f64::from(weight)).sum::<f64>());
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut nan = false;
        for sum in sums {
            nan |= !sum.is_finite();
            (least, most) = (least.min(sum), most.max(sum));
        }
        if nan {
            "Some rows are not numbers.".to_owned()
        } else if least > most {
            "There are no weights.".to_owned()
        } else if (least - 1.0).abs() < 1e-3 && (most - 1.0).abs() < 1e-3 {
            let [from, to] = self.sides;
            format!("The weights of each token ({from}) sum to 1 over all tokens ({to}).")
        } else {
            format!(
                "The weights of a token sum to 1; {least:.3} to {most:.3} of that is shown, the rest goes to tokens \
                 that are left out."
            )
        }
    }

    /// The picture as SVG.
    pub fn svg(&self) -> String {
        views::svg(self)
    }
}
