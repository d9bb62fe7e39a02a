//! Whether two memories of one person can both be true: layers from plain words,
//! each with the confidence that its users know.

use crate::strength::distinct;

/// Which layer found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// One says what the other denies.
    Negation,
    /// One likes what the other hates.
    Antonym,
    /// The same thing has another value: "my dog is Rex", "my dog is Max".
    Value,
    /// The same thing with another number.
    Number,
    /// The new one says that something is over.
    Time,
}

impl Layer {
    pub fn as_str(self) -> &'static str {
        match self {
            Layer::Negation => "negation",
            Layer::Antonym => "antonym",
            Layer::Value => "value",
            Layer::Number => "numeric",
            Layer::Time => "temporal",
        }
    }

    /// From 0 to 1.
    pub fn confidence(self) -> f64 {
        match self {
            Layer::Negation | Layer::Value => 0.8,
            Layer::Antonym | Layer::Time => 0.7,
            Layer::Number => 0.6,
        }
    }
}

/// Words that deny, as [`words`] gives them.
const NEGATIONS: &[&str] = &["not", "never", "no", "dont", "doesnt", "isnt", "arent", "wasnt", "cant", "wont", "didnt"];
/// Words that say that something is over; "longer" alone compares.
const ENDINGS: &[&str] = &["anymore", "stopped", "quit", "former", "formerly"];
/// Words that cannot both hold of one thing.
const ANTONYMS: &[(&[&str], &[&str])] = &[
    (
        &["love", "loves", "like", "likes", "enjoy", "enjoys", "adore", "adores", "prefer", "prefers"],
        &["hate", "hates", "dislike", "dislikes", "loathe", "loathes", "despise", "despises", "avoid", "avoids"],
    ),
    (&["single"], &["married", "engaged"]),
    (&["married"], &["divorced", "widowed"]),
    (&["employed"], &["unemployed", "retired"]),
];
/// Where the subject of a statement ends.
const VERBS: &[&str] = &[
    "is", "are", "was", "were", "isnt", "arent", "wasnt", "lives", "works", "loves", "likes", "hates", "has", "had",
    "does", "doesnt", "died", "plays", "studies", "comes", "moved", "stopped", "no",
];
/// Things of which everybody has one.
const SINGLE: &[&str] =
    &["name", "birthday", "age", "address", "email", "phone", "number", "favourite", "favorite", "anniversary", "hint"];
/// The part of their other words that two statements must share to be about one thing.
const SHARED: f64 = 0.8;

/// Whom or what a statement is about, such as `i`, or `my sister`. Statements about
/// different subjects neither contradict nor repeat each other.
pub(crate) fn subject(statement: &str) -> Vec<String> {
    let words = words(statement);
    match words.first().map(String::as_str) {
        Some("i" | "im" | "ive") => vec!["i".to_owned()],
        Some("we" | "were" | "weve") => vec!["we".to_owned()],
        _ => {
            let end = words.iter().position(|word| VERBS.contains(&word.as_str())).unwrap_or(words.len());
            words[..end].to_vec()
        }
    }
}

/// Whether a statement denies something.
pub(crate) fn denies(statement: &str) -> bool {
    words(statement).iter().any(|word| NEGATIONS.contains(&word.as_str()))
}

/// The first layer by which a new statement contradicts an old one.
pub fn contradiction(old: &str, new: &str) -> Option<Layer> {
    let (old_words, new_words) = (words(old), words(new));
    if old_words == new_words || subject(old) != subject(new) {
        return None;
    }
    let common = shared(&old_words, &new_words);
    if common >= 1.0 && is_over(&new_words) && !is_over(&old_words) {
        return Some(Layer::Time);
    }
    if common >= SHARED {
        if denies(old) != denies(new) {
            return Some(Layer::Negation);
        }
        if are_opposed(&old_words, &new_words) {
            return Some(Layer::Antonym);
        }
    }
    if let (Some((thing, old_value)), Some((same, new_value))) = (single(&old_words), single(&new_words))
        && thing == same
        && !within(old_value, new_value)
    {
        let both_numbers = has_number(old_value) && has_number(new_value);
        return Some(if both_numbers { Layer::Number } else { Layer::Value });
    }
    if has_moved(old, new) {
        return Some(Layer::Value);
    }
    let is_number = |word: &&String| word.starts_with(|c: char| c.is_ascii_digit());
    let numbers = |words: &[String]| -> Vec<String> { words.iter().filter(is_number).cloned().collect() };
    let others = |words: &[String]| -> Vec<String> { words.iter().filter(|word| !is_number(word)).cloned().collect() };
    let (of_old, of_new) = (numbers(&old_words), numbers(&new_words));
    let differ = !of_old.is_empty() && !of_new.is_empty() && !within(&of_old, &of_new);
    (differ && others(&old_words) == others(&new_words)).then_some(Layer::Number)
}

/// Whether one holds all of the other: it only says more.
fn within(one: &[String], other: &[String]) -> bool {
    one.iter().all(|word| other.contains(word)) || other.iter().all(|word| one.contains(word))
}

