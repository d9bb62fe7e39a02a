//! What a person says about themselves, by rules: plain statements about them,
//! their people, preferences, dates and plans.
//!
//! Rules miss much and are seldom wrong: a question, a wish, a guess, a quotation
//! or a pasted page is no statement.

use crate::contradiction::words;

/// Longest message that is looked at, in bytes: longer ones are mostly pasted.
const MESSAGE_BYTES: usize = 2000;
/// Longest statement, in words.
const WORDS: usize = 40;
/// Most statements of one message.
const STATEMENTS: usize = 8;

/// What a memory is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    Preferences,
    Personal,
    Professional,
    Goals,
    Emotional,
    Temporal,
}

impl Category {
    pub fn as_str(self) -> &'static str {
        match self {
            Category::Preferences => "preferences",
            Category::Personal => "personal",
            Category::Professional => "professional",
            Category::Goals => "goals",
            Category::Emotional => "emotional",
            Category::Temporal => "temporal",
        }
    }
}

/// Something that may become a memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub text: String,
    pub category: Option<Category>,
    /// Whether it belongs into every prompt.
    pub is_key: bool,
    /// From 0 to 1.
    pub confidence: f64,
}

/// The plain statements of a message, in their order.
pub fn statements(message: &str) -> Vec<Statement> {
    if message.len() > MESSAGE_BYTES {
        return Vec::new();
    }
    let mut found: Vec<Statement> = Vec::new();
    for sentence in sentences(message) {
        for clause in clauses(&sentence) {
            let text = without_opening(clause);
            if let Some(statement) = statement(text)
                && !found.iter().any(|known| known.text == statement.text)
            {
                found.push(statement);
            }
        }
    }
    found.truncate(STATEMENTS);
    found
}

/// What a statement is about, by its words.
pub fn category(text: &str) -> Option<Category> {
    let words = words(text);
    let holds = |any: &[&str]| words.iter().any(|word| any.contains(&word.as_str()));
    const BY_WORDS: &[(Category, &[&str])] = &[
        (Category::Temporal, &["birthday", "anniversary", "appointment", "deadline", "exam", "wedding", "flight"]),
        (
            Category::Professional,
            &["work", "works", "job", "boss", "company", "colleague", "office", "career", "study", "university"],
        ),
        (Category::Goals, &["goal", "want", "plan", "planning", "training", "learning", "hope", "dream"]),
        (
            Category::Preferences,
            &[
                "like",
                "love",
                "prefer",
                "favourite",
                "favorite",
                "hate",
                "dislike",
                "enjoy",
                "allergic",
                "vegetarian",
                "vegan",
            ],
        ),
        (Category::Emotional, &["afraid", "worried", "anxious", "grieving", "lonely", "proud", "stressed"]),
    ];
    let found = BY_WORDS.iter().find(|(_, any)| holds(any)).map(|(category, _)| *category);
    found.or_else(|| {
        (words.first()? == "my" || holds(&["i", "name", "live", "born", "am"])).then_some(Category::Personal)
    })
}

