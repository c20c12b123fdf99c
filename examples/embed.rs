//! Sentence embeddings from a model folder.
//!
//!     cargo run --release --example embed target/models/all-MiniLM-L6-v2 [DEVICE]

use attentive::{Device, Embedder};

fn main() -> attentive::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or("target/models/all-MiniLM-L6-v2".to_owned());
    let device = Device::open(&std::env::args().nth(2).unwrap_or("auto".to_owned()))?;
    let embedder = Embedder::from_dir(&device, folder)?;
    let texts =
        ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."];
    let vectors = embedder.encode(&texts).run()?;
    println!("{:?} on {}", vectors.shape(), device.name());
    for (index, text) in texts.iter().enumerate() {
        println!("{:.4}  {text}", vectors.cosine(0, index));
    }
    Ok(())
}
