//! A memory as a line of JSON, as it is taken along.

use serde_json::{Map, Value, json};

use super::{Fact, FactOrigin};

/// The line of a memory; an empty project is left out.
pub fn to_line(fact: &Fact) -> Value {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
    put("id", json!(fact.id));
    put("text", json!(fact.text));
    put("created_at_ms", json!(fact.created_at_ms));
    put("category", json!(fact.category));
    put("is_key", json!(fact.is_key));
    put("is_public", json!(fact.is_public));
    put("origin", json!(fact.origin.as_str()));
    if !fact.project.is_empty() {
        put("project", json!(fact.project));
    }
    put("confidence", json!(fact.confidence));
    Value::Object(line)
}

/// The memory of a line: an imported one, whatever it was. What is left out is empty, and
/// its confidence 100. The error says what is wrong with the line.
pub fn from_line(line: &str) -> Result<Fact, String> {
    let line: Value = serde_json::from_str(line).map_err(|err| err.to_string())?;
    let text = |name: &str| match &line[name] {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        _ => Err(format!("`{name}` is no text")),
    };
    let flag = |name: &str| match &line[name] {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        _ => Err(format!("`{name}` is neither true nor false")),
    };
    let number = |name: &str, otherwise: i64| match &line[name] {
        Value::Null => Ok(otherwise),
        value => value.as_i64().ok_or_else(|| format!("`{name}` is no whole number")),
    };
    if !line["text"].is_string() {
        return Err("it has no `text`".to_owned());
    }
    let confidence = number("confidence", 100)?;
    Ok(Fact {
        category: text("category")?,
        is_key: flag("is_key")?,
        is_public: flag("is_public")?,
        origin: FactOrigin::Imported,
        project: text("project")?,
        confidence: u32::try_from(confidence).map_err(|_| "`confidence` is less than nothing".to_owned())?,
        ..Fact::asked(text("id")?, text("text")?, number("created_at_ms", 0)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_what_was_imported() {
        let fact = Fact {
            category: "personal".into(),
            is_key: true,
            project: "boats".into(),
            confidence: 85,
            origin: FactOrigin::Learnt,
            ..Fact::asked("f", "likes \"tea\"\n", 7)
        };
        let read = from_line(&to_line(&fact).to_string()).unwrap();
        assert_eq!(read, Fact { origin: FactOrigin::Imported, ..fact });
        assert_eq!(from_line(r#"{"text": "t"}"#).unwrap().confidence, 100);
        for none in ["", "[]", "{}", r#"{"text": 7}"#, r#"{"text": "t", "is_key": "yes"}"#] {
            assert!(from_line(none).is_err(), "{none}");
        }
    }
}
