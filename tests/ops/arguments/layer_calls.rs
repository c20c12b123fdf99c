//! What a layer cannot compute is refused when it is called: inputs of other sizes, options that are the layer's own.

use attentive::layers::{
    AttentionWeights, DecoderLayerOptions, Encoder, Gru, GruCell, GruConfig, GruDirection, GruOptions,
    HostGru, HostLinear, LayerCapture, MultiHeadAttention, MultiHeadAttentionConfig,
    MultiHeadAttentionOptions, MultiHeadAttentionWeights,
};
use attentive::ops::Capture;
use attentive::{Causal, DType, Device, Error, Recording, Tensor};

use super::layers::{DIM, NUMBERS, decoder_layer, encoder_layer, made};
use super::{value, zeros};
use crate::common::assert_refused;

/// What is asked for and cannot be given is refused, and x is named by its layer, without the numbers of what lies within.
#[test]
fn calls_of_layers() {
    for device in crate::common::devices() {
        let (layer, decoder) = (made(3, encoder_layer, &device), made(4, decoder_layer, &device));
        let stack = Encoder::new(vec![layer.clone()], None).unwrap();
        let mut recording = Recording::new(&device);
        let recording = &mut recording;
        let x = value(recording, &[2, 3, DIM]);
        let plain = MultiHeadAttentionOptions::default();
        layer.record(recording, &x, &plain).unwrap();
        stack.record(recording, &x, &plain).unwrap();
        let ids = recording.tensor(&Tensor::from_u32(&device, [2, 3, DIM], &[0; 24]).unwrap()).unwrap();
        for wrong in [value(recording, &[2, 3, 5]), value(recording, &[6, DIM]), ids.clone()] {
            let found =
                format!("x must be f32 [batch, length, 4], but is {} {}", wrong.dtype(), wrong.shape());
            let words = |name: &str| format!("{name}: {found}");
            assert_refused(layer.record(recording, &wrong, &plain), &[&words("encoder_layer")]);
            assert_refused(stack.record(recording, &wrong, &plain), &[&words("encoder")]);
            let outcome = decoder.record(recording, &wrong, &x, &DecoderLayerOptions::default());
            assert_refused(outcome, &[&words("decoder_layer")]);
        }
        let residual = MultiHeadAttentionOptions { residual: Some(&x), ..plain };
        let words = ["options.residual must be None: the layer has its own"];
        assert_refused(layer.record(recording, &x, &residual), &words);
        assert_refused(stack.record(recording, &x, &residual), &words);
        for options in [
            DecoderLayerOptions { self_attention: residual, ..Default::default() },
            DecoderLayerOptions { cross_attention: residual, ..Default::default() },
        ] {
            assert_refused(decoder.record(recording, &x, &x, &options), &words);
        }
        for weights in [AttentionWeights::PerHead, AttentionWeights::Averaged] {
            let options = MultiHeadAttentionOptions { weights, ..plain };
            let words = ["encoder: options.weights", "record_captured", &format!("{weights:?}")];
            assert_refused(stack.record(recording, &x, &options), &words);
            let outcome = stack.record_captured(recording, &x, &options, &LayerCapture::all());
            assert_refused(outcome, &words);
        }
        let options = MultiHeadAttentionOptions { capture: Some(Capture::default()), ..plain };
        assert_refused(
            stack.record(recording, &x, &options),
            &["encoder: options.capture", "record_captured"],
        );
    }
}

