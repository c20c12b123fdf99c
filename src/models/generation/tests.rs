use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::kernel::Inputs;
use crate::models::softmax::log_softmax;

/// A decoder whose logits are random numbers of the whole prefix, so that every sequence has its own.
struct Random {
    vocabulary: usize,
    /// What stands for each text.
    texts: Vec<u64>,
    /// The prefix of each row, text and start token first.
    rows: Vec<Vec<u64>>,
    /// Added to the logit of token 0.
    towards_stop: f32,
}

impl Random {
    fn new(vocabulary: usize, texts: &[u64], towards_stop: f32) -> Self {
        Self { vocabulary, texts: texts.to_vec(), rows: Vec::new(), towards_stop }
    }

    fn logits(&self, prefix: &[u64]) -> Vec<f32> {
        let seed = prefix
            .iter()
            .fold(7, |hash: u64, &token| (hash ^ token).wrapping_mul(0x100_0000_01b3).rotate_left(23));
        let mut logits = Inputs::new(seed).values(self.vocabulary, 2.0);
        logits[0] += self.towards_stop;
        logits
    }
}

/// A prefix as the attention that the decoder claims to have paid.
fn mark(prefix: &[u64]) -> Arc<[f32]> {
    prefix.iter().map(|&token| token as f32).collect()
}

impl StepDecoder for Random {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    async fn step(&mut self, tokens: &[u32], parents: &[u32]) -> Result<StepOutput> {
        let per_text = tokens.len() / self.texts.len();
        if self.rows.is_empty() {
            self.rows = (0..tokens.len()).map(|row| vec![self.texts[row / per_text]]).collect();
        }
        let next = tokens.iter().zip(parents).map(|(&token, &parent)| {
            let mut row = self.rows[parent as usize].clone();
            row.push(token.into());
            row
        });
        self.rows = next.collect();
        let logits = self.rows.iter().flat_map(|row| self.logits(row)).collect();
        Ok(StepOutput { logits, attention: self.rows.iter().map(|row| mark(row)).collect() })
    }
}

const START: u32 = 1;

fn run(decoder: &mut Random, options: &GenerationOptions) -> Vec<Vec<Hypothesis>> {
    let texts: Vec<usize> = (0..decoder.texts.len()).collect();
    pollster::block_on(generate(decoder, &texts, START, options, |_| Ok(()))).unwrap()
}

fn stopping_at_0() -> TokenRules {
    TokenRules { stop: vec![0], padding: 1, ..TokenRules::default() }
}

fn beams(beams: usize, length_penalty: f32, early_stopping: EarlyStopping) -> Strategy {
    Strategy::Beam { beams, length_penalty, early_stopping }
}

/// The log-probability of a sequence after a prefix, token by token.
fn scored(decoder: &Random, text: u64, ids: &[u32]) -> f64 {
    let mut prefix = vec![text, START.into()];
    ids.iter()
        .map(|&id| {
            let score = log_softmax(&decoder.logits(&prefix))[id as usize];
            prefix.push(id.into());
            score
        })
        .sum()
}