/// "I moved to Oslo", of "I live in Rome". That somebody lives in Italy and in Rome
/// is no contradiction.
fn has_moved(old: &str, new: &str) -> bool {
    let place = |text: &str, begins: &str| {
        let rest = text.trim().strip_prefix(begins)?.trim_end_matches(['.', '!']);
        let is_name = rest.chars().next().is_some_and(char::is_uppercase);
        is_name.then(|| rest.to_lowercase())
    };
    let now = place(new, "I moved to ");
    let before = place(old, "I live in ").or_else(|| place(old, "I moved to "));
    now.zip(before).is_some_and(|(now, before)| now != before)
}

/// Lower-case words without punctuation; "don't" becomes "dont".
pub(crate) fn words(text: &str) -> Vec<String> {
    let plain = text.to_lowercase().replace(['’', '\''], "");
    plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The part of the longer statement's terms that both hold, leaving out those that
/// deny, end or oppose.
fn shared(old: &[String], new: &[String]) -> f64 {
    let about = |words: &[String]| {
        let said: Vec<&str> = words
            .iter()
            .enumerate()
            .filter(|(place, word)| !is_stance(word) && !is_no_longer(words, *place))
            .map(|(_, word)| word.as_str())
            .collect();
        distinct(&said.join(" "))
    };
    let (old, new) = (about(old), about(new));
    let common = old.iter().filter(|term| new.binary_search(term).is_ok()).count();
    let longer = old.len().max(new.len());
    if longer == 0 { 0.0 } else { common as f64 / longer as f64 }
}

fn is_no_longer(words: &[String], place: usize) -> bool {
    words[place] == "longer" && place > 0 && words[place - 1] == "no"
}

fn is_stance(word: &str) -> bool {
    NEGATIONS.contains(&word)
        || ENDINGS.contains(&word)
        || ANTONYMS.iter().any(|(one, other)| one.contains(&word) || other.contains(&word))
}

fn are_opposed(old: &[String], new: &[String]) -> bool {
    let holds = |words: &[String], any: &[&str]| words.iter().any(|word| any.contains(&word.as_str()));
    ANTONYMS.iter().any(|(one, other)| {
        (holds(old, one) && !holds(old, other) && holds(new, other) && !holds(new, one))
            || (holds(old, other) && !holds(old, one) && holds(new, one) && !holds(new, other))
    })
}

/// "I no longer live in Rome", "I stopped smoking".
fn is_over(words: &[String]) -> bool {
    words.iter().any(|word| ENDINGS.contains(&word.as_str()))
        || (0..words.len()).any(|place| is_no_longer(words, place))
}

/// "My dog is called Rex", "my lucky number is 7": something of which there is one,
/// and its value.
fn single(words: &[String]) -> Option<(&[String], &[String])> {
    if words.first()? != "my" {
        return None;
    }
    let place = words.iter().position(|word| word == "is" || word == "was")?;
    let (thing, value) = (&words[..place], &words[place + 1..]);
    let (is_named, value) = match value {
        [called, rest @ ..] if called == "called" || called == "named" => (true, rest),
        all => (false, all),
    };
    let is_single = is_named || thing.iter().any(|word| SINGLE.contains(&word.as_str()));
    (place > 1 && is_single && !value.is_empty()).then_some((thing, value))
}

fn has_number(words: &[String]) -> bool {
    words.iter().any(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_find_what_cannot_both_be_true() {
        for (old, new, layer) in [
            ("I like coffee", "I don't like coffee", Layer::Negation),
            ("I love hiking", "I hate hiking", Layer::Antonym),
            ("My dog is called Rex", "My dog is called Max", Layer::Value),
            ("I live in Rome", "I moved to Oslo", Layer::Value),
            ("My birthday is on 3 May", "My birthday is on 4 May", Layer::Number),
            ("My number is 7", "My number is 8", Layer::Number),
            ("I am 30 years old", "I am 31 years old", Layer::Number),
            ("I live in Rome", "I no longer live in Rome", Layer::Time),
        ] {
            assert_eq!(contradiction(old, new), Some(layer), "{old:?} / {new:?}");
        }
    }

    #[test]
    fn what_can_both_be_true_is_left() {
        for (old, new) in [
            ("I like coffee", "I like tea"),
            ("I like coffee", "I like coffee."),
            ("My dog is called Rex", "My cat is called Tom"),
            ("I love hiking", "I hate broccoli"),
            // Another subject.
            ("I am allergic to nuts", "My daughter is not allergic to nuts"),
            ("I love broccoli", "My son hates broccoli"),
            ("I play the piano", "My brother is no longer playing the piano"),
            ("I live in Rome", "My brother lives in Rome"),
            // Another attribute of the same thing, or the same less exactly.
            ("My dog is called Rex", "My dog is a labrador"),
            ("My sister is Ida", "My sister is pregnant"),
            ("I live in Italy", "I live in Rome"),
            ("I work as a nurse", "I work as a volunteer"),
            ("My birthday is on 3 May 1990", "My birthday is on 3 May"),
            ("I like tea in the morning", "I like tea in the evening"),
            ("I love hikes", "I love longer hikes"),
            ("I like tea but not coffee", "I like tea"),
            ("I have 2 sisters", "I was born in 1990"),
            ("", ""),
        ] {
            assert_eq!(contradiction(old, new), None, "{old:?} / {new:?}");
        }
    }
}
