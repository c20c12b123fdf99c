//! Sentences as trees, and how a tree is said in both languages.
//!
//! Every English sentence has one answer. A word's English form is in one entry of the lexicon, and a verb shows its number
//! in English as in French. So what is left is where an adjective after "is" takes its gender from. That is not left to the
//! reader: "is" stands in main clauses alone, with "he", "she" or one noun phrase as its subject, and neither objects nor
//! what is within relative clauses is joined by "and". So the subject is the first noun after the last conjunction or the last
//! "says that", whatever comes between.

use super::lexicon::{Adjective, Fixed, IS, Noun, Possessive, Verb};
use super::spelling;

/// A text in both languages, word by word, before elision.
#[derive(Default)]
pub struct Text {
    english: Vec<&'static str>,
    french: Vec<&'static str>,
}

impl Text {
    /// How many words the English has.
    pub fn len(&self) -> usize {
        self.english.len()
    }

    pub fn append(&mut self, mut other: Self) {
        self.english.append(&mut other.english);
        self.french.append(&mut other.french);
    }

    pub fn add(&mut self, fixed: &Fixed) {
        self.add_english(fixed.english);
        self.add_french(fixed.french);
    }

    pub fn written(&self) -> (String, String) {
        (spelling::english(&self.english), spelling::french(&self.french))
    }

    fn add_english(&mut self, words: &'static str) {
        self.english.extend(words.split_whitespace());
    }

    fn add_french(&mut self, words: &'static str) {
        self.french.extend(words.split_whitespace());
    }
}

/// What the words that belong to a noun agree with.
#[derive(Clone, Copy)]
pub struct Agreement {
    pub plural: bool,
    pub feminine: bool,
}

impl Agreement {
    fn of<'forms>(self, forms: &[&'forms str; 4]) -> &'forms str {
        forms[usize::from(self.feminine) + 2 * usize::from(self.plural)]
    }
}

