//! Guards of one turn: going round in circles, and results too long to read.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use crate::chat::ToolCall;
use crate::journal::{Call, TurnState};

/// How many past calls the guard looks at.
const WINDOW: usize = 30;
/// Identical calls within the window from which on the model is told of it: it may be waiting
/// for something, and rightly so.
const MANY_CALLS: usize = 10;
/// Identical calls within the window at which the turn is stopped.
const IDENTICAL_CALLS: usize = 30;
/// Identical results in a row of one tool at which the turn is stopped.
const IDENTICAL_RESULTS: usize = 4;

/// Looks for a loop, were `asked` to run after what the turn has done already.
/// The reason comes back as words. State is the turn's own: two people's turns
/// never count together.
pub fn find_loop(state: &TurnState, asked: &[ToolCall]) -> Option<String> {
    let past: Vec<(u64, u64)> = state
        .calls()
        .map(|call| {
            (
                fingerprint(&[&call.name, &call.arguments]),
                call.outcome.as_ref().map_or(0, |done| fingerprint(&[&done.text])),
            )
        })
        .collect();
    let recent = &past[past.len().saturating_sub(WINDOW)..];
    let next: Vec<u64> = asked.iter().map(|call| fingerprint(&[&call.name, &call.arguments])).collect();
    for (index, call) in next.iter().enumerate() {
        let same = recent.iter().filter(|(known, _)| known == call).count()
            + next[..index].iter().filter(|known| *known == call).count();
        if same >= IDENTICAL_CALLS {
            return Some(format!("the same call was made {same} times before"));
        }
        let tail = recent.iter().rev().take(IDENTICAL_RESULTS);
        if tail.clone().count() == IDENTICAL_RESULTS
            && tail
                .clone()
                .all(|(known, result)| known == call && Some(*result) == recent.last().map(|(_, last)| *last))
        {
            return Some(format!("the same call gave the same result {IDENTICAL_RESULTS} times in a row"));
        }
    }
    if next.len() > 1 {
        // Calls of one answer run side by side: their order is no pattern.
        return None;
    }
    let mut calls: Vec<u64> = recent.iter().map(|(call, _)| *call).collect();
    calls.extend(&next);
    if let [.., a, b, c, d, e] = calls[..]
        && a == c
        && c == e
        && b == d
        && a != b
    {
        return Some("two calls follow each other in turn, again and again".to_owned());
    }
    None
}

/// What the model is told beside what a call gave, if it has made the same call too often up to
/// then. `calls`: those of the turn up to this one, which is the last.
pub(crate) fn repetition(calls: &[&Call]) -> Option<String> {
    let last = calls.last()?;
    let recent = &calls[calls.len().saturating_sub(WINDOW)..];
    let same = recent.iter().filter(|call| call.name == last.name && call.arguments == last.arguments).count();
    (same >= MANY_CALLS).then(|| {
        format!(
            "You have made this same call {same} times; after {IDENTICAL_CALLS} of them no tool runs any more. Unless \
             you wait for something, do something else."
        )
    })
}

