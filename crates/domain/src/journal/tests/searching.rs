//! Tools that are offered once they were searched for.

use super::*;
use crate::tool::Consent;
use crate::tool_search;

fn tool(name: &str) -> ToolSpec {
    ToolSpec { name: name.into(), consent: Consent::Asked, ..context(Tier::Mid).tools[0].clone() }
}

fn offers(request: &crate::chat::ChatRequest) -> Vec<&str> {
    request.tools.iter().map(|tool| tool.name.as_str()).collect()
}

#[test]
fn what_a_search_found_is_offered_from_the_next_step_on_and_goes_with_the_turn() {
    let mut context = context(Tier::Mid);
    context.tools = context.tools.iter().cloned().chain([tool_search::spec()]).collect();
    context.later = [tool("mail__list"), tool("mail__send")].into();
    let begin = |context: &TurnContext| {
        record(vec![
            Entry::Claimed { replica: "r".into(), build: "b".into(), item: 7 },
            Entry::ContextFixed(context.clone().into()),
        ])
    };
    let mut state = TurnState::fold(&[begin(&context)]);
    let ask = |state: &TurnState, step| request(state, &context, step, "m".into(), Tools::Offered, 100);
    let answers =
        [answer("", &[(tool_search::NAME, r#"{"query":"mail"}"#)]), answer("", &[("mail__send", r#"{"to":"ida"}"#)])];
    for (step, given) in (0..).zip(answers) {
        let hash = ask(&state, step).hash();
        state.apply(&record(vec![
            started(step, Tier::Mid, &hash, Tools::Offered),
            Entry::ModelAnswered { step, answer: given },
        ]));
        let Next::Plan(entries) = decide(&state, &LIMITS) else { panic!("step {step}") };
        state.apply(&record(entries));
        if let Next::AwaitTools(open) = decide(&state, &LIMITS) {
            let text = tool_search::result(&[&context.later[1]], &[]);
            let outcome = Outcome { kind: OutcomeKind::Succeeded, text, elapsed_ms: 0 };
            state.apply(&record(vec![Entry::ToolFinished { call: open[0].id, outcome }]));
        }
    }
    assert_eq!(offers(&ask(&state, 0)), ["look", "search_tools"]);
    assert_eq!(offers(&ask(&state, 1)), ["look", "search_tools", "mail__send"]);
    let Next::Conclude(question) = decide(&state, &LIMITS) else { panic!("it is asked for") };
    assert!(question.text.contains("`mail__send`"), "{}", question.text);

    let mut fresh = context.clone();
    fresh.request.turn = TurnId::derive(&fresh.request.conversation, &MessageId::parse("cli:2").unwrap());
    let mut entries = vec![Entry::Claimed { replica: "r".into(), build: "b".into(), item: 8 }];
    entries.extend(carry(&state, &fresh, Carry::Answered(Choice::Approve)).unwrap());
    let next = TurnState::fold(&[record(entries)]);
    let carried = next.context.clone().unwrap();
    let asked = request(&next, &carried, 0, "m".into(), Tools::Offered, 100);
    assert_eq!(offers(&asked), ["look", "search_tools", "mail__send"]);
    assert_eq!(
        (asked.hash(), carried.found.clone()),
        (next.steps[0].request_hash.clone(), vec!["mail__send".to_owned()])
    );
    assert!(matches!(decide(&next, &LIMITS), Next::AwaitTools(_)), "it runs");
}
