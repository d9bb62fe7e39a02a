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
/// Words that say that something is over.
const ENDINGS: &[&str] = &["anymore", "longer", "stopped", "quit", "used", "former", "formerly"];
/// Words that cannot both hold of one thing.
const ANTONYMS: &[(&[&str], &[&str])] = &[
    (
        &["love", "loves", "like", "likes", "enjoy", "enjoys", "adore", "adores", "prefer", "prefers"],
        &["hate", "hates", "dislike", "dislikes", "loathe", "loathes", "despise", "despises", "avoid", "avoids"],
    ),
    (&["single"], &["married", "engaged"]),
    (&["married"], &["divorced", "widowed"]),
    (&["employed"], &["unemployed", "retired"]),
    (&["vegetarian", "vegan"], &["carnivore"]),
    (&["early", "morning"], &["late", "night", "evening"]),
];
/// Verbs between a thing and its value.
const COPULAS: &[&str] = &["is", "are", "was", "were"];
/// Verbs that have one object at a time: who lives in Rome does not live in Oslo.
const UNIQUE: &[&[&str]] = &[&["live", "in"], &["moved", "to"], &["work", "at"], &["work", "for"], &["work", "as"]];
/// The part of their other words that two statements must share to be about one thing.
const SHARED: f64 = 0.8;

/// The first layer by which a new statement contradicts an old one.
pub fn contradiction(old: &str, new: &str) -> Option<Layer> {
    let (old_words, new_words) = (words(old), words(new));
    if old_words == new_words {
        return None;
    }
    if is_over(&old_words, &new_words) {
        return Some(Layer::Time);
    }
    let common = shared(&old_words, &new_words);
    if common >= SHARED {
        let denies = |words: &[String]| words.iter().any(|word| NEGATIONS.contains(&word.as_str()));
        if denies(&old_words) != denies(&new_words) {
            return Some(Layer::Negation);
        }
        if are_opposed(&old_words, &new_words) {
            return Some(Layer::Antonym);
        }
    }
    match (thing_and_value(&old_words), thing_and_value(&new_words)) {
        (Some((thing, old_value)), Some((same, new_value))) if thing == same && old_value != new_value => {
            let both_numbers = has_number(old_value) && has_number(new_value);
            return Some(if both_numbers { Layer::Number } else { Layer::Value });
        }
        _ => {}
    }
    let numbers = |words: &[String]| -> Vec<String> {
        words.iter().filter(|word| word.starts_with(|c: char| c.is_ascii_digit())).cloned().collect()
    };
    let (of_old, of_new) = (numbers(&old_words), numbers(&new_words));
    let without = |words: &[String]| -> Vec<String> {
        words.iter().filter(|word| !word.starts_with(|c: char| c.is_ascii_digit())).cloned().collect()
    };
    let alike =
        !of_old.is_empty() && !of_new.is_empty() && of_old != of_new && without(&old_words) == without(&new_words);
    alike.then_some(Layer::Number)
}

/// Lower-case words without punctuation; "don't" becomes "dont".
pub(crate) fn words(text: &str) -> Vec<String> {
    let plain = text.to_lowercase().replace(['’', '\''], "");
    plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The part of the shorter statement's terms that both hold, leaving out those
/// that deny, end or oppose.
fn shared(old: &[String], new: &[String]) -> f64 {
    let about = |words: &[String]| {
        let said: Vec<&str> = words.iter().map(String::as_str).filter(|word| !is_stance(word)).collect();
        distinct(&said.join(" "))
    };
    let (old, new) = (about(old), about(new));
    let common = old.iter().filter(|term| new.binary_search(term).is_ok()).count();
    let shorter = old.len().min(new.len());
    if shorter == 0 { 0.0 } else { common as f64 / shorter as f64 }
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

/// "I no longer live in Rome", "I stopped smoking", of what the old one says.
fn is_over(old: &[String], new: &[String]) -> bool {
    let ends = |words: &[String]| words.iter().any(|word| ENDINGS.contains(&word.as_str()));
    ends(new) && !ends(old) && shared(old, new) >= 1.0
}

/// "my sister's name is Ida": the thing, and its value.
fn thing_and_value(words: &[String]) -> Option<(&[String], &[String])> {
    let begins = |names: &[&str]| words.iter().skip(1).take(names.len()).map(String::as_str).eq(names.iter().copied());
    if words.first().is_some_and(|first| first == "i") {
        let verb = UNIQUE.iter().find(|verb| begins(verb))?;
        return Some(words.split_at(1 + verb.len())).filter(|(_, value)| !value.is_empty());
    }
    if words.first().is_none_or(|first| first != "my") {
        return None;
    }
    let place = words.iter().position(|word| COPULAS.contains(&word.as_str()))?;
    let (thing, value) = (&words[..place], &words[place + 1..]);
    let value = match value {
        [called, rest @ ..] if called == "called" || called == "named" => rest,
        all => all,
    };
    (place > 1 && !value.is_empty()).then_some((thing, value))
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
            ("I live in Rome", "I live in Oslo", Layer::Value),
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
            ("I have 2 sisters", "I was born in 1990"),
            ("", ""),
        ] {
            assert_eq!(contradiction(old, new), None, "{old:?} / {new:?}");
        }
    }
}
