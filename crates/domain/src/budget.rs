//! What fits into the model's window, and what goes first when it does not.
//!
//! Pure arithmetic over token counts that the caller made with a tokenizer.

use crate::guard::cut_middle;

/// Longest section of the system prompt, in characters.
pub const SECTION_CHARS: usize = 10_000;
/// Longest system prompt, in characters.
pub const SYSTEM_CHARS: usize = 200_000;
/// Tokens that a message costs beyond its text.
pub const MESSAGE_TOKENS: usize = 4;

/// The share of a model's window that a prompt may fill: 80 %.
pub fn prompt_budget(window: usize) -> usize {
    window / 5 * 4
}

/// What a turn's steps may add to a prompt of `taken` tokens: what is left of nine tenths of the
/// window, and no less than a tenth of it, since a turn that may read nothing goes nowhere.
pub fn steps_budget(window: usize, taken: usize) -> usize {
    (window / 10 * 9).saturating_sub(taken).max(window / 10)
}

/// Joins titled sections into a system prompt within its limits. Over-long
/// sections keep their head and tail.
pub fn system_prompt<'a>(sections: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut prompt = String::new();
    for (title, body) in sections {
        let body = body.trim();
        if body.is_empty() {
            continue;
        }
        if !prompt.is_empty() {
            prompt.push_str("\n\n");
        }
        if !title.is_empty() {
            prompt.push_str("## ");
            prompt.push_str(title);
            prompt.push('\n');
        }
        prompt.push_str(&cut_middle(body, SECTION_CHARS));
    }
    cut_middle(&prompt, SYSTEM_CHARS)
}

/// How many of the oldest history messages must go, given the tokens of what
/// never goes (system, tools, the messages to answer) and of each history
/// message, oldest first. `None` when even an empty history does not fit.
pub fn history_to_drop(fixed: usize, history: &[usize], budget: usize) -> Option<usize> {
    let mut total = fixed + history.iter().sum::<usize>();
    let mut dropped = 0;
    while total > budget {
        total -= history.get(dropped)?;
        dropped += 1;
    }
    Some(dropped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn oldest_history_goes_first() {
        assert_eq!(history_to_drop(10, &[5, 5, 5], 25), Some(0));
        assert_eq!(history_to_drop(10, &[5, 5, 5], 21), Some(1));
        assert_eq!(history_to_drop(10, &[5, 5, 5], 10), Some(3));
        assert_eq!(history_to_drop(10, &[5, 5, 5], 9), None);
    }

    #[test]
    fn empty_sections_leave_no_title() {
        assert_eq!(system_prompt([("", "Clara."), ("MEMORIES", " "), ("TIME", "noon")]), "Clara.\n\n## TIME\nnoon");
    }

    proptest! {
        #[test]
        fn what_is_kept_fits_and_nothing_more_could_stay(
            fixed in 0usize..500, history in prop::collection::vec(0usize..200, 0..20), budget in 0usize..1000,
        ) {
            match history_to_drop(fixed, &history, budget) {
                None => prop_assert!(fixed > budget),
                Some(dropped) => {
                    prop_assert!(fixed + history[dropped..].iter().sum::<usize>() <= budget);
                    if dropped > 0 {
                        prop_assert!(fixed + history[dropped - 1..].iter().sum::<usize>() > budget);
                    }
                }
            }
        }
    }
}
