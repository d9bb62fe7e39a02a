//! Relations between people and things, read from what is remembered, and those
//! that matter for a question.

use recall::terms;

/// Whose memories they are, as a subject.
pub const PERSON: &str = "user";

/// Most relations of one statement.
const RELATIONS: usize = 4;
/// Longest name or value, in words.
const NAME_WORDS: usize = 4;

/// One edge: "user — sister — Ida", "Ida — lives in — Rome".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relation {
    pub subject: String,
    pub predicate: String,
    pub object: String,
}

impl Relation {
    fn new(subject: &str, predicate: &str, object: &[&str]) -> Option<Self> {
        let object = object.join(" ");
        let of = |text: &str| text.to_owned();
        (!object.is_empty()).then(|| Self { subject: of(subject), predicate: of(predicate), object })
    }
}

/// What the person does, and how the edge is called.
const DOES: &[(&[&str], &str)] = &[
    (&["live", "in"], "lives in"),
    (&["live", "with"], "lives with"),
    (&["moved", "to"], "lives in"),
    (&["work", "at"], "works at"),
    (&["work", "for"], "works at"),
    (&["work", "as"], "works as"),
    (&["study", "at"], "studies at"),
    (&["come", "from"], "comes from"),
    (&["am", "from"], "comes from"),
    (&["am", "married", "to"], "married to"),
    (&["love"], "loves"),
    (&["like"], "likes"),
    (&["hate"], "hates"),
];
/// What somebody else does.
const OTHERS_DO: &[&[&str]] = &[
    &["lives", "in"],
    &["lives", "with"],
    &["works", "at"],
    &["works", "for"],
    &["works", "as"],
    &["studies", "at"],
    &["comes", "from"],
    &["is", "married", "to"],
    &["loves"],
    &["likes"],
    &["hates"],
];

/// The relations that a statement in the first person names.
pub fn relations(statement: &str) -> Vec<Relation> {
    let said: Vec<&str> = statement
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '\''))
        .collect();
    let lower: Vec<String> = said.iter().map(|word| word.to_lowercase()).collect();
    let begins = |from: usize, words: &[&str]| {
        lower
            .get(from..from + words.len())
            .is_some_and(|some| some.iter().map(String::as_str).eq(words.iter().copied()))
    };
    let mut found = Vec::new();
    match lower.first().map(String::as_str) {
        Some("i") => {
            let does = DOES.iter().find(|(verb, _)| begins(1, verb));
            found.extend(does.and_then(|(verb, name)| Relation::new(PERSON, name, object(&said[1 + verb.len()..]))));
        }
        Some("my") => {
            // "my sister Ida lives in Rome": a name after what she is.
            let name_at = (2..said.len().min(4)).find(|place| is_name(said[*place]));
            let is_at = lower.iter().position(|word| word == "is");
            match (name_at, is_at) {
                (Some(name), verb) if verb.is_none_or(|verb| verb > name) => {
                    found.extend(Relation::new(PERSON, &lower[1..name].join(" "), &said[name..=name]));
                    found.extend(of_another(&said, &lower, name));
                }
                (_, Some(is)) if (2..=4).contains(&is) => {
                    let value = is + 1 + usize::from(begins(is + 1, &["called"]) || begins(is + 1, &["named"]));
                    let thing = lower[1..is].join(" ");
                    let thing = thing.trim_end_matches(" name").trim_end_matches("'s").to_owned();
                    found.extend(Relation::new(PERSON, &thing, object(&said[value.min(said.len())..])));
                }
                _ => {}
            }
        }
        Some(_) if is_name(said[0]) => {
            let kin = (lower.len() == 4 && begins(1, &["is", "my"])).then(|| lower[3].as_str());
            found.extend(kin.and_then(|kin| Relation::new(PERSON, kin, &said[..1])));
            found.extend(of_another(&said, &lower, 0));
        }
        _ => {}
    }
    found.truncate(RELATIONS);
    found
}

