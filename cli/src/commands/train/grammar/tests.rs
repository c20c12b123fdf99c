//! Sentences against what is written by hand, and rules that all of them keep.

use std::collections::{BTreeSet, HashMap};

use super::lexicon::{ENGLISH_PARTICLES, FRENCH_PARTICLES, IS};
use super::spelling::{joined, words};
use super::*;

fn noun(english: &str) -> &'static Noun {
    BEINGS.iter().chain(&THINGS).find(|noun| noun.english.contains(&english)).unwrap()
}

/// `words`: "the ducks", "a old tree"; a determiner, adjectives and a noun.
fn np(words: &str) -> NounPhrase {
    let words: Vec<&str> = words.split(' ').collect();
    let (first, last) = (words[0], words[words.len() - 1]);
    let noun = noun(last);
    let plural = noun.english[1] == last;
    let fixed = |word| NUMBERS.iter().find(|number| number.english == word);
    let determiner = match first {
        "a" => Determiner::A,
        "the" => Determiner::The,
        "this" | "these" => Determiner::This,
        "every" => Determiner::Every,
        "several" => Determiner::Several,
        "many" => Determiner::Many,
        "all" => Determiner::AllThe,
        word => match POSSESSIVES.iter().find(|possessive| possessive.english == word) {
            Some(possessive) => Determiner::My(possessive),
            None => Determiner::Number(fixed(word).unwrap()),
        },
    };
    let mut phrase = NounPhrase::new(determiner, plural, noun);
    for word in &words[1..words.len() - 1] {
        let find = |list: &'static [Adjective]| list.iter().find(|adjective| adjective.english == *word);
        match (find(&LEADING), fixed(word)) {
            (Some(leading), _) => phrase.leading = Some(leading),
            (None, Some(number)) => phrase.determiner = Determiner::TheNumber(number),
            _ => phrase.trailing.push(find(&QUALITIES).or(find(&COLOURS)).unwrap()),
        }
    }
    phrase
}

fn verb(english: &str) -> &'static Verb {
    let mut verbs = TRANSITIVE.iter().chain(&INTRANSITIVE).chain(&REPORTING);
    verbs.find(|verb| verb.english[0] == english).unwrap()
}