#[derive(Clone, Copy)]
pub enum Determiner {
    A,
    The,
    This,
    My(&'static Possessive),
    Every,
    Several,
    Many,
    AllThe,
    Number(&'static Fixed),
    TheNumber(&'static Fixed),
}

pub struct NounPhrase {
    pub determiner: Determiner,
    pub plural: bool,
    pub leading: Option<&'static Adjective>,
    /// In the order of English.
    pub trailing: Vec<&'static Adjective>,
    pub noun: &'static Noun,
    pub owner: Option<Box<NounPhrase>>,
    pub place: Option<Place>,
    pub relative: Option<Box<Relative>>,
}

pub type Place = (&'static Fixed, Box<NounPhrase>);

impl NounPhrase {
    pub fn new(determiner: Determiner, plural: bool, noun: &'static Noun) -> Self {
        let (leading, trailing) = (None, Vec::new());
        Self { determiner, plural, leading, trailing, noun, owner: None, place: None, relative: None }
    }

    fn agreement(&self) -> Agreement {
        Agreement { plural: self.plural, feminine: self.noun.feminine }
    }

    fn say(&self, text: &mut Text) {
        let agreement = self.agreement();
        let form = usize::from(self.plural);
        let noun = self.noun.french[form];
        let leading = self.leading.map(|adjective| {
            let masculine = !agreement.plural && !agreement.feminine;
            match masculine && spelling::begins_with_vowel(noun) {
                true => adjective.before_vowel,
                false => agreement.of(&adjective.french),
            }
        });
        self.determiner.say(text, agreement, leading.unwrap_or(noun));

        text.english.extend(self.leading.map(|adjective| adjective.english));
        text.english.extend(self.trailing.iter().map(|adjective| adjective.english));
        text.english.push(self.noun.english[form]);
        text.french.extend(leading);
        text.french.push(noun);
        // What is nearest to its noun in English is so in French.
        text.french.extend(self.trailing.iter().rev().map(|adjective| agreement.of(&adjective.french)));

        if let Some(owner) = &self.owner {
            text.add_english("of");
            text.add_french("de");
            owner.say(text);
        }
        say_place(self.place.as_ref(), text);
        if let Some(relative) = &self.relative {
            relative.say(text, agreement);
        }
    }
}

fn say_place(place: Option<&Place>, text: &mut Text) {
    if let Some((preposition, phrase)) = place {
        text.add(preposition);
        phrase.say(text);
    }
}

impl Determiner {
    /// `next`: the French word that follows.
    fn say(self, text: &mut Text, agreement: Agreement, next: &str) {
        let Agreement { plural, feminine } = agreement;
        let vowel = !plural && spelling::begins_with_vowel(next);
        let (english, french) = match self {
            Self::A => ("a", agreement.of(&["un", "une", "", ""])),
            Self::The => ("the", agreement.of(&["le", "la", "les", "les"])),
            Self::This if vowel && !feminine => ("this", "cet"),
            Self::This => {
                (if plural { "these" } else { "this" }, agreement.of(&["ce", "cette", "ces", "ces"]))
            }
            Self::My(possessive) => {
                let [before_masculine, before_feminine, before_plural] = possessive.french;
                let before_feminine = if vowel { before_masculine } else { before_feminine };
                let forms = [before_masculine, before_feminine, before_plural, before_plural];
                (possessive.english, agreement.of(&forms))
            }
            Self::Every => ("every", "chaque"),
            Self::Several => ("several", "plusieurs"),
            Self::Many => ("many", "beaucoup de"),
            Self::AllThe => ("all the", if feminine { "toutes les" } else { "tous les" }),
            Self::Number(number) => (number.english, number.french),
            Self::TheNumber(number) => {
                text.english.push("the");
                text.french.push("les");
                (number.english, number.french)
            }
        };
        text.add_english(english);
        text.add_french(french);
    }
}

pub enum Relative {
    /// The noun acts: "that follows the duck".
    Acting(Predicate),
    /// Something is done to it: "that the duck follows". The verb has no tails.
    Object(Subject, Manner, &'static Verb),
}

impl Relative {
    /// `agreement`: of the noun before it.
    fn say(&self, text: &mut Text, agreement: Agreement) {
        text.add_english("that");
        match self {
            Self::Acting(predicate) => {
                text.add_french("qui");
                predicate.say(text, agreement);
            }
            Self::Object(subject, manner, verb) => {
                text.add_french("que");
                let agreement = subject.say(text);
                manner.say(text, verb, agreement.plural);
            }
        }
    }
}

pub enum Subject {
    He,
    She,
    One(NounPhrase),
    /// Joined by "and": not where an adjective would have to agree with them.
    Both(NounPhrase, NounPhrase),
}

impl Subject {
    fn say(&self, text: &mut Text) -> Agreement {
        match self {
            Self::He => {
                text.add_english("he");
                text.add_french("il");
                Agreement { plural: false, feminine: false }
            }
            Self::She => {
                text.add_english("she");
                text.add_french("elle");
                Agreement { plural: false, feminine: true }
            }
            Self::One(phrase) => {
                phrase.say(text);
                phrase.agreement()
            }
            Self::Both(first, second) => {
                first.say(text);
                text.add_english("and");
                text.add_french("et");
                second.say(text);
                Agreement { plural: true, feminine: first.noun.feminine && second.noun.feminine }
            }
        }
    }
}

/// How or whether something is done.
#[derive(Clone, Copy)]
pub enum Manner {
    Plain,
    Not,
    Never,
    Adverb(&'static Fixed),
}

impl Manner {
    fn say(self, text: &mut Text, verb: &'static Verb, plural: bool) {
        let is = verb.english == IS.english;
        let form = usize::from(plural);
        let (english, french) = (verb.english[form], verb.french[form]);
        if is {
            text.add_english(english);
        }
        match self {
            Self::Plain => {}
            Self::Not if is => text.add_english("not"),
            Self::Not => text.add_english(if plural { "do not" } else { "does not" }),
            Self::Never => text.add_english("never"),
            Self::Adverb(adverb) => text.add_english(adverb.english),
        }
        if !is {
            text.add_english(if matches!(self, Self::Not) { verb.english[1] } else { english });
        }
        text.add_english(verb.tails[0]);

        if matches!(self, Self::Not | Self::Never) {
            text.add_french("ne");
        }
        text.add_french(french);
        match self {
            Self::Plain => {}
            Self::Not => text.add_french("pas"),
            Self::Never => text.add_french("jamais"),
            Self::Adverb(adverb) => text.add_french(adverb.french),
        }
        text.add_french(verb.tails[1]);
    }
}

pub struct Predicate {
    pub manner: Manner,
    pub kind: Kind,
    pub place: Option<Place>,
}

pub enum Kind {
    Intransitive(&'static Verb),
    Transitive(&'static Verb, Box<NounPhrase>),
    Reporting(&'static Verb, Box<Clause>),
    Is { very: bool, adjective: &'static Adjective },
}

impl Predicate {
    fn say(&self, text: &mut Text, agreement: Agreement) {
        match &self.kind {
            Kind::Intransitive(verb) => self.manner.say(text, verb, agreement.plural),
            Kind::Transitive(verb, object) => {
                self.manner.say(text, verb, agreement.plural);
                object.say(text);
            }
            Kind::Reporting(verb, clause) => {
                self.manner.say(text, verb, agreement.plural);
                text.add_english("that");
                text.add_french("que");
                text.append(clause.text());
            }
            Kind::Is { very, adjective } => {
                self.manner.say(text, &IS, agreement.plural);
                if *very {
                    text.add_english("very");
                    text.add_french("très");
                }
                text.add_english(adjective.english);
                text.add_french(agreement.of(&adjective.french));
            }
        }
        say_place(self.place.as_ref(), text);
    }
}

pub struct Clause {
    pub subject: Subject,
    pub predicate: Predicate,
}

impl Clause {
    pub fn text(&self) -> Text {
        let mut text = Text::default();
        let agreement = self.subject.say(&mut text);
        self.predicate.say(&mut text, agreement);
        text
    }
}
