//! What of a turn's own steps fits beside what it began with: long results give way, the oldest
//! first. The same steps give the same texts, whoever runs the turn.

use crate::budget::MESSAGE_TOKENS;
use crate::chat::ChatMessage;
use crate::guard::cut_middle;

/// Bytes of a token, at least: text in English has four, code and other languages fewer. Counted so
/// since no tokenizer is at hand where turns are decided.
const BYTES_PER_TOKEN: usize = 3;
/// What is left of a result that gave way, in characters.
const LEFT_CHARS: usize = 1000;
/// Results up to this length, in characters, do not give way: little would be won.
const SHORT_CHARS: usize = 2000;

/// Tokens of a message, as they are counted here.
fn tokens(message: &ChatMessage) -> usize {
    let calls = match message {
        ChatMessage::Assistant { calls, .. } => calls.iter().map(|call| call.name.len() + call.arguments.len()).sum(),
        ChatMessage::User { .. } | ChatMessage::ToolResult { .. } => 0,
    };
    let bytes: usize = message.texts().into_iter().map(str::len).sum::<usize>() + calls;
    MESSAGE_TOKENS + bytes.div_ceil(BYTES_PER_TOKEN)
}

/// Shortens results until `messages`, those of the turn's steps, have at most `room` tokens. The
/// results of the last step are read for the first time, and give way last.
pub(super) fn fit(messages: &mut [ChatMessage], room: usize) {
    let mut total: usize = messages.iter().map(tokens).sum();
    let is_result = |message: &ChatMessage| matches!(message, ChatMessage::ToolResult { .. });
    let last = messages.iter().rposition(|message| !is_result(message)).map_or(0, |at| at + 1);
    let (before, now) = messages.split_at_mut(last);
    for message in before.iter_mut().chain(now) {
        if total <= room {
            return;
        }
        let counted = tokens(message);
        if let ChatMessage::ToolResult { text, .. } = message
            && text.chars().count() > SHORT_CHARS
        {
            *text = format!(
                "{}\n[This result gave way to what came later; call the tool again for the rest, in smaller parts.]",
                cut_middle(text, LEFT_CHARS)
            );
            total = total - counted + tokens(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(result: &str) -> Vec<ChatMessage> {
        let result = ChatMessage::ToolResult { vendor_id: String::new(), text: result.into() };
        vec![ChatMessage::assistant("let me look".to_owned()), result]
    }

    #[test]
    fn the_oldest_results_give_way_and_the_last_ones_stay_as_long_as_they_can() {
        let long = format!("<untrusted>{}</untrusted>", "x".repeat(30_000));
        let mut messages = [step(&long), step("short"), step(&long), step(&long)].concat();
        let whole = messages.clone();
        let total: usize = messages.iter().map(tokens).sum();
        fit(&mut messages, total);
        assert_eq!(messages, whole, "what fits is left alone");

        fit(&mut messages, total - 1);
        assert_ne!(messages[1], whole[1]);
        assert_eq!(messages[2..], whole[2..]);
        let ChatMessage::ToolResult { text, .. } = &messages[1] else { unreachable!() };
        assert!(text.contains("</untrusted>") && text.contains("gave way") && text.len() < 1500, "{text}");

        fit(&mut messages, total / 3 + 1000);
        assert_eq!((&messages[3], &messages[7]), (&whole[3], &whole[7]), "the newest is whole");
        fit(&mut messages, 100);
        assert!(messages.iter().map(tokens).sum::<usize>() < 2000);
    }
}
