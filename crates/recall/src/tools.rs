//! How well tools fit what is asked: by the words of their names, of what they say of
//! themselves, and of their arguments.

use crate::bm25::Bm25;
use crate::words::terms;

/// A tool as it describes itself.
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    pub name: &'a str,
    pub description: &'a str,
    /// JSON Schema of its arguments. Its own words (`type`, `properties`) stand in every
    /// one, and so count nothing.
    pub schema: &'a str,
}

/// What a word counts that stands in a name, in a description, in a schema.
const WEIGHTS: [f32; 3] = [2.0, 1.0, 0.3];

/// How well each tool fits, in the order given; 0 where no word does. Each field is scored
/// by BM25 among those of the other tools.
pub fn tool_scores(query: &str, tools: &[Described<'_>]) -> Vec<f32> {
    let query = terms(&apart(query));
    let mut scores = vec![0.0; tools.len()];
    let fields: [fn(&Described<'_>) -> String; 3] =
        [|tool| apart(tool.name), |tool| apart(tool.description), |tool| apart(tool.schema)];
    for (field, weight) in fields.iter().zip(WEIGHTS) {
        let mut index = Bm25::new(0.5);
        for (number, tool) in tools.iter().enumerate() {
            index.add(number, &terms(&field(tool)));
        }
        for (score, of_field) in scores.iter_mut().zip(index.scores(&query)) {
            *score += weight * of_field;
        }
    }
    scores
}

/// What the similarity of two texts counts beside words, of which the best counts 1. Among 0.5,
/// 1, 2 and 3 the best on the functions of the Berkeley Function-Calling Leaderboard (its
/// `multiple` and `live_multiple` categories).
const MEANING: f32 = 3.0;

/// The part of a description that is compared, in characters.
const COMPARED_CHARS: usize = 600;

/// The words by which a tool is compared with a question by a model of texts.
pub fn tool_text(name: &str, description: &str) -> String {
    format!("{}: {}", apart(name), description.chars().take(COMPARED_CHARS).collect::<String>())
}

/// Scores by words with those by meaning beside them: how similar each tool is to the question,
/// from −1 to 1, where that is known. What is not known counts as much as the others do on
/// average; when nothing is, words decide alone.
pub fn with_meaning(words: &[f32], similar: &[Option<f32>]) -> Vec<f32> {
    let known: Vec<f32> = similar.iter().copied().flatten().filter(|similar| similar.is_finite()).collect();
    if known.is_empty() {
        return words.to_vec();
    }
    let average = known.iter().sum::<f32>() / known.len() as f32;
    let of = |index: usize| similar.get(index).copied().flatten().filter(|similar| similar.is_finite());
    let score = |(index, words): (usize, f32)| words + MEANING * of(index).unwrap_or(average);
    by_words(words).into_iter().enumerate().map(score).collect()
}

/// Scores by words alone as [`with_meaning`] counts them: the best is 1.
pub fn by_words(words: &[f32]) -> Vec<f32> {
    let best = words.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    words.iter().map(|score| score / best).collect()
}

/// `sendEmail` and `send_email` as words.
fn apart(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + text.len() / 8);
    let mut before = ' ';
    for c in text.chars() {
        if before.is_lowercase() && c.is_uppercase() {
            words.push(' ');
        }
        words.push(if c == '_' || c == '-' { ' ' } else { c });
        before = c;
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn best(query: &str) -> &'static str {
        let tool = |name, description, schema| Described { name, description, schema };
        let tools = [
            tool("mail__sendEmail", "Sends a message.", r#"{"properties":{"to":{},"subject":{}}}"#),
            tool("mail__list_emails", "Lists what came in.", r#"{"properties":{"folder":{}}}"#),
            tool("weather__forecast", "The weather of the next days in a city.", r#"{"properties":{"city":{}}}"#),
            tool("files__read", "Reads a file.", r#"{"properties":{"path":{}}}"#),
        ];
        let scores = tool_scores(query, &tools);
        let (best, _) = scores.iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1)).unwrap();
        tools[best].name
    }

    #[test]
    fn tools_are_found_by_their_words() {
        assert_eq!(best("please send an e-mail to Ida"), "mail__sendEmail");
        assert_eq!(best("what emails are in the folder?"), "mail__list_emails");
        assert_eq!(best("will it rain in the city? I ask for forecasts"), "weather__forecast");
    }

    #[test]
    fn meaning_counts_where_it_is_known() {
        assert_eq!(with_meaning(&[2.0, 1.0], &[None, None]), [2.0, 1.0]);
        let scores = with_meaning(&[2.0, 1.0, 0.0], &[Some(0.1), Some(0.9), None]);
        assert!(scores[1] > scores[0] && scores[0] > 0.0, "{scores:?}");
        // What is not known is between what fits well and what does not.
        let scores = with_meaning(&[0.0, 0.0, 0.0], &[Some(0.1), Some(0.9), None]);
        assert!(scores[1] > scores[2] && scores[2] > scores[0], "{scores:?}");
    }

    proptest! {
        #[test]
        fn meaning_leaves_every_tool_its_score(words in proptest::collection::vec(0.0f32..9.0, 0..8), similar in proptest::collection::vec(proptest::option::of(-1.0f32..1.0), 0..10)) {
            let scores = with_meaning(&words, &similar);
            prop_assert_eq!(scores.len(), words.len());
            prop_assert!(scores.iter().all(|score| score.is_finite()));
        }

        #[test]
        fn every_tool_has_a_score_that_is_no_less_than_nothing(query in ".{0,60}", names in proptest::collection::vec(".{0,20}", 0..8)) {
            let tools: Vec<Described<'_>> =
                names.iter().map(|name| Described { name, description: name, schema: "" }).collect();
            let scores = tool_scores(&query, &tools);
            prop_assert_eq!(scores.len(), tools.len());
            prop_assert!(scores.iter().all(|score| score.is_finite() && *score >= 0.0));
        }
    }
}