/// How a statement begins, whether it belongs into every prompt, and how sure it is.
const BEGINNINGS: &[(&str, bool, f64)] = &[
    ("my name is", true, 0.95),
    ("call me", true, 0.9),
    ("i am allergic to", true, 0.95),
    ("im allergic to", true, 0.95),
    ("my birthday is", true, 0.95),
    ("i love", false, 0.8),
    ("i like", false, 0.8),
    ("i prefer", false, 0.85),
    ("i enjoy", false, 0.8),
    ("i hate", false, 0.8),
    ("i dislike", false, 0.8),
    ("i dont like", false, 0.8),
    ("i do not like", false, 0.8),
    ("i dont eat", false, 0.85),
    ("i dont drink", false, 0.85),
    ("i cant stand", false, 0.8),
    ("i live in", false, 0.9),
    ("i live with", false, 0.85),
    ("i lived in", false, 0.8),
    ("i moved to", false, 0.85),
    ("i no longer", false, 0.85),
    ("i stopped", false, 0.75),
    ("i come from", false, 0.9),
    ("i am from", false, 0.9),
    ("im from", false, 0.9),
    ("i was born", false, 0.9),
    ("i grew up", false, 0.9),
    ("i work", false, 0.85),
    ("i study", false, 0.85),
    ("i speak", false, 0.85),
    ("i play", false, 0.8),
    ("i own", false, 0.85),
    ("i drive", false, 0.8),
    ("i am married", false, 0.9),
    ("im married", false, 0.9),
    ("i am divorced", false, 0.9),
    ("i am vegetarian", false, 0.9),
    ("i am vegan", false, 0.9),
    ("im vegetarian", false, 0.9),
    ("im vegan", false, 0.9),
    ("i want to learn", false, 0.75),
    ("i want to become", false, 0.75),
    ("i am learning", false, 0.8),
    ("im learning", false, 0.8),
    ("i am training for", false, 0.8),
    ("im training for", false, 0.8),
    ("i plan to", false, 0.7),
    ("i adopted", false, 0.8),
    ("we adopted", false, 0.75),
    ("we live in", false, 0.8),
];
/// What people own or are related to: "I have two sisters".
const HAD: &[&str] = &[
    "dog",
    "dogs",
    "cat",
    "cats",
    "sister",
    "sisters",
    "brother",
    "brothers",
    "son",
    "sons",
    "daughter",
    "daughters",
    "kid",
    "kids",
    "children",
    "wife",
    "husband",
    "twin",
    "twins",
    "horse",
    "bike",
    "car",
    "boat",
    "garden",
    "appointment",
    "exam",
    "interview",
    "flight",
    "allergy",
    "diabetes",
    "asthma",
];
/// Words of "my ... is" that say something about the talk, not about the person.
const NOT_OWNED: &[&str] = &[
    "question",
    "questions",
    "point",
    "guess",
    "problem",
    "idea",
    "issue",
    "answer",
    "understanding",
    "code",
    "program",
    "script",
    "test",
    "error",
    "message",
    "query",
    "request",
    "mistake",
    "bad",
    "mind",
    "opinion",
    "apologies",
    "concern",
    "turn",
    "input",
    "output",
    "file",
    "prompt",
    "feeling",
    "suggestion",
    "first",
    "last",
    "next",
    "day",
    "head",
    "fault",
    "build",
    "server",
    "app",
    "computer",
    "internet",
    "connection",
    "screen",
    "deployment",
    "task",
];
/// Words of a sentence that is no plain statement.
const HEDGES: &[&str] = &[
    "if",
    "maybe",
    "perhaps",
    "might",
    "wish",
    "would",
    "could",
    "should",
    "think",
    "guess",
    "unless",
    "imagine",
    "pretend",
    "suppose",
    "supposedly",
    "probably",
    "today",
    "tonight",
    "tomorrow",
    "yesterday",
    "currently",
    "now",
];
/// What may stand before a statement.
const OPENINGS: &[&str] = &[
    "please",
    "remember",
    "that",
    "well",
    "oh",
    "also",
    "btw",
    "so",
    "and",
    "but",
    "actually",
    "yes",
    "no",
    "ok",
    "okay",
    "hi",
    "hello",
    "hey",
    "clara",
    "fyi",
    "note",
    "by the way",
    "just so you know",
];

fn statement(text: &str) -> Option<Statement> {
    let said = words(text);
    if said.len() < 3 || said.len() > WORDS || text.contains('?') || text.contains(['"', '“', '”', '«', '»', '`'])
    {
        return None;
    }
    if text.starts_with(['\'', '‘', '’', '(', '[', '*']) {
        return None;
    }
    if said.iter().any(|word| HEDGES.contains(&word.as_str())) {
        return None;
    }
    // What these point at is not said.
    if said.iter().any(|word| matches!(word.as_str(), "it" | "this" | "that" | "these" | "those")) {
        return None;
    }
    if text.to_lowercase().starts_with("call me") && !is_name_alone(text) {
        return None;
    }
    let (is_key, confidence) =
        beginning(&said).or_else(|| owned(&said)).or_else(|| had(&said)).or_else(|| related(&said))?;
    Some(Statement { text: text.to_owned(), category: category(text), is_key, confidence })
}

