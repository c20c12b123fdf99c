//! The words. An English form is in one entry only, so that it has one answer in French.

/// Forms: singular, plural.
pub struct Noun {
    pub english: [&'static str; 2],
    pub french: [&'static str; 2],
    pub feminine: bool,
}

pub struct Adjective {
    pub english: &'static str,
    /// Masculine, feminine; then their plurals.
    pub french: [&'static str; 4],
    /// The masculine before a noun that begins with a vowel: "un vieil arbre".
    pub before_vowel: &'static str,
}

/// Forms: singular, plural. The English plural is the infinitive too.
pub struct Verb {
    pub english: [&'static str; 2],
    pub french: [&'static str; 2],
    /// What stands between a verb and its object: "waits for", "a besoin de".
    pub tails: [&'static str; 2],
}

pub struct Possessive {
    pub english: &'static str,
    /// Before a masculine, a feminine and a plural noun.
    pub french: [&'static str; 3],
}

/// A word or a few that never change.
pub struct Fixed {
    pub english: &'static str,
    pub french: &'static str,
}

const fn masculine(english: [&'static str; 2], french: [&'static str; 2]) -> Noun {
    Noun { english, french, feminine: false }
}

const fn feminine(english: [&'static str; 2], french: [&'static str; 2]) -> Noun {
    Noun { english, french, feminine: true }
}

const fn adjective(english: &'static str, french: [&'static str; 4]) -> Adjective {
    Adjective { english, french, before_vowel: french[0] }
}

const fn with_vowel_form(
    english: &'static str,
    french: [&'static str; 4],
    before_vowel: &'static str,
) -> Adjective {
    Adjective { english, french, before_vowel }
}

const fn verb(english: [&'static str; 2], french: [&'static str; 2]) -> Verb {
    Verb { english, french, tails: ["", ""] }
}

const fn with_tails(english: [&'static str; 2], french: [&'static str; 2], tails: [&'static str; 2]) -> Verb {
    Verb { english, french, tails }
}

const fn fixed(english: &'static str, french: &'static str) -> Fixed {
    Fixed { english, french }
}

/// Who acts.
pub const BEINGS: [Noun; 32] = [
    masculine(["duck", "ducks"], ["canard", "canards"]),
    masculine(["dog", "dogs"], ["chien", "chiens"]),
    masculine(["cat", "cats"], ["chat", "chats"]),
    masculine(["horse", "horses"], ["cheval", "chevaux"]),
    masculine(["bird", "birds"], ["oiseau", "oiseaux"]),
    masculine(["king", "kings"], ["roi", "rois"]),
    masculine(["wolf", "wolves"], ["loup", "loups"]),
    masculine(["man", "men"], ["homme", "hommes"]),
    masculine(["boy", "boys"], ["garçon", "garçons"]),
    masculine(["uncle", "uncles"], ["oncle", "oncles"]),
    masculine(["owl", "owls"], ["hibou", "hiboux"]),
    masculine(["bear", "bears"], ["ours", "ours"]),
    masculine(["lamb", "lambs"], ["agneau", "agneaux"]),
    masculine(["donkey", "donkeys"], ["âne", "ânes"]),
    masculine(["squirrel", "squirrels"], ["écureuil", "écureuils"]),
    masculine(["rabbit", "rabbits"], ["lapin", "lapins"]),
    feminine(["mouse", "mice"], ["souris", "souris"]),
    feminine(["queen", "queens"], ["reine", "reines"]),
    feminine(["cow", "cows"], ["vache", "vaches"]),
    feminine(["goat", "goats"], ["chèvre", "chèvres"]),
    feminine(["frog", "frogs"], ["grenouille", "grenouilles"]),
    feminine(["girl", "girls"], ["fille", "filles"]),
    feminine(["woman", "women"], ["femme", "femmes"]),
    feminine(["bee", "bees"], ["abeille", "abeilles"]),
    feminine(["ant", "ants"], ["fourmi", "fourmis"]),
    feminine(["aunt", "aunts"], ["tante", "tantes"]),
    feminine(["turtle", "turtles"], ["tortue", "tortues"]),
    feminine(["goose", "geese"], ["oie", "oies"]),
    feminine(["hen", "hens"], ["poule", "poules"]),
    feminine(["spider", "spiders"], ["araignée", "araignées"]),
    feminine(["sister", "sisters"], ["sœur", "sœurs"]),
    masculine(["brother", "brothers"], ["frère", "frères"]),
];

pub const THINGS: [Noun; 28] = [
    masculine(["tree", "trees"], ["arbre", "arbres"]),
    masculine(["book", "books"], ["livre", "livres"]),
    masculine(["boat", "boats"], ["bateau", "bateaux"]),
    masculine(["garden", "gardens"], ["jardin", "jardins"]),
    masculine(["castle", "castles"], ["château", "châteaux"]),
    masculine(["hat", "hats"], ["chapeau", "chapeaux"]),
    masculine(["hotel", "hotels"], ["hôtel", "hôtels"]),
    masculine(["egg", "eggs"], ["œuf", "œufs"]),
    masculine(["bridge", "bridges"], ["pont", "ponts"]),
    masculine(["mirror", "mirrors"], ["miroir", "miroirs"]),
    masculine(["plane", "planes"], ["avion", "avions"]),
    masculine(["jewel", "jewels"], ["bijou", "bijoux"]),
    masculine(["umbrella", "umbrellas"], ["parapluie", "parapluies"]),
    feminine(["house", "houses"], ["maison", "maisons"]),
    feminine(["table", "tables"], ["table", "tables"]),
    feminine(["car", "cars"], ["voiture", "voitures"]),
    feminine(["flower", "flowers"], ["fleur", "fleurs"]),
    feminine(["apple", "apples"], ["pomme", "pommes"]),
    feminine(["chair", "chairs"], ["chaise", "chaises"]),
    feminine(["school", "schools"], ["école", "écoles"]),
    feminine(["church", "churches"], ["église", "églises"]),
    feminine(["star", "stars"], ["étoile", "étoiles"]),
    feminine(["bottle", "bottles"], ["bouteille", "bouteilles"]),
    feminine(["door", "doors"], ["porte", "portes"]),
    feminine(["key", "keys"], ["clé", "clés"]),
    feminine(["island", "islands"], ["île", "îles"]),
    feminine(["box", "boxes"], ["boîte", "boîtes"]),
    feminine(["picture", "pictures"], ["image", "images"]),
];

/// French adjectives that stand before their noun. Of the three kinds of adjectives, a noun has one each at most, in English
/// in this order.
pub const LEADING: [Adjective; 8] = [
    adjective("small", ["petit", "petite", "petits", "petites"]),
    adjective("big", ["grand", "grande", "grands", "grandes"]),
    adjective("pretty", ["joli", "jolie", "jolis", "jolies"]),
    adjective("bad", ["mauvais", "mauvaise", "mauvais", "mauvaises"]),
    adjective("young", ["jeune", "jeune", "jeunes", "jeunes"]),
    with_vowel_form("old", ["vieux", "vieille", "vieux", "vieilles"], "vieil"),
    with_vowel_form("beautiful", ["beau", "belle", "beaux", "belles"], "bel"),
    with_vowel_form("new", ["nouveau", "nouvelle", "nouveaux", "nouvelles"], "nouvel"),
];

pub const QUALITIES: [Adjective; 10] = [
    adjective("heavy", ["lourd", "lourde", "lourds", "lourdes"]),
    adjective("light", ["léger", "légère", "légers", "légères"]),
    adjective("quiet", ["calme", "calme", "calmes", "calmes"]),
    adjective("strange", ["étrange", "étrange", "étranges", "étranges"]),
    adjective("dangerous", ["dangereux", "dangereuse", "dangereux", "dangereuses"]),
    adjective("famous", ["célèbre", "célèbre", "célèbres", "célèbres"]),
    adjective("dry", ["sec", "sèche", "secs", "sèches"]),
    adjective("free", ["libre", "libre", "libres", "libres"]),
    adjective("soft", ["doux", "douce", "doux", "douces"]),
    adjective("clean", ["propre", "propre", "propres", "propres"]),
];

pub const COLOURS: [Adjective; 7] = [
    adjective("blue", ["bleu", "bleue", "bleus", "bleues"]),
    adjective("green", ["vert", "verte", "verts", "vertes"]),
    adjective("white", ["blanc", "blanche", "blancs", "blanches"]),
    adjective("black", ["noir", "noire", "noirs", "noires"]),
    adjective("red", ["rouge", "rouge", "rouges", "rouges"]),
    adjective("grey", ["gris", "grise", "gris", "grises"]),
    adjective("yellow", ["jaune", "jaune", "jaunes", "jaunes"]),
];

/// With an object.
pub const TRANSITIVE: [Verb; 22] = [
    verb(["follows", "follow"], ["suit", "suivent"]),
    verb(["sees", "see"], ["voit", "voient"]),
    verb(["likes", "like"], ["aime", "aiment"]),
    verb(["hides", "hide"], ["cache", "cachent"]),
    verb(["finds", "find"], ["trouve", "trouvent"]),
    verb(["hears", "hear"], ["entend", "entendent"]),
    verb(["chooses", "choose"], ["choisit", "choisissent"]),
    verb(["draws", "draw"], ["dessine", "dessinent"]),
    verb(["loses", "lose"], ["perd", "perdent"]),
    verb(["buys", "buy"], ["achète", "achètent"]),
    verb(["takes", "take"], ["prend", "prennent"]),
    verb(["forgets", "forget"], ["oublie", "oublient"]),
    verb(["wants", "want"], ["veut", "veulent"]),
    verb(["admires", "admire"], ["admire", "admirent"]),
    verb(["avoids", "avoid"], ["évite", "évitent"]),
    with_tails(["waits", "wait"], ["attend", "attendent"], ["for", ""]),
    with_tails(["looks", "look"], ["cherche", "cherchent"], ["for", ""]),
    with_tails(["obeys", "obey"], ["obéit", "obéissent"], ["", "à"]),
    with_tails(["speaks", "speak"], ["parle", "parlent"], ["to", "à"]),
    with_tails(["thinks", "think"], ["pense", "pensent"], ["of", "à"]),
    with_tails(["dreams", "dream"], ["rêve", "rêvent"], ["of", "de"]),
    with_tails(["needs", "need"], ["a", "ont"], ["", "besoin de"]),
];

/// Without an object.
pub const INTRANSITIVE: [Verb; 8] = [
    verb(["sleeps", "sleep"], ["dort", "dorment"]),
    verb(["sings", "sing"], ["chante", "chantent"]),
    verb(["dances", "dance"], ["danse", "dansent"]),
    verb(["swims", "swim"], ["nage", "nagent"]),
    verb(["laughs", "laugh"], ["rit", "rient"]),
    verb(["runs", "run"], ["court", "courent"]),
    verb(["arrives", "arrive"], ["arrive", "arrivent"]),
    verb(["works", "work"], ["travaille", "travaillent"]),
];

/// With "that" and a clause.
pub const REPORTING: [Verb; 3] = [
    verb(["says", "say"], ["dit", "disent"]),
    verb(["believes", "believe"], ["croit", "croient"]),
    verb(["hopes", "hope"], ["espère", "espèrent"]),
];

pub const IS: Verb = verb(["is", "are"], ["est", "sont"]);

/// Before a noun that begins with a vowel, the masculine stands for the feminine: "mon étoile".
pub const POSSESSIVES: [Possessive; 5] = [
    Possessive { english: "my", french: ["mon", "ma", "mes"] },
    Possessive { english: "his", french: ["son", "sa", "ses"] },
    Possessive { english: "her", french: ["son", "sa", "ses"] },
    Possessive { english: "our", french: ["notre", "notre", "nos"] },
    Possessive { english: "their", french: ["leur", "leur", "leurs"] },
];

pub const NUMBERS: [Fixed; 8] = [
    fixed("two", "deux"),
    fixed("three", "trois"),
    fixed("four", "quatre"),
    fixed("five", "cinq"),
    fixed("six", "six"),
    fixed("seven", "sept"),
    fixed("eight", "huit"),
    fixed("ten", "dix"),
];

pub const PLACES: [Fixed; 12] = [
    fixed("near", "près de"),
    fixed("behind", "derrière"),
    fixed("with", "avec"),
    fixed("without", "sans"),
    fixed("under", "sous"),
    fixed("on", "sur"),
    fixed("in", "dans"),
    fixed("around", "autour de"),
    fixed("for", "pour"),
    fixed("in front of", "devant"),
    fixed("next to", "à côté de"),
    fixed("far from", "loin de"),
];

pub const CONJUNCTIONS: [Fixed; 6] = [
    fixed("and", "et"),
    fixed("but", "mais"),
    fixed("because", "parce que"),
    fixed("while", "pendant que"),
    fixed("when", "quand"),
    fixed("so", "donc"),
];

/// In English before the verb, in French behind it.
pub const ADVERBS: [Fixed; 4] = [
    fixed("often", "souvent"),
    fixed("always", "toujours"),
    fixed("sometimes", "parfois"),
    fixed("rarely", "rarement"),
];

/// What the rules of `phrases` and `spelling` write by themselves.
#[cfg(test)]
pub const ENGLISH_PARTICLES: [&str; 18] = [
    "a", "all", "an", "do", "does", "every", "he", "many", "never", "not", "of", "several", "she", "that",
    "the", "these", "this", "very",
];
#[cfg(test)]
pub const FRENCH_PARTICLES: [&str; 32] = [
    "au",
    "aux",
    "beaucoup",
    "ce",
    "ces",
    "cet",
    "cette",
    "chaque",
    "d'",
    "de",
    "des",
    "du",
    "elle",
    "il",
    "jamais",
    "l'",
    "la",
    "le",
    "les",
    "n'",
    "ne",
    "pas",
    "plusieurs",
    "qu'",
    "que",
    "qui",
    "tous",
    "toutes",
    "très",
    "un",
    "une",
    "à",
];
