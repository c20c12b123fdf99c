//! `attentive tune`: which implementations are fastest here, measured once and kept.

use attentive::bench::{LeftOut, Tuned, TunedRow, tune};
use attentive::device::TuningKey;
use clap::Args;
use clap::builder::FalseyValueParser;

use crate::arguments::DevicesArgument;
use crate::output::{self, Align, Failure, Result, Table, count, note, print};
use crate::tunings;

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
#[command(mut_arg("device", |device| {
    device.help("A device (see `attentive embed --help`), or all: every adapter")
}))]
pub struct Arguments {
    #[command(flatten)]
    device: DevicesArgument,

    /// A few sizes in f32 alone: seconds
    #[arg(long, env = "ATTENTIVE_QUICK", hide_env_values = true, value_parser = FalseyValueParser::new())]
    quick: bool,

    /// Keep the shaders' bounds checks: what is fastest with them may differ
    #[arg(long, env = "ATTENTIVE_SHADER_CHECKS", hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    shader_checks: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut specs = arguments.device.specs()?;
    if arguments.device.is_all() {
        specs.retain(|spec| spec != "cpu");
    }
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
        let folder = tunings::make_folder()?;
        let mut options = attentive::DeviceOptions::default();
        options.shader_checks = self.shader_checks;
        let bar = output::bar();
        let tuned = tune(spec, options, self.quick, |done, all, next| {
            output::advance(&bar, done, all);
            bar.set_message(next.to_owned());
        });
        bar.finish_and_clear();
        let Tuned { mut tuning, rows, left_out, .. } = tuned?;
        let report = report(&tuning.key, &rows);
        say_what_was_left_out(&left_out);
        // Said first: what was measured is not lost where it cannot be kept.
        print(&report)?;
        let (path, known_better) = tunings::keep(&folder, &mut tuning)?;
        if known_better > 0 {
            note(format_args!(
                "{} kept as measured before, in less time or at sizes that were not measured now",
                count(known_better, "choice")
            ));
        }
        Ok(format!("{}\n", path.display()))
    }
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
