//! `tokenizer.json`: from text to token ids.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::normalizers::{Lowercase, NormalizerWrapper, Sequence};
use tokenizers::parallelism::MaybeParallelIterator;
use tokenizers::{
    DecoderWrapper, Encoding as Tokens, ModelWrapper, PostProcessor, PostProcessorWrapper,
    TruncationDirection,
};

use super::encoding::{Encoding, Origin, TruncationSide, guarded, no_token};
use super::files::{LFS_POINTER, bad, check_folder, is_lfs_pointer, read, shown};
use super::json::Object;
use super::tokenizer_pieces::{Cuts, Pieces};
use super::tokenizer_settings::{Applied, Settings, Source};
use crate::error::{Error, Result};

/// The largest published tokenizers have 40 MB.
const MAX_BYTES: u64 = 512 << 20;
const PURPOSE: &str = "the tokenizer (vocab.txt alone is not read)";

/// A Hugging Face tokenizer. It is `Send + Sync`.
///
/// The file's own truncation and padding are not used: all-MiniLM-L6-v2's says 128 tokens, while the
/// model takes 256. The limit is the caller's, in each call.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    /// Kept apart, as truncation comes between the tokens and the special ones around them.
    special: Option<PostProcessorWrapper>,
    special_in_single: usize,
    special_in_pair: usize,
    side: TruncationSide,
    largest_id: u32,
    /// The special tokens that are put around texts.
    around: Vec<u32>,
    passes_types: bool,
    /// Where long texts are cut into pieces, if they may be.
    cuts: Option<Cuts>,
    notices: Vec<String>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json` alone. What other files of its folder change is not known then:
    /// [`Tokenizer::open_folder`] reads them too.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that is missing or cannot be read, and those of [`Tokenizer::from_json`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_json(&read(path, MAX_BYTES, PURPOSE)?, path)
    }

    /// Reads the content of a `tokenizer.json`; `path` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::File`] for what is no tokenizer.
    pub fn from_json(json: &[u8], path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let (inner, side) = parse(json, &path)?;
        Self::new(path, inner, side, Applied { passes_types: true, ..Applied::default() })
    }

    /// Reads the tokenizer of a model's folder, the one that transformers 5 makes of it: `tokenizer.json`, and the files
    /// beside it that change what it says.
    ///
    /// The class decides that `tokenizer_config.json` or `config.json` names, or else the model's type. For
    /// `BertTokenizer`, `DistilBertTokenizer`, `MPNetTokenizer`, `RobertaTokenizer`, `XLMRobertaTokenizer` and
    /// `CamembertTokenizer` only the vocabulary is `tokenizer.json`'s; `do_lower_case`, `strip_accents`,
    /// `tokenize_chinese_chars`, `add_prefix_space` and the special tokens are those of the settings, or else the class's
    /// own. For `PreTrainedTokenizerFast` and classes that transformers does not know, `tokenizer.json` stands. Added
    /// tokens come from `added_tokens_decoder`, or from `special_tokens_map.json`, `added_tokens.json` and
    /// `tokenizer.json` where that is not there. `docs/tokenizers.md` has all settings, and where transformers 4 differs.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that is missing or cannot be read, [`Error::File`] for one that is damaged,
    /// [`Error::Unsupported`] for a class that does not read `tokenizer.json` at all.
    pub fn open_folder(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        check_folder(folder, "tokenizer.json")?;
        Ok(Self::of_folder(folder, None, Source::Class)?.0)
    }

    /// [`Tokenizer::open_folder`] with the settings; `arguments` win over them.
    pub(super) fn of_folder(
        folder: &Path,
        arguments: Option<&Map<String, Value>>,
        source: Source,
    ) -> Result<(Self, Object)> {
        let path = folder.join("tokenizer.json");
        let json = read(&path, MAX_BYTES, PURPOSE)?;
        let (mut inner, side) = parse(&json, &path)?;
        let mut notices = Vec::new();
        let settings = Settings::read(folder, arguments, &inner, source, &mut notices)?;
        let applied = settings.apply(&mut inner, &json, &mut notices)?;
        let mut tokenizer = Self::new(path, inner, side, applied)?;
        tokenizer.notices = notices;
        Ok((tokenizer, settings.into_config()))
    }

    fn new(
        path: PathBuf,
        mut inner: tokenizers::Tokenizer,
        side: TruncationSide,
        applied: Applied,
    ) -> Result<Self> {
        let special = inner.get_post_processor().cloned();
        inner.with_post_processor(None::<PostProcessorWrapper>);
        let ids = inner.get_vocab(true).into_values();
        let Some(largest_id) = ids.filter(|id| !applied.unlisted.contains(id)).max() else {
            return Err(bad(&path, "the tokenizer's vocabulary is empty"));
        };
        let mut tokenizer = Self {
            path,
            inner,
            special,
            special_in_single: 0,
            special_in_pair: 0,
            side: applied.side.unwrap_or(side),
            largest_id,
            around: Vec::new(),
            passes_types: applied.passes_types,
            cuts: None,
            notices: Vec::new(),
        };
        tokenizer.cuts = Cuts::of(&tokenizer.inner);
        tokenizer.measure_special_tokens()?;
        Ok(tokenizer)
    }

    /// Counts the special tokens by adding them to nothing; what the file claims may be wrong.
    fn measure_special_tokens(&mut self) -> Result<()> {
        let empty = |pair: Option<Tokens>| self.add_special_tokens(Tokens::default(), pair);
        let measured = empty(None).and_then(|single| Ok((single, empty(Some(Tokens::default()))?)));
        let (single, pair) = measured.map_err(|problem| {
            bad(&self.path, format!("the tokenizer's `post_processor` fails: {}", shown(&problem)))
        })?;
        self.special_in_single = single.len();
        self.special_in_pair = pair.len();
        self.around = single.get_ids().iter().chain(pair.get_ids()).copied().collect();
        self.largest_id = self.largest_id.max(self.around.iter().copied().max().unwrap_or(0));
        Ok(())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The largest id that a token can have, added and special tokens included. Not counted are special tokens that a
    /// class of transformers or a name in its settings adds behind a vocabulary without them, such as `[MASK]`: few models
    /// have rows for those. What is put around texts always counts.
    pub fn largest_id(&self) -> u32 {
        self.largest_id
    }

    /// Whether every token has a row in an embedding table of `vocabulary_size` rows.
    ///
    /// # Errors
    /// [`Error::File`] if some token has none.
    pub fn check_vocabulary(&self, vocabulary_size: usize) -> Result<()> {
        if (self.largest_id as usize) < vocabulary_size {
            return Ok(());
        }
        Err(bad(
            &self.path,
            format!(
                "the tokenizer's ids must be below the model's vocabulary size ({vocabulary_size}), but go up to {}",
                self.largest_id
            ),
        ))
    }

    /// The special tokens added to one text, such as 2 for `[CLS] … [SEP]`.
    pub fn special_tokens(&self) -> usize {
        self.special_in_single
    }

    /// The special tokens added to a pair of texts.
    pub fn special_tokens_in_pair(&self) -> usize {
        self.special_in_pair
    }

    /// The id of a token, such as `[MASK]`.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The ids of the special tokens (`[CLS]`, `[SEP]`, `[MASK]`, …), sorted: those that `tokenizer.json` says are, and
    /// those that are put around texts.
    pub fn special_ids(&self) -> Vec<u32> {
        let added = self.inner.get_added_tokens_decoder();
        let special = added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id);
        let mut ids: Vec<u32> = special.chain(self.around.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The ids that stand for a token, sorted: a vocabulary may have gaps.
    pub fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.inner.get_vocab(true).into_values().collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// All tokens, in alphabetical order.
    pub(super) fn tokens_in_order(&self) -> impl Iterator<Item = String> {
        self.inner.get_vocab(true).into_keys().collect::<std::collections::BTreeSet<_>>().into_iter()
    }

    /// Whether token types reach the model. transformers keeps them back where `model_input_names` of
    /// `tokenizer_config.json`, or by default the tokenizer's class, does not name them, and the model takes 0 for all.
    pub fn passes_types(&self) -> bool {
        self.passes_types
    }

    /// Notices for the user about the files that it was read from.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The side at which long texts are cut.
    pub fn truncation_side(&self) -> TruncationSide {
        self.side
    }

    /// Sets the side at which long texts are cut.
    pub fn set_truncation_side(&mut self, side: TruncationSide) {
        self.side = side;
    }

    /// Lowercases all text first, as sentence-transformers does where its config says `do_lower_case`.
    pub fn lowercase(&mut self) {
        let lowers = |step: &NormalizerWrapper| matches!(step, NormalizerWrapper::Lowercase(_));
        let mut steps = vec![NormalizerWrapper::Lowercase(Lowercase)];
        match self.inner.get_normalizer() {
            Some(NormalizerWrapper::Sequence(there)) if there.as_ref().iter().any(lowers) => return,
            Some(there) if lowers(there) => return,
            there => steps.extend(there.cloned()),
        }
        self.inner.with_normalizer(Some(Sequence::new(steps)));
        self.cuts = Cuts::of(&self.inner);
    }

    /// Tokenizes a text, adds the special tokens and cuts it to `max_tokens` in all.
    ///
    /// Special tokens survive truncation. Of a long text only what can be kept is tokenized as a whole; the rest is counted
    /// in pieces, so that time grows with the text and memory with its longest stretch without a space. Where the text itself spells one (`[SEP]`), it becomes one,
    /// as in Hugging Face's tokenizers.
    ///
    /// # Errors
    /// [`Error::Tokenize`].
    pub fn encode(&self, text: &str, max_tokens: usize) -> Result<Encoding> {
        self.encode_at(0, text, None, max_tokens)
    }

    /// Tokenizes a pair of texts; where they are too long together, the longer one is cut first.
    ///
    /// An empty second text still makes a pair (`[CLS] … [SEP] [SEP]`), as in the tokenizers library;
    /// transformers' Python wrapper takes it as no second text.
    ///
    /// # Errors
    /// [`Error::Tokenize`].
    pub fn encode_pair(&self, first: &str, second: &str, max_tokens: usize) -> Result<Encoding> {
        self.encode_at(0, first, Some(second), max_tokens)
    }

    /// Tokenizes many texts on several threads, in the caller's order.
    ///
    /// As with Hugging Face, the environment variable `TOKENIZERS_PARALLELISM=false` keeps it on one thread.
    ///
    /// # Errors
    /// [`Error::Tokenize`] with the place of the first text that failed.
    pub fn encode_batch<S: AsRef<str> + Sync>(
        &self,
        texts: &[S],
        max_tokens: usize,
    ) -> Result<Vec<Encoding>> {
        let several = cfg!(not(target_arch = "wasm32")) && texts.len() > 1;
        let encodings: Vec<Result<Encoding>> = (0..texts.len())
            .into_maybe_par_iter_cond(several)
            .map(|index| self.encode_at(index, texts[index].as_ref(), None, max_tokens))
            .collect();
        encodings.into_iter().collect()
    }

    /// [`Tokenizer::encode_batch`] for pairs of texts.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_batch`].
    pub fn encode_pairs<S: AsRef<str> + Sync>(
        &self,
        pairs: &[(S, S)],
        max_tokens: usize,
    ) -> Result<Vec<Encoding>> {
        let several = cfg!(not(target_arch = "wasm32")) && pairs.len() > 1;
        let one = |index: usize| {
            let (first, second) = &pairs[index];
            self.encode_at(index, first.as_ref(), Some(second.as_ref()), max_tokens)
        };
        let encodings: Vec<Result<Encoding>> =
            (0..pairs.len()).into_maybe_par_iter_cond(several).map(one).collect();
        encodings.into_iter().collect()
    }

    /// The text of ids, by the file's decoder, without the special tokens.
    ///
    /// A file without a decoder gives the tokens with a space between each two, as in the tokenizers library.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id that the vocabulary does not have, [`Error::Tokenize`] if the decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        // The library would leave such an id out.
        if let Some(&id) = ids.iter().find(|&&id| self.token(id).is_none()) {
            return Err(no_token(id, &self.path));
        }
        guarded(|| self.inner.decode(ids, true))
            .map_err(|problem| Error::Tokenize { index: 0, problem: shown(&problem) })
    }

    /// Tokenizes a text or a pair as [`Tokenizer::encode`] and [`Tokenizer::encode_pair`] do, and says where each token
    /// comes from; the special tokens that are put around the texts come from nowhere.
    ///
    /// # Errors
    /// [`Error::Tokenize`].
    pub fn encode_with_origins(
        &self,
        text: &str,
        second: Option<&str>,
        max_tokens: usize,
    ) -> Result<(Encoding, Vec<Option<Origin>>)> {
        let (whole, total) = self.tokens_at(0, text, second, max_tokens, true)?;
        let texts = [text, second.unwrap_or_default()];
        let origins = origins(&whole, texts);
        Ok((self.encoding(&whole, total), origins))
    }

    /// Whether tokens are written as bytes in the alphabet of GPT-2 and RoBERTa, which only a decoder can read.
    pub fn is_byte_level(&self) -> bool {
        matches!(self.inner.get_decoder(), Some(DecoderWrapper::ByteLevel(_)))
    }

    /// Whether the model is one of byte pairs.
    pub(super) fn is_byte_pair(&self) -> bool {
        matches!(self.inner.get_model(), ModelWrapper::BPE(_))
    }

    fn encode_at(
        &self,
        index: usize,
        text: &str,
        second: Option<&str>,
        max_tokens: usize,
    ) -> Result<Encoding> {
        let (whole, total) = self.tokens_at(index, text, second, max_tokens, false)?;
        Ok(self.encoding(&whole, total))
    }

    fn encoding(&self, whole: &Tokens, total_tokens: usize) -> Encoding {
        let tokens = whole.get_ids().iter().zip(whole.get_tokens());
        Encoding {
            ids: whole.get_ids().to_vec(),
            type_ids: match self.passes_types {
                true => whole.get_type_ids().to_vec(),
                false => vec![0; whole.len()],
            },
            tokens: tokens.map(|(&id, token)| self.spell(id, token)).collect(),
            total_tokens,
        }
    }

    /// The tokens with the special ones, and how many there were before the cut.
    fn tokens_at(
        &self,
        index: usize,
        text: &str,
        second: Option<&str>,
        max_tokens: usize,
        with_origins: bool,
    ) -> Result<(Tokens, usize)> {
        let special = if second.is_some() { self.special_in_pair } else { self.special_in_single };
        let Some(room) = max_tokens.checked_sub(special).filter(|&room| room > 0) else {
            return Err(Error::argument(
                "encode",
                "max_tokens",
                format!("above the number of special tokens ({special})"),
                max_tokens.to_string(),
            ));
        };
        let failed = |problem: String| Error::Tokenize { index, problem: shown(&problem) };
        let pieces = Pieces { inner: &self.inner, cuts: self.cuts.as_ref(), side: self.side, with_origins };
        let tokens = |text: &str| pieces.tokens(text, room).map_err(failed);
        let (first, first_total) = tokens(text)?;
        let (second, second_total) = match second {
            Some(text) => tokens(text).map(|(second, total)| (Some(second), total))?,
            None => (None, 0),
        };

        let (keep_first, keep_second) = longest_first((first_total, second_total), room);
        let first = self.cut(first, keep_first);
        let second = second.map(|second| self.cut(second, keep_second));
        let whole = self.add_special_tokens(first, second).map_err(failed)?;
        Ok((whole, first_total + second_total + special))
    }

    /// The fast encoding leaves a text's own tokens blank, which saves it a million strings.
    fn spell(&self, id: u32, token: &str) -> String {
        if token.is_empty() { self.token(id).unwrap_or_default() } else { token.to_owned() }
    }

    /// Keeps `length` tokens. The library's own truncation would also keep all the rest, in pieces.
    fn cut(&self, tokens: Tokens, length: usize) -> Tokens {
        let surplus = tokens.len().saturating_sub(length);
        if surplus == 0 {
            return tokens;
        }
        let kept = match self.side {
            TruncationSide::Left => surplus..tokens.len(),
            TruncationSide::Right => 0..length,
        };
        Tokens::new(
            tokens.get_ids()[kept.clone()].to_vec(),
            tokens.get_type_ids()[kept.clone()].to_vec(),
            tokens.get_tokens()[kept.clone()].to_vec(),
            tokens.get_word_ids()[kept.clone()].to_vec(),
            tokens.get_offsets()[kept.clone()].to_vec(),
            tokens.get_special_tokens_mask()[kept.clone()].to_vec(),
            tokens.get_attention_mask()[kept].to_vec(),
            Vec::new(),
            Default::default(),
        )
    }

    fn add_special_tokens(&self, first: Tokens, second: Option<Tokens>) -> Result<Tokens, String> {
        match &self.special {
            Some(processor) => guarded(|| processor.process(first, second, true)),
            None => guarded(|| self.inner.post_process(first, second, true)),
        }
    }
}

