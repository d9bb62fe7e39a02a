//! Words that look like a secret, by the forms in which they are given out. Pure.
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

    proptest! {
        #[test]
        fn whatever_stands_around_it_a_token_is_found(before in "(.*[^A-Za-z0-9_-])?", after in "([^A-Za-z0-9_-].*)?", token in "[A-Za-z0-9]{36,60}") {
            let text = format!("{before}ghp_{token}{after}");
            prop_assert!(find(&text).is_some());
        }
    }
}
