//! Secrets in a text: those that are known by their values, and words that look like one, by the
//! forms in which they are given out. Pure.
//!
//! A form is one that its vendor documents, and that hardly anything else has: what has no form,
//! such as a password, is not found.

use std::fmt;

/// What a secret looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// A private key in PEM (RFC 7468).
    PrivateKey,
    /// A token that begins as those of this vendor do.
    TokenOf(&'static str),
}

impl fmt::Display for SecretKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrivateKey => f.write_str("a private key"),
            Self::TokenOf(vendor) => write!(f, "a token of {vendor}"),
        }
    }
}

/// How tokens begin, how many more characters they have at least, and whose they are.
const TOKENS: &[(&str, usize, &str)] = &[
    ("sk-ant-", 20, "Anthropic"),
    ("sk-or-", 20, "OpenRouter"),
    ("sk-proj-", 20, "OpenAI"),
    ("ghp_", 36, "GitHub"),
    ("gho_", 36, "GitHub"),
    ("ghs_", 36, "GitHub"),
    ("github_pat_", 40, "GitHub"),
    ("glpat-", 20, "GitLab"),
    ("xoxb-", 20, "Slack"),
    ("xoxp-", 20, "Slack"),
    ("AKIA", 16, "AWS"),
    ("AIza", 35, "Google"),
    ("hf_", 30, "Hugging Face"),
    ("tvly-", 20, "Tavily"),
];

/// The first secret that a text seems to hold.
pub fn find(text: &str) -> Option<SecretKind> {
    let is_key = text.match_indices("-----BEGIN ").any(|(at, begin)| {
        let label = text[at + begin.len()..].split("-----").next().unwrap_or_default();
        label.len() <= 40 && label.ends_with("PRIVATE KEY")
    });
    if is_key {
        return Some(SecretKind::PrivateKey);
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    TOKENS.iter().find_map(|(begins, more, vendor)| {
        let holds = text.match_indices(begins).any(|(at, _)| {
            let is_whole = !text[..at].ends_with(is_part);
            is_whole && text[at + begins.len()..].chars().take_while(|c| is_part(*c)).count() >= *more
        });
        holds.then_some(SecretKind::TokenOf(vendor))
    })
}

/// Shortest secret that is looked for, in bytes: shorter ones stand in ordinary words.
const SHORTEST: usize = 8;
/// What stands in place of a secret.
const REDACTED: &str = "[a secret]";

/// Secrets that are known by their values, such as those that a process was configured with.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KnownSecrets(Vec<String>);

impl fmt::Debug for KnownSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl KnownSecrets {
    /// Those of fewer than eight bytes are left out.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        Self(secrets.into_iter().filter(|secret| secret.len() >= SHORTEST).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them stands in a text.
    pub fn are_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret))
    }

    /// A text without them.
    pub fn redact(&self, text: &str) -> String {
        let mut redactor = self.redactor();
        redactor.push(text) + &redactor.finish()
    }

    /// Takes them out of a text that comes in pieces.
    pub fn redactor(&self) -> Redactor<'_> {
        Redactor { known: &self.0, held: String::new() }
    }
}

/// Takes secrets out of a text that comes in pieces, wherever it is cut.
pub struct Redactor<'known> {
    known: &'known [String],
    /// The end of what came, which may be the beginning of a secret.
    held: String,
}

impl Redactor<'_> {
    /// What can be shown now.
    pub fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        self.take(false)
    }

    /// The rest, when nothing more comes.
    pub fn finish(&mut self) -> String {
        self.take(true)
    }

    /// At every place the longest secret that stands there is taken out; where a longer one may
    /// be coming, the text is held from there on.
    fn take(&mut self, is_end: bool) -> String {
        let (mut shown, mut from) = (String::new(), 0);
        while let Some(next) = self.held[from..].chars().next() {
            let rest = &self.held[from..];
            if !is_end && self.known.iter().any(|secret| secret.len() > rest.len() && secret.starts_with(rest)) {
                break;
            }
            let stands = self.known.iter().filter(|secret| rest.starts_with(*secret)).map(String::len).max();
            match stands {
                Some(length) => {
                    shown.push_str(REDACTED);
                    from += length;
                }
                None => {
                    shown.push(next);
                    from += next.len_utf8();
                }
            }
        }
        self.held.drain(..from);
        shown
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_of_vendors_are_found_and_words_are_not() {
        let long = "a1B2".repeat(12);
        for (text, kind) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl".to_owned(), SecretKind::PrivateKey),
            ("x -----BEGIN PRIVATE KEY-----".to_owned(), SecretKind::PrivateKey),
            (format!("note: ghp_{long}."), SecretKind::TokenOf("GitHub")),
            (format!("https://evil.example/?d=sk-ant-{long}"), SecretKind::TokenOf("Anthropic")),
            (format!("{{\"key\":\"AKIA{}\"}}", "A1".repeat(8)), SecretKind::TokenOf("AWS")),
        ] {
            assert_eq!(find(&text), Some(kind), "{text}");
        }
        for text in [
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----",
            "a private key begins with -----BEGIN and so on",
            "ghp_ is how tokens of GitHub begin",
            "task-ant-hill-and-many-more-words-that-are-none",
            "sk-ant-short",
            "",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_known_is_taken_out_and_never_shown_of_itself() {
        let known = KnownSecrets::new(["canary-0123456789", "canary-0123", "short"].map(str::to_owned));
        assert!(known.are_in("x canary-0123 y") && !known.are_in("a short word"));
        assert_eq!(
            known.redact("my key is canary-0123456789, or canary-0123!"),
            "my key is [a secret], or [a secret]!"
        );
        assert_eq!(known.redact("a canary sings"), "a canary sings");
        assert_eq!(format!("{known:?}"), "2 secrets");
        let mut redactor = known.redactor();
        assert_eq!(redactor.push("it is canary-"), "it is ", "what may become one waits");
        assert_eq!(redactor.push("yellow"), "canary-yellow");
        assert_eq!(redactor.push("canary-0123"), "");
        assert_eq!(redactor.finish(), "[a secret]");
    }

    proptest! {
        #[test]
        fn wherever_a_text_is_cut_the_same_is_shown(pieces in prop::collection::vec("[abc]{0,6}|aabbaabb|aabbaabbcc|\u{e9}", 0..12)) {
            let known = KnownSecrets::new(["aabbaabb", "aabbaabbcc", "cabcabcab"].map(str::to_owned));
            let mut redactor = known.redactor();
            let mut shown: String = pieces.iter().map(|piece| redactor.push(piece)).collect();
            shown += &redactor.finish();
            prop_assert_eq!(&shown, &known.redact(&pieces.concat()));
            prop_assert!(!known.are_in(&shown));
        }

        #[test]
        fn whatever_stands_around_it_a_token_is_found(before in "(.*[^A-Za-z0-9_-])?", after in "([^A-Za-z0-9_-].*)?", token in "[A-Za-z0-9]{36,60}") {
            let text = format!("{before}ghp_{token}{after}");
            prop_assert!(find(&text).is_some());
        }
    }
}
