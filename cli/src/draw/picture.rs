//! Files of drawings, by their names.

use std::path::PathBuf;

use attentive::models::AttentionMaps;

use super::{Drawing, gaze, html};
use crate::output::{self, Result, Writer, extension, npy};

/// The content of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Format {
    Html,
    Svg,
    #[cfg(feature = "pictures")]
    Png,
    Npy,
}

/// A file and what goes into it.
pub type Target = output::Target<Format>;

/// What an option names: the format by the name's end.
pub fn target(text: &str) -> Result<Target, String> {
    let path = PathBuf::from(text);
    let format = match extension(&path).as_str() {
        "html" | "htm" => Format::Html,
        "svg" => Format::Svg,
        #[cfg(feature = "pictures")]
        "png" => Format::Png,
        #[cfg(not(feature = "pictures"))]
        "png" => return Err(super::without_pictures("a .png")),
        "npy" => Format::Npy,
        _ => return Err("the name must end in .html, .svg, .png or .npy".to_owned()),
    };
    Ok(Target::file(path, format))
}

/// A target that is open: what can be wrong with its path was found.
pub struct Picture {
    format: Format,
    file: Writer,
}

impl Picture {
    pub fn create(target: &Target) -> Result<Self> {
        Ok(Self { format: target.format, file: target.create()? })
    }

    /// Whether it is a page, which holds all weights.
    pub fn is_page(&self) -> bool {
        self.format == Format::Html
    }

    pub fn write(mut self, drawing: &Drawing<'_>) -> Result<()> {
        let failed = |problem: String| self.file.failure(problem);
        match (self.format, drawing.photo) {
            (Format::Html, Some(photo)) => {
                let page = gaze::page(drawing, photo).map_err(failed)?;
                self.file.write(page)?;
            }
            (Format::Html, None) => self.file.write(html::page(drawing))?,
            (Format::Svg, Some(photo)) => {
                let svg = gaze::svg(drawing, photo).map_err(failed)?;
                self.file.write(svg)?;
            }
            (Format::Svg, None) => self.file.write(drawing.svg())?,
            #[cfg(feature = "pictures")]
            (Format::Png, photo) => {
                let (svg, tiles) = match photo {
                    Some(photo) => gaze::parts(drawing, photo),
                    None => (drawing.svg(), Vec::new()),
                };
                let (bytes, missing) = super::png::png(&svg, &tiles).map_err(failed)?;
                if let Some(missing) = missing {
                    output::note(missing);
                }
                self.file.write(bytes)?;
            }
            (Format::Npy, _) => self.file.write(array(drawing.maps))?,
        }
        self.file.finish()
    }
}

/// The weights as .npy: `[layers, heads, queries, keys]`.
pub fn array(maps: &AttentionMaps) -> Vec<u8> {
    [&npy::head(&maps.shape())[..], &npy::values(maps.weights())].concat()
}
