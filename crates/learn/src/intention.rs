//! What somebody wants to be reminded of, and when: by a word, a topic, a time or
//! the circumstances. Triggers have the form that MyPalClara's users know.

use jiff::civil::{DateTime, Weekday};
use jiff::{Timestamp, Zoned};
use regex::RegexBuilder;
use serde::{Deserialize, Serialize};

use crate::strength::distinct;

/// Longest trigger, in bytes.
const TRIGGER_BYTES: usize = 4096;
/// Largest compiled expression, in bytes.
const EXPRESSION_BYTES: usize = 256 * 1024;

/// Why a trigger is none.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidTrigger(String);

impl std::fmt::Display for InvalidTrigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidTrigger {}

/// When a reminder fires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Trigger {
    /// One of the words, or the expression, stands in what is said.
    Keyword {
        #[serde(default)]
        keywords: Vec<String>,
        #[serde(default)]
        regex: Option<String>,
        #[serde(default)]
        case_sensitive: bool,
    },
    /// So much of the topic's words stand in it, or one of the quick ones.
    Topic {
        topic: String,
        #[serde(default = "threshold")]
        threshold: f64,
        #[serde(default)]
        quick_keywords: Vec<String>,
    },
    /// It is this late: ISO 8601, in the person's time zone if it names none.
    Time {
        #[serde(alias = "after")]
        at: String,
    },
    /// All of the circumstances that are named.
    Context {
        /// What the platform calls the place, whatever its case.
        #[serde(default)]
        channel_name: Option<String>,
        #[serde(default)]
        is_dm: Option<bool>,
        /// `morning` (5 to 12), `afternoon` (to 17), `evening` (to 22) or `night`.
        #[serde(default)]
        time_of_day: Option<String>,
        /// Such as `monday`.
        #[serde(default)]
        day_of_week: Option<String>,
    },
}

fn threshold() -> f64 {
    0.7
}

/// What a message comes with.
pub struct Moment<'a> {
    pub said: &'a str,
    /// In the person's time zone.
    pub now: &'a Zoned,
    pub is_direct: bool,
    /// What the platform calls the place where it is said.
    pub channel: &'a str,
}

impl Trigger {
    /// Reads a trigger, and says what is wrong with it.
    pub fn parse(json: &str) -> Result<Self, InvalidTrigger> {
        if json.len() > TRIGGER_BYTES {
            return Err(InvalidTrigger(format!("a trigger has at most {TRIGGER_BYTES} bytes")));
        }
        let trigger: Self = serde_json::from_str(json).map_err(|err| InvalidTrigger(err.to_string()))?;
        match &trigger {
            Trigger::Keyword { keywords, regex: None, .. } if keywords.iter().all(|word| word.trim().is_empty()) => {
                Err(InvalidTrigger("name a keyword, or a regex".to_owned()))
            }
            Trigger::Keyword { regex: Some(regex), case_sensitive, .. } => {
                expression(regex, *case_sensitive).map(|_| trigger.clone())
            }
            Trigger::Topic { topic, quick_keywords, .. } if distinct(topic).is_empty() && quick_keywords.is_empty() => {
                Err(InvalidTrigger("name a topic".to_owned()))
            }
            Trigger::Time { at } => instant(at, &Zoned::default()).map(|_| trigger.clone()),
            Trigger::Context { time_of_day: Some(part), .. } if part_of_day(part).is_none() => {
                Err(InvalidTrigger("time_of_day is morning, afternoon, evening or night".to_owned()))
            }
            Trigger::Context { day_of_week: Some(day), .. } if weekday(day).is_none() => {
                Err(InvalidTrigger("day_of_week is a day's name, such as monday".to_owned()))
            }
            Trigger::Context { channel_name: None, is_dm: None, time_of_day: None, day_of_week: None } => {
                Err(InvalidTrigger("name a circumstance: channel_name, is_dm, time_of_day or day_of_week".to_owned()))
            }
            _ => Ok(trigger),
        }
    }

    /// Whether it fires now. What cannot be read does not.
    pub fn fires(&self, moment: &Moment<'_>) -> bool {
        match self {
            Trigger::Keyword { keywords, regex, case_sensitive } => {
                let by_expression = regex.as_ref().is_some_and(|regex| {
                    expression(regex, *case_sensitive).is_ok_and(|regex| regex.is_match(moment.said))
                });
                by_expression || keywords.iter().any(|word| holds(moment.said, word, *case_sensitive))
            }
            Trigger::Topic { topic, threshold, quick_keywords } => {
                if quick_keywords.iter().any(|word| holds(moment.said, word, false)) {
                    return true;
                }
                let (topic, said) = (distinct(topic), distinct(moment.said));
                let held = topic.iter().filter(|term| said.binary_search(term).is_ok()).count();
                !topic.is_empty() && held as f64 >= threshold * topic.len() as f64
            }
            Trigger::Time { at } => instant(at, moment.now).is_ok_and(|at| moment.now.timestamp() >= at),
            Trigger::Context { channel_name, is_dm, time_of_day, day_of_week } => {
                let hour = moment.now.hour();
                let is_here = |name: &String| name.trim().to_lowercase() == moment.channel.to_lowercase();
                channel_name.as_ref().is_none_or(is_here)
                    && is_dm.is_none_or(|is_dm| is_dm == moment.is_direct)
                    && time_of_day
                        .as_ref()
                        .is_none_or(|part| part_of_day(part).is_some_and(|part| part == part_of(hour)))
                    && day_of_week.as_ref().is_none_or(|day| weekday(day) == Some(moment.now.weekday()))
            }
        }
    }
}

