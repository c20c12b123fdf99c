//! The classes of transformers: which one a folder asks for, and how each makes its tokenizer.
//!
//! transformers 5 takes only the vocabulary from `tokenizer.json` for these classes, and makes everything around it from
//! `tokenizer_config.json` and the class's own defaults. transformers 4 changes the file's parts where they differ
//! instead, which comes to the same for files that the class itself wrote.

use serde::Deserialize;
use serde_json::{Value, json};
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{
    AddedToken, AddedVocabulary, Model as _, ModelWrapper, NormalizerWrapper, PostProcessorWrapper,
    PreTokenizerWrapper, Tokenizer as Inner,
};

use super::files::{bad, shown, unsupported};
use super::json::Object;
use crate::error::Result;

/// How a class of transformers makes its tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Bert,
    DistilBert,
    MpNet,
    Roberta,
    XlmRoberta,
    Camembert,
    /// `tokenizer.json` as it is, with the added tokens of the files beside it: `PreTrainedTokenizerFast`, called
    /// `TokenizersBackend` in transformers 5.
    File,
}

/// The names that stand for each class, without the `Fast` at the end that some have.
const NAMES: [(Class, &[&str]); 7] = [
    (
        Class::Bert,
        &[
            "BertTokenizer",
            "ElectraTokenizer",
            "LayoutLMTokenizer",
            "LxmertTokenizer",
            "MobileBertTokenizer",
            "SqueezeBertTokenizer",
        ],
    ),
    (Class::DistilBert, &["DistilBertTokenizer"]),
    (Class::MpNet, &["MPNetTokenizer"]),
    (
        Class::Roberta,
        &["RobertaTokenizer", "BartTokenizer", "LEDTokenizer", "LongformerTokenizer", "MvpTokenizer"],
    ),
    (Class::XlmRoberta, &["XLMRobertaTokenizer"]),
    (Class::Camembert, &["CamembertTokenizer"]),
    (Class::File, &["PreTrainedTokenizer", "TokenizersBackend"]),
];

/// Classes that are written in Python or run SentencePiece itself: they never read `tokenizer.json`.
const WITHOUT_FILE: [&str; 26] = [
    "BartphoTokenizer",
    "BertGenerationTokenizer",
    "BertJapaneseTokenizer",
    "BertTokenizerLegacy",
    "BertweetTokenizer",
    "BioGptTokenizer",
    "BlenderbotSmallTokenizer",
    "ByT5Tokenizer",
    "CTRLTokenizer",
    "CanineTokenizer",
    "CpmTokenizer",
    "EsmTokenizer",
    "FSMTTokenizer",
    "FlaubertTokenizer",
    "GPTNeoXJapaneseTokenizer",
    "GPTSw3Tokenizer",
    "M2M100Tokenizer",
    "MyT5Tokenizer",
    "PLBartTokenizer",
    "PerceiverTokenizer",
    "PhobertTokenizer",
    "ProphetNetTokenizer",
    "RoCBertTokenizer",
    "SiglipTokenizer",
    "TapasTokenizer",
    "XLMTokenizer",
];

/// Classes of transformers with rules of their own that are not followed here.
const OTHERS: [&str; 30] = [
    "AlbertTokenizer",
    "BarthezTokenizer",
    "BigBirdTokenizer",
    "BlenderbotTokenizer",
    "CLIPTokenizer",
    "CodeLlamaTokenizer",
    "CohereTokenizer",
    "DebertaTokenizer",
    "DebertaV2Tokenizer",
    "DPRContextEncoderTokenizer",
    "DPRQuestionEncoderTokenizer",
    "FunnelTokenizer",
    "GPT2Tokenizer",
    "GPTNeoXTokenizer",
    "GemmaTokenizer",
    "HerbertTokenizer",
    "LayoutLMv2Tokenizer",
    "LayoutLMv3Tokenizer",
    "LayoutXLMTokenizer",
    "LlamaTokenizer",
    "LukeTokenizer",
    "MBartTokenizer",
    "NllbTokenizer",
    "PegasusTokenizer",
    "Qwen2Tokenizer",
    "ReformerTokenizer",
    "RemBertTokenizer",
    "RoFormerTokenizer",
    "T5Tokenizer",
    "XLNetTokenizer",
];

