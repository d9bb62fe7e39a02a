//! The vectors of all-MiniLM-L6-v2, against those that sentence-transformers 6.2
//! makes of the same texts.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that meets the unexpected has failed")]

use std::path::Path;

use embed::{Bert, EmbedError, Embedder};
use recall::cosine;

/// A text, and the first four values of its vector.
const KNOWN: [(&str, [f32; 4]); 3] = [
    ("Caroline went to a support group yesterday.", [-0.040807, 0.000135, -0.007208, 0.052411]),
    ("¿Dónde está la biblioteca? 図書館 📚", [-0.002978, -0.000943, 0.013828, 0.022999]),
    ("tea", [-0.0676, -0.007744, 0.011267, 0.022772]),
];
/// `word ` four hundred times, which is cut at 256 pieces.
const LONG: [f32; 4] = [-0.008124, -0.095586, -0.038673, 0.049662];

#[tokio::test]
async fn vectors_are_those_of_the_reference() {
    // `./dev test` installs it.
    let folder = std::env::var("CLARA_TEST_EMBEDDING_FOLDER").expect("run the tests by `./dev test`");
    let model = Bert::open(Path::new(&folder)).unwrap();
    let mut texts: Vec<String> = KNOWN.iter().map(|(text, _)| (*text).to_owned()).collect();
    texts.push("word ".repeat(400));
    let vectors = model.embed(texts.clone()).await.unwrap();
    for (found, known) in vectors.iter().zip(KNOWN.iter().map(|(_, known)| known).chain([&LONG])) {
        assert!(found.text.iter().zip(known).all(|(found, known)| (found - known).abs() < 1e-5), "{known:?}");
    }
    // Together with others a text has the vectors that it has alone.
    let alone = model.embed(texts[..1].to_vec()).await.unwrap();
    assert!(cosine(&alone[0].text, &vectors[0].text) > 0.9999);
    let pieces = |number: usize| vectors[number].tokens.as_ref().unwrap().pieces().len();
    assert_eq!((pieces(0), pieces(3)), (8, 254), "without the marks of begin and end");
    assert!(model.embed(Vec::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn folder_without_a_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let Err(EmbedError::Open { why, .. }) = Bert::open(folder.path()) else { panic!("it was opened") };
    assert!(why.starts_with("config.json: "), "{why}");
}
