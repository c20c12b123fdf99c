//! The main job on a fresh machine.

use crate::call::Call;
use crate::steps::heading;
use crate::{Options, Result, fetch, place, setup};

const SENTENCES: [&str; 3] =
    ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."];

pub fn run(options: &Options) -> Result<()> {
    heading("A driver");
    setup::run(options)?;
    heading("A model");
    let model = fetch::run(options)?;
    // Every command runs in the root, and is shown as it would be typed there.
    let model = place::from_root(&model);
    heading("The program");
    Call::cargo().words("build --release").run()?;
    let attentive = || Call::new(place::attentive("release"));
    heading("The adapters of this machine");
    attentive().arg("devices").run()?;
    heading("Three sentences, embedded");
    let embed = attentive().words("embed -m").arg(model);
    SENTENCES.into_iter().fold(embed, Call::arg).run()?;
    heading("The same model, device against CPU");
    attentive().words("verify -m").arg(model).run()?;
    println!("\nAll of it worked. Each line after a `$` can be typed again in {}.", place::root().display());
    Ok(())
}