/// Where the tokens of one text or two come from.
fn origins(whole: &Tokens, texts: [&str; 2]) -> Vec<Option<Origin>> {
    let sequences = whole.get_sequence_ids();
    let mut ends = [0; 2];
    let mut origins = Vec::with_capacity(whole.len());
    for (place, sequence) in sequences.into_iter().enumerate() {
        let special = whole.get_special_tokens_mask().get(place) == Some(&1);
        let text = sequence.filter(|&text| !special && text < 2);
        let word = whole.get_word_ids().get(place).copied().flatten();
        let span = whole.get_offsets().get(place).copied();
        let origin = text.zip(word).zip(span).map(|((text, word), (start, end))| {
            // What does not lie in the text, between characters, is no piece of it.
            let start = start.max(ends[text]);
            let bytes = if texts[text].get(start..end).is_some() { start..end } else { start..start };
            ends[text] = bytes.end.max(ends[text]);
            Origin { text, word: word as usize, bytes }
        });
        origins.push(origin);
    }
    origins
}

/// How many tokens of two texts remain: both are cut to the same length before the shorter one is.
fn longest_first((first, second): (usize, usize), room: usize) -> (usize, usize) {
    if first.saturating_add(second) <= room {
        return (first, second);
    }
    let short = first.min(second).min(room / 2);
    let long = room - short;
    if first <= second { (short, long) } else { (long, short) }
}

