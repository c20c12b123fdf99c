//! Models: the BERT-family encoder, sentence embeddings on it, and the whole of BERT: hidden words, next sentences,
//! labels of texts and tokens, where it attends, and the two tasks that it is pre-trained on; and sequence to sequence: Bahdanau's model, the
//! Transformer, and generating with them.

mod attention_maps;
mod batches;
mod bert;
mod bert_model;
mod bert_training;
mod captioner;
mod classify;
mod embedder;
mod embedder_training;
mod evaluate;
mod fill_mask;
mod generation;
mod heads;
mod padded;
pub mod pretraining;
mod prompts;
mod recurrent_decoder;
mod rerank;
mod seq2seq;
mod softmax;
mod source;

pub use attention_maps::{AttentionMaps, MapToken};
pub use batches::ModelStatistics;
pub use bert::{BertEncoder, TokenBatch};
pub use bert_model::{BertModel, BertModelOptions};
pub use bert_training::PretrainingInput;
pub use captioner::{AttentionTerms, Caption, CaptionPictures, Captioner, Captions, Region};
pub use classify::{
    Classifications, Classify, ClassifyTokens, IsNext, LabelledToken, NextSentence, NextSentences, Scores,
    TokenClassifications,
};
pub use embedder::{Attended, Embedder, EmbedderOptions, Embeddings, Encode, Truncation};
pub use evaluate::{Evaluate, Evaluation, TaskScore};
pub use fill_mask::{FillMask, FilledMask, FilledText, FilledTexts, Prediction};
pub use generation::{EarlyStopping, GenerationOptions, Strategy, TokenRules};
pub use heads::{BertHead, HeadKind};
pub use recurrent_decoder::{RecurrentMemory, RecurrentStep};
pub use rerank::{Ranked, Ranking, Rerank};
pub use seq2seq::{
    BahdanauMemory, BahdanauSeq2Seq, BahdanauStep, EmbeddedModel, Seq2SeqAttention, TransformerSeq2Seq,
    Translate, TranslateStatistics, Translation, TranslationProgress, Translations, Translator,
};