fn beginning(said: &[String]) -> Option<(bool, f64)> {
    // "I really love it", "I also play chess": the adverb changes nothing.
    let plain: Vec<&str> = said
        .iter()
        .enumerate()
        .filter(|(place, word)| {
            *place != 1 || !matches!(word.as_str(), "really" | "also" | "always" | "usually" | "absolutely")
        })
        .map(|(_, word)| word.as_str())
        .collect();
    let plain = plain.join(" ");
    let found = BEGINNINGS.iter().find(|(begins, ..)| {
        plain
            .strip_prefix(begins)
            .is_some_and(|rest| rest.starts_with(' ') || (rest.is_empty() && begins.split(' ').count() > 2))
    });
    let known = found.map(|(_, is_key, confidence)| (*is_key, *confidence));
    known.or_else(|| age(said)).or_else(|| trade(said))
}

/// "Call me Annie", not "call me a taxi".
fn is_name_alone(text: &str) -> bool {
    let mut words = text.split_whitespace().skip(2);
    words.next().is_some_and(|name| name.chars().next().is_some_and(char::is_uppercase)) && words.next().is_none()
}

/// "I am 30 years old".
fn age(said: &[String]) -> Option<(bool, f64)> {
    let rest = after_am(said)?;
    let years = rest.first()?.parse::<u8>().is_ok() && rest.get(1).is_none_or(|word| word == "years" || word == "year");
    years.then_some((false, 0.85))
}

/// "I am a nurse".
fn trade(said: &[String]) -> Option<(bool, f64)> {
    const NO_TRADE: &[&str] = &[
        "bit", "little", "lot", "bad", "good", "big", "mess", "idiot", "fool", "while", "hour", "minute", "day", "week",
    ];
    match after_am(said)? {
        [article, noun, ..] if matches!(article.as_str(), "a" | "an") => {
            (!NO_TRADE.contains(&noun.as_str())).then_some((false, 0.75))
        }
        _ => None,
    }
}

fn after_am(said: &[String]) -> Option<&[String]> {
    match said {
        [i, am, rest @ ..] if i == "i" && am == "am" => Some(rest),
        [im, rest @ ..] if im == "im" => Some(rest),
        _ => None,
    }
}

/// "My dog is called Rex".
fn owned(said: &[String]) -> Option<(bool, f64)> {
    let verb =
        |word: &str| matches!(word, "is" | "are" | "was" | "lives" | "works" | "loves" | "likes" | "hates" | "died");
    let place = said.iter().position(|word| verb(word))?;
    let (thing, value) = (&said[..place], &said[place + 1..]);
    if !matches!(said.first()?.as_str(), "my" | "our") || !(2..=6).contains(&thing.len()) || value.is_empty() {
        return None;
    }
    (!thing.iter().any(|word| NOT_OWNED.contains(&word.as_str()))).then_some((false, 0.85))
}

/// "I have two sisters".
fn had(said: &[String]) -> Option<(bool, f64)> {
    match said {
        [i, have, rest @ ..] if i == "i" && matches!(have.as_str(), "have" | "got") => {
            rest.iter().any(|word| HAD.contains(&word.as_str())).then_some((false, 0.8))
        }
        _ => None,
    }
}

/// "Ida is my sister".
fn related(said: &[String]) -> Option<(bool, f64)> {
    const PEOPLE: &[&str] = &[
        "wife",
        "husband",
        "partner",
        "girlfriend",
        "boyfriend",
        "sister",
        "brother",
        "mother",
        "father",
        "mom",
        "mum",
        "dad",
        "son",
        "daughter",
        "aunt",
        "uncle",
        "cousin",
        "niece",
        "nephew",
        "friend",
        "boss",
        "colleague",
        "neighbour",
        "neighbor",
        "doctor",
        "teacher",
        "roommate",
    ];
    let place = said.windows(2).position(|pair| matches!(pair[0].as_str(), "is" | "was") && pair[1] == "my")?;
    let named =
        (1..=3).contains(&place) && !matches!(said[0].as_str(), "this" | "that" | "it" | "what" | "here" | "there");
    let relation = said[place + 2..].iter().take(3).any(|word| PEOPLE.contains(&word.as_str()));
    (named && relation).then_some((false, 0.85))
}

/// The sentences of a message that are its writer's own: no code, no quotations.
pub(crate) fn sentences(message: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut in_code = false;
    for line in message.lines() {
        let line = line.trim();
        if line.starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code || line.starts_with('>') || line.starts_with('|') {
            continue;
        }
        // "Translate into French:" is followed by what is another's.
        if line.ends_with(':') {
            break;
        }
        let mut sentence = String::new();
        let mut after = line.chars().peekable();
        while let Some(c) = after.next() {
            sentence.push(c);
            if matches!(c, '.' | '!' | '?' | ';') && after.peek().is_none_or(|next| next.is_whitespace()) {
                all.push(std::mem::take(&mut sentence));
            }
        }
        all.push(sentence);
    }
    all.into_iter().map(|sentence| sentence.trim().to_owned()).filter(|sentence| !sentence.is_empty()).collect()
}

