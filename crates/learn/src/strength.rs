//! How strong a memory is beside others, and whether an answer used it.
//!
//! Two strengths after Bjork and Bjork ("A new theory of disuse", 1992): how easily
//! it comes to mind now, and how well it is stored. What of them counts is the
//! product's choice, as its users know it.

use recall::terms;

use crate::fsrs::{Grade, Memory};

/// The part of meaning, and that of dynamics, in a memory's rank.
const MEANING: f64 = 0.6;
const DYNAMICS: f64 = 0.4;
/// The part of a memory's words that an answer must hold to have used it.
const USED: f64 = 0.6;

/// Why a memory is graded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    UsedInResponse,
    MentionedByUser,
    UserCorrection,
    ContradictionDetected,
    ExplicitRecall,
}

impl Signal {
    pub fn grade(self) -> Grade {
        match self {
            Signal::UsedInResponse | Signal::ExplicitRecall => Grade::Good,
            Signal::MentionedByUser => Grade::Easy,
            Signal::UserCorrection | Signal::ContradictionDetected => Grade::Again,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Signal::UsedInResponse => "used_in_response",
            Signal::MentionedByUser => "mentioned_by_user",
            Signal::UserCorrection => "user_correction",
            Signal::ContradictionDetected => "contradiction_detected",
            Signal::ExplicitRecall => "explicit_recall",
        }
    }
}

/// How strong a memory is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strength {
    pub memory: Memory,
    /// How easily it comes to mind, 0 to 1, when it was graded last.
    pub retrieval: f64,
    /// How well it is stored, 0 to 1.
    pub storage: f64,
}

impl Default for Strength {
    fn default() -> Self {
        Self { memory: Memory::default(), retrieval: 1.0, storage: 0.5 }
    }
}

impl Strength {
    /// Its strength after a signal, so many days after the last one.
    pub fn after(self, days: f64, grade: Grade) -> Self {
        let retrieval = self.retrieval * (-0.1 / (1.0 + self.storage) * days.max(0.0)).exp();
        // What was nearly forgotten is stored better by being recalled.
        let bonus = 1.0 - retrieval;
        let (retrieval, storage) = match grade {
            Grade::Again => (0.3, self.storage + 0.05),
            Grade::Hard => (retrieval + 0.5, self.storage + 0.1 + 0.1 * bonus),
            Grade::Good => (retrieval + 0.7, self.storage + 0.15 + 0.15 * bonus),
            Grade::Easy => (retrieval + 0.9, self.storage + 0.1 + 0.05 * bonus),
        };
        Self { memory: self.memory.graded(days, grade), retrieval: retrieval.min(1.0), storage: storage.min(1.0) }
    }

    /// Its part in a rank, so many days after the last signal.
    pub fn dynamics(self, days: f64) -> f64 {
        0.7 * self.memory.retrievability(days) + 0.3 * self.storage
    }
}

/// The rank of a memory: `meaning` is its match as a part of the best, `dynamics`
/// its strength now, both from 0 to 1.
pub fn rank(meaning: f64, dynamics: f64) -> f64 {
    MEANING * meaning + DYNAMICS * dynamics
}

/// Whether an answer says what a memory says, by its words.
pub fn was_used(memory: &str, answer: &str) -> bool {
    let of_memory = distinct(memory);
    if of_memory.is_empty() {
        return false;
    }
    let of_answer = distinct(answer);
    let held = of_memory.iter().filter(|term| of_answer.binary_search(term).is_ok()).count();
    held as f64 >= USED * of_memory.len() as f64
}

/// Words that make a statement louder and say nothing more, as terms.
const LOUDER: &[&str] = &["realli", "absolut", "definit", "total"];

/// The terms of a text, sorted, each once.
pub(crate) fn distinct(text: &str) -> Vec<String> {
    let mut all = terms(text);
    all.retain(|term| !LOUDER.contains(&term.as_str()));
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_uses_what_it_says() {
        let memory = "My sister Ida lives in Rome";
        assert!(was_used(memory, "Your sister Ida has lived in Rome since May."));
        assert!(!was_used(memory, "Rome is the capital of Italy."));
        assert!(!was_used("", "anything"), "what says nothing is never used");
    }

    #[test]
    fn what_was_used_outranks_what_was_not() {
        let (used, unused) = (Strength::default().after(3.0, Grade::Good), Strength::default());
        assert!(rank(0.5, used.dynamics(10.0)) > rank(0.5, unused.dynamics(13.0)));
        let corrected = Strength::default().after(3.0, Grade::Again);
        assert!(rank(0.5, corrected.dynamics(10.0)) < rank(0.5, used.dynamics(10.0)));
    }

    proptest! {
        #[test]
        fn strengths_stay_between_nothing_and_all(days in 0.0..400.0_f64, grades in proptest::collection::vec(0..4_usize, 0..20)) {
            let mut strength = Strength::default();
            for grade in grades {
                strength = strength.after(days, [Grade::Again, Grade::Hard, Grade::Good, Grade::Easy][grade]);
                prop_assert!((0.0..=1.0).contains(&strength.retrieval));
                prop_assert!((0.0..=1.0).contains(&strength.storage));
                prop_assert!((0.0..=1.0).contains(&strength.dynamics(days)));
            }
        }
    }
}