/// The class that the settings or `config.json` name, else the one of the model's type. A name that transformers does
/// not know is no error there either: `tokenizer.json` is followed.
pub(super) fn class(
    settings: &Object,
    config: Option<&Object>,
    notices: &mut Vec<String>,
) -> Result<(Class, String)> {
    const KEY: &str = "tokenizer_class";
    let (path, named) = match (settings.text(KEY)?, config) {
        (Some(name), _) => (settings.path(), Some(name)),
        (None, Some(config)) => (config.path(), config.text(KEY)?),
        (None, None) => (settings.path(), None),
    };
    let name = match named {
        Some(name) => name,
        None => config.map(of_model_type).transpose()?.unwrap_or("TokenizersBackend"),
    };
    let short = name.strip_suffix("Fast").unwrap_or(name);
    if WITHOUT_FILE.contains(&short) {
        let known = NAMES.iter().flat_map(|(_, names)| names.iter().copied()).collect::<Vec<_>>();
        return Err(unsupported(path, KEY, name, &known));
    }
    if OTHERS.contains(&short) {
        notices.push(format!(
            "{}: `{short}` has rules of its own in transformers, which are not followed here: tokenizer.json is, as it stands",
            path.display()
        ));
    }
    let known = NAMES.iter().find(|(_, names)| names.contains(&short)).map(|&(class, _)| class);
    Ok((known.unwrap_or(Class::File), name.to_owned()))
}

/// The class that transformers takes where none is named.
fn of_model_type(config: &Object) -> Result<&'static str> {
    let class = match config.get("architectures") {
        Some(Value::Array(classes)) => classes.first().and_then(Value::as_str).unwrap_or_default(),
        _ => "",
    };
    Ok(match config.text("model_type")? {
        Some("bert" | "distilbert" | "electra") => "BertTokenizer",
        Some("roberta") => "RobertaTokenizer",
        Some("xlm-roberta") => "XLMRobertaTokenizer",
        Some("camembert") => "CamembertTokenizer",
        Some("mpnet") => "MPNetTokenizer",
        Some(_) => "TokenizersBackend",
        None if class.starts_with("XLMRoberta") => "XLMRobertaTokenizer",
        None if class.starts_with("Roberta") => "RobertaTokenizer",
        None if class.starts_with("Camembert") => "CamembertTokenizer",
        None if class.starts_with("Bert") || class.starts_with("DistilBert") => "BertTokenizer",
        None => "TokenizersBackend",
    })
}