#[test]
fn inputs_of_attention_and_of_recurrent_units() {
    let device = Device::cpu();
    let mut recording = Recording::new(&device);
    let recording = &mut recording;
    let config = MultiHeadAttentionConfig::cross_attention(4, 2, 5, 3).unwrap();
    let part = |elements: usize| HostLinear { weight: &NUMBERS[..elements], bias: None };
    let weights =
        MultiHeadAttentionWeights { query: part(16), key: part(20), value: part(12), output: part(16) };
    let cross = MultiHeadAttention::new(&device, config, &weights, DType::F32).unwrap();
    let (q, k, v) =
        (value(recording, &[2, 3, 4]), value(recording, &[2, 6, 5]), value(recording, &[2, 6, 3]));
    let options = MultiHeadAttentionOptions::default();
    cross.record(recording, [&q, &k, &v], &options).unwrap();
    let other = value(recording, &[2, 3, 6]);
    for (place, name, columns) in [(0, "query", 4), (1, "key", 5), (2, "value", 3)] {
        let mut inputs = [&q, &k, &v];
        inputs[place] = &other;
        let sentence = format!(
            "multi_head_attention: {name} must be f32 [batch, length, {columns}], but is f32 [2, 3, 6]"
        );
        assert_refused(cross.record(recording, inputs, &options), &[&sentence]);
    }
    let (short, alone) = (value(recording, &[2, 5, 3]), value(recording, &[1, 6, 5]));
    let outcome = cross.record(recording, [&q, &k, &short], &options);
    assert_refused(outcome, &["value must be [2, 6, 3] for query [2, 3, 4], but is [2, 5, 3]"]);
    let outcome = cross.record(recording, [&q, &alone, &v], &options);
    assert_refused(outcome, &["key must be [2, 6, 5] for query [2, 3, 4], but is [1, 6, 5]"]);
    assert_refused(cross.record_memory(recording, &k), &["memory must be f32 [batch, length, 3]"]);

    let weights = HostGru { input: part(9 * 7), hidden: part(27) };
    let cell = GruCell::new(&device, &[2, 5], 3, &weights, DType::F32).unwrap();
    let (a, b, state) = (value(recording, &[4, 2]), value(recording, &[4, 5]), value(recording, &[4, 3]));
    cell.record(recording, &[&a, &b], &state).unwrap();
    assert_refused(cell.record(recording, &[&a], &state), &["gru: the inputs must be 2 values"]);
    assert_refused(cell.record(recording, &[&b, &a], &state), &["gru: an input", "[4, 2]", "[4, 5]"]);
    for wrong in [value(recording, &[4, 9]), value(recording, &[1, 4, 3])] {
        let sentence = format!("gru: the state must be f32 [batch, 3], but is f32 {}", wrong.shape());
        assert_refused(cell.record(recording, &[&a, &b], &wrong), &[&sentence]);
    }
    assert_refused(GruCell::new(&device, &[], 3, &weights, DType::F32), &["gru: the inputs", "one or more"]);
    let config =
        GruConfig { input_dim: 7, hidden_dim: 3, direction: GruDirection::Forward, dtype: DType::F32 };
    let gru = Gru::new(&device, config, &[weights]).unwrap();
    assert_refused(Gru::new(&device, config, &[weights; 2]), &["gru: weights must be of 1 directions"]);
    let x = value(recording, &[2, 4, 6]);
    let outcome = gru.record(recording, &x, &GruOptions::default());
    assert_refused(outcome, &["gru: x must be [batch, length, 7], but is [2, 4, 6]"]);
}

#[test]
fn steps_of_a_decoder_layer() {
    let device = Device::cpu();
    let decoder = made(4, decoder_layer, &device);
    let memory = || [zeros(&device, &[2, 5, DIM]), zeros(&device, &[2, 5, DIM])];
    let there = Device::cpu();
    let error = decoder.cache(2, 4, [zeros(&there, &[2, 5, DIM]), zeros(&there, &[2, 5, DIM])]).unwrap_err();
    assert!(matches!(error, Error::WrongDevice { .. }), "{error:?}");
    let mut cache = decoder.cache(2, 4, memory()).unwrap();
    let mut recording = Recording::new(&device);
    let x = value(&mut recording, &[2, 1, DIM]);
    for causal in [Causal::TopLeft, Causal::Offset(3)] {
        let self_attention = MultiHeadAttentionOptions { causal, ..Default::default() };
        let options = DecoderLayerOptions { self_attention, ..Default::default() };
        let words = ["options.self_attention.causal", "left to the layer", &format!("{causal:?}")];
        assert_refused(decoder.record_step(&mut recording, &x, &mut cache, &options), &words);
    }
    for causal in [Causal::None, Causal::BottomRight] {
        let self_attention = MultiHeadAttentionOptions { causal, ..Default::default() };
        let options = DecoderLayerOptions { self_attention, ..Default::default() };
        decoder.record_step(&mut recording, &x, &mut cache, &options).unwrap();
    }
}
