//! Conversations, questions and evidence from a file of LoCoMo's form.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

/// One conversation with its questions.
pub struct Sample {
    pub name: String,
    /// The two who speak.
    pub speakers: [String; 2],
    pub sessions: Vec<Session>,
    pub questions: Vec<Question>,
}

pub struct Session {
    pub at_ms: i64,
    pub said: Vec<Said>,
}

pub struct Said {
    /// Such as `D1:3`.
    pub id: String,
    pub speaker: String,
    pub text: String,
}

pub struct Question {
    pub text: String,
    pub category: &'static str,
    /// Ids of what answers it; those alone that were said.
    pub evidence: Vec<String>,
}

/// Reads a file; questions without evidence are left out.
pub fn read(file: &Path) -> anyhow::Result<Vec<Sample>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let json: Value = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    let Some(samples) = json.as_array() else { bail!("{} is no list of conversations", file.display()) };
    let read = samples.iter().enumerate().map(|(number, value)| {
        sample(number, value).with_context(|| format!("conversation {} of {}", number + 1, file.display()))
    });
    read.collect()
}

fn sample(number: usize, value: &Value) -> anyhow::Result<Sample> {
    let conversation = &value["conversation"];
    let speaker =
        |name: &str| conversation[name].as_str().map(str::to_owned).with_context(|| format!("it has no {name}"));
    let speakers = [speaker("speaker_a")?, speaker("speaker_b")?];
    let mut sessions = BTreeMap::new();
    for (key, turns) in conversation.as_object().context("it has no sessions")? {
        let number = key.strip_prefix("session_").and_then(|number| number.parse::<u32>().ok());
        let (Some(number), Some(turns)) = (number, turns.as_array()) else { continue };
        let date = conversation[format!("session_{number}_date_time")].as_str();
        let date = date.with_context(|| format!("session {number} has no date"))?;
        let said = turns.iter().map(said).collect::<Option<Vec<Said>>>();
        let said = said.with_context(|| format!("session {number} has a turn without id, speaker or text"))?;
        sessions.insert(number, Session { at_ms: at_ms(date)?, said });
    }
    let sessions: Vec<Session> = sessions.into_values().collect();
    let known = |id: &String| sessions.iter().flat_map(|session| &session.said).any(|said| said.id == *id);
    let questions = value["qa"].as_array().context("it has no questions")?.iter().filter_map(question);
    let questions = questions.map(|mut question| {
        question.evidence.retain(known);
        question
    });
    Ok(Sample {
        name: value["sample_id"].as_str().map_or_else(|| format!("sample-{number}"), str::to_owned),
        speakers,
        questions: questions.filter(|question| !question.evidence.is_empty()).collect(),
        sessions,
    })
}

fn said(turn: &Value) -> Option<Said> {
    let text = turn["text"].as_str()?;
    // A photo is known by what it shows.
    let photo = turn["blip_caption"].as_str().map_or_else(String::new, |caption| format!(" [photo: {caption}]"));
    Some(Said {
        id: turn["dia_id"].as_str()?.to_owned(),
        speaker: turn["speaker"].as_str()?.to_owned(),
        text: format!("{text}{photo}"),
    })
}

fn question(value: &Value) -> Option<Question> {
    let category = match value["category"].as_u64()? {
        1 => "multi-hop",
        2 => "temporal",
        3 => "open-domain",
        4 => "single-hop",
        5 => "adversarial",
        _ => "other",
    };
    // Some entries hold several ids.
    let written = value["evidence"].as_array()?.iter().filter_map(Value::as_str);
    let mut evidence: Vec<String> = written
        .flat_map(|text| text.split(|c: char| c == ';' || c == ',' || c.is_whitespace()))
        .map(|id| id.trim_matches(|c: char| !c.is_alphanumeric()).to_owned())
        .filter(|id| !id.is_empty())
        .collect();
    evidence.sort_unstable();
    evidence.dedup();
    Some(Question { text: value["question"].as_str()?.to_owned(), category, evidence })
}

/// `1:56 pm on 8 May, 2023`, taken as UTC.
fn at_ms(text: &str) -> anyhow::Result<i64> {
    let at = DateTime::strptime("%I:%M %p on %d %B, %Y", text).with_context(|| format!("{text:?} is no date"))?;
    Ok(at.to_zoned(TimeZone::UTC)?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("one.json");
        let text = r#"[{"sample_id": "s", "conversation": {"speaker_a": "Ann", "speaker_b": "Bob",
            "session_2_date_time": "9:05 am on 1 June, 2023", "session_2": [],
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [{"speaker": "Ann", "dia_id": "D1:1", "text": "Hi", "blip_caption": "a dog"}]},
            "qa": [{"question": "Who?", "category": 4, "evidence": ["D1:1; D9:9"]},
                   {"question": "Why?", "category": 1, "evidence": []}]}]"#;
        std::fs::write(&file, text).unwrap();
        let samples = read(&file).unwrap();
        let [sample] = &samples[..] else { panic!("one conversation") };
        assert_eq!(sample.sessions[0].at_ms, 1_683_554_160_000);
        assert_eq!(sample.sessions[0].said[0].text, "Hi [photo: a dog]");
        let questions: Vec<_> = sample.questions.iter().map(|asked| (asked.category, &asked.evidence[..])).collect();
        assert_eq!(questions, [("single-hop", &["D1:1".to_owned()][..])]);
    }
}
