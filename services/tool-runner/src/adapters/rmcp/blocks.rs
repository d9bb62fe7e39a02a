//! What servers give, as text that a model reads.

use rmcp::model::{ContentBlock, ResourceContents};

/// What a model reads of a block. What is no text is named.
pub(super) fn text(block: ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Image(image) => {
            format!("[an image of type {}, {} bytes in base64]", image.mime_type, image.data.len())
        }
        ContentBlock::Audio(audio) => {
            format!("[a sound of type {}, {} bytes in base64]", audio.mime_type, audio.data.len())
        }
        ContentBlock::Resource(embedded) => contents(embedded.resource),
        ContentBlock::ResourceLink(link) => format!("[{}: {}]", link.name, link.uri),
        _ => "[something of a kind that is not known here]".to_owned(),
    }
}

pub(super) fn contents(resource: ResourceContents) -> String {
    match resource {
        ResourceContents::TextResourceContents { uri, text, .. } => format!("[{uri}]\n{text}"),
        ResourceContents::BlobResourceContents { uri, blob, .. } => {
            format!("[{uri}, {} bytes in base64]", blob.len())
        }
        _ => "[a resource of a kind that is not known here]".to_owned(),
    }
}