impl Class {
    /// The special tokens that the class has where the settings name none, by their attributes.
    pub(super) fn special_tokens(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Bert | Self::DistilBert => &[
                ("unk_token", "[UNK]"),
                ("sep_token", "[SEP]"),
                ("pad_token", "[PAD]"),
                ("cls_token", "[CLS]"),
                ("mask_token", "[MASK]"),
            ],
            Self::MpNet => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "[UNK]"),
                ("sep_token", "</s>"),
                ("pad_token", "<pad>"),
                ("cls_token", "<s>"),
                ("mask_token", "<mask>"),
            ],
            Self::Roberta | Self::XlmRoberta | Self::Camembert => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
                ("sep_token", "</s>"),
                ("pad_token", "<pad>"),
                ("cls_token", "<s>"),
                ("mask_token", "<mask>"),
            ],
            Self::File => &[],
        }
    }

    /// A special token that the settings give as a string alone.
    pub(super) fn special_token(self, attribute: &str, content: &str) -> AddedToken {
        let token = AddedToken::from(content, true);
        match (self, attribute) {
            (Self::MpNet, "mask_token") => token.normalized(true).lstrip(true),
            (Self::MpNet, _) => token.normalized(true),
            (Self::Camembert, "mask_token") => token.lstrip(true),
            _ => token,
        }
    }

    /// The special tokens without names of their own, where the settings have none.
    pub(super) fn extra_tokens(self) -> &'static [&'static str] {
        match self {
            Self::Camembert => &["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"],
            _ => &[],
        }
    }

    /// Whether token types are given to the model, where `model_input_names` is not there to say so.
    pub(super) fn passes_types(self, name: &str) -> bool {
        match self {
            Self::Bert => true,
            // The one such class of transformers 5 that only says so.
            Self::File => name.starts_with("ConvBertTokenizer"),
            _ => false,
        }
    }

    /// What the class cannot be made of: the kind of model that the file has, if it is another than the class's.
    fn other_model(self, model: &ModelWrapper) -> Option<(&'static str, &'static str)> {
        let needed = match self {
            Self::Bert | Self::DistilBert | Self::MpNet => "WordPiece",
            Self::Roberta => "BPE",
            Self::XlmRoberta | Self::Camembert => "Unigram",
            Self::File => return None,
        };
        let found = match model {
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
            ModelWrapper::Unigram(_) => "Unigram",
        };
        (found != needed).then_some((needed, found))
    }

    /// The class that is followed: `tokenizer.json` where its model is none of the named class's.
    pub(super) fn of_model(self, inner: &Inner, name: &str, notices: &mut Vec<String>) -> Self {
        let Some((needed, found)) = self.other_model(inner.get_model()) else { return self };
        notices.push(format!(
            "the tokenizer's class `{}` is one of {needed} models, but tokenizer.json has a {found} model: tokenizer.json is followed, as it stands",
            shown(name)
        ));
        Self::File
    }

    /// Sets all but the tokens and what is put around texts, and leaves the added tokens to be added anew. `json` is the
    /// file that `inner` comes from.
    pub(super) fn set_parts(
        self,
        inner: &mut Inner,
        settings: &Object,
        unknown: Option<&str>,
        json: &[u8],
    ) -> Result<()> {
        match self {
            Self::Bert | Self::DistilBert | Self::MpNet => word_pieces(inner, settings, unknown)?,
            Self::Roberta => byte_pairs(inner, settings)?,
            Self::XlmRoberta | Self::Camembert => {
                // The one takes the fourth piece, whatever it is called; the other looks for it by its name.
                let place = match self {
                    Self::XlmRoberta => 3,
                    _ => unknown.and_then(|token| inner.get_model().token_to_id(token)).unwrap_or(0) as usize,
                };
                unigrams(inner, settings, place, json)?;
            }
            Self::File => return Ok(()),
        }
        inner.with_added_vocabulary(AddedVocabulary::new());
        Ok(())
    }

    /// What the class puts around texts, by the contents and ids of special tokens; `None` where the file says it.
    pub(super) fn post_processor(
        self,
        settings: &Object,
        token: &dyn Fn(&str) -> Result<(String, u32)>,
    ) -> Result<Option<PostProcessorWrapper>> {
        let wrong =
            |problem: String| bad(settings.path(), format!("the special tokens: {}", shown(&problem)));
        match self {
            Self::Bert | Self::DistilBert => {
                let (first, last) = (token("cls_token")?, token("sep_token")?);
                template(&first, &last, &[&last], 1).map(Some).map_err(wrong)
            }
            Self::XlmRoberta | Self::Camembert => {
                let (first, last) = (token("bos_token")?, token("eos_token")?);
                template(&first, &last, &[&last, &last], 0).map(Some).map_err(wrong)
            }
            Self::MpNet | Self::Roberta => {
                let (first, last) = (token("cls_token")?, token("sep_token")?);
                let (trim, prefix) = match self {
                    Self::MpNet => (true, false),
                    _ => (
                        settings.flag("trim_offsets")?.unwrap_or(true),
                        settings.flag("add_prefix_space")?.unwrap_or(false),
                    ),
                };
                let processing = RobertaProcessing::new(last, first);
                Ok(Some(processing.trim_offsets(trim).add_prefix_space(prefix).into()))
            }
            Self::File => Ok(None),
        }
    }
}

/// BERT's rules, of which the settings say three.
fn word_pieces(inner: &mut Inner, settings: &Object, unknown: Option<&str>) -> Result<()> {
    let normalizer = BertNormalizer::new(
        true,
        settings.flag("tokenize_chinese_chars")?.unwrap_or(true),
        settings.flag("strip_accents")?,
        settings.flag("do_lower_case")?.unwrap_or(true),
    );
    inner.with_normalizer(Some(normalizer));
    inner.with_pre_tokenizer(Some(BertPreTokenizer));
    inner.with_decoder(Some(WordPieceDecoder::default()));
    let (prefix, longest) = ("##", 100);
    if let ModelWrapper::WordPiece(model) = inner.get_model() {
        let unknown = unknown.unwrap_or(&model.unk_token);
        if (
            model.unk_token.as_str(),
            model.continuing_subword_prefix.as_str(),
            model.max_input_chars_per_word,
        ) != (unknown, prefix, longest)
        {
            let mut model = model.clone();
            model.unk_token = unknown.to_owned();
            model.continuing_subword_prefix = prefix.to_owned();
            model.max_input_chars_per_word = longest;
            inner.with_model(model);
        }
    }
    Ok(())
}