/// Reads a `tokenizer.json`, and the side on which it cuts; its own truncation and padding are set aside.
fn parse(json: &[u8], path: &Path) -> Result<(tokenizers::Tokenizer, TruncationSide)> {
    #[cfg(not(target_arch = "wasm32"))]
    super::threads::prepare();
    if is_lfs_pointer(json) {
        return Err(bad(path, LFS_POINTER));
    }
    let invalid =
        |problem: String| bad(path, format!("not a tokenizer that can be read: {}", shown(&problem)));
    let mut inner = guarded(|| tokenizers::Tokenizer::from_bytes(json)).map_err(invalid)?;
    let side = match inner.get_truncation().map(|truncation| truncation.direction) {
        Some(TruncationDirection::Left) => TruncationSide::Left,
        Some(TruncationDirection::Right) | None => TruncationSide::Right,
    };
    inner.with_padding(None);
    guarded(|| inner.with_truncation(None).map(|_| ())).map_err(invalid)?;
    Ok((inner, side))
}

#[cfg(test)]
mod tests {
    use super::longest_first;

    #[test]
    fn longest_first_fills_the_room() {
        for room in 1..20 {
            for (first, second) in (0..400).map(|n| (n % 20, n / 20)) {
                let (a, b) = longest_first((first, second), room);
                assert_eq!(a + b, room.min(first + second));
                assert!(a <= first && b <= second);
                // One at a time from the longer: what was cut is no shorter than what was not, less one.
                assert!(a == first || a + 1 >= b, "{first} {second} {room}");
                assert!(b == second || b + 1 >= a, "{first} {second} {room}");
            }
        }
        assert_eq!(longest_first((usize::MAX, usize::MAX), 5), (2, 3));
    }
}
