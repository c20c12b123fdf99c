//! A captioner: soft attention over the places of a picture while a recurrent decoder writes what is to be seen there (Xu, Ba, Kiros,
//! Cho, Courville, Salakhutdinov, Zemel and Bengio 2015, *Show, Attend and Tell: Neural Image Caption Generation with Visual
//! Attention*).

mod attention_terms;
mod caption;

use std::ops::Range;
use std::path::Path;

use super::padded::{Shifted, counted, expect_part};
use super::recurrent_decoder::{RecurrentDecoder, RecurrentDecoderConfig, RecurrentMemory, RecurrentTargets};
use super::source::Source;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::{Parameter, Parameters};
use crate::ops::{
    Activation, CrossEntropy, Linear, LinearWeights, Pooling, concat, expect_weight_dtype, pool,
};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};
#[cfg(not(target_arch = "wasm32"))]
use crate::train::save_weights;
use crate::weights::{CaptionerConfig, CaptionerFolder};

pub use attention_terms::{AttentionTerms, Region};
pub use caption::{Caption, CaptionPictures, Captions};

const OP: &str = "caption";

/// A captioner on a device, with its words.
///
/// A picture is looked at in places on a grid. Each place sees a patch of the picture, and where that is, together p, and nothing else:
/// its annotation is a = ReLU(W₂·ReLU(W₁·p + b₁) + b₂). So what the decoder attends to is where it looks.
/// Its first state is tanh(W·\[mean(a); max(a)\] + b): the mean as Xu et al. have it (section 3.1.2), which tells how much there is of
/// something, and beside it the largest of each element, which tells that it is there at all. Each word comes of the weights α over the
/// places, of what they weigh and of the words before, as in [`BahdanauSeq2Seq`](super::BahdanauSeq2Seq).
///
/// ```no_run
/// # fn main() -> attentive::Result<()> {
/// use attentive::models::Captioner;
/// use attentive::{DType, Device};
///
/// let captioner = Captioner::embedded(&Device::open("auto")?, DType::F32)?;
/// // RGB, row by row.
/// let picture = vec![0; captioner.config().picture_bytes()];
/// let captions = captioner.caption(&[&picture]).run()?;
/// println!("{}", captions.pictures[0][0].text);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Captioner {
    device: Device,
    config: CaptionerConfig,
    vocabulary: Vec<String>,
    patch: LinearWeights,
    annotation: LinearWeights,
    decoder: RecurrentDecoder,
}

/// A file of the model that is part of the crate.
macro_rules! file {
    ($file:literal) => {
        include_bytes!(concat!("../../../models/ducks/", $file))
    };
}

impl Captioner {
    /// The name of the model that is part of this crate: that of its folder in `models/`.
    pub const EMBEDDED: &'static str = "ducks";

    /// The model that is part of this crate: it tells of one to four coloured ducks in 64 by 64 pixels. `models/README.md` says how it was
    /// trained and how good it is.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`]; [`Error::Argument`] for another dtype than f32 and f16.
    pub fn embedded(device: &Device, dtype: DType) -> Result<Self> {
        let files: [&[u8]; 3] = [file!("config.json"), file!("vocab.txt"), file!("model.safetensors")];
        Self::from_folder(device, CaptionerFolder::from_files(Self::EMBEDDED, files)?, dtype)
    }