/// RoBERTa's rules: bytes, with or without a space before the first word.
fn byte_pairs(inner: &mut Inner, settings: &Object) -> Result<()> {
    let prefix = settings.flag("add_prefix_space")?.unwrap_or(false);
    inner.with_normalizer(None::<NormalizerWrapper>);
    inner.with_pre_tokenizer(Some(ByteLevel::new(prefix, true, true)));
    inner.with_decoder(Some(ByteLevel::default()));
    if let ModelWrapper::BPE(model) = inner.get_model() {
        let empty = |part: &Option<String>| part.as_ref().is_none_or(String::is_empty);
        let plain = model.dropout.is_none()
            && model.unk_token.is_none()
            && empty(&model.continuing_subword_prefix)
            && empty(&model.end_of_word_suffix)
            && !(model.fuse_unk || model.byte_fallback || model.ignore_merges);
        if !plain {
            let mut model = model.clone();
            (model.dropout, model.unk_token) = (None, None);
            (model.continuing_subword_prefix, model.end_of_word_suffix) = (None, None);
            (model.fuse_unk, model.byte_fallback, model.ignore_merges) = (false, false, false);
            inner.with_model(model);
        }
    }
    Ok(())
}

/// XLM-RoBERTa's and CamemBERT's rules: the map of characters that the file has, and words that begin with `▁`.
fn unigrams(inner: &mut Inner, settings: &Object, unknown: usize, json: &[u8]) -> Result<()> {
    let prefix = settings.flag("add_prefix_space")?.unwrap_or(true);
    let scheme = if prefix { PrependScheme::Always } else { PrependScheme::Never };
    let spaces = Metaspace::new('▁', scheme, true);
    let normalizer = inner.get_normalizer().and_then(characters);
    inner.with_normalizer(normalizer);
    let words = PreTokenizerWrapper::WhitespaceSplit(WhitespaceSplit);
    let pre_tokenizer = Sequence::new(vec![words, PreTokenizerWrapper::Metaspace(spaces.clone())]);
    inner.with_pre_tokenizer(Some(pre_tokenizer));
    inner.with_decoder(Some(DecoderWrapper::Metaspace(spaces)));
    if let ModelWrapper::Unigram(model) = inner.get_model()
        && (model.byte_fallback() || unknown_piece(json) != Some(unknown))
    {
        let pieces = model.iter().cloned().collect();
        let model = Unigram::from(pieces, Some(unknown), false).map_err(|problem| {
            bad(settings.path(), format!("the class's unknown token: {}", shown(&problem.to_string())))
        })?;
        inner.with_model(model);
    }
    Ok(())
}

/// The map of characters of a SentencePiece model.
fn characters(normalizer: &NormalizerWrapper) -> Option<NormalizerWrapper> {
    match normalizer {
        NormalizerWrapper::Precompiled(_) => Some(normalizer.clone()),
        NormalizerWrapper::Sequence(steps) => {
            let is_map = |step: &&NormalizerWrapper| matches!(step, NormalizerWrapper::Precompiled(_));
            steps.as_ref().iter().find(is_map).cloned()
        }
        _ => None,
    }
}

/// The place of the unknown piece that `tokenizer.json` names; the library keeps it to itself.
fn unknown_piece(json: &[u8]) -> Option<usize> {
    #[derive(Deserialize)]
    struct File {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        unk_id: Option<usize>,
    }
    serde_json::from_slice::<File>(json).ok()?.model.unk_id
}

/// `first text last`, and for two texts `first text between… text last`, where the second text and what follows it have
/// the type `kind`.
fn template(
    first: &(String, u32),
    last: &(String, u32),
    between: &[&(String, u32)],
    kind: u32,
) -> Result<PostProcessorWrapper, String> {
    let special =
        |token: &(String, u32), kind: u32| json!({"SpecialToken": {"id": token.0, "type_id": kind}});
    let text = |text: &str, kind: u32| json!({"Sequence": {"id": text, "type_id": kind}});
    let single = json!([special(first, 0), text("A", 0), special(last, 0)]);
    let mut pair = vec![special(first, 0), text("A", 0)];
    pair.extend(between.iter().map(|token| special(token, 0)));
    pair.extend([text("B", kind), special(last, kind)]);
    let mut tokens = serde_json::Map::new();
    for (content, id) in [first, last] {
        tokens.insert(content.clone(), json!({"id": content, "ids": [id], "tokens": [content]}));
    }
    let value =
        json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens});
    serde_json::from_value(value).map_err(|problem| problem.to_string())
}
