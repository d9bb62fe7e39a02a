//! The files of a message in its row: one JSON list, `[[file, name, kind, bytes], …]`.

use domain::attachment::{Attachment, FileKind};
use domain::ids::FileId;
use store::Value;

/// `NULL` when there are none.
pub(super) fn to_column(attachments: &[Attachment]) -> Value {
    if attachments.is_empty() {
        return Value::Null;
    }
    let listed: Vec<(&str, &str, &str, u32)> = attachments
        .iter()
        .map(|attachment| {
            (attachment.file.as_str(), attachment.name.as_str(), attachment.kind.as_str(), attachment.bytes)
        })
        .collect();
    // PostgreSQL stores no NUL in text; names of ours hold none.
    serde_json::to_string(&listed).map_or(Value::Null, Value::Text)
}

/// What cannot be read is left out: a newer build wrote it.
pub(super) fn from_column(column: Option<&str>) -> Vec<Attachment> {
    let listed: Vec<(String, String, String, u32)> =
        column.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let attachment = |(file, name, kind, bytes): (String, String, String, u32)| {
        Some(Attachment { file: FileId::parse(&file).ok()?, name, kind: FileKind::parse(&kind)?, bytes })
    };
    listed.into_iter().filter_map(attachment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_read_back_and_what_is_unknown_is_left_out() {
        let files = vec![Attachment::of("a \"b\".txt", b"x").unwrap(), Attachment::of("c", b"\0").unwrap()];
        let Value::Text(column) = to_column(&files) else { panic!() };
        assert_eq!(from_column(Some(&column)), files);
        assert!(matches!(to_column(&[]), Value::Null));
        assert_eq!(from_column(None), []);
        assert_eq!(from_column(Some("[[\"zz\",\"n\",\"text\",1]]")), []);
        assert_eq!(from_column(Some("{")), []);
    }
}
