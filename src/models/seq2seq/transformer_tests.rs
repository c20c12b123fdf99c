//! Steps of decoding that are refused.

use std::path::Path;

use super::*;
use crate::error::Error;

#[test]
fn a_step_that_a_later_layer_refuses_leaves_no_trace() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/tiny-marian");
    let config = MarianConfig::open(folder.join("config.json")).unwrap();
    let device = Device::cpu();
    let model =
        TransformerSeq2Seq::load(&device, &config, &Checkpoint::open(&folder).unwrap(), DType::F32).unwrap();
    let texts: [&[u32]; 2] = [&[5, 6, 7], &[8, 9]];
    let decoder = |capacity| pollster::block_on(model.decoder(&device, &texts, 1, capacity, None)).unwrap();
    let step = |decoder: &mut TransformerDecoder<'_>, tokens: [u32; 2]| {
        pollster::block_on(decoder.step(&tokens, &[0, 1])).map(|output| output.logits)
    };
    let [mut whole, mut mended, mut small] = [4, 4, 1].map(decoder);
    assert!(mended.caches.len() > 1);
    // The last layer has room for one position.
    std::mem::swap(mended.caches.last_mut().unwrap(), small.caches.last_mut().unwrap());
    for decoder in [&mut whole, &mut mended, &mut small] {
        step(decoder, [3, 4]).unwrap();
    }
    for _ in 0..3 {
        let error = step(&mut mended, [5, 6]).unwrap_err();
        assert!(matches!(error.root(), Error::Argument { .. }), "{error}");
        assert!(mended.caches.iter().all(|cache| cache.own().lengths() == [1, 1]));
    }
    // With room in it, it goes on as if nothing had been refused.
    step(&mut whole, [5, 6]).unwrap();
    let last = whole.caches.last_mut().unwrap();
    last.truncate_all(&[1, 1]).unwrap();
    std::mem::swap(mended.caches.last_mut().unwrap(), last);
    let after = step(&mut mended, [5, 6]).unwrap();
    let mut again = decoder(4);
    step(&mut again, [3, 4]).unwrap();
    assert_eq!(after, step(&mut again, [5, 6]).unwrap());
}
