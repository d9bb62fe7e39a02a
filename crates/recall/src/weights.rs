//! What counts how much. The figures were fitted; `docs/memory.md` says on what,
//! how, and how well they do elsewhere.

/// One reason to think that a passage answers a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Signal {
    /// BM25 of the passage with its speaker's name, as a part of the best.
    Words,
    /// BM25 of the passage with the ones beside it and its date, as a part of
    /// the best.
    WordsAround,
    /// BM25 of the whole session, as a part of the best.
    WordsOfSession,
    /// The cosine of the passage with the one before it.
    Meaning,
    /// The same, or that of a passage beside it.
    MeaningAround,
    /// The best of the same in the whole session.
    MeaningOfSession,
    /// MaxSim of the passage.
    MeaningOfWords,
    /// MaxSim of the passage with the ones beside it.
    MeaningOfWordsAround,
    /// MaxSim of the whole session.
    MeaningOfWordsOfSession,
    /// Its speaker is the one whom the question names.
    Speaker,
    /// It asks.
    Asks,
    /// The one before it asks.
    Answers,
    /// The logarithm of its length in terms, plus one.
    Length,
}

const SIGNALS: usize = Signal::Length as usize + 1;

/// How much each signal counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Weights([f32; SIGNALS]);

impl Weights {
    /// For passages without vectors.
    pub(crate) const LEXICAL: Self = Self::new(&[
        (Signal::Words, 1.8),
        (Signal::WordsAround, 4.1),
        (Signal::WordsOfSession, 2.3),
        (Signal::Speaker, 1.0),
        (Signal::Asks, -0.6),
        (Signal::Answers, 0.7),
        (Signal::Length, 0.7),
    ]);

    /// For passages with vectors of their texts alone.
    pub(crate) const DENSE: Self = Self::new(&[
        (Signal::Words, 1.7),
        (Signal::WordsAround, 2.8),
        (Signal::WordsOfSession, 2.6),
        (Signal::Meaning, 3.8),
        (Signal::MeaningAround, 3.7),
        (Signal::MeaningOfSession, 3.0),
        (Signal::Speaker, 1.2),
        (Signal::Asks, -0.9),
        (Signal::Answers, 1.1),
        (Signal::Length, 1.0),
    ]);

    /// For passages with the vectors of their words.
    pub(crate) const HYBRID: Self = Self::new(&[
        (Signal::WordsAround, 2.0),
        (Signal::WordsOfSession, 1.3),
        (Signal::Meaning, 4.7),
        (Signal::MeaningOfWords, 4.5),
        (Signal::MeaningOfWordsAround, 5.8),
        (Signal::MeaningOfWordsOfSession, 7.2),
        (Signal::Speaker, 0.9),
        (Signal::Asks, -0.8),
        (Signal::Answers, 0.7),
        (Signal::Length, 0.7),
    ]);

    const fn new(all: &[(Signal, f32)]) -> Self {
        let mut weights = [0.0; SIGNALS];
        let mut next = 0;
        while next < all.len() {
            weights[all[next].0 as usize] = all[next].1;
            next += 1;
        }
        Self(weights)
    }

    /// How much a signal counts.
    pub(crate) fn of(&self, signal: Signal) -> f32 {
        self.0[signal as usize]
    }
}
