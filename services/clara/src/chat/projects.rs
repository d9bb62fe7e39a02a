//! `!project`: what a conversation is about.

use std::time::Duration;

use bus::{Bus, Endpoints};
use domain::ids::ConversationId;
use domain::memory::{FactAnswer, FactCommand, FactRequest};
use domain::message::{Principal, without_controls};

/// How long the memory service may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a line asks for, if it is about projects: a name, an empty one for none, or
/// which it is.
pub(super) fn in_chat(line: &str) -> Option<Option<String>> {
    let mut words = line.split_whitespace();
    if words.next() != Some("!project") {
        return None;
    }
    let name = words.collect::<Vec<_>>().join(" ");
    Some(match name.as_str() {
        "" => None,
        "none" => Some(String::new()),
        _ => Some(name),
    })
}

/// Asks the memory service; the answer and the error are words to the person.
pub(super) async fn ask(
    bus: &Bus,
    principal: &Principal,
    conversation: &ConversationId,
    project: Option<String>,
) -> Result<String, String> {
    let conversation = conversation.clone();
    let command = match &project {
        Some(project) => FactCommand::Enter { conversation, project: project.clone() },
        None => FactCommand::Projects { conversation: Some(conversation) },
    };
    let request = FactRequest { principal: principal.clone(), asking: None, command };
    let answer: FactAnswer =
        bus.request(Endpoints::MemoryFacts, &request, PATIENCE).await.map_err(|err| err.to_string())?;
    Ok(words(&answer, project.is_none()))
}

fn words(answer: &FactAnswer, lists: bool) -> String {
    let about = match answer.project.as_str() {
        "" => "This conversation is about no project.".to_owned(),
        name => {
            format!("This conversation is about “{}”: what you say here is remembered with it.", without_controls(name))
        }
    };
    if !lists || answer.counts.is_empty() {
        return about;
    }
    let memories = |count: u64| if count == 1 { "1 memory".to_owned() } else { format!("{count} memories") };
    let lines =
        answer.counts.iter().map(|count| format!("\n- {}: {}", without_controls(&count.name), memories(count.value)));
    format!("{about} Your projects:{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use domain::memory::Count;

    use super::*;

    #[test]
    fn lines_name_a_project() {
        assert_eq!(in_chat("!project new  kitchen"), Some(Some("new kitchen".into())));
        assert_eq!(in_chat("!project none"), Some(Some(String::new())));
        assert_eq!((in_chat("!project"), in_chat("!projects x"), in_chat("my !project")), (Some(None), None, None));
    }

    #[test]
    fn projects_are_listed_when_they_are_asked_for() {
        let mut answer = FactAnswer { project: "kitchen".into(), ..FactAnswer::default() };
        answer.counts.push(Count { name: "kitchen".into(), value: 1 });
        assert!(words(&answer, true).ends_with("Your projects:\n- kitchen: 1 memory"));
        assert!(!words(&answer, false).contains("Your projects"));
    }
}
