//! How often the tool that is needed is among the first: a file of queries, each with the
//! tools to choose from, scored with the ranking that prompts are made with.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use embed::{Embedder, TEXTS};
use recall::{Described, cosine, tool_scores, tool_text, with_meaning};
use serde_json::{Value, json};

/// How deep is looked.
const DEPTHS: [usize; 2] = [5, 10];

/// One query: what is asked, what there is, and the names of what is needed.
struct Case {
    query: String,
    /// Name, description, schema.
    tools: Vec<[String; 3]>,
    expected: Vec<String>,
}

/// Sums over queries.
#[derive(Debug, Default, PartialEq)]
pub struct Scores {
    queries: usize,
    /// Those whose best tool is needed.
    top: usize,
    /// The part of what is needed that was found, by depth.
    recall: [f64; DEPTHS.len()],
}

/// Vectors by their texts.
type Vectors = HashMap<String, Vec<f32>>;

/// Scores a file of JSON lines, by words and, with a model, by meaning; the error names the
/// line.
///
/// ```json
/// {"query": "will it rain?", "tools": [{"name": "", "description": "", "schema": {}}], "expected": ["name"]}
/// ```
pub async fn score(file: &Path, model: Option<&dyn Embedder>) -> anyhow::Result<Scores> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let (mut scores, mut vectors) = (Scores::default(), Vectors::new());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let case = case(line).with_context(|| format!("line {} of {}", number + 1, file.display()))?;
        if let Some(model) = model {
            embed(model, &case, &mut vectors).await?;
        }
        scores.add(&case, &vectors);
    }
    anyhow::ensure!(scores.queries > 0, "{} holds no queries", file.display());
    Ok(scores)
}

/// Adds what a case needs.
async fn embed(model: &dyn Embedder, case: &Case, vectors: &mut Vectors) -> anyhow::Result<()> {
    let texts = case.tools.iter().map(|[name, description, _]| tool_text(name, description));
    let mut missing: Vec<String> =
        texts.chain([case.query.clone()]).filter(|text| !vectors.contains_key(text)).collect();
    missing.sort_unstable();
    missing.dedup();
    for some in missing.chunks(TEXTS) {
        let made = model.embed(some.to_vec()).await?;
        vectors.extend(some.iter().cloned().zip(made.into_iter().map(|made| made.text)));
    }
    Ok(())
}

fn case(line: &str) -> anyhow::Result<Case> {
    let line: Value = serde_json::from_str(line)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |tool: &Value| {
        let schema = match &tool["schema"] {
            Value::String(schema) => schema.clone(),
            Value::Null => String::new(),
            schema => schema.to_string(),
        };
        [text(&tool["name"]), text(&tool["description"]), schema]
    };
    let tools: Vec<_> = line["tools"].as_array().context("`tools` is a list")?.iter().map(of).collect();
    let expected: Vec<_> = line["expected"].as_array().context("`expected` is a list")?.iter().map(text).collect();
    let query = line["query"].as_str().context("`query` is a text")?.to_owned();
    for name in &expected {
        anyhow::ensure!(tools.iter().any(|[known, ..]| known == name), "`{name}` is expected and none of the tools");
    }
    anyhow::ensure!(!expected.is_empty(), "`expected` names nothing");
    Ok(Case { query, tools, expected })
}

impl Scores {
    fn add(&mut self, case: &Case, vectors: &Vectors) {
        let described: Vec<_> =
            case.tools.iter().map(|[name, description, schema]| Described { name, description, schema }).collect();
        let similar = |tool: &Described<'_>| {
            let of = vectors.get(&tool_text(tool.name, tool.description));
            Some(cosine(vectors.get(&case.query)?, of?))
        };
        let similar: Vec<_> = described.iter().map(similar).collect();
        let scores = with_meaning(&tool_scores(&case.query, &described), &similar);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]).then(one.cmp(other)));
        let is_expected = |index: &usize| case.expected.contains(&case.tools[*index][0]);
        self.queries += 1;
        self.top += usize::from(order.first().is_some_and(is_expected));
        for (sum, depth) in self.recall.iter_mut().zip(DEPTHS) {
            *sum +=
                order.iter().take(depth).filter(|index| is_expected(index)).count() as f64 / case.expected.len() as f64;
        }
    }

    fn percent(&self, sum: f64) -> f64 {
        (sum / self.queries.max(1) as f64 * 1000.0).round() / 10.0
    }

    /// In per cent.
    pub fn json(&self) -> Value {
        json!({
            "queries": self.queries,
            "top1": self.percent(self.top as f64),
            "recall@5": self.percent(self.recall[0]),
            "recall@10": self.percent(self.recall[1]),
        })
    }
}

impl std::fmt::Display for Scores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{:>8} {:>7} {:>9} {:>9}", "queries", "top 1", "recall@5", "@10")?;
        let [five, ten] = self.recall.map(|sum| self.percent(sum));
        write!(f, "{:>8} {:>7} {five:>9} {ten:>9}", self.queries, self.percent(self.top as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn scored(lines: &str) -> anyhow::Result<Scores> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines).unwrap();
        score(file.path(), None).await
    }

    #[tokio::test]
    async fn what_is_needed_is_counted_where_it_stands() {
        let tools = r#"[{"name":"a__rain","description":"Tells whether it rains."},{"name":"b__mail","description":"Sends mail.","schema":{"type":"object"}}]"#;
        let line =
            |query: &str, expected: &str| format!(r#"{{"query":"{query}","tools":{tools},"expected":["{expected}"]}}"#);
        let lines = [line("will it rain?", "a__rain"), line("will it rain?", "b__mail")].join("\n");
        let expected = json!({"queries": 2, "top1": 50.0, "recall@5": 100.0, "recall@10": 100.0});
        assert_eq!(scored(&lines).await.unwrap().json(), expected);
        let why = format!("{:#}", scored(&line("rain", "c")).await.unwrap_err());
        assert!(why.contains("line 1") && why.contains("`c`"), "{why}");
        assert!(scored("\n").await.is_err() && scored("{").await.is_err());
    }
}