fn expression(regex: &str, case_sensitive: bool) -> Result<regex::Regex, InvalidTrigger> {
    let built = RegexBuilder::new(regex).case_insensitive(!case_sensitive).size_limit(EXPRESSION_BYTES).build();
    built.map_err(|err| InvalidTrigger(format!("the regex cannot be used: {err}")))
}

/// Whether a text holds a word, or several in a row, whole.
fn holds(text: &str, word: &str, case_sensitive: bool) -> bool {
    let fold = |text: &str| if case_sensitive { text.to_owned() } else { text.to_lowercase() };
    let (text, word) = (fold(text), fold(word.trim()));
    let is_apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    !word.is_empty()
        && text.match_indices(&word).any(|(place, found)| {
            is_apart(text[..place].chars().next_back()) && is_apart(text[place + found.len()..].chars().next())
        })
}

fn instant(at: &str, now: &Zoned) -> Result<Timestamp, InvalidTrigger> {
    if let Ok(at) = at.parse::<Timestamp>() {
        return Ok(at);
    }
    let local: Result<DateTime, _> = at.parse();
    let zoned = local.and_then(|local| local.to_zoned(now.time_zone().clone()));
    zoned
        .map(|zoned| zoned.timestamp())
        .map_err(|_| InvalidTrigger(format!("{at:?} is no time such as 2027-01-31T09:00")))
}

#[derive(PartialEq, Eq)]
enum PartOfDay {
    Morning,
    Afternoon,
    Evening,
    Night,
}

fn part_of(hour: i8) -> PartOfDay {
    match hour {
        5..=11 => PartOfDay::Morning,
        12..=16 => PartOfDay::Afternoon,
        17..=21 => PartOfDay::Evening,
        _ => PartOfDay::Night,
    }
}

fn part_of_day(name: &str) -> Option<PartOfDay> {
    Some(match name {
        "morning" => PartOfDay::Morning,
        "afternoon" => PartOfDay::Afternoon,
        "evening" => PartOfDay::Evening,
        "night" => PartOfDay::Night,
        _ => return None,
    })
}

fn weekday(name: &str) -> Option<Weekday> {
    Some(match name.to_lowercase().as_str() {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fires(trigger: &str, said: &str) -> bool {
        // A Saturday morning.
        let now: Zoned = "2026-11-21T09:30[Europe/Berlin]".parse().unwrap();
        Trigger::parse(trigger).unwrap().fires(&Moment { said, now: &now, is_direct: true, channel: "Plans" })
    }

    #[test]
    fn triggers_fire_when_they_should() {
        for (trigger, said, expected) in [
            (r#"{"type":"keyword","keywords":["Rome"]}"#, "tickets to rome!", true),
            (r#"{"type":"keyword","keywords":["rome"]}"#, "jerome called", false),
            (r#"{"type":"keyword","keywords":["Rome"],"case_sensitive":true}"#, "rome", false),
            (r#"{"type":"keyword","regex":"invoice \\d+"}"#, "Invoice 42 came", true),
            (r#"{"type":"topic","topic":"garden plants"}"#, "which plant suits my garden?", true),
            (r#"{"type":"topic","topic":"garden plants"}"#, "a plant of Volkswagen", false),
            (r#"{"type":"topic","topic":"garden plants","quick_keywords":["tulips"]}"#, "tulips!", true),
            (r#"{"type":"time","at":"2026-11-21T09:00"}"#, "", true),
            (r#"{"type":"time","after":"2026-11-21T09:00:00Z"}"#, "", false),
            (r#"{"type":"context","is_dm":true,"time_of_day":"morning","day_of_week":"Saturday"}"#, "", true),
            (r#"{"type":"context","time_of_day":"evening"}"#, "", false),
            (r#"{"type":"context","channel_name":"plans","is_dm":true}"#, "", true),
            (r#"{"type":"context","channel_name":"plan"}"#, "", false),
        ] {
            assert_eq!(fires(trigger, said), expected, "{trigger} {said:?}");
        }
    }

    #[test]
    fn what_is_no_trigger_is_refused() {
        for trigger in [
            "",
            "{}",
            r#"{"type":"keyword"}"#,
            r#"{"type":"keyword","regex":"("}"#,
            r#"{"type":"keyword","regex":"(a{1000}){1000}"}"#,
            r#"{"type":"topic","topic":""}"#,
            r#"{"type":"time","at":"soon"}"#,
            r#"{"type":"context"}"#,
            r#"{"type":"context","day_of_week":"someday"}"#,
        ] {
            assert!(Trigger::parse(trigger).is_err(), "{trigger}");
        }
    }

    proptest! {
        #[test]
        fn anything_may_be_said(word in ".{0,20}", said in ".{0,60}") {
            let trigger = Trigger::Keyword { keywords: vec![word], regex: None, case_sensitive: false };
            let now: Zoned = "2026-11-21T09:30[UTC]".parse().unwrap();
            trigger.fires(&Moment { said: &said, now: &now, is_direct: false, channel: "" });
        }
    }
}
