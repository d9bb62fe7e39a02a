//! Model tiers and the prefixes by which people choose them.

/// A class of model. Which model serves it is the configuration's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    Low,
    Mid,
    High,
}

impl Tier {
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Low => "low",
            Tier::Mid => "mid",
            Tier::High => "high",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "high" | "opus" => Some(Tier::High),
            "mid" | "sonnet" => Some(Tier::Mid),
            "low" | "haiku" | "fast" => Some(Tier::Low),
            _ => None,
        }
    }
}

/// Splits `!high what is …` into the tier and the rest. A text without a known
/// prefix comes back whole: `!important` is a word, not an order.
pub fn split_prefix(text: &str) -> (Option<Tier>, &str) {
    let trimmed = text.trim_start();
    let Some(rest) = trimmed.strip_prefix('!') else { return (None, text) };
    let word = rest.split(char::is_whitespace).next().unwrap_or_default();
    match Tier::parse(word) {
        Some(tier) => (Some(tier), rest[word.len()..].trim_start()),
        None => (None, text),
    }
}

/// Whether a text only agrees to what was proposed, and so belongs to the tier
/// of the discussion it continues.
pub fn is_short_assent(text: &str) -> bool {
    let plain: String =
        text.chars().filter(|c| c.is_alphanumeric() || c.is_whitespace()).collect::<String>().to_lowercase();
    matches!(
        plain.split_whitespace().collect::<Vec<_>>().join(" ").as_str(),
        "yes"
            | "y"
            | "yep"
            | "yeah"
            | "ok"
            | "okay"
            | "sure"
            | "please"
            | "yes please"
            | "go ahead"
            | "do it"
            | "continue"
            | "go on"
            | "right"
            | "correct"
            | "no"
            | "nope"
            | "thanks"
            | "thank you"
    )
}

/// Reads the one word that a classifying model was asked for.
/// Anything that is not exactly one known tier means the middle one.
pub fn parse_classification(answer: &str) -> Tier {
    let mut found =
        answer.split(|c: char| !c.is_ascii_alphabetic()).filter_map(|word| match word.to_ascii_uppercase().as_str() {
            "LOW" => Some(Tier::Low),
            "MID" => Some(Tier::Mid),
            "HIGH" => Some(Tier::High),
            _ => None,
        });
    match (found.next(), found.next()) {
        (Some(tier), None) => tier,
        _ => Tier::Mid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_choose_the_tier_and_leave_the_text() {
        for (text, tier, rest) in [
            ("!high prove it", Some(Tier::High), "prove it"),
            ("!opus prove it", Some(Tier::High), "prove it"),
            ("!mid x", Some(Tier::Mid), "x"),
            ("!sonnet x", Some(Tier::Mid), "x"),
            ("!low x", Some(Tier::Low), "x"),
            ("!haiku x", Some(Tier::Low), "x"),
            ("  !FAST x y", Some(Tier::Low), "x y"),
            ("!important news", None, "!important news"),
            ("no prefix", None, "no prefix"),
            ("!low", Some(Tier::Low), ""),
        ] {
            assert_eq!(split_prefix(text), (tier, rest), "{text}");
        }
    }

    #[test]
    fn only_bare_assent_keeps_the_discussion_tier() {
        assert!(is_short_assent("Yes!"));
        assert!(is_short_assent(" go  ahead. "));
        assert!(!is_short_assent("yes, but prove Fermat first"));
    }

    #[test]
    fn unparsable_classification_is_mid() {
        assert_eq!(parse_classification("LOW"), Tier::Low);
        assert_eq!(parse_classification(" high.\n"), Tier::High);
        assert_eq!(parse_classification("LOW or HIGH"), Tier::Mid);
        assert_eq!(parse_classification("¯\\_(ツ)_/¯"), Tier::Mid);
    }
}