    /// The `config.json` of that model.
    pub const fn embedded_config() -> &'static [u8] {
        file!("config.json")
    }

    /// Loads a folder of `config.json`, `vocab.txt` and `model.safetensors`, the matrices stored as `dtype` (f32 or f16).
    ///
    /// # Errors
    /// Those of [`CaptionerFolder::open`] and [`Captioner::from_folder`].
    pub fn from_dir(device: &Device, folder: impl AsRef<Path>, dtype: DType) -> Result<Self> {
        Self::from_folder(device, CaptionerFolder::open(folder)?, dtype)
    }

    /// Loads what was read of a folder.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorShape`]; [`Error::Weight`] for one that is not finite, or does not fit f16;
    /// [`Error::Unsupported`] for a tensor that no part of the architecture accounts for; [`Error::Argument`] for another dtype than f32
    /// and f16; [`Error::OutOfMemory`].
    pub fn from_folder(device: &Device, folder: CaptionerFolder, dtype: DType) -> Result<Self> {
        expect_weight_dtype(OP, dtype)?;
        let CaptionerFolder { config, vocabulary, checkpoint } = folder;
        Self::from_source(device, config, vocabulary, Source::new(&checkpoint, dtype), dtype)
    }

    /// A captioner that has learnt nothing yet, its weights made from a seed, in f32: what training begins with.
    ///
    /// # Errors
    /// [`Error::Argument`] for other than as many words as the config says, [`Error::OutOfMemory`].
    pub fn untrained(
        device: &Device,
        config: CaptionerConfig,
        vocabulary: Vec<String>,
        seed: u64,
    ) -> Result<Self> {
        if vocabulary.len() != config.vocabulary_size {
            let expected = format!("{} words", config.vocabulary_size);
            return Err(Error::argument(OP, "the vocabulary", expected, vocabulary.len().to_string()));
        }
        Self::from_source(device, config, vocabulary, Source::random(seed), DType::F32)
    }

    fn from_source(
        device: &Device,
        config: CaptionerConfig,
        vocabulary: Vec<String>,
        mut source: Source<'_>,
        dtype: DType,
    ) -> Result<Self> {
        let (features, width) = (config.feature_dim, config.annotation_dim);
        let patch = source.linear_weights(device, "patch", [features, config.patch_dim()])?;
        let annotation = source.linear_weights(device, "annotation", [width, features])?;
        let decoder = RecurrentDecoderConfig {
            vocabulary_size: config.vocabulary_size,
            embedding_dim: config.embedding_dim,
            annotation_dim: width,
            initial_dim: 2 * width,
            hidden_dim: config.hidden_dim,
            attention_dim: config.attention_dim,
            readout_dim: config.readout_dim,
        };
        let decoder = RecurrentDecoder::from_source(device, decoder, &mut source, dtype)?;
        source.check_all_used(&[], "those of a captioner")?;
        Ok(Self { device: device.clone(), config, vocabulary, patch, annotation, decoder })
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The sizes.
    pub fn config(&self) -> &CaptionerConfig {
        &self.config
    }

    /// Its words by their ids, those that stand for none too.
    pub fn vocabulary(&self) -> &[String] {
        &self.vocabulary
    }

    /// Bytes of the weights on the device.
    pub fn weight_bytes(&self) -> u64 {
        self.patch.bytes() + self.annotation.bytes() + self.decoder.bytes()
    }

    /// What can be trained, by the checkpoint's names: all of its tensors.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut all = Parameters::new();
        all.linear("patch", &self.patch);
        all.linear("annotation", &self.annotation);
        self.decoder.add_parameters(&mut all);
        all.into_vec()
    }

    /// Writes the weights as a folder's `model.safetensors`, stored as f32 or f16.
    ///
    /// # Errors
    /// As [`save_weights`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save_weights(&self, path: impl AsRef<Path>, dtype: DType) -> Result<()> {
        save_weights(path, &self.parameters(), &[], dtype)
    }

    /// The ids of a caption's words, which spaces part, and of the end behind them.
    ///
    /// # Errors
    /// [`Error::Argument`] for a word that the vocabulary lacks, and for more words than the model writes.
    pub fn encode(&self, caption: &str) -> Result<Vec<u32>> {
        let id = |word: &str| {
            let found = self.vocabulary.iter().position(|known| known == word);
            let missing = || Error::argument(OP, "a caption", "words of the vocabulary", format!("`{word}`"));
            found.map(|id| id as u32).ok_or_else(missing)
        };
        let mut ids = caption.split_whitespace().map(id).collect::<Result<Vec<u32>>>()?;
        ids.push(self.config.stop_id);
        if ids.len() > self.config.max_length {
            let expected = format!("at most {} words", self.config.max_length - 1);
            return Err(Error::argument(OP, "a caption", expected, (ids.len() - 1).to_string()));
        }
        Ok(ids)
    }

    /// The text of ids, without those that stand for no word.
    fn decode(&self, ids: &[u32]) -> String {
        let words = ids.iter().filter(|&&id| id != self.config.stop_id && id != self.config.padding_id);
        let words = words.filter_map(|&id| self.vocabulary.get(id as usize).map(String::as_str));
        words.collect::<Vec<_>>().join(" ")
    }

    /// Records the annotations of pictures, RGB `[image_size, image_size, 3]` each, row by row: `[pictures, places, annotation_dim]`. What
    /// a patch has beyond the picture's edge is 0, the grey in the middle.
    ///
    /// # Errors
    /// [`Error::Argument`] for no pictures, or one of another size.
    pub fn record_annotations(&self, recording: &mut Recording, pictures: &[&[u8]]) -> Result<Value> {
        let (places, columns) = (self.config.places(), self.config.patch_dim());
        if pictures.is_empty() {
            return Err(Error::argument(OP, "the pictures", "at least 1", "none"));
        }
        for (index, picture) in pictures.iter().enumerate() {
            self.check_picture(index, picture)?;
        }
        recording.atomically(|recording| {
            let patches = self.patches(pictures);
            let rows = [pictures.len(), places, columns];
            let x = recording.tensor(&Tensor::from_f32(recording.device(), rows, &patches)?)?;
            let features = recording.scoped("patch", |recording| {
                Linear::new(&self.patch).activation(Activation::Relu).record(recording, &x)
            })?;
            recording.scoped("annotation", |recording| {
                Linear::new(&self.annotation).activation(Activation::Relu).record(recording, &features)
            })
        })
    }

    /// [`Error::Argument`] for a picture of another size.
    fn check_picture(&self, index: usize, picture: &[u8]) -> Result<()> {
        let (side, expected) = (self.config.image_size, self.config.picture_bytes());
        if picture.len() == expected {
            return Ok(());
        }
        let expected = format!("[{side}, {side}, 3], {expected} bytes");
        Err(Error::argument(OP, format!("picture {index}"), expected, format!("{} bytes", picture.len())))
    }

    /// What each place of each picture sees, its pixels row by row, and the middle of it, x and y; all from −1 to 1: `[pictures, places,
    /// patch_dim]`.
    fn patches(&self, pictures: &[&[u8]]) -> Vec<f32> {
        let CaptionerConfig { image_size: size, patch_size, patch_stride: stride, .. } = self.config;
        let (side, before) = (self.config.side(), (patch_size - stride) / 2);
        let columns = self.config.patch_dim();
        let mut patches = vec![0.0; pictures.len() * self.config.places() * columns];
        for (index, patch) in patches.chunks_exact_mut(columns).enumerate() {
            let (picture, place) = (pictures[index / (side * side)], index % (side * side));
            let middle = |place: usize| (2 * place + 1) as f32 / side as f32 - 1.0;
            let (pixels, at) = patch.split_at_mut(columns - 2);
            at.copy_from_slice(&[middle(place % side), middle(place / side)]);
            // From the edge of the patch on, which may lie outside.
            let (top, left) = (place / side * stride, place % side * stride);
            for (row, pixels) in (top..).zip(pixels.chunks_exact_mut(patch_size * 3)) {
                let Some(row) = row.checked_sub(before).filter(|&row| row < size) else { continue };
                for (column, pixel) in (left..).zip(pixels.chunks_exact_mut(3)) {
                    let Some(column) = column.checked_sub(before).filter(|&c| c < size) else { continue };
                    for (to, &value) in pixel.iter_mut().zip(&picture[(row * size + column) * 3..]) {
                        *to = f32::from(value) / 127.5 - 1.0;
                    }
                }
            }
        }
        patches
    }

    /// Records what the decoder writes from: the annotations, and the first state, made of their mean and their largest.
    fn record_memory(&self, recording: &mut Recording, pictures: &[&[u8]]) -> Result<RecurrentMemory> {
        let annotations = self.record_annotations(recording, pictures)?;
        let lengths = self.lengths(pictures.len());
        let mean = pool(recording, &annotations, &lengths, Pooling::Mean, false)?;
        let largest = pool(recording, &annotations, &lengths, Pooling::Max, false)?;
        let initial = concat(recording, &[&mean, &largest], -1)?;
        self.decoder.record_memory(recording, &annotations, &lengths, &initial)
    }

    /// Places of each picture.
    fn lengths(&self, pictures: usize) -> Vec<u32> {
        vec![self.config.places() as u32; pictures]
    }

    /// Records the loss of pictures and their captions, token ids with the end and without a start ([`Captioner::encode`]): the mean
    /// cross-entropy over the words, each after those before it, and what is asked of the attention.
    ///
    /// # Errors
    /// [`Error::Argument`] for other numbers of pictures and captions, an empty one of either, a picture of another size, an id past its
    /// table, a factor of the attention's that is negative or not finite, or regions of other than these words and places.
    pub fn record_loss(
        &self,
        recording: &mut Recording,
        pictures: &[&[u8]],
        captions: &[&[u32]],
        attention: &AttentionTerms<'_>,
    ) -> Result<Value> {
        self.record_loss_part(recording, pictures, captions, attention, 0..pictures.len())
    }

    /// Records what some pictures of a batch add to its loss ([`Captioner::record_loss`]), which is divided by the words, the pictures and
    /// the regions of all of the batch. So the losses of its parts add up to that of the whole
    /// ([`Trainer::step_in_parts_async`](crate::train::Trainer::step_in_parts_async)).
    ///
    /// # Errors
    /// As there, and [`Error::Argument`] for a part that is empty or not within the batch.
    pub fn record_loss_part(
        &self,
        recording: &mut Recording,
        pictures: &[&[u8]],
        captions: &[&[u32]],
        attention: &AttentionTerms<'_>,
        part: Range<usize>,
    ) -> Result<Value> {
        if pictures.len() != captions.len() {
            let expected = format!("as many as the {} pictures", pictures.len());
            return Err(Error::argument(OP, "captions", expected, captions.len().to_string()));
        }
        if let Some(index) = captions.iter().position(|caption| caption.is_empty()) {
            return Err(Error::argument(OP, format!("caption {index}"), "at least 1 token", "none"));
        }
        attention.check(captions, self.config.places())?;
        expect_part(OP, &part, pictures.len())?;
        recording.atomically(|recording| {
            let memory = self.record_memory(recording, &pictures[part.clone()])?;
            let padding = self.config.padding_id;
            let own = &captions[part.clone()];
            let shifted = Shifted::new(own, padding);
            let inputs = shifted.inputs();
            let attention = attention.part(part, pictures.len());
            let with_weights = attention.is_any();
            let RecurrentTargets { logits, weights } =
                self.decoder.record_targets(recording, &memory, &inputs, padding, with_weights)?;
            let labels = shifted.labels_by_step();
            let loss = CrossEntropy::new(&labels).divisor(counted(captions)).record(recording, &logits)?;
            match with_weights {
                true => attention.record(recording, &loss, &weights, own),
                false => Ok(loss),
            }
        })
    }

    /// Captions pictures, RGB `[image_size, image_size, 3]` each, row by row; any number, in batches.
    pub fn caption<'a>(&'a self, pictures: &'a [&'a [u8]]) -> CaptionPictures<'a> {
        CaptionPictures::new(self, pictures)
    }
}