/// Every sequence that ends by itself or at the limit, best first.
fn exhaustive(decoder: &Random, text: u64, limit: usize, penalty: f64) -> Vec<(f64, Vec<u32>)> {
    let mut open = vec![vec![]];
    let mut all = Vec::new();
    while let Some(ids) = open.pop() {
        for token in 0..decoder.vocabulary as u32 {
            let ids = [&ids[..], &[token]].concat();
            if token == 0 || ids.len() == limit {
                let score = scored(decoder, text, &ids) / (ids.len() as f64).powf(penalty);
                all.push((score, ids));
            } else {
                open.push(ids);
            }
        }
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all
}

#[test]
fn with_as_many_beams_as_sequences_the_search_is_exhaustive() {
    for (text, penalty) in [(3, 0.0), (4, 1.0), (5, 0.6), (6, 2.0)] {
        for early_stopping in [EarlyStopping::No, EarlyStopping::Never] {
            let mut decoder = Random::new(3, &[text], 0.5);
            // 1 + 2 + 4 + 8 · 3 = 31 sequences of at most 4 tokens. A beam beyond the vocabulary is refused by `generate`.
            let strategy = beams(32, penalty, early_stopping);
            let options =
                GenerationOptions { strategy, max_tokens: 4, rules: stopping_at_0(), ..Default::default() };
            let mut search = Search::new(&options, 0);
            let mut tokens = vec![START; 32];
            let mut parents: Vec<u32> = (0..32).collect();
            for length in 1..=4 {
                let output = pollster::block_on(decoder.step(&tokens, &parents)).unwrap();
                let step = Step {
                    logits: &output.logits,
                    attention: &output.attention,
                    vocabulary: 3,
                    start: START,
                    length,
                    options: &options,
                };
                for (row, (token, parent)) in search.advance(step).into_iter().enumerate() {
                    (tokens[row], parents[row]) = (token, parent as u32);
                }
            }
            let found = search.finish(5);
            let expected = exhaustive(&decoder, text, 4, f64::from(penalty));
            assert_eq!((found.len(), expected.len()), (5, 31));
            for (found, (score, ids)) in found.iter().zip(&expected) {
                assert_eq!(&found.ids, ids, "text {text}, penalty {penalty}");
                assert!((found.score - score).abs() < 1e-9);
                assert_eq!(found.stopped, ids.last() == Some(&0));
            }
        }
    }
}

#[test]
fn scores_are_those_of_the_sequences_and_attention_follows_the_parents() {
    for strategy in [
        Strategy::Greedy,
        beams(4, 0.7, EarlyStopping::No),
        beams(3, 1.0, EarlyStopping::Yes),
        beams(5, -0.5, EarlyStopping::Never),
    ] {
        let mut decoder = Random::new(9, &[11, 12, 13, 14], 0.3);
        let n_best = if strategy == Strategy::Greedy { 1 } else { 3 };
        let options = GenerationOptions { strategy, max_tokens: 12, n_best, rules: stopping_at_0() };
        let found = run(&mut decoder, &options);
        assert_eq!(found.len(), 4);
        for (text, hypotheses) in (11..).zip(&found) {
            assert_eq!(hypotheses.len(), n_best);
            assert!(hypotheses.is_sorted_by(|a, b| a.score >= b.score));
            for hypothesis in hypotheses {
                let Hypothesis { ids, log_probability, score, stopped, attention } = hypothesis;
                assert!(
                    (scored(&decoder, text, ids) - log_probability).abs() < 1e-9,
                    "{strategy:?}: {ids:?}"
                );
                if let Strategy::Beam { length_penalty, .. } = strategy {
                    let normalized = log_probability / (ids.len() as f64).powf(length_penalty.into());
                    assert!((score - normalized).abs() < 1e-9);
                }
                assert_eq!(*stopped, ids.last() == Some(&0));
                assert!(ids.len() == 12 || *stopped);
                assert_eq!(ids.iter().filter(|&&id| id == 0).count(), usize::from(*stopped));
                // In step i the decoder saw the text, the start and i tokens.
                assert_eq!(attention.len(), ids.len());
                for (step, attention) in attention.iter().enumerate() {
                    let prefix =
                        [text, START.into()].into_iter().chain(ids[..step].iter().map(|&id| id.into()));
                    assert_eq!(*attention, mark(&prefix.collect::<Vec<u64>>()), "{strategy:?}");
                }
            }
        }
    }
}

#[test]
fn a_text_is_what_it_is_alone() {
    let strategies = [
        Strategy::Greedy,
        beams(4, 1.0, EarlyStopping::Yes),
        beams(3, 0.8, EarlyStopping::No),
        beams(2, 1.2, EarlyStopping::Never),
    ];
    for strategy in strategies {
        let options =
            GenerationOptions { strategy, max_tokens: 15, rules: stopping_at_0(), ..Default::default() };
        let together = run(&mut Random::new(7, &[1, 2, 3, 4, 5], 0.4), &options);
        for (text, together) in (1..).zip(&together) {
            assert_eq!(run(&mut Random::new(7, &[text], 0.4), &options)[0], *together, "{strategy:?}");
        }
    }
}

#[test]
fn greedy_takes_the_likeliest_and_more_beams_find_no_worse() {
    let of = |strategy| {
        let options =
            GenerationOptions { strategy, max_tokens: 10, rules: stopping_at_0(), ..Default::default() };
        run(&mut Random::new(12, &[21, 22, 23, 24, 25, 26], 0.0), &options)
    };
    let greedy = of(Strategy::Greedy);
    let decoder = Random::new(12, &[], 0.0);
    for (text, hypothesis) in (21..).zip(&greedy) {
        let mut prefix = vec![text, u64::from(START)];
        for &id in &hypothesis[0].ids {
            let logits = decoder.logits(&prefix);
            assert!(logits.iter().all(|&logit| logit <= logits[id as usize]));
            prefix.push(id.into());
        }
    }
    let sums = |found: &[Vec<Hypothesis>]| found.iter().map(|text| text[0].log_probability).sum::<f64>();
    assert!(sums(&of(beams(6, 0.0, EarlyStopping::Never))) > sums(&greedy));
}

#[test]
fn rules_say_what_may_come() {
    let repeats = |ids: &[u32], n: usize| {
        let all = [&[START], ids].concat();
        let mut seen = HashMap::new();
        all.windows(n).any(|window| seen.insert(window.to_vec(), ()).is_some())
    };
    for strategy in [Strategy::Greedy, beams(3, 1.0, EarlyStopping::No)] {
        let with = |rules: TokenRules| {
            let options = GenerationOptions { strategy, max_tokens: 9, rules, ..Default::default() };
            let found = run(&mut Random::new(4, &[31, 32, 33, 34, 35, 36], 1.0), &options);
            found.into_iter().map(|mut text| text.remove(0)).collect::<Vec<_>>()
        };
        let free = with(stopping_at_0());
        assert!(free.iter().any(|h| h.ids.contains(&2)) && free.iter().any(|h| h.ids.len() < 4));
        let rules = TokenRules { forbidden: vec![vec![2], vec![0]], ..stopping_at_0() };
        let found = with(rules);
        assert!(found.iter().all(|h| !h.ids.contains(&2)) && found.iter().any(|h| h.stopped));
        let rules = TokenRules { forbidden: vec![vec![3, 1], vec![START, 2]], ..stopping_at_0() };
        assert!(with(rules).iter().all(|h| !h.ids.windows(2).any(|w| w == [3, 1]) && h.ids[0] != 2));
        let rules = TokenRules { min_tokens: 6, ..stopping_at_0() };
        assert!(with(rules).iter().all(|h| h.ids.len() > 6));
        let rules = TokenRules { min_tokens: 9, forced_last: Some(0), ..stopping_at_0() };
        assert!(with(rules).iter().all(|h| h.ids.len() == 9 && h.ids[8] == 0 && h.stopped));
        let rules = TokenRules { min_tokens: 9, ..stopping_at_0() };
        assert!(with(rules.clone()).iter().any(|h| repeats(&h.ids, 2)));
        assert!(with(TokenRules { no_repeat_ngram: 2, ..rules.clone() }).iter().all(|h| !repeats(&h.ids, 2)));
        assert_ne!(with(TokenRules { repetition_penalty: 3.0, ..rules.clone() }), with(rules));
    }
}

#[test]
fn renormalized_beams_score_what_is_left() {
    let rules = TokenRules { forbidden: vec![vec![2]], renormalize: true, ..stopping_at_0() };
    let strategy = beams(2, 0.0, EarlyStopping::No);
    let options = GenerationOptions { strategy, max_tokens: 1, rules, ..Default::default() };
    let mut decoder = Random::new(4, &[41], 0.0);
    let found = &run(&mut decoder, &options)[0][0];
    let mut logits = decoder.logits(&[41, START.into()]);
    logits[2] = f32::NEG_INFINITY;
    assert!((found.score - log_softmax(&logits)[found.ids[0] as usize]).abs() < 1e-12);
}

#[test]
fn where_nothing_is_allowed_nothing_is_nan() {
    for renormalize in [false, true] {
        let forbidden = (0..4).map(|token| vec![token]).collect();
        let rules = TokenRules { forbidden, renormalize, padding: 1, ..Default::default() };
        for strategy in [Strategy::Greedy, beams(2, 1.0, EarlyStopping::No)] {
            let options =
                GenerationOptions { strategy, max_tokens: 3, rules: rules.clone(), ..Default::default() };
            let found = run(&mut Random::new(4, &[41, 42], 0.0), &options);
            assert!(
                found.iter().flatten().all(|h| !h.score.is_nan() && !h.log_probability.is_nan()),
                "{found:?}"
            );
        }
    }
}

/// [`Random`], with NaN among the logits of one text from its second step on.
struct NotANumber(Random, usize);

impl StepDecoder for NotANumber {
    fn vocabulary(&self) -> usize {
        self.0.vocabulary
    }

    async fn step(&mut self, tokens: &[u32], parents: &[u32]) -> Result<StepOutput> {
        let mut output = self.0.step(tokens, parents).await?;
        let per_text = output.logits.len() / self.0.texts.len();
        if self.0.rows[0].len() > 2 {
            output.logits[self.1 * per_text + 1] = f32::NAN;
        }
        Ok(output)
    }
}

#[test]
fn a_text_whose_logits_are_nan_is_given_up_and_the_others_go_on() {
    let texts = [61, 62, 63];
    let sample = Strategy::Sample { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 3 };
    for strategy in [Strategy::Greedy, beams(3, 1.0, EarlyStopping::No), sample] {
        let n_best = if strategy == Strategy::Greedy { 1 } else { 2 };
        let rules = TokenRules { padding: 1, ..Default::default() };
        let options = GenerationOptions { strategy, max_tokens: 5, n_best, rules, ..Default::default() };
        let expected = run(&mut Random::new(6, &texts, 0.0), &options);
        let mut decoder = NotANumber(Random::new(6, &texts, 0.0), 1);
        let found =
            pollster::block_on(generate(&mut decoder, &[0, 1, 2], START, &options, |_| Ok(()))).unwrap();
        assert_eq!((&found[0], &found[2]), (&expected[0], &expected[2]));
        let [given_up] = found[1].as_slice() else { panic!("{found:?}") };
        assert!(given_up.ids.is_empty() && given_up.score.is_nan() && given_up.log_probability.is_nan());
    }
}

#[test]
fn draws_have_the_distribution_asked_for() {
    let mut decoder = Random::new(6, &[51], 0.0);
    let logits = decoder.logits(&[51, START.into()]);
    let mut order: Vec<usize> = (0..6).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let expected = |temperature: f32, kept: &[usize]| {
        let mut p = [0.0; 6];
        kept.iter().for_each(|&token| p[token] = f64::from(logits[token] / temperature).exp());
        let sum: f64 = p.iter().sum();
        p.map(|p| p / sum)
    };
    let likeliest = expected(1.0, &order)[order[0]];
    let second = expected(1.0, &order)[order[1]];
    for (temperature, top_k, top_p, kept) in [
        (1.0, 0, 1.0, 6),
        (0.5, 0, 1.0, 6),
        (2.0, 3, 1.0, 3),
        (1.0, 0, (likeliest * 0.9) as f32, 1),
        (1.0, 0, (likeliest + second * 0.5) as f32, 2),
    ] {
        // Twenty seeds, each with about as many samples as one call gives.
        let (seeds, n_best) = (20, 1000);
        let n = seeds as usize * n_best;
        let mut counts = [0; 6];
        for seed in 0..seeds {
            let strategy = Strategy::Sample { temperature, top_k, top_p, seed };
            let options = GenerationOptions { strategy, max_tokens: 1, n_best, rules: stopping_at_0() };
            decoder.rows.clear();
            run(&mut decoder, &options)[0].iter().for_each(|h| counts[h.ids[0] as usize] += 1);
        }
        for (p, count) in expected(temperature, &order[..kept]).iter().zip(counts) {
            // Five standard deviations.
            let bound = 5.0 * (p * (1.0 - p) * n as f64).sqrt();
            assert!((f64::from(count) - p * n as f64).abs() <= bound, "{counts:?} for {p} of {n}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_draws_whatever_else_is_drawn() {
    let of = |texts: &[u64], n_best: usize, seed: u64| {
        let strategy = Strategy::Sample { temperature: 1.5, top_k: 0, top_p: 1.0, seed };
        let options = GenerationOptions { strategy, max_tokens: 8, n_best, rules: stopping_at_0() };
        run(&mut Random::new(30, texts, 0.0), &options)
    };
    let all = of(&[61, 62, 63], 4, 9);
    assert_eq!(of(&[61, 62], 4, 9), all[..2]);
    assert_eq!(of(&[61, 62, 63], 2, 9)[2], all[2][..2]);
    assert_ne!(of(&[61, 62, 63], 4, 10), all);
    // A text alone, and in another order, has the draws of its number.
    let strategy = Strategy::Sample { temperature: 1.5, top_k: 0, top_p: 1.0, seed: 9 };
    let options = GenerationOptions { strategy, max_tokens: 8, n_best: 4, rules: stopping_at_0() };
    let mut decoder = Random::new(30, &[63, 61], 0.0);
    let found = pollster::block_on(generate(&mut decoder, &[2, 0], START, &options, |_| Ok(()))).unwrap();
    assert_eq!(found, [all[2].clone(), all[0].clone()]);
    // The samples of a text, and equal texts, differ.
    let equal = of(&[61, 61], 2, 9);
    assert!(equal[0][0] != equal[0][1] && equal[0][0] != equal[1][0]);
}

#[test]
fn what_means_nothing_is_refused() {
    let refused = |options: GenerationOptions, words: &[&str]| {
        let mut decoder = Random::new(5, &[1], 0.0);
        let error = pollster::block_on(generate(&mut decoder, &[0], START, &options, |_| Ok(())))
            .unwrap_err()
            .to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let with = |strategy| GenerationOptions { strategy, ..Default::default() };
    let sample = |temperature, top_p| with(Strategy::Sample { temperature, top_k: 0, top_p, seed: 0 });
    refused(with(beams(0, 1.0, EarlyStopping::No)), &["beams", "1 to 5", "0"]);
    refused(with(beams(6, 1.0, EarlyStopping::No)), &["beams", "1 to 5", "6"]);
    refused(with(beams(2, f32::NAN, EarlyStopping::No)), &["length_penalty", "NaN"]);
    refused(
        GenerationOptions { n_best: 3, ..with(beams(2, 1.0, EarlyStopping::No)) },
        &["n_best", "2 beams", "3"],
    );
    refused(GenerationOptions { n_best: 2, ..Default::default() }, &["n_best", "greedy"]);
    refused(GenerationOptions { n_best: 0, ..Default::default() }, &["n_best", "at least 1"]);
    let strategy = Strategy::Sample { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 0 };
    refused(GenerationOptions { strategy, n_best: 1025, ..Default::default() }, &["n_best", "1024", "1025"]);
    refused(GenerationOptions { max_tokens: 0, ..Default::default() }, &["max_tokens", "at least 1"]);
    refused(sample(0.0, 1.0), &["temperature", "above 0"]);
    refused(sample(f32::INFINITY, 1.0), &["temperature"]);
    refused(sample(1.0, 0.0), &["top_p"]);
    refused(sample(1.0, f32::NAN), &["top_p"]);
    let stop = TokenRules { stop: vec![5], ..Default::default() };
    refused(GenerationOptions { rules: stop, ..Default::default() }, &["vocabulary size 5", "5"]);
    let forbidden = TokenRules { forbidden: vec![vec![1, 9]], ..Default::default() };
    refused(GenerationOptions { rules: forbidden, ..Default::default() }, &["forbidden", "9"]);
}