/// What somebody named does: "Ida lives in Rome".
fn of_another(said: &[&str], lower: &[String], name: usize) -> Option<Relation> {
    let rest = &lower[name + 1..];
    let verb =
        OTHERS_DO.iter().find(|verb| rest.iter().map(String::as_str).take(verb.len()).eq(verb.iter().copied()))?;
    Relation::new(said[name], &verb.join(" "), object(&said[name + 1 + verb.len()..]))
}

/// The first words of a value, up to where another thought begins.
fn object<'a, 'b>(words: &'a [&'b str]) -> &'a [&'b str] {
    let ends =
        |word: &&str| matches!(*word, "with" | "and" | "because" | "since" | "but" | "when" | "where" | "who" | "");
    let end = words.iter().position(ends).unwrap_or(words.len());
    &words[..end.min(NAME_WORDS)]
}

fn is_name(word: &str) -> bool {
    word.chars().next().is_some_and(char::is_uppercase) && word.chars().count() > 1
}

/// The relations that matter for a question, best first: those that it names, then
/// those of whom or what they name.
pub fn relevant(all: &[Relation], question: &str, limit: usize) -> Vec<Relation> {
    let asked = terms(question);
    let names = |text: &str| terms(text).iter().any(|term| asked.contains(term));
    let is_named = |relation: &&Relation| {
        names(&relation.object)
            || names(&relation.predicate)
            || (relation.subject != PERSON && names(&relation.subject))
    };
    let (named, others): (Vec<&Relation>, Vec<&Relation>) = all.iter().partition(is_named);
    let is_near = |relation: &&Relation| {
        named.iter().any(|known| {
            relation.subject == known.object
                || relation.object == known.object
                || (known.subject != PERSON && (relation.subject == known.subject || relation.object == known.subject))
        })
    };
    let near: Vec<&Relation> = others.into_iter().filter(is_near).collect();
    let mut found: Vec<Relation> = Vec::new();
    for relation in named.iter().copied().chain(near) {
        if found.len() < limit && !found.contains(relation) {
            found.push(relation.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(statement: &str) -> Vec<String> {
        let all = relations(statement).into_iter();
        all.map(|Relation { subject, predicate, object }| format!("{subject} — {predicate} — {object}")).collect()
    }

    #[test]
    fn statements_name_relations() {
        assert_eq!(read("My sister Ida lives in Rome with Paul"), ["user — sister — Ida", "Ida — lives in — Rome"]);
        assert_eq!(read("My dog is called Rex"), ["user — dog — Rex"]);
        assert_eq!(read("My sister's name is Ida"), ["user — sister — Ida"]);
        assert_eq!(read("Ida is my sister"), ["user — sister — Ida"]);
        assert_eq!(read("I live in New York"), ["user — lives in — New York"]);
        assert_eq!(read("Paul works at Acme"), ["Paul — works at — Acme"]);
        for nothing in ["", "I", "My", "my dog", "I think so", "it rains", "Ida"] {
            assert_eq!(read(nothing), [""; 0], "{nothing:?}");
        }
    }

    #[test]
    fn a_question_leads_over_whom_it_names_to_what_they_do() {
        let all: Vec<Relation> = ["My sister Ida lives in Rome", "My dog is called Rex", "Paul works at Acme"]
            .iter()
            .flat_map(|statement| relations(statement))
            .collect();
        let found = relevant(&all, "Where does my sister live?", 20);
        let found: Vec<_> = found.iter().map(|relation| relation.object.as_str()).collect();
        assert_eq!(found, ["Ida", "Rome"]);
        assert!(relevant(&all, "How are you?", 20).is_empty());
        assert_eq!(relevant(&all, "Ida, Rex, Acme", 2).len(), 2);
    }

    proptest! {
        #[test]
        fn anything_may_be_remembered(statement in ".{0,120}", question in ".{0,60}") {
            let all = relations(&statement);
            prop_assert!(all.len() <= RELATIONS);
            prop_assert!(relevant(&all, &question, 1).len() <= 1);
        }
    }
}