fn fixed(list: &'static [Fixed], english: &str) -> &'static Fixed {
    list.iter().find(|fixed| fixed.english == english).unwrap()
}

fn does(verb: &'static Verb, object: NounPhrase) -> Predicate {
    Predicate { manner: Manner::Plain, kind: Kind::Transitive(verb, Box::new(object)), place: None }
}

fn sleeps() -> Predicate {
    Predicate { manner: Manner::Plain, kind: Kind::Intransitive(verb("sleeps")), place: None }
}

fn being(english: &str) -> Predicate {
    let mut all = LEADING.iter().chain(&QUALITIES).chain(&COLOURS);
    let adjective = all.find(|adjective| adjective.english == english).unwrap();
    Predicate { manner: Manner::Plain, kind: Kind::Is { very: false, adjective }, place: None }
}

fn pair(subject: Subject, predicate: Predicate) -> (String, String) {
    Clause { subject, predicate }.text().written()
}

/// The phrase with "sleeps" or "sleep" behind it, both in English and in French.
fn phrase_is(phrase: NounPhrase, english: &str, french: &str) {
    let (verb_english, verb_french) =
        if phrase.plural { (" sleep", " dorment") } else { (" sleeps", " dort") };
    let expected = (english.to_owned() + verb_english, french.to_owned() + verb_french);
    assert_eq!(pair(Subject::One(phrase), sleeps()), expected);
}

fn is(found: (String, String), english: &str, french: &str) {
    assert_eq!(found, (english.to_owned(), french.to_owned()));
}

#[test]
fn words_agree_with_their_noun() {
    for (english, french) in [
        ("the duck", "le canard"),
        ("the ducks", "les canards"),
        ("the cow", "la vache"),
        ("the horses", "les chevaux"),
        ("the bird", "l'oiseau"),
        ("the bee", "l'abeille"),
        ("the birds", "les oiseaux"),
        ("the man", "l'homme"),
        ("the owl", "le hibou"),
        ("a bee", "une abeille"),
        ("the blue cow", "la vache bleue"),
        ("the green ducks", "les canards verts"),
        ("these white houses", "ces maisons blanches"),
        ("the small bird", "le petit oiseau"),
        ("the small quiet grey geese", "les petites oies grises calmes"),
        ("this bird", "cet oiseau"),
        ("this owl", "ce hibou"),
        ("this bee", "cette abeille"),
        ("this old tree", "ce vieil arbre"),
        ("these old trees", "ces vieux arbres"),
        ("the old owl", "le vieux hibou"),
        ("the beautiful star", "la belle étoile"),
        ("the new hotel", "le nouvel hôtel"),
        ("the beautiful man", "le bel homme"),
        ("my school", "mon école"),
        ("my old school", "ma vieille école"),
        ("her cow", "sa vache"),
        ("his cow", "sa vache"),
        ("our cows", "nos vaches"),
        ("their donkey", "leur âne"),
        ("every mouse", "chaque souris"),
        ("several black mice", "plusieurs souris noires"),
        ("many ants", "beaucoup de fourmis"),
        ("eight bottles", "huit bouteilles"),
        ("the two dangerous wolves", "les deux loups dangereux"),
    ] {
        phrase_is(np(english), english, french);
    }
    phrase_is(np("a old tree"), "an old tree", "un vieil arbre");
    phrase_is(np("a umbrella"), "an umbrella", "un parapluie");
    phrase_is(np("many bees"), "many bees", "beaucoup d'abeilles");
    phrase_is(np("many owls"), "many owls", "beaucoup de hiboux");
    phrase_is(np("all cows"), "all the cows", "toutes les vaches");
    phrase_is(np("all ducks"), "all the ducks", "tous les canards");
}

#[test]
fn verbs_agree_with_their_subject() {
    let duck = || Subject::One(np("the blue duck"));
    let follows = || does(verb("follows"), np("the horses"));
    is(pair(duck(), follows()), "the blue duck follows the horses", "le canard bleu suit les chevaux");
    let ducks = Subject::One(np("the ducks"));
    is(pair(ducks, follows()), "the ducks follow the horses", "les canards suivent les chevaux");
    let both = Subject::Both(np("the duck"), np("a cow"));
    is(pair(both, sleeps()), "the duck and a cow sleep", "le canard et une vache dorment");
    is(
        pair(Subject::One(np("the houses")), being("white")),
        "the houses are white",
        "les maisons sont blanches",
    );
    is(pair(Subject::She, being("old")), "she is old", "elle est vieille");
    let mut very = being("old");
    very.manner = Manner::Not;
    if let Kind::Is { very, .. } = &mut very.kind {
        *very = true;
    }
    is(pair(Subject::He, very), "he is not very old", "il n'est pas très vieux");
}

#[test]
fn manners_stand_where_they_do() {
    let with = |subject, manner, mut predicate: Predicate| {
        predicate.manner = manner;
        pair(subject, predicate)
    };
    let likes = || does(verb("likes"), np("the bird"));
    let often = Manner::Adverb(fixed(&ADVERBS, "often"));
    is(with(Subject::He, Manner::Not, likes()), "he does not like the bird", "il n'aime pas l'oiseau");
    is(with(Subject::He, Manner::Never, likes()), "he never likes the bird", "il n'aime jamais l'oiseau");
    is(with(Subject::She, often, likes()), "she often likes the bird", "elle aime souvent l'oiseau");
    is(with(Subject::She, often, being("blue")), "she is often blue", "elle est souvent bleue");
    let cows = Subject::One(np("the cows"));
    is(with(cows, Manner::Not, sleeps()), "the cows do not sleep", "les vaches ne dorment pas");
    let needs = || does(verb("needs"), np("the hat"));
    is(with(Subject::He, Manner::Not, needs()), "he does not need the hat", "il n'a pas besoin du chapeau");
    let cows = Subject::One(np("the cows"));
    is(with(cows, often, needs()), "the cows often need the hat", "les vaches ont souvent besoin du chapeau");
}

#[test]
fn prepositions_are_contracted_and_elided() {
    let speaks = |object| pair(Subject::He, does(verb("speaks"), np(object)));
    is(speaks("the king"), "he speaks to the king", "il parle au roi");
    is(speaks("the kings"), "he speaks to the kings", "il parle aux rois");
    is(speaks("the queen"), "he speaks to the queen", "il parle à la reine");
    is(speaks("the bear"), "he speaks to the bear", "il parle à l'ours");
    is(speaks("all girls"), "he speaks to all the girls", "il parle à toutes les filles");
    let near = |phrase| {
        let place = Some((fixed(&PLACES, "near"), Box::new(np(phrase))));
        pair(Subject::She, Predicate { place, ..sleeps() })
    };
    is(near("the castle"), "she sleeps near the castle", "elle dort près du château");
    is(near("the castles"), "she sleeps near the castles", "elle dort près des châteaux");
    is(near("the house"), "she sleeps near the house", "elle dort près de la maison");
    is(near("the tree"), "she sleeps near the tree", "elle dort près de l'arbre");
    is(near("a tree"), "she sleeps near a tree", "elle dort près d'un arbre");
    is(near("the eight trees"), "she sleeps near the eight trees", "elle dort près des huit arbres");
    is(near("eight trees"), "she sleeps near eight trees", "elle dort près de huit arbres");
    is(near("my trees"), "she sleeps near my trees", "elle dort près de mes arbres");
    let mut house = np("the house");
    house.owner = Some(Box::new(np("the king")));
    phrase_is(house, "the house of the king", "la maison du roi");
}

#[test]
fn clauses_are_within_clauses() {
    let with_relative = |phrase, relative| {
        let mut phrase = np(phrase);
        phrase.relative = Some(Box::new(relative));
        phrase
    };
    let object = |subject| Relative::Object(subject, Manner::Plain, verb("follows"));
    let ducks = object(Subject::One(np("the ducks")));
    phrase_is(
        with_relative("the cow", ducks),
        "the cow that the ducks follow",
        "la vache que les canards suivent",
    );
    let he = with_relative("the cow", object(Subject::He));
    phrase_is(he, "the cow that he follows", "la vache qu'il suit");
    let bird = with_relative("the cow", object(Subject::One(np("a bird"))));
    phrase_is(bird, "the cow that a bird follows", "la vache qu'un oiseau suit");
    let acting = Relative::Acting(does(verb("follows"), np("the geese")));
    let queens = with_relative("the queens", acting);
    phrase_is(queens, "the queens that follow the geese", "les reines qui suivent les oies");
    // The adjective belongs to the house, not to the tree or the wolf.
    let mut house = with_relative("the house", object(Subject::One(np("the wolf"))));
    house.place = Some((fixed(&PLACES, "under"), Box::new(np("the tree"))));
    let found = pair(Subject::One(house), being("green"));
    is(
        found,
        "the house under the tree that the wolf follows is green",
        "la maison sous l'arbre que le loup suit est verte",
    );
    let clause = Box::new(Clause { subject: Subject::She, predicate: sleeps() });
    let kind = Kind::Reporting(verb("says"), clause);
    let says = Predicate { manner: Manner::Plain, kind, place: None };
    is(pair(Subject::He, says), "he says that she sleeps", "il dit qu'elle dort");
}

#[test]
fn clauses_are_joined() {
    let mut text = Clause { subject: Subject::She, predicate: sleeps() }.text();
    text.add(fixed(&CONJUNCTIONS, "because"));
    text.append(Clause { subject: Subject::He, predicate: sleeps() }.text());
    is(text.written(), "she sleeps because he sleeps", "elle dort parce qu'il dort");
}

#[test]
fn lengths_are_those_asked_for() {
    let mut random = Rng::with_seed(1);
    for range in [5..=50, 2..=2, 3..=3, 5..=5, 17..=17, 48..=50, 0..=4, 300..=300] {
        let mut lengths = BTreeSet::new();
        for _ in 0..500 {
            let (english, french) = sentence(&mut random, range.clone());
            let length = words(&english).count();
            assert!(range.contains(&length), "{length}: {english}");
            assert_eq!(length, english.split(' ').count());
            assert!(words(&french).count() < 2 * length + 3, "{french}");
            lengths.insert(length);
        }
        // Each of them.
        assert_eq!(lengths.len(), range.end() - range.start().max(&SHORTEST) + 1);
    }
}

#[test]
fn every_word_is_in_the_vocabulary_and_said() {
    let (english, french) = vocabulary();
    assert!(english.len() < 300 && french.len() < 500, "{} and {}", english.len(), french.len());
    for words in [&english, &french] {
        assert!(words.is_sorted() && words.iter().all(|word| *word == word.to_lowercase()));
    }
    let mut counts =
        [english, french].map(|words| words.into_iter().map(|word| (word, 0)).collect::<HashMap<_, _>>());
    let mut random = Rng::with_seed(2);
    for _ in 0..20_000 {
        let (english, french) = sentence(&mut random, 5..=50);
        for (text, counts) in [english, french].iter().zip(&mut counts) {
            for word in words(text) {
                *counts.get_mut(word).unwrap_or_else(|| panic!("{word} in {text}")) += 1;
            }
            let parted: Vec<&str> = words(text).collect();
            assert_eq!(joined(&parted), *text);
        }
    }
    for (word, count) in counts.iter().flatten() {
        assert!(*count > 20, "{word} is said {count} times");
    }
}

#[test]
fn an_english_sentence_has_one_answer() {
    let mut random = Rng::with_seed(3);
    let mut answers = HashMap::new();
    let mut again = 0;
    // Short ones are drawn again and again.
    for range in [5..=50, 2..=3, 2..=6] {
        for _ in 0..10_000 {
            let (english, french) = sentence(&mut random, range.clone());
            if let Some(answer) = answers.insert(english.clone(), french.clone()) {
                assert_eq!(answer, french, "{english}");
                again += 1;
            }
        }
    }
    assert!(again > 5_000, "{again}");
}

/// What is the cause of `phrases`' promise: no form is in two entries, and a verb's number is seen.
#[test]
fn an_english_form_is_in_one_entry() {
    let mut forms: Vec<&str> = Vec::new();
    for noun in BEINGS.iter().chain(&THINGS) {
        forms.extend(noun.english);
    }
    forms.extend(LEADING.iter().chain(&QUALITIES).chain(&COLOURS).map(|adjective| adjective.english));
    for verb in TRANSITIVE.iter().chain(&INTRANSITIVE).chain(&REPORTING).chain([&IS]) {
        forms.extend(verb.english);
    }
    forms.extend(POSSESSIVES.iter().map(|possessive| possessive.english));
    forms.extend(
        NUMBERS.iter().chain(&PLACES).chain(&CONJUNCTIONS).chain(&ADVERBS).map(|fixed| fixed.english),
    );
    forms.extend(ENGLISH_PARTICLES);
    let different: BTreeSet<&str> = forms.iter().copied().collect();
    let twice: Vec<&&str> =
        different.iter().filter(|form| forms.iter().filter(|other| other == form).count() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// An adjective after "is" agrees with the first noun after the last conjunction or the last "says that", as a reader finds
/// it who knows nothing of the tree.
#[test]
fn adjectives_agree_with_the_subject_that_a_reader_finds() {
    let mut random = Rng::with_seed(4);
    let mut found = 0;
    for _ in 0..10_000 {
        let (english, french) = sentence(&mut random, 5..=50);
        let words: Vec<&str> = words(&english).collect();
        let mut expected = Vec::new();
        for (place, word) in words.iter().enumerate().filter(|(_, word)| IS.english.contains(word)) {
            let before = &words[..place];
            let reports = |word: &str| REPORTING.iter().any(|verb| verb.english.contains(&word));
            let begins = |place: &usize| {
                CONJUNCTIONS.iter().any(|fixed| fixed.english == before[*place])
                    || *place > 0 && before[*place] == "that" && reports(before[*place - 1])
            };
            let start = (0..place).rev().find(begins).map_or(0, |place| place + 1);
            let subject = before[start..].iter().find_map(|word| match *word {
                "he" => Some(false),
                "she" => Some(true),
                word => BEINGS
                    .iter()
                    .chain(&THINGS)
                    .find(|noun| noun.english.contains(&word))
                    .map(|noun| noun.feminine),
            });
            let all = LEADING.iter().chain(&QUALITIES).chain(&COLOURS);
            let adjective =
                words[place..].iter().find_map(|word| all.clone().find(|other| other.english == *word));
            let form = usize::from(subject.unwrap()) + 2 * usize::from(*word == "are");
            expected.push(adjective.unwrap().french[form]);
        }
        let answers: Vec<&str> = spelling::words(&french).collect();
        let all: Vec<&str> =
            LEADING.iter().chain(&QUALITIES).chain(&COLOURS).flat_map(|one| one.french).collect();
        let said: Vec<&str> = answers
            .iter()
            .enumerate()
            .filter(|(_, word)| IS.french.contains(word))
            .map(|(place, _)| *answers[place..].iter().find(|word| all.contains(word)).unwrap())
            .collect();
        assert_eq!(said, expected, "{english} / {french}");
        found += said.len();
    }
    assert!(found > 3_000, "{found}");
}

/// Silent letters and what stands before them, in all sentences.
#[test]
fn nothing_unwritable_is_written() {
    let mut random = Rng::with_seed(5);
    for _ in 0..10_000 {
        let (english, french) = sentence(&mut random, 5..=50);
        let (english, french) = (format!(" {english} "), format!(" {french} "));
        for wrong in [
            " de le ", " de les ", " à le ", " à les ", " le o", " le a", " la é", " que il", " ne a",
            " de un",
        ] {
            assert!(!french.contains(wrong), "{wrong} in {french}");
        }
        for wrong in ["' ", "l'hibou", "d'huit", "  ", "vieux arbre ", " ma é", " ce o"] {
            assert!(!french.contains(wrong), "{wrong} in {french}");
        }
        for wrong in [" a a", " a e", " a o", " a u", " an b", " an d", "  "] {
            assert!(!english.contains(wrong), "{wrong} in {english}");
        }
    }
}

/// All words of the English and of the French sentences, in the order of their letters.
pub fn vocabulary() -> (Vec<String>, Vec<String>) {
    let (mut english, mut french) = (BTreeSet::new(), BTreeSet::new());
    english.extend(ENGLISH_PARTICLES);
    french.extend(FRENCH_PARTICLES);
    for noun in BEINGS.iter().chain(&THINGS) {
        english.extend(noun.english);
        french.extend(noun.french);
    }
    for adjective in LEADING.iter().chain(&QUALITIES).chain(&COLOURS) {
        english.insert(adjective.english);
        french.extend(adjective.french);
        french.insert(adjective.before_vowel);
    }
    for verb in TRANSITIVE.iter().chain(&INTRANSITIVE).chain(&REPORTING).chain([&IS]) {
        english.extend(verb.english);
        french.extend(verb.french);
        english.extend(verb.tails[0].split_whitespace());
        french.extend(verb.tails[1].split_whitespace());
    }
    for possessive in &POSSESSIVES {
        english.insert(possessive.english);
        french.extend(possessive.french);
    }
    for fixed in NUMBERS.iter().chain(&PLACES).chain(&CONJUNCTIONS).chain(&ADVERBS) {
        english.extend(fixed.english.split_whitespace());
        french.extend(fixed.french.split_whitespace());
    }
    let listed = |words: BTreeSet<&str>| words.into_iter().map(str::to_owned).collect();
    (listed(english), listed(french))
}
