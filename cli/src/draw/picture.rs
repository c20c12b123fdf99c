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

/// The same for a picture that holds no weights: .svg and .png alone.
pub fn chart_target(text: &str) -> Result<Target, String> {
    let found = target(text).ok().filter(|target| !matches!(target.format, Format::Html | Format::Npy));
    match (found, extension(&PathBuf::from(text)).as_str()) {
        (Some(found), _) => Ok(found),
        (None, "png") => target(text),
        (None, _) => Err("the name must end in .svg or .png".to_owned()),
    }
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

    pub fn write(self, drawing: &Drawing<'_>) -> Result<()> {
        let failed = |problem: String| self.file.failure(problem);
        let bytes = match (self.format, drawing.photo) {
            (Format::Html, Some(photo)) => gaze::page(drawing, photo).map_err(failed)?.into_bytes(),
            (Format::Html, None) => html::page(drawing).into_bytes(),
            (Format::Npy, _) => array(drawing.maps),
            (Format::Svg, Some(photo)) => gaze::svg(drawing, photo).map_err(failed)?.into_bytes(),
            #[cfg(feature = "pictures")]
            (Format::Png, Some(photo)) => {
                let (svg, tiles) = gaze::parts(drawing, photo);
                self.png(&svg, &tiles)?
            }
            (_, None) => return self.write_svg(&drawing.svg()),
        };
        self.finish(&bytes)
    }

    /// Writes what is drawn already, as SVG or as PNG of it.
    pub fn write_svg(self, svg: &str) -> Result<()> {
        let bytes = match self.format {
            #[cfg(feature = "pictures")]
            Format::Png => self.png(svg, &[])?,
            _ => svg.as_bytes().to_vec(),
        };
        self.finish(&bytes)
    }

    #[cfg(feature = "pictures")]
    fn png(&self, svg: &str, tiles: &[gaze::Tile]) -> Result<Vec<u8>> {
        let (bytes, missing) = super::png::png(svg, tiles).map_err(|problem| self.file.failure(problem))?;
        if let Some(missing) = missing {
            output::note(missing);
        }
        Ok(bytes)
    }

    fn finish(mut self, bytes: &[u8]) -> Result<()> {
        self.file.write(bytes)?;
        self.file.finish()
    }
}

/// The weights as .npy: `[layers, heads, queries, keys]`.
pub fn array(maps: &AttentionMaps) -> Vec<u8> {
    [&npy::head(&maps.shape())[..], &npy::values(maps.weights())].concat()
}
