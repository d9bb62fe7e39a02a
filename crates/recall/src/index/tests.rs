//! What is found, and what never happens.

use proptest::prelude::*;

use super::*;

fn passage(id: &str, session: &str, speaker: &str, text: &str) -> Passage {
    Passage {
        id: id.into(),
        session: session.into(),
        speaker: speaker.into(),
        text: text.into(),
        at_ms: 1_683_500_000_000,
        vectors: None,
    }
}

fn index(all: &[(&str, &str, &str, &str)]) -> Index {
    let mut index = Index::default();
    for (id, session, speaker, text) in all {
        index.push(passage(id, session, speaker, text));
    }
    index
}

fn found<'a>(index: &'a Index, text: &str) -> Vec<&'a str> {
    let question = Question { text, embedding: None, near: None };
    index.search(&question, 3).into_iter().map(|hit| hit.passage.id.as_str()).collect()
}

#[test]
fn answer_is_found_by_the_words_of_its_question() {
    let index = index(&[
        ("1", "a", "Ann", "Did you decide on a name for the puppy?"),
        ("2", "a", "Bob", "Yes! Biscuit."),
        ("3", "b", "Ann", "The weather was lovely at the lake, we walked around it twice."),
        ("4", "b", "Bob", "I stayed in and read."),
    ]);
    assert_eq!(found(&index, "What is the puppy's name?")[..2], ["1", "2"], "the answer shares no word with it");
    assert_eq!(found(&index, "Who walked around the lake?")[0], "3");
}

#[test]
fn what_the_named_person_said_comes_first() {
    let index = index(&[
        ("1", "a", "Ann", "I painted a sunrise."),
        ("2", "a", "Cid", "Nice!"),
        ("3", "a", "Dee", "Great."),
        ("4", "a", "Bob", "I painted a sunrise."),
    ]);
    assert_eq!(found(&index, "What did Bob paint?")[0], "4");
    assert_eq!(found(&index, "What did Ann paint?")[0], "1");
}

#[test]
fn day_is_found_by_its_date() {
    let mut index = index(&[("1", "a", "Ann", "We met Joe."), ("2", "b", "Ann", "We met Joe.")]);
    index.push(Passage { at_ms: 1_692_000_000_000, ..passage("3", "c", "Ann", "We met Joe.") });
    assert_eq!(found(&index, "Whom did they meet on 14 August 2023?")[0], "3");
}

#[test]
fn words_without_a_common_stem_are_found_by_their_vectors() {
    let embedding = |vectors: &[[f32; 2]]| Embedding {
        text: vectors[0].to_vec(),
        tokens: Some(crate::TokenVectors::new(2, vectors.iter().zip(1..).map(|(vector, piece)| (piece, &vector[..])))),
    };
    let mut index = Index::default();
    for (id, vector) in [("cat", [0.0, 1.0]), ("dog", [1.0, 0.1])] {
        index.push(Passage { vectors: Some(embedding(&[vector])), ..passage(id, id, "", id) });
    }
    let asked = embedding(&[[1.0, 0.0]]);
    let hits = index.search(&Question { text: "puppy", embedding: Some(&asked), near: None }, 1);
    assert_eq!(hits[0].passage.id, "dog");
}

proptest! {
    #[test]
    fn search_gives_each_passage_once_and_best_first(
        texts in proptest::collection::vec(("[a-c]", "[abc ?]{0,12}"), 0..20),
        question in "[abc ]{0,8}",
        limit in 0usize..25,
    ) {
        let mut index = Index::default();
        for (number, (session, text)) in texts.iter().enumerate() {
            index.push(passage(&number.to_string(), session, session, text));
        }
        let hits = index.search(&Question { text: &question, embedding: None, near: None }, limit);
        prop_assert_eq!(hits.len(), limit.min(texts.len()));
        prop_assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
        let mut ids: Vec<&str> = hits.iter().map(|hit| hit.passage.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), hits.len());
    }
}