/// "I live in Rome and my dog is called Rex" says two things.
fn clauses(sentence: &str) -> Vec<&str> {
    const JOINTS: &[&str] = &[" and my ", " and I ", " and i ", ", my ", ", I ", " but I ", " but i ", " but my "];
    let mut all = Vec::new();
    let mut rest = sentence;
    while let Some((place, joint)) =
        JOINTS.iter().filter_map(|joint| rest.find(joint).map(|place| (place, *joint))).min_by_key(|(place, _)| *place)
    {
        all.push(&rest[..place]);
        // What begins the next clause stays with it.
        let word = joint.trim_end().rfind(' ').unwrap_or(0) + 1;
        rest = &rest[place + word..];
    }
    all.push(rest);
    all
}

/// A statement without greetings before it and marks after it.
fn without_opening(text: &str) -> &str {
    let mut text = text.trim();
    let opening = |text: &str| -> Option<usize> {
        let found = OPENINGS.iter().find(|opening| {
            let head = text.get(..opening.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(opening))
                && text[opening.len()..].starts_with([' ', ',', ':', '!', '.'])
        });
        found.map(|opening| opening.len())
    };
    while let Some(length) = opening(text) {
        text = text[length..].trim_start_matches([' ', ',', ':', '!', '.']);
    }
    text.trim_end_matches(['.', '!', ';', ',', ' '])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(message: &str) -> Vec<String> {
        statements(message).into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn plain_statements_are_found() {
        assert_eq!(texts("Hi Clara! My dog is called Rex. How are you?"), ["My dog is called Rex"]);
        assert_eq!(
            texts("I live in Rome and my sister Ida lives in Oslo."),
            ["I live in Rome", "my sister Ida lives in Oslo"]
        );
        assert_eq!(texts("please remember that my lucky number is 7"), ["my lucky number is 7"]);
        assert_eq!(texts("I really love hiking, but I hate running!"), ["I really love hiking", "I hate running"]);
        assert_eq!(texts("Ida is my sister"), ["Ida is my sister"]);
        assert_eq!(texts("I'm 31 years old. I am a nurse."), ["I'm 31 years old", "I am a nurse"]);
        assert_eq!(texts("I have two kids"), ["I have two kids"]);
        assert_eq!(texts("Call me Annie."), ["Call me Annie"]);
    }

    #[test]
    fn what_is_no_statement_is_left() {
        for message in [
            "What is my dog called?",
            "If I live in Rome, is that far?",
            "I would love to go",
            "my question is simple",
            "I am a bit tired",
            "> my dog is called Rex",
            "```\nmy dog is called Rex\n```",
            "He said \"my dog is called Rex\"",
            "I think my dog is ill",
            "Translate into French:\nMy name is Pierre. I live in Lyon.",
            "'I live in Rome', she said",
            "Call me a taxi",
            "Call me back later",
            "I love it, thanks",
            "I like that idea",
            "I have a child process that hangs",
            "I'm an hour late",
            "My build is broken",
            "say one",
            "call",
            "",
        ] {
            assert_eq!(texts(message), [""; 0], "{message:?}");
        }
        assert!(texts(&"My dog is called Rex. ".repeat(200)).is_empty(), "a pasted page");
    }

    #[test]
    fn statements_have_a_category_and_some_belong_into_every_prompt() {
        let all = statements("I'm allergic to nuts. I work at the harbour. My birthday is on 3 May.");
        let of: Vec<_> = all.iter().map(|statement| (statement.category, statement.is_key)).collect();
        let expected = [
            (Some(Category::Preferences), true),
            (Some(Category::Professional), false),
            (Some(Category::Temporal), true),
        ];
        assert_eq!(of, expected);
    }

    proptest! {
        #[test]
        fn anything_may_be_said(message in ".{0,400}") {
            for statement in statements(&message) {
                prop_assert!(message.contains(&statement.text), "in the person's own words");
                prop_assert!((0.0..=1.0).contains(&statement.confidence));
            }
        }
    }
}
