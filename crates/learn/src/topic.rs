//! What a conversation was about: names and themes, so that what comes up again and
//! again is known.

use std::collections::BTreeMap;

use recall::terms;
use serde::{Deserialize, Serialize};

/// Most topics of one conversation.
pub const TOPICS: usize = 3;
/// A shorter conversation is about nothing, in characters.
const SHORTEST: usize = 50;
/// What is read of a conversation, in characters.
const READ: usize = 4000;
/// Longest name, in characters.
const NAME: usize = 60;
/// Most words of a name that is found by rules.
const NAME_WORDS: usize = 3;
/// How often a word must be said to be a theme.
const REPEATED: usize = 2;
/// The shortest word that may be a theme, in characters.
const WORD: usize = 4;

/// Capitalised words that name nobody and nothing, and words that are no theme.
const COMMON: &[&str] = &[
    "april",
    "may",
    "august",
    "clara",
    "december",
    "february",
    "friday",
    "january",
    "july",
    "june",
    "march",
    "monday",
    "november",
    "october",
    "saturday",
    "september",
    "sunday",
    "thursday",
    "tuesday",
    "wednesday",
    "thing",
    "think",
    "know",
    "like",
    "want",
    "need",
    "today",
    "tomorrow",
    "yesterday",
    "time",
    "really",
    "please",
    "thank",
    "good",
    "make",
    "tell",
    "today",
    "remember",
    "forget",
    "still",
    "again",
    "always",
    "never",
    "much",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Somebody or something with a name.
    Entity,
    Theme,
}

/// How much a conversation was about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    Light,
    Moderate,
    Heavy,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Entity => "entity",
            Kind::Theme => "theme",
        }
    }
}

impl Weight {
    pub fn as_str(self) -> &'static str {
        match self {
            Weight::Light => "light",
            Weight::Moderate => "moderate",
            Weight::Heavy => "heavy",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    #[serde(rename = "topic")]
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub weight: Weight,
}

impl Topic {
    /// By what it is known again: "Trips to Rome" and "a trip to Rome" are one.
    pub fn key(&self) -> String {
        terms(&self.name).join(" ")
    }
}

/// At most so many topics of a model's, each with a name that can be known again.
pub fn sound(topics: Vec<Topic>) -> Vec<Topic> {
    let mut kept: BTreeMap<String, ()> = BTreeMap::new();
    let mut sound = Vec::new();
    for mut topic in topics {
        topic.name = topic.name.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(NAME).collect();
        let key = topic.key();
        if sound.len() < TOPICS && !key.is_empty() && kept.insert(key, ()).is_none() {
            sound.push(topic);
        }
    }
    sound
}

/// What people spoke of, by names and by words that they repeated.
pub fn by_rules(said: &[&str]) -> Vec<Topic> {
    let text: String = said.join("\n").chars().take(READ).collect();
    if text.chars().count() < SHORTEST {
        return Vec::new();
    }
    // How often, whether it is a name, and how it was first written, by key.
    let mut found: BTreeMap<String, (usize, bool, String)> = BTreeMap::new();
    for (name, is_name) in names(&text).into_iter().map(|name| (name, true)).chain(words(&text)) {
        let key = terms(&name).join(" ");
        if key.is_empty() || is_common(&name) {
            continue;
        }
        let entry = found.entry(key).or_insert((0, false, name));
        entry.0 += 1;
        entry.1 |= is_name;
    }
    // A word of a name is no theme of its own.
    let in_names: Vec<String> = found
        .iter()
        .filter(|(key, (_, is_name, _))| *is_name && key.contains(' '))
        .map(|(key, _)| key.clone())
        .collect();
    let mut ranked: Vec<(usize, Topic)> = found
        .into_iter()
        .filter(|(key, (count, is_name, _))| {
            let is_part = in_names.iter().any(|name| name != key && name.split(' ').any(|word| word == key));
            !is_part && (*is_name || *count >= REPEATED)
        })
        .map(|(_, (count, is_name, name))| {
            let kind = if is_name { Kind::Entity } else { Kind::Theme };
            (count + usize::from(is_name), Topic { name, kind, weight: weight(count) })
        })
        .collect();
    ranked.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.name.cmp(&other.1.name)));
    ranked.into_iter().take(TOPICS).map(|(_, topic)| topic).collect()
}

fn weight(count: usize) -> Weight {
    match count {
        0..=2 => Weight::Light,
        3..=4 => Weight::Moderate,
        _ => Weight::Heavy,
    }
}

fn is_common(name: &str) -> bool {
    COMMON.contains(&name.to_lowercase().as_str())
}

/// Runs of capitalised words that begin no sentence.
fn names(text: &str) -> Vec<String> {
    let (mut names, mut run, mut begins) = (Vec::new(), Vec::<&str>::new(), true);
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_capital = bare.chars().next().is_some_and(char::is_uppercase) && bare.chars().count() > 1;
        if is_capital && !begins && run.len() < NAME_WORDS {
            run.push(bare.trim_end_matches("'s").trim_end_matches("’s"));
        } else if !run.is_empty() {
            names.push(run.join(" "));
            run.clear();
        }
        let end = word.trim_end();
        begins = end.ends_with(['.', '!', '?', ':']) || word.ends_with('\n');
        if !run.is_empty() && end.ends_with(|c: char| !c.is_alphanumeric()) {
            names.push(run.join(" "));
            run.clear();
        }
    }
    names.extend((!run.is_empty()).then(|| run.join(" ")));
    names
}

fn words(text: &str) -> impl Iterator<Item = (String, bool)> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= WORD);
    let is_word =
        |word: &&str| word.chars().all(char::is_alphabetic) && word.chars().next().is_some_and(char::is_lowercase);
    words.filter(is_word).map(|word| (word.to_owned(), false))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_repeated_words_are_topics() {
        let said =
            ["I am planning a trip to New York with my sister Ida.", "The trip is in May. Will Ida like the trip?"];
        let found: Vec<_> =
            by_rules(&said).into_iter().map(|topic| (topic.name.clone(), topic.kind, topic.weight)).collect();
        assert_eq!(
            found,
            [
                ("Ida".to_owned(), Kind::Entity, Weight::Light),
                ("trip".to_owned(), Kind::Theme, Weight::Moderate),
                ("New York".to_owned(), Kind::Entity, Weight::Light),
            ]
        );
        assert!(by_rules(&["Hello Ida"]).is_empty(), "too short to be about anything");
    }

    #[test]
    fn the_same_topic_is_known_again() {
        let topic = |name: &str| Topic { name: name.into(), kind: Kind::Theme, weight: Weight::Light };
        assert_eq!(topic("the trips to Rome").key(), topic("Trip to Rome").key());
        let sound =
            sound(vec![topic("a trip"), topic("Trips"), topic("the"), topic("  new   job "), topic("x1"), topic("x2")]);
        assert_eq!(sound.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>(), ["a trip", "new job", "x1"]);
    }

    proptest! {
        #[test]
        fn anything_may_be_spoken_of(said in proptest::collection::vec(".{0,300}", 0..6)) {
            let said: Vec<&str> = said.iter().map(String::as_str).collect();
            prop_assert!(by_rules(&said).len() <= TOPICS);
        }
    }
}