fn fingerprint(parts: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// Cuts a tool result to `limit` characters, keeping what tells most: of a JSON
/// array the first three and last two items, of other text the first 70 % and
/// the last 20 %. The cut is named in the text. Errors are never cut by callers.
pub fn cut_result(text: &str, limit: usize) -> String {
    let length = text.chars().count();
    if length <= limit {
        return text.to_owned();
    }
    if let Ok(serde_json::Value::Array(items)) = serde_json::from_str::<serde_json::Value>(text)
        && items.len() > 5
    {
        let mut kept: Vec<serde_json::Value> = items[..3].to_vec();
        kept.push(serde_json::Value::String(format!("… {} items left out …", items.len() - 5)));
        kept.extend_from_slice(&items[items.len() - 2..]);
        let short = serde_json::Value::Array(kept).to_string();
        if short.chars().count() <= limit {
            return short;
        }
    }
    cut_middle(text, limit)
}

/// Keeps the first 70 % and the last 20 % of `limit` characters.
pub fn cut_middle(text: &str, limit: usize) -> String {
    let length = text.chars().count();
    if length <= limit {
        return text.to_owned();
    }
    let (head, tail) = (limit * 7 / 10, limit / 5);
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(length - tail).collect();
    format!("{start}\n… {} characters left out …\n{end}", length - head - tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(past: &[(&str, &str)]) -> TurnState {
        let (turn, step) = (crate::ids::TurnId::parse("00000000-0000-5000-8000-000000000000").unwrap(), 0);
        let call = |(index, (arguments, result)): (usize, &(&str, &str))| crate::journal::Call {
            id: crate::ids::CallId { turn, step, index: index as u32 },
            vendor_id: String::new(),
            name: "look".into(),
            arguments: (*arguments).into(),
            effect: crate::tool::Effect::ReadOnly,
            outcome: Some(crate::tool::Outcome::failed(*result)),
        };
        let calls = past.iter().enumerate().map(call).collect();
        let step = crate::journal::StepState {
            tier: crate::tier::Tier::Mid,
            model: String::new(),
            request_hash: String::new(),
            tools: crate::decide::Tools::Offered,
            max_tokens: 0,
            answer: None,
            fault: None,
            calls,
        };
        TurnState { steps: vec![step], ..TurnState::default() }
    }

    fn asked(arguments: &[&str]) -> Vec<ToolCall> {
        let call = |arguments: &&str| ToolCall {
            vendor_id: String::new(),
            name: "look".into(),
            arguments: (*arguments).into(),
        };
        arguments.iter().map(call).collect()
    }

    #[test]
    fn loops_are_found_and_work_is_left_alone() {
        let loops = |past: &[(&str, &str)], next: &[&str]| find_loop(&state(past), &asked(next)).is_some();
        assert!(!loops(&[], &["a"]));
        // The same result four times in a row.
        assert!(!loops(&[("a", "1"); 3], &["a"]));
        assert!(loops(&[("a", "1"); 4], &["a"]));
        assert!(!loops(&[("a", "1"), ("a", "1"), ("a", "1"), ("a", "2")], &["a"]));
        // The same call thirty times, whatever it gives.
        let numbers: Vec<String> = (0..30).map(|number| number.to_string()).collect();
        let changing: Vec<(&str, &str)> = numbers.iter().map(|number| ("a", number.as_str())).collect();
        assert!(!loops(&changing[..29], &["a"]));
        assert!(loops(&changing, &["a"]));
        assert!(loops(&[], &["a"; 31]));
        // In turn, again and again; side by side is no pattern.
        assert!(loops(&[("a", "1"), ("b", "2"), ("a", "3"), ("b", "4")], &["a"]));
        assert!(!loops(&[], &["a", "b", "a", "b", "a"]));
    }

    #[test]
    fn who_repeats_a_call_is_told_before_it_is_stopped() {
        let told = |past: &[(&str, &str)]| repetition(&state(past).calls().collect::<Vec<_>>());
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[("a", "1"); 9]), None);
        assert!(told(&[("a", "1"); 10]).is_some_and(|words| words.contains("10 times")));
        // Another call is not the same, and what was long ago does not count.
        assert_eq!(told(&[&[("a", "1"); 10][..], &[("b", "1")]].concat()), None);
        assert_eq!(told(&[&[("a", "1"); 10][..], &[("b", "1"); 25], &[("a", "1")]].concat()), None);
    }

    #[test]
    fn short_results_stay_whole() {
        assert_eq!(cut_result("abc", 3), "abc");
    }

    #[test]
    fn arrays_keep_their_ends() {
        let items: Vec<String> = (0..100).map(|n| format!("\"item {n}\"")).collect();
        let cut = cut_result(&format!("[{}]", items.join(",")), 200);
        assert_eq!(cut, r#"["item 0","item 1","item 2","… 95 items left out …","item 98","item 99"]"#);
    }

    #[test]
    fn text_keeps_head_and_tail_and_says_what_is_gone() {
        let cut = cut_result(&"é".repeat(1000), 100);
        assert_eq!(cut, format!("{}\n… 910 characters left out …\n{}", "é".repeat(70), "é".repeat(20)));
    }
}
