//! Files of drawings, by their names.

use std::io::Write;
use std::path::PathBuf;

use super::{Drawing, html, npy};
use crate::output::{Failure, Result, WholeFile};

/// A file and what goes into it.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    path: PathBuf,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Html,
    Svg,
    #[cfg(feature = "pictures")]
    Png,
    Npy,
}

impl Target {
    /// By the extension, as clap takes it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let format = match extension.as_str() {
            "html" | "htm" => Format::Html,
            "svg" => Format::Svg,
            #[cfg(feature = "pictures")]
            "png" => Format::Png,
            #[cfg(not(feature = "pictures"))]
            "png" => return Err(super::without_pictures("a .png")),
            "npy" => Format::Npy,
            _ => return Err("the name must end in .html, .svg, .png or .npy".to_owned()),
        };
        Ok(Self { path, format })
    }
}

/// A target that is open: what can be wrong with its path was found.
pub struct Writer {
    target: Target,
    file: WholeFile,
}

impl Writer {
    pub fn create(target: &Target) -> Result<Self> {
        Ok(Self { target: target.clone(), file: WholeFile::create(&target.path)? })
    }

    /// Whether it is a page, which holds all weights.
    pub fn is_page(&self) -> bool {
        self.target.format == Format::Html
    }

    pub fn write(mut self, drawing: &Drawing<'_>) -> Result<()> {
        let bytes = match self.target.format {
            Format::Html => html::page(drawing).into_bytes(),
            Format::Svg => drawing.svg().into_bytes(),
            #[cfg(feature = "pictures")]
            Format::Png => {
                let (bytes, missing) = super::png::png(&drawing.svg())
                    .map_err(|problem| Failure::file(&self.target.path, problem))?;
                if let Some(missing) = missing {
                    crate::output::note(missing);
                }
                bytes
            }
            Format::Npy => {
                let mut bytes = Vec::new();
                npy::write(&mut bytes, drawing.maps)
                    .map_err(|error| Failure::file(&self.target.path, error))?;
                bytes
            }
        };
        self.file.write_all(&bytes).map_err(|error| Failure::file(self.file.path(), error))?;
        self.file.finish()
    }
}
