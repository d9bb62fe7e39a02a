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

    proptest! {
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
