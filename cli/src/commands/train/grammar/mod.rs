//! Pairs of an English sentence and its French translation, made by a grammar of two languages: gender and number, adjectives
//! before and behind their noun, negation, relative and reported clauses, conjunctions. Every English sentence has one French
//! answer (see `phrases`), so that a model can learn all of it.

mod held_out;
mod lexicon;
mod phrases;
mod spelling;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use fastrand::Rng;

use super::random::{chance, pick};
pub use held_out::Sentences;
use lexicon::{
    ADVERBS, Adjective, BEINGS, COLOURS, CONJUNCTIONS, Fixed, INTRANSITIVE, LEADING, NUMBERS, Noun, PLACES,
    POSSESSIVES, QUALITIES, REPORTING, THINGS, TRANSITIVE, Verb,
};
use phrases::{Clause, Determiner, Kind, Manner, NounPhrase, Place, Predicate, Relative, Subject, Text};

/// The words of "she sleeps".
const SHORTEST: usize = 2;

/// How deep phrases are within each other.
const DEPTH: usize = 3;

/// An English sentence with so many words, each number as likely as another, and its translation. Both are in small letters,
/// without a stop; `words` takes them apart.
///
/// # Panics
///
/// If the range is empty or ends below `SHORTEST`.
fn sentence(random: &mut Rng, words: RangeInclusive<usize>) -> (String, String) {
    let target = random.usize(SHORTEST.max(*words.start())..=*words.end());
    let mut sentence = Text::default();
    while sentence.len() < target {
        let mut part = Text::default();
        if sentence.len() > 0 {
            part.add(pick(random, &CONJUNCTIONS));
        }
        part.append(clause(random, DEPTH).text());
        // What is left is for a conjunction and another clause.
        let length = sentence.len() + part.len();
        if length == target || length + 1 + SHORTEST <= target {
            sentence.append(part);
        }
    }
    sentence.written()
}

fn clause(random: &mut Rng, depth: usize) -> Clause {
    match random.u32(..10) {
        0..2 => is(random, depth),
        2 if depth > 0 => {
            let subject = subject(random, depth - 1);
            let adverb = chance(random, 0.2).then(|| Manner::Adverb(pick(random, &ADVERBS)));
            let clause = Box::new(clause(random, depth - 1));
            let kind = Kind::Reporting(pick(random, &REPORTING), clause);
            Clause {
                subject,
                predicate: Predicate { manner: adverb.unwrap_or(Manner::Plain), kind, place: None },
            }
        }
        3 => {
            let subject = Subject::Both(joinable(random), joinable(random));
            Clause { subject, predicate: action(random, depth) }
        }
        _ => Clause { subject: subject(random, depth), predicate: action(random, depth) },
    }
}

/// "the house near the tree is very big": its subject is never two phrases.
fn is(random: &mut Rng, depth: usize) -> Clause {
    let subject = match random.u32(..4) {
        0 => subject(random, depth),
        _ => Subject::One(phrase(random, depth, any_noun)),
    };
    let kind = Kind::Is { very: chance(random, 0.25), adjective: adjective(random) };
    Clause { subject, predicate: Predicate { manner: manner(random), kind, place: None } }
}

fn adjective(random: &mut Rng) -> &'static Adjective {
    match random.u32(..3) {
        0 => pick(random, &LEADING),
        1 => pick(random, &QUALITIES),
        _ => pick(random, &COLOURS),
    }
}

fn subject(random: &mut Rng, depth: usize) -> Subject {
    match random.u32(..8) {
        0 => Subject::He,
        1 => Subject::She,
        _ => Subject::One(phrase(random, depth, being)),
    }
}

/// One of two that are joined by "and": without a relative clause, of which one could not know whether it is for both.
fn joinable(random: &mut Rng) -> NounPhrase {
    phrase(random, 0, being)
}

fn action(random: &mut Rng, depth: usize) -> Predicate {
    let manner = manner(random);
    let kind = if chance(random, 0.2) {
        Kind::Intransitive(pick(random, &INTRANSITIVE))
    } else {
        let mut object = phrase(random, depth.saturating_sub(1), any_noun);
        if matches!(manner, Manner::Not | Manner::Never) {
            // "a" and its like would be "de" after "ne pas", or not, as is meant.
            object.determiner = definite(random, object.plural);
        }
        Kind::Transitive(pick(random, &TRANSITIVE), Box::new(object))
    };
    let place = chance(random, 0.25).then(|| place(random, depth));
    Predicate { manner, kind, place }
}

fn manner(random: &mut Rng) -> Manner {
    match random.u32(..20) {
        0..2 => Manner::Not,
        2 => Manner::Never,
        3..5 => Manner::Adverb(pick(random, &ADVERBS)),
        _ => Manner::Plain,
    }
}

fn place(random: &mut Rng, depth: usize) -> Place {
    (pick(random, &PLACES), Box::new(phrase(random, depth.saturating_sub(1), any_noun)))
}

fn being(random: &mut Rng) -> &'static Noun {
    pick(random, &BEINGS)
}

fn any_noun(random: &mut Rng) -> &'static Noun {
    if chance(random, 0.5) { being(random) } else { pick(random, &THINGS) }
}

fn phrase(random: &mut Rng, depth: usize, noun: fn(&mut Rng) -> &'static Noun) -> NounPhrase {
    let plural = chance(random, 0.4);
    let mut phrase = NounPhrase::new(determiner(random, plural), plural, noun(random));
    phrase.leading = chance(random, 0.25).then(|| pick(random, &LEADING));
    phrase.trailing.extend(chance(random, 0.15).then(|| pick(random, &QUALITIES)));
    phrase.trailing.extend(chance(random, 0.25).then(|| pick(random, &COLOURS)));
    if depth > 0 {
        phrase.owner = chance(random, 0.1).then(|| Box::new(self::phrase(random, depth - 1, being)));
        phrase.place = chance(random, 0.1).then(|| place(random, depth - 1));
        phrase.relative = chance(random, 0.25).then(|| Box::new(relative(random, depth - 1)));
    }
    phrase
}

fn relative(random: &mut Rng, depth: usize) -> Relative {
    if chance(random, 0.5) {
        return Relative::Acting(action(random, depth));
    }
    // "the duck that she waits for" is another construction in French.
    let verb = loop {
        let verb: &'static Verb = pick(random, &TRANSITIVE);
        if verb.tails == ["", ""] {
            break verb;
        }
    };
    Relative::Object(subject(random, depth), manner(random), verb)
}

fn determiner(random: &mut Rng, plural: bool) -> Determiner {
    match (random.u32(..20), plural) {
        (0..12, _) => definite(random, plural),
        (12..18, false) => Determiner::A,
        (_, false) => Determiner::Every,
        (12..15, true) => Determiner::Number(number(random)),
        (15..17, true) => Determiner::Several,
        (17..19, true) => Determiner::Many,
        (_, true) => Determiner::AllThe,
    }
}

/// What can be said of one phrase that both know of.
fn definite(random: &mut Rng, plural: bool) -> Determiner {
    match random.u32(..12) {
        0..2 => Determiner::This,
        2..4 => Determiner::My(pick(random, &POSSESSIVES)),
        4 if plural => Determiner::TheNumber(number(random)),
        _ => Determiner::The,
    }
}

fn number(random: &mut Rng) -> &'static Fixed {
    pick(random, &NUMBERS)
}
