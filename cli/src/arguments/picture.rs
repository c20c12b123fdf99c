//! The arguments that the commands that draw share: which maps, and how they look.

use attentive::Error;
use attentive::layers::LayerCapture;
use attentive::models::AttentionMaps;
use clap::{Args, ValueEnum};

use crate::draw::{Theme, View};
use crate::output::{Failure, count};

#[derive(Args)]
pub struct PictureArguments {
    /// Of these layers, such as 4,5 or 0-2
    #[arg(
        long,
        env = "ATTENTIVE_LAYERS",
        hide_env_values = true,
        value_name = "LIST",
        default_value = "all"
    )]
    pub layers: Numbers,

    /// Of these heads, such as 0,7 or 8-11
    #[arg(long, env = "ATTENTIVE_HEADS", hide_env_values = true, value_name = "LIST", default_value = "all")]
    pub heads: Numbers,

    /// The mean in the place of the heads: of each layer's heads, or of all of them
    #[arg(long, env = "ATTENTIVE_AVERAGE", hide_env_values = true, value_enum)]
    pub average: Option<Average>,

    /// What .svg and .png show [default: the map of one head, or all heads, small; with --from what that token
    /// attends to]
    #[arg(long, env = "ATTENTIVE_VIEW", hide_env_values = true, value_enum)]
    pub view: Option<View>,

    /// The colours of .svg and .png; a page has both
    #[arg(long, env = "ATTENTIVE_THEME", hide_env_values = true, value_enum, default_value = "light")]
    pub theme: Theme,

    /// Bytes that the captured weights may take, such as 64MiB
    #[arg(long, env = "ATTENTIVE_MAX_CAPTURE_BYTES", hide_env_values = true, value_name = "BYTES")]
    #[arg(value_parser = byte_count, default_value = "256MiB")]
    pub max_capture_bytes: u64,

    /// The weight at which the colours end, so that pictures can be compared [default: the largest that is drawn]
    #[arg(long, env = "ATTENTIVE_SCALE", hide_env_values = true, value_name = "WEIGHT", value_parser = weight)]
    pub scale: Option<f32>,
}

impl PictureArguments {
    /// Refuses a view of what there is not: a token to look from, a pair of texts.
    pub fn check(&self, has_from: bool, has_pair: bool) -> Result<(), Failure> {
        let problem = match self.view {
            Some(View::From) if !has_from => {
                "--view from needs --from, the token whose weights are drawn; `attentive attention` takes it"
            }
            Some(View::Pair) if !has_pair => "--view pair needs two texts; `attentive attention` takes them",
            _ => return Ok(()),
        };
        Err(Failure::Usage(problem.to_owned()))
    }

    /// The layers and heads that are drawn, to be captured.
    pub fn capture(&self) -> LayerCapture<'_> {
        let mut capture = LayerCapture::all().max_bytes(self.max_capture_bytes);
        if let Some(layers) = self.layers.these() {
            capture = capture.layers(layers);
        }
        if let Some(heads) = self.heads.these() {
            capture = capture.heads(heads);
        }
        capture
    }

    /// The maps, or the means that are asked for in their place, and what a map without a number then is.
    pub fn averaged(&self, maps: &AttentionMaps) -> (AttentionMaps, String) {
        let [layers, heads, ..] = maps.shape();
        match self.average {
            None => (maps.clone(), String::new()),
            Some(Average::Heads) => (maps.mean_of_heads(), format!("mean of {}", count(heads, "head"))),
            Some(Average::All) => (maps.mean(), format!("mean of {}", count(layers * heads, "head"))),
        }
    }
}

/// An error of a run that captures, in the words of the command line.
pub fn capture_failure(error: Error) -> Failure {
    match error.root() {
        Error::Argument { op, argument, .. } if op == "capture" && argument.contains("weights") => {
            Failure::Failed(format!(
                "{error} (--layers and --heads narrow it, --max-capture-bytes allows more)"
            ))
        }
        Error::Argument { op, .. } if op == "capture" => Failure::Usage(error.to_string()),
        _ => error.into(),
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Average {
    /// One map a layer
    Heads,
    /// One map
    All,
}

/// Some numbers, or all there are.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    All,
    These(Vec<usize>),
}

impl std::str::FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        let wrong = || format!("it should be all, or numbers such as 4,5 or 0-2, and is `{text}`");
        let number = |text: &str| text.trim().parse::<usize>().ok();
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first), number(last)),
                None => (number(part), number(part)),
            };
            let (first, last) = first.zip(last).ok_or_else(wrong)?;
            // No model has so many layers or heads; a list of them all would take memory.
            if last < first || last - first > 10_000 {
                return Err(wrong());
            }
            for number in first..=last {
                if !numbers.contains(&number) {
                    numbers.push(number);
                }
            }
        }
        Ok(Self::These(numbers))
    }
}

impl Numbers {
    pub fn these(&self) -> Option<&[usize]> {
        match self {
            Self::All => None,
            Self::These(numbers) => Some(numbers),
        }
    }
}

fn byte_count(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kib" | "k" => Some(1 << 10),
        "mib" | "m" => Some(1 << 20),
        "gib" | "g" => Some(1_u64 << 30),
        _ => None,
    };
    let number = digits.trim().parse::<u64>().ok();
    let bytes = number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    bytes.ok_or_else(|| "it should be bytes, such as 1000000, 64MiB or 1GiB".to_owned())
}

fn weight(text: &str) -> Result<f32, String> {
    let weight = text.parse::<f32>().ok().filter(|weight| weight.is_finite() && *weight > 0.0);
    weight.ok_or_else(|| "it should be a number above 0, such as 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_lists_and_ranges() {
        let these =
            |text: &str| text.parse::<Numbers>().map(|numbers| numbers.these().unwrap_or(&[]).to_vec());
        assert_eq!(these("4,5"), Ok(vec![4, 5]));
        assert_eq!(these("0-2, 7,1"), Ok(vec![0, 1, 2, 7]));
        assert_eq!("ALL".parse(), Ok(Numbers::All));
        for wrong in ["", "x", "2-1", "-1", "1,,2", "0-99999999", "1.5"] {
            assert!(these(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!(
            ["17", "64MiB", "1g", "2 KiB"].map(byte_count),
            [Ok(17), Ok(64 << 20), Ok(1 << 30), Ok(2048)]
        );
        for wrong in ["", "MiB", "1TB", "-1", "99999999999G"] {
            assert!(byte_count(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn weights_are_above_0() {
        assert!(weight("0").is_err() && weight("NaN").is_err() && weight("0.5").is_ok());
    }
}
