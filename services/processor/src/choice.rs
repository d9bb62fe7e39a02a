//! Which tools the model is offered from the start, when there are more than it should
//! read. Pure.

use std::collections::HashMap;

use domain::tool::ToolSpec;
use domain::tool_search;
use recall::{Described, by_words, tool_scores, with_meaning};

/// Groups that are always offered: what she is known for.
const ALWAYS: [&str; 2] = ["basics", "memory"];
/// What counts of what was said before, beside what is asked now.
const BEFORE: f32 = 0.5;

/// The tools that are offered, and those that are found by a search; both in the order of
/// their names, so that one choice makes one prompt.
pub(crate) struct Chosen {
    pub(crate) offered: Vec<ToolSpec>,
    pub(crate) later: Vec<ToolSpec>,
}

/// How similar tools are, by their names, to what is asked and to what was said before, as far
/// as that is known.
#[derive(Debug, Default)]
pub(crate) struct Meaning {
    pub(crate) asked: HashMap<String, f32>,
    pub(crate) before: HashMap<String, f32>,
}

/// Whether something must be left out.
pub(crate) fn is_needed(tools: &[ToolSpec], budget: usize, cost: &dyn Fn(&ToolSpec) -> usize) -> bool {
    tools.iter().map(cost).sum::<usize>() > budget
}

/// Offers all that fit into `budget` tokens: what she is known for, then what fits best to
/// `asked` and to what was said `before`. When something is left out, a tool that finds it
/// is added, and room is left for what it finds. `cost`: the tokens of a tool.
pub(crate) fn choose(
    mut tools: Vec<ToolSpec>,
    asked: &str,
    before: &str,
    meaning: &Meaning,
    budget: usize,
    cost: &dyn Fn(&ToolSpec) -> usize,
) -> Chosen {
    tools.sort_by(|one, other| one.name.cmp(&other.name));
    if !is_needed(&tools, budget, cost) {
        return Chosen { offered: tools, later: Vec::new() };
    }
    let costs: Vec<usize> = tools.iter().map(cost).collect();
    let search = tool_search::spec();
    let mut room = budget.saturating_sub(cost(&search) + tool_search::share(budget));
    let mut is_offered = vec![false; tools.len()];
    for index in ranked(&tools, asked, before, meaning) {
        if costs[index] <= room {
            room -= costs[index];
            is_offered[index] = true;
        }
    }
    let (offered, later): (Vec<_>, Vec<_>) = tools.into_iter().zip(is_offered).partition(|(_, is_offered)| *is_offered);
    let mut offered: Vec<ToolSpec> = offered.into_iter().map(|(tool, _)| tool).collect();
    offered.push(search);
    Chosen { offered, later: later.into_iter().map(|(tool, _)| tool).collect() }
}

/// The tools, those that fit best first.
fn ranked(tools: &[ToolSpec], asked: &str, before: &str, meaning: &Meaning) -> Vec<usize> {
    let described: Vec<Described<'_>> = tools
        .iter()
        .map(|tool| Described { name: &tool.name, description: &tool.description, schema: &tool.schema })
        .collect();
    let none_is_known = meaning.asked.is_empty() && meaning.before.is_empty();
    let scores = |text: &str, similar: &HashMap<String, f32>| {
        let words = tool_scores(text, &described);
        match (none_is_known, similar.is_empty()) {
            (true, _) => words,
            // Both are counted alike.
            (false, true) => by_words(&words),
            (false, false) => {
                let similar: Vec<_> = tools.iter().map(|tool| similar.get(&tool.name).copied()).collect();
                with_meaning(&words, &similar)
            }
        }
    };
    let (now, then) = (scores(asked, &meaning.asked), scores(before, &meaning.before));
    let score = |index: usize| now[index] + BEFORE * then[index];
    let is_always = |index: usize| ALWAYS.contains(&tools[index].group.as_str());
    let mut order: Vec<usize> = (0..tools.len()).collect();
    order.sort_by(|one, other| {
        is_always(*other).cmp(&is_always(*one)).then_with(|| score(*other).total_cmp(&score(*one))).then(one.cmp(other))
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, description: &str, group: &str) -> ToolSpec {
        ToolSpec { name: name.into(), description: description.into(), group: group.into(), ..tool_search::spec() }
    }

    fn names(tools: &[ToolSpec]) -> Vec<&str> {
        tools.iter().map(|tool| tool.name.as_str()).collect()
    }

    fn many() -> Vec<ToolSpec> {
        vec![
            tool("remember", "Keeps a fact.", "memory"),
            tool("mail__send", "Sends an e-mail.", "mcp"),
            tool("weather__now", "Tells the weather of a city.", "mcp"),
            tool("stocks__price", "Tells what a stock costs.", "mcp"),
        ]
    }

    #[test]
    fn what_fits_is_offered_whole() {
        let Chosen { offered, later } = choose(many(), "hello", "", &Meaning::default(), 4, &|_| 1);
        assert_eq!((offered.len(), later.len()), (4, 0));
    }

    #[test]
    fn what_is_asked_for_comes_first_and_the_rest_is_searched() {
        let chosen = |asked, before| {
            let Chosen { offered, later } = choose(many(), asked, before, &Meaning::default(), 3, &|_| 1);
            assert_eq!(offered.len() + later.len(), 5);
            names(&offered).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(chosen("what is the weather?", ""), ["remember", "weather__now", "search_tools"]);
        assert_eq!(chosen("and tomorrow?", "send an e-mail"), ["mail__send", "remember", "search_tools"]);
        // A budget that is too small for anything still lets her search.
        assert_eq!(names(&choose(many(), "weather", "", &Meaning::default(), 0, &|_| 1).offered), ["search_tools"]);
    }

    #[test]
    fn what_is_meant_is_found_without_its_words() {
        let asked = [("mail__send", 0.1), ("weather__now", 0.6), ("stocks__price", 0.2)];
        let asked = asked.map(|(name, similar)| (name.to_owned(), similar)).into();
        let meaning = Meaning { asked, before: HashMap::new() };
        let chosen = choose(many(), "do I need an umbrella?", "", &meaning, 3, &|_| 1);
        assert_eq!(names(&chosen.offered), ["remember", "weather__now", "search_tools"]);
    }
}
