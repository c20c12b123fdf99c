//! `attentive train pictures`: what the captioner is trained on, to be looked at.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::ducks::{self, Pairs, Scenes};
use crate::output::{Failure, Result, count, note, png};

/// Draw some of the pictures that `train caption` draws while it trains
///
/// Ducks in 64 by 64 pixels, as 0001.png and so on, and captions.tsv: the file, what is to be said of it, and the places of the
/// ducks that each of its colours is of (left, top, right and bottom in pixels).
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive train pictures ducks
  attentive train pictures ducks --number 5 --seed 3 --withheld
  attentive caption ducks/0001.png")]
pub struct Arguments {
    /// The folder that they are written to
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// How many
    #[arg(short, long, env = "ATTENTIVE_NUMBER", hide_env_values = true, value_name = "N")]
    #[arg(default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    number: u32,

    /// Same seed, same pictures
    #[arg(long, env = "ATTENTIVE_SEED", hide_env_values = true, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Those with two colours that stand together in no picture that is trained on
    #[arg(long, env = "ATTENTIVE_WITHHELD", hide_env_values = true, value_parser = FalseyValueParser::new())]
    withheld: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).map_err(|error| Failure::file(folder, error))?;
    let pairs = if arguments.withheld { Pairs::Withheld } else { Pairs::Known };
    let mut table = "file\tcaption\tplaces\n".to_owned();
    for (number, scene) in (1..=arguments.number).zip(Scenes::new(arguments.seed, pairs)) {
        let name = format!("{number:04}.png");
        let path = folder.join(&name);
        let failed = |problem: &dyn std::fmt::Display| Failure::file(&path, problem);
        let file = png(ducks::SIZE, ducks::SIZE, &ducks::draw(&scene)).map_err(|problem| failed(&problem))?;
        std::fs::write(&path, file).map_err(|error| failed(&error))?;
        let places = scene.meant().into_iter().map(|(_, ducks)| {
            let of = |place: &ducks::Corners| place.map(|side| format!("{side:.1}")).join(" ");
            ducks.iter().map(of).collect::<Vec<_>>().join(", ")
        });
        let places: Vec<String> = places.collect();
        table += &format!("{name}\t{}\t{}\n", scene.caption(), places.join("; "));
    }
    let path = folder.join("captions.tsv");
    std::fs::write(&path, table).map_err(|error| Failure::file(&path, error))?;
    note(format_args!("{} and {}", count(arguments.number as usize, "picture"), path.display()));
    Ok(())
}
