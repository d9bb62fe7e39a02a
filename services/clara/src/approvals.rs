//! Calls that wait for somebody's word, wherever they were asked: for the command line and in chat.

use anyhow::{bail, ensure};
use bus::Bus;
use domain::approval::Question;
use domain::carry::Choice;
use domain::conversation::{Asked, Conversation};
use domain::ids::{ConversationId, TurnId};
use domain::message::{Principal, without_controls};
use proto::terminal::Saying;
use service_kit::settings::Settings;

use crate::commands::time;

/// Questions that are looked through for one.
const SOUGHT: usize = 10_000;
/// How much of an id names a question, at least.
const PREFIX: usize = 8;
/// Questions that are shown in chat.
const SHOWN: usize = 20;

/// A question whether a call may run.
pub(crate) struct Waiting {
    pub(crate) conversation: ConversationId,
    /// How the conversation was when it was looked at.
    pub(crate) state: Conversation,
    pub(crate) asked: Asked,
}

impl Waiting {
    /// Where it was asked.
    pub(crate) fn channel(&self) -> String {
        self.state.route.as_ref().map_or_else(String::new, |route| format!("{}/{}", route.platform, route.channel))
    }

    /// As lines to read: its id, when it was asked, of whom and where, and the question.
    pub(crate) fn lines(&self) -> String {
        let Asked { turn, of, text, at_ms, .. } = &self.asked;
        let (of, channel) = (without_controls(&of.user), without_controls(&self.channel()));
        let question: String = without_controls(text).lines().map(|line| format!("\n    {line}")).collect();
        format!("{turn}  {}  {of} in {channel}{question}", time(*at_ms))
    }

    pub(crate) fn answer(&self, choice: Choice) -> Saying {
        Saying::Answer { conversation: self.conversation.clone(), turn: self.asked.turn, choice }
    }
}

/// All questions whether a call may run that can be answered now: those of turns that have ended.
async fn all(bus: &Bus) -> anyhow::Result<Vec<Waiting>> {
    let found = bus.conversations().await?.asking(SOUGHT).await?;
    let ended = found.into_iter().filter(|(_, state)| state.active.is_none() && state.waiting.is_empty());
    let asked = ended.filter_map(|(conversation, mut state)| {
        let asked = state.asked.take().filter(|asked| asked.question == Question::Approval)?;
        Some(Waiting { conversation, state, asked })
    });
    Ok(asked.collect())
}

/// Those that an answer still does something to, and that somebody may see: what somebody's calls
/// hold is theirs, and for those who may answer in their place.
pub(crate) async fn of(bus: &Bus, settings: &Settings, person: &Principal) -> anyhow::Result<Vec<Waiting>> {
    let kept = i64::try_from(settings.number("CLARA_APPROVAL_MINUTES").saturating_mul(60_000)).unwrap_or(i64::MAX);
    let since_ms = service_kit::clock::now_ms().saturating_sub(kept);
    let is_admin = settings.list("CLARA_ADMINS").contains(&person.user);
    let mut waiting = all(bus).await?;
    waiting.retain(|one| one.asked.at_ms >= since_ms && (is_admin || one.asked.of.user == person.user));
    Ok(waiting)
}

/// The one whose id begins so, of those that somebody may see. Who names one whole need not be known
/// here as an administrator: the router knows.
pub(crate) async fn find(bus: &Bus, settings: &Settings, person: &Principal, id: &str) -> anyhow::Result<Waiting> {
    // A few letters may be another's tomorrow.
    ensure!(id.len() >= PREFIX, "give at least {PREFIX} characters of the id");
    let is_whole = TurnId::parse(id).is_ok();
    let mut found = if is_whole { all(bus).await? } else { of(bus, settings, person).await? };
    found.retain(|one| one.asked.turn.to_string().starts_with(id));
    match (found.len(), found.pop()) {
        (1, Some(only)) => Ok(only),
        (0, _) => bail!("nothing waits under `{id}`; `!approvals` and `clara approval list` show what does"),
        (several, _) => bail!("{several} turns begin with `{id}`: give more of it"),
    }
}

/// What a line in chat asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InChat {
    List,
    /// Answers the one that begins so, or the one of this conversation.
    Answer(Choice, Option<String>),
}

/// `None` if the line is about something else; the error is a word to the person.
pub(crate) fn in_chat(line: &str) -> Option<Result<InChat, String>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let answer = |choice, id: &[&str]| match id {
        [] => Ok(InChat::Answer(choice, None)),
        [id] => Ok(InChat::Answer(choice, Some((*id).to_owned()))),
        _ => Err("say which: !approve <id>, or !deny <id>, with an id that !approvals shows".to_owned()),
    };
    match words[..] {
        ["!approvals"] => Some(Ok(InChat::List)),
        ["!approve", ref id @ ..] => Some(answer(Choice::Approve, id)),
        ["!deny", ref id @ ..] => Some(answer(Choice::Deny, id)),
        _ => None,
    }
}

/// What waits, as it is shown in chat.
pub(crate) async fn listed(bus: &Bus, settings: &Settings, person: &Principal) -> anyhow::Result<String> {
    let waiting = of(bus, settings, person).await?;
    if waiting.is_empty() {
        return Ok("Nothing waits for your word.".to_owned());
    }
    let shown: Vec<String> = waiting.iter().take(SHOWN).map(Waiting::lines).collect();
    let more = match waiting.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("\n\n… and {more} more: `clara approval list`"),
    };
    Ok(format!("{}{more}\n\n!approve <id> allows one, !deny <id> does not.", shown.join("\n\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_chat_say_what_is_answered() {
        assert_eq!(in_chat("!approvals"), Some(Ok(InChat::List)));
        assert_eq!(in_chat("!approve"), Some(Ok(InChat::Answer(Choice::Approve, None))));
        assert_eq!(in_chat(" !deny  ab12 "), Some(Ok(InChat::Answer(Choice::Deny, Some("ab12".into())))));
        assert!(in_chat("!approve a b").unwrap().is_err());
        assert_eq!((in_chat("approve"), in_chat("!approved"), in_chat("yes")), (None, None, None));
    }
}
