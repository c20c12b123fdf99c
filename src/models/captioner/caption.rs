//! Pictures in, captions out, with where each word was looked for.

use std::ops::ControlFlow;

use super::{Captioner, OP};
use crate::error::Result;
use crate::layers::LayerCapture;
use crate::models::attention_maps::{AttentionMaps, MapToken};
use crate::models::embedder::not_finite;
use crate::models::generation::{GenerationOptions, Hypothesis, Strategy, TokenRules, generate};
use crate::progress::{IntoControlFlow, obey};
use crate::recording::Recording;

/// Pictures, times the hypotheses of each, in a batch.
const ROWS: usize = 256;

type Progress<'a> = Box<dyn FnMut(usize, usize) -> ControlFlow<()> + Send + 'a>;

/// A [`Captioner::caption`] to be run.
pub struct CaptionPictures<'a> {
    captioner: &'a Captioner,
    pictures: &'a [&'a [u8]],
    options: GenerationOptions,
    progress: Option<Progress<'a>>,
}

impl<'a> CaptionPictures<'a> {
    pub(super) fn new(captioner: &'a Captioner, pictures: &'a [&'a [u8]]) -> Self {
        let config = &captioner.config;
        let options = GenerationOptions {
            max_tokens: config.max_length,
            rules: TokenRules {
                stop: vec![config.stop_id],
                padding: config.padding_id,
                // It fills up, and is no word.
                forbidden: vec![vec![config.padding_id]],
                ..TokenRules::default()
            },
            ..GenerationOptions::default()
        };
        Self { captioner, pictures, options, progress: None }
    }

    /// How words are chosen; the likeliest one at each step, where nothing is said.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.options.strategy = strategy;
        self
    }

    /// Captions of each picture, best first: [`GenerationOptions::n_best`].
    #[must_use]
    pub fn n_best(mut self, n_best: usize) -> Self {
        self.options.n_best = n_best;
        self
    }

    /// The most words of a caption, its end counted. By default what the model says.
    #[must_use]
    pub fn max_tokens(mut self, max_tokens: usize) -> Self {
        self.options.max_tokens = max_tokens;
        self
    }

    /// Tells how many pictures are done, of how many. The answer may end the run ([`IntoControlFlow`]).
    #[must_use]
    pub fn progress<A: IntoControlFlow>(
        mut self,
        mut progress: impl FnMut(usize, usize) -> A + Send + 'a,
    ) -> Self {
        self.progress = Some(Box::new(move |done, all| progress(done, all).into_control_flow()));
        self
    }

    /// Captions the pictures: the captions of each, in their order.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a picture of another size, and options that mean nothing;
    /// [`Error::Interrupted`](crate::Error::Interrupted), and those of [`Recording::run_async`].
    pub async fn run_async(mut self) -> Result<Captions> {
        let captioner = self.captioner;
        let config = &captioner.config;
        self.options.check(config.vocabulary_size)?;
        for (index, picture) in self.pictures.iter().enumerate() {
            captioner.check_picture(index, picture)?;
        }
        let beams = self.options.rows_per_text();
        let size = (ROWS / beams).max(1);
        let mut pictures = Vec::with_capacity(self.pictures.len());
        for batch in self.pictures.chunks(size) {
            let mut recording = Recording::new(&captioner.device);
            let memory = captioner.record_memory(&mut recording, batch)?;
            let lengths = captioner.lengths(batch.len());
            let capture = Some(LayerCapture::all());
            let mut decoder = captioner.decoder.start(recording, &memory, lengths, beams, capture).await?;
            let numbers: Vec<usize> = (pictures.len()..pictures.len() + batch.len()).collect();
            let (done, all) = (pictures.len(), self.pictures.len());
            let progress = &mut self.progress;
            let mut told =
                |done| progress.as_mut().map_or(Ok(()), |tell| obey(tell(done, all), OP, [done, all]));
            let start = config.padding_id;
            let found = generate(&mut decoder, &numbers, start, &self.options, |_| told(done)).await?;
            for hypotheses in found {
                let captions = hypotheses.into_iter().map(|hypothesis| captioner.told(hypothesis));
                pictures.push(captions.collect::<Result<Vec<_>>>()?);
            }
            told(pictures.len())?;
        }
        Ok(Captions { pictures })
    }

    /// The blocking form of [`CaptionPictures::run_async`].
    ///
    /// # Errors
    /// As [`CaptionPictures::run_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(self) -> Result<Captions> {
        crate::waiting::block_on(self.run_async())
    }
}

impl Captioner {
    fn told(&self, hypothesis: Hypothesis) -> Result<Caption> {
        let Hypothesis { ids, log_probability, score, stopped, attention } = hypothesis;
        let is_special = |id: u32| id == self.config.stop_id || id == self.config.padding_id;
        let word = |&id: &u32| {
            let label = self.vocabulary.get(id as usize).cloned().unwrap_or_default();
            match is_special(id) {
                true => MapToken { label, ..MapToken::default() },
                false => MapToken::new(label),
            }
        };
        let words: Vec<MapToken> = ids.iter().map(word).collect();
        let side = self.config.side();
        let place = |place: usize| MapToken::new(format!("{},{}", place % side, place / side));
        let places: Vec<MapToken> = (0..side * side).map(place).collect();
        // Without words where the logits were NaN.
        let weights = attention.iter().take(ids.len()).flat_map(|weights| weights.iter().copied());
        let weights: Vec<f32> = weights.collect();
        let attention = AttentionMaps::new([words, places], vec![None], vec![None], weights)?;
        Ok(Caption { text: self.decode(&ids), ids, log_probability, score, stopped, attention })
    }
}

/// What was written of a picture.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Caption {
    /// Its words, with spaces between them.
    pub text: String,
    /// Their ids, the end included.
    pub ids: Vec<u32>,
    /// The sum of the words' log-probabilities.
    pub log_probability: f64,
    /// What beam search ranks by; elsewhere the log-probability. NaN, with an empty text, where the model's logits for this picture were
    /// NaN.
    pub score: f64,
    /// Whether it came to its end. If not, the limit on the words cut it.
    pub stopped: bool,
    /// Where the model looked: a row for each word and the end, a column for each place, row by row of the picture; a place is called by its
    /// column and its row.
    pub attention: AttentionMaps,
}

impl Caption {
    /// How sure the model is of this caption: its probability among all captions.
    pub fn probability(&self) -> f64 {
        self.log_probability.exp()
    }

    /// The place that the word looked at most, as its column and its row; none where there is no such word, or its weights are no
    /// numbers.
    pub fn peak(&self, word: usize) -> Option<[usize; 2]> {
        let [.., words, places] = self.attention.shape();
        let weights = (word < words).then(|| self.attention.row(0, 0, word))?;
        let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let place = weights.iter().position(|&weight| weight == largest)?;
        let side = places.isqrt();
        Some([place % side, place / side])
    }
}

/// The captions of each picture, best first, in the order of the pictures.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Captions {
    /// As many for each picture as were asked for.
    pub pictures: Vec<Vec<Caption>>,
}

impl Captions {
    /// The pictures with a caption whose score or weights are NaN, or infinite. A score of −∞ is one: the caption has the probability 0.
    pub fn not_finite(&self) -> Vec<usize> {
        let number = |score: f64| !score.is_nan() && score != f64::INFINITY;
        not_finite(&self.pictures, |captions| {
            captions.iter().all(|caption| number(caption.score) && caption.attention.is_finite())
        })
    }
}
