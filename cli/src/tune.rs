//! `attentive tune`: which implementations are fastest here, measured once and kept; and where that is kept.

use std::fs;
use std::path::{Path, PathBuf};

use attentive::bench::{LeftOut, Tuned, TunedRow, tune};
use attentive::device::{Tuning, TuningKey, list_adapters};
use attentive::{Device, Error};
use clap::Args;
use clap::builder::FalseyValueParser;

use crate::devices;
use crate::open::{self, cache_folder};
use crate::output::{self, Failure, Result, count, note, print};
use crate::pending::lock_folder;
use crate::table::{Align, Table};

/// Measure which implementations are fastest on this adapter, and keep it
///
/// Linear layers from 1 to 4,096 rows and attention from 1 to 512 queries, by every implementation that runs here, in a minute
/// at most. The result is a file in the user's cache folder, one for each adapter, which every later call of
/// `attentive` takes its choices from (--no-tuning: from tables). It holds for this adapter, driver and version alone.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive tune
  attentive tune --device all --quick")]
pub struct Arguments {
    /// A device (see `attentive embed --help`), or all: every adapter
    #[arg(long, env = "ATTENTIVE_DEVICE", hide_env_values = true, value_name = "SPEC|all")]
    #[arg(default_value = "auto", value_parser = open::device_spec_or_all)]
    device: String,

    /// A few sizes in f32 alone: seconds
    #[arg(long, env = "ATTENTIVE_QUICK", hide_env_values = true, value_parser = FalseyValueParser::new())]
    quick: bool,

    /// Keep the shaders' bounds checks: what is fastest with them may differ
    #[arg(long, env = "ATTENTIVE_SHADER_CHECKS", hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    shader_checks: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let specs = match arguments.device.as_str() {
        "all" => {
            let specs = devices::specs(&pollster::block_on(list_adapters())?);
            specs.into_iter().filter(|spec| spec != "cpu").collect()
        }
        spec => vec![spec.to_owned()],
    };
    if specs.is_empty() {
        return Err(Failure::Failed(
            "there is no adapter to tune; `attentive doctor` says what is missing".to_owned(),
        ));
    }
    let mut failed = false;
    for spec in &specs {
        match arguments.tune(spec) {
            // A single device that cannot be tuned is the call's failure.
            Err(failure) if specs.len() == 1 => return Err(failure),
            Err(failure) => {
                failure.report();
                failed = true;
            }
            Ok(text) => print(&text)?,
        }
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

impl Arguments {
    fn tune(&self, spec: &str) -> Result<String> {
        let folder = folder()?;
        make(&folder)?;
        let mut options = attentive::DeviceOptions::default();
        options.shader_checks = self.shader_checks;
        let bar = output::bar();
        let tuned = tune(spec, options, self.quick, |done, all, next| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
            bar.set_message(next.to_owned());
        });
        bar.finish_and_clear();
        let Tuned { mut tuning, rows, left_out, .. } = tuned?;
        let report = report(&tuning.key, &rows);
        let path = folder.join(tuning.key.file_name());
        say_what_was_left_out(&left_out);
        // Said first: what was measured is not lost where it cannot be kept.
        print(&report)?;
        match keep(&folder, &path, &mut tuning)? {
            0 => {}
            kept => note(format_args!(
                "{} kept as measured before, in less time or at sizes that were not measured now",
                count(kept, "choice")
            )),
        }
        Ok(format!("{}\n", path.display()))
    }
}

/// Puts it into its file, beside what is known better there. Another process may be tuning too: what it wrote meanwhile is read again.
/// Gives the number of choices that were known better.
fn keep(folder: &Path, path: &Path, tuning: &mut Tuning) -> Result<usize> {
    let _locked = lock_folder(folder).map_err(|error| Failure::file(folder, error))?;
    let kept = Tuning::load(path).map_or(0, |before| tuning.keep_better(&before).len());
    tuning.save(path)?;
    Ok(kept)
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| Failure::file(folder, error))
}

fn say_what_was_left_out(left_out: &[LeftOut]) {
    for of_one_reason in left_out.chunk_by(|one, next| one.reason == next.reason) {
        let Some(first) = of_one_reason.first() else { continue };
        let (sizes, reason) = (count(of_one_reason.len(), "size"), first.reason);
        note(format_args!("{sizes} not measured, from {} {} on: {reason}", first.op, first.size));
    }
}

/// What was measured, fastest first.
fn report(key: &TuningKey, rows: &[TunedRow]) -> String {
    let mut table = Table::new(&[
        ("op", Align::Left),
        ("sizes", Align::Left),
        ("fastest", Align::Left),
        ("ms", Align::Right),
        ("next", Align::Left),
        ("ms", Align::Right),
    ]);
    for row in rows {
        let mut cells = vec![row.op.to_owned(), row.size.to_string()];
        for place in 0..2 {
            let (name, seconds) = match row.times.get(place) {
                Some((name, seconds)) => ((*name).to_owned(), format!("{:.3}", 1e3 * seconds)),
                None => Default::default(),
            };
            cells.extend([name, seconds]);
        }
        table.row(cells);
    }
    format!("{} [{}, {}]\n{table}", key.name, key.backend, key.driver_info)
}

/// The folder for tunings.
fn folder() -> Result<PathBuf> {
    let cache = cache_folder().ok_or_else(|| {
        Failure::Failed(
            "there is no cache folder for this user: set HOME (or XDG_CACHE_HOME on Linux)".to_owned(),
        )
    })?;
    Ok(cache.join("tuning"))
}

/// Keeps whether cooperative matrices gave right results on this device, beside what was measured, and gives the file.
pub fn keep_cooperative(device: &Device, passed: bool) -> Result<Option<PathBuf>> {
    let Some(mut tuning) = Tuning::new(device) else { return Ok(None) };
    tuning.cooperative = Some(passed);
    let folder = folder()?;
    make(&folder)?;
    let path = folder.join(tuning.key.file_name());
    keep(&folder, &path, &mut tuning)?;
    Ok(Some(path))
}

/// What was measured on this device, if that is kept and still holds. Otherwise tables choose, and why is said where there is a
/// file.
pub fn kept(device: &Device) -> Option<Tuning> {
    let here = device.tuning_key()?;
    let path = folder().ok()?.join(here.file_name());
    let again = "`attentive tune` measures anew";
    match Tuning::load(&path) {
        Ok(tuning) => match tuning.key.difference(here) {
            None => Some(tuning),
            Some(difference) => {
                note(format_args!("{} is not used: {difference}; {again}", path.display()));
                None
            }
        },
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            note(format_args!("{error}: it is not used; {again}"));
            None
        }
    }
}
