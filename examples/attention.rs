//! Attention and an encoder layer on tensors.
//!
//!     cargo run --example attention [DEVICE]

use attentive::{Causal, Device, Tensor, attention};

fn main() -> attentive::Result<()> {
    let spec = std::env::args().nth(1).unwrap_or("auto".to_owned());
    let device = Device::open(&spec)?;
    // [batch, heads, length, head_dim]; the second sentence has three words, the rest of it is padding.
    let values: Vec<f32> = (0..2 * 4 * 5 * 8).map(|i| (i as f32 * 0.37).sin()).collect();
    let x = Tensor::from_f32(&device, [2, 4, 5, 8], &values)?;
    let y = attention(&x, &x, &x).causal(Causal::TopLeft).key_lengths(&[5, 3]).run()?;
    println!("{y:?}: {:?} …", &y.to_f32()?[..4]);
    Ok(())
}
