//! A search among the turn's own tools, which needs no tool runner: by words, and by meaning
//! where the memory service has a model of texts.

use std::time::Duration;

use bus::{Bus, Endpoints};
use domain::journal::Call;
use domain::memory::{COMPARED, Comparison, Similarities};
use domain::tool::{Outcome, OutcomeKind, ToolSpec};
use domain::tool_search;
use recall::{Described, tool_scores, tool_text, with_meaning};
use tracing::debug;

/// How long a comparison may take; words do without.
const COMPARING: Duration = Duration::from_millis(500);
/// How similar a tool must be, at least, to be found where no word of the search stands (cosine).
/// Chosen by hand on a few searches, and not measured: too low costs lines of a result, too high
/// costs a tool.
const SIMILAR: f32 = 0.25;

/// Whether a call is such a search.
pub(crate) fn is_one(call: &Call) -> bool {
    call.name == tool_search::NAME
}

/// What it finds among `tools`, as far as it has room in `share` tokens; of what was found
/// `before`, oldest first, what has no place beside it any more is named.
pub(crate) async fn search(bus: &Bus, tools: &[ToolSpec], before: &[String], share: usize, call: &Call) -> Outcome {
    let query = match tool_search::query(&call.arguments) {
        Ok(query) => query,
        Err(why) => return Outcome::failed(why),
    };
    let texts = tools.iter().take(COMPARED).map(|tool| tool_text(&tool.name, &tool.description)).collect();
    let comparison = Comparison { questions: vec![query.clone()], texts };
    let compared = bus.request(Endpoints::MemoryCompare, &comparison, COMPARING).await;
    let Similarities(rows) = compared.unwrap_or_else(|err| {
        debug!(error = %err, "searching tools by words alone");
        Similarities::default()
    });
    let found = ranked(&query, tools, &rows.into_iter().next().unwrap_or_default());
    let best = found.first().map(|tool| tool.name.clone());
    let (found, dropped) = fit(found, tools, before, share);
    if let (Some(best), true) = (best, found.is_empty()) {
        return Outcome::failed(format!(
            "`{best}` fits, and is too long for what a prompt carries of tools: whoever runs Clara can raise CLARA_TOOL_TOKENS"
        ));
    }
    Outcome { kind: OutcomeKind::Succeeded, text: tool_search::result(&found, &dropped), elapsed_ms: 0 }
}

/// Those that have room, those that fit best first, and what must go for them.
fn fit<'a>(
    found: Vec<&'a ToolSpec>,
    tools: &'a [ToolSpec],
    before: &'a [String],
    share: usize,
) -> (Vec<&'a ToolSpec>, Vec<&'a str>) {
    let cost = |tool: &ToolSpec| tool_search::tokens(tool, &model::count_tokens);
    let mut left = share;
    let mut takes = |tool: &ToolSpec| match left.checked_sub(cost(tool)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let found: Vec<&ToolSpec> = found.into_iter().filter(|tool| takes(tool)).collect();
    let is_new = |name: &str| !found.iter().any(|tool| tool.name == name);
    // What was found last is needed most.
    let known = before.iter().rev().filter(|name| is_new(name));
    let known = known.filter_map(|name| tools.iter().find(|tool| tool.name == **name));
    let dropped = known.filter(|tool| !takes(tool)).map(|tool| tool.name.as_str()).collect();
    (found, dropped)
}

/// The tools that fit, those that fit best first. `similar` is how similar each is to the
/// query, as far as that is known.
fn ranked<'tools>(query: &str, tools: &'tools [ToolSpec], similar: &[Option<f32>]) -> Vec<&'tools ToolSpec> {
    let described: Vec<Described<'_>> = tools
        .iter()
        .map(|ToolSpec { name, description, schema, .. }| Described { name, description, schema })
        .collect();
    let words = tool_scores(query, &described);
    let scores = with_meaning(&words, similar);
    let fits = |index: usize| words[index] > 0.0 || similar.get(index).copied().flatten() >= Some(SIMILAR);
    let mut found: Vec<usize> = (0..tools.len()).filter(|index| fits(*index)).collect();
    found.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]).then(one.cmp(other)));
    found.into_iter().take(tool_search::FOUND).map(|index| &tools[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_has_a_share_and_what_was_found_last_stays() {
        let tool = |name: &str| ToolSpec { name: name.into(), description: "x ".repeat(50), ..tool_search::spec() };
        let tools = [tool("a"), tool("b"), tool("c"), tool("d")];
        let cost = tool_search::tokens(&tools[0], &model::count_tokens);
        let names = |found: &[usize], before: &[&str], share: usize| {
            let before: Vec<String> = before.iter().map(|name| (*name).to_owned()).collect();
            let found = found.iter().map(|index| &tools[*index]).collect();
            let (found, dropped) = fit(found, &tools, &before, share);
            let found: Vec<String> = found.into_iter().map(|tool| tool.name.clone()).collect();
            (found.join(""), dropped.concat())
        };
        assert_eq!(names(&[0, 1], &[], 2 * cost), ("ab".into(), String::new()));
        assert_eq!(names(&[0, 1], &["c", "d"], 3 * cost), ("ab".into(), "c".into()));
        assert_eq!(names(&[0, 1, 2], &["a", "d"], 2 * cost), ("ab".into(), "d".into()));
        assert_eq!(names(&[0], &["a", "d"], 2 * cost), ("a".into(), String::new()));
        assert_eq!(names(&[0], &["d"], 0), (String::new(), "d".into()));
    }

    #[test]
    fn what_is_meant_is_found_beside_what_is_said() {
        let tool = |name: &str, description: &str| ToolSpec {
            name: name.into(),
            description: description.into(),
            ..tool_search::spec()
        };
        let tools =
            [tool("mail__send", "Sends an e-mail."), tool("sky__now", "Tells the weather."), tool("a__b", "Adds.")];
        let names = |query: &str, similar: &[Option<f32>]| -> Vec<String> {
            ranked(query, &tools, similar).into_iter().map(|tool| tool.name.clone()).collect()
        };
        assert_eq!(names("weather", &[]), ["sky__now"]);
        assert!(names("umbrella", &[]).is_empty());
        assert_eq!(names("umbrella", &[Some(0.1), Some(0.4), None]), ["sky__now"]);
        assert_eq!(names("send an umbrella", &[Some(0.1), Some(0.9), Some(0.0)]), ["sky__now", "mail__send"]);
        assert!(names("zzz", &[Some(0.1), Some(f32::NAN), Some(0.2)]).is_empty());
    }
}
