//! What a statement changes in what is known of a person. Pure.

use domain::memory::{Fact, FactOrigin};
use learn::fsrs::Grade;
use learn::gate::{Gate, Known, gate};
use learn::statement::Statement;
use learn::strength::{Signal, Strength};

use crate::ports::{Change, Remembered};

/// A day, in milliseconds.
const DAY_MS: f64 = 86_400_000.0;

/// By what facts are found in what people say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learning {
    Off,
    Rules,
    Model,
}

/// A statement on its way to become a fact.
#[derive(Debug, Clone)]
pub(crate) struct New {
    pub id: String,
    pub statement: Statement,
    pub origin: FactOrigin,
    pub at_ms: i64,
    pub is_public: bool,
    /// Empty: the person's own.
    pub project: String,
    /// The messages it comes from.
    pub sources: Vec<String>,
}

/// What is done with a statement, and the fact that holds it then.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    pub verdict: &'static str,
    pub fact: String,
    pub changes: Vec<Change>,
}

/// Whether a statement is to be compared with a fact: what is known of another project
/// is another thing.
pub(crate) fn is_beside(known: &Remembered, new: &New) -> bool {
    known.fact.project.is_empty() || known.fact.project == new.project
}

/// Decides by what is nearest to it; `meaning` gives the cosine with a fact, by id.
pub(crate) fn plan(new: &New, near: &[Remembered], meaning: impl Fn(&str) -> Option<f64>) -> Plan {
    let known: Vec<Known> = near
        .iter()
        .filter(|known| is_beside(known, new))
        .map(|Remembered { fact, .. }| Known {
            id: fact.id.clone(),
            text: fact.text.clone(),
            meaning: meaning(&fact.id),
        })
        .collect();
    let text = &new.statement.text;
    let of = |id: &str| near.iter().find(|known| known.fact.id == id).map(|known| &known.fact);
    let added = || Change::Add { fact: fact(new), sources: new.sources.clone() };
    let add = || Plan { verdict: "add", fact: new.id.clone(), changes: vec![added()] };
    // What was said before it was changed is learnt late, and changes nothing.
    let is_outdated = |id: &str| of(id).is_some_and(|known| known.updated_at_ms > new.at_ms);
    match gate(text, &known) {
        Gate::Add => add(),
        // Learnt from the same words before: nothing has happened since.
        Gate::Drop { known } if known == new.id => Plan { verdict: "known", fact: known, changes: Vec::new() },
        Gate::Drop { known } => {
            let cited = Change::Cite { id: known.clone(), sources: new.sources.clone() };
            let grade = graded(near, &known, Signal::MentionedByUser.grade(), new.at_ms);
            Plan { verdict: "known", fact: known, changes: std::iter::once(cited).chain(grade).collect() }
        }
        // Nobody has said that groups may see what is new in it, or that it is no longer
        // a project's own.
        Gate::Merge { into }
            if of(&into).is_some_and(|known| known.is_public && !new.is_public || known.project != new.project) =>
        {
            add()
        }
        Gate::Merge { into } => {
            let (text, sources) = (text.clone(), new.sources.clone());
            let merged = Change::Rewrite { id: into.clone(), text, event: "MERGE", sources };
            let grade = graded(near, &into, Signal::MentionedByUser.grade(), new.at_ms);
            Plan { verdict: "merge", fact: into, changes: std::iter::once(merged).chain(grade).collect() }
        }
        Gate::Supersede { old, .. } if is_outdated(&old) => {
            Plan { verdict: "outdated", fact: old, changes: Vec::new() }
        }
        // It is otherwise in this project: everywhere else it stays as it was.
        Gate::Supersede { old, .. } if of(&old).is_some_and(|known| known.project != new.project) => add(),
        Gate::Supersede { old, layer } => {
            let superseded = Change::Supersede { old, by: new.id.clone(), reason: layer.as_str() };
            Plan { verdict: "supersede", fact: new.id.clone(), changes: vec![added(), superseded] }
        }
    }
}

/// A fact's strength after a grade.
pub(crate) fn graded(near: &[Remembered], id: &str, grade: Grade, at_ms: i64) -> Option<Change> {
    let known = near.iter().find(|known| known.fact.id == id)?;
    let strength = known.strength.after(days(known.graded_at_ms, at_ms), grade);
    Some(Change::Strengthen { id: id.to_owned(), strength })
}

/// How strong a fact is now, from 0 to 1.
pub(crate) fn dynamics(strength: Strength, graded_at_ms: i64, now_ms: i64) -> f64 {
    strength.dynamics(days(graded_at_ms, now_ms))
}

fn days(since_ms: i64, now_ms: i64) -> f64 {
    (now_ms.saturating_sub(since_ms)) as f64 / DAY_MS
}

/// The fact that a statement is when it is added.
pub(crate) fn fact(new: &New) -> Fact {
    let Statement { text, category, is_key, confidence } = &new.statement;
    Fact {
        id: new.id.clone(),
        text: text.clone(),
        created_at_ms: new.at_ms,
        updated_at_ms: new.at_ms,
        category: category.map_or_else(String::new, |category| category.as_str().to_owned()),
        is_key: *is_key,
        is_public: new.is_public,
        origin: new.origin,
        project: new.project.clone(),
        confidence: (confidence.clamp(0.0, 1.0) * 100.0).round() as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(id: &str, text: &str) -> New {
        let statement = Statement { text: text.into(), category: None, is_key: false, confidence: 0.8 };
        let origin = FactOrigin::Learnt;
        let (is_public, project, sources) = (false, String::new(), vec!["m".into()]);
        New { id: id.into(), statement, origin, at_ms: 10 * 86_400_000, is_public, project, sources }
    }

    fn known(id: &str, text: &str) -> Remembered {
        Remembered { fact: Fact::asked(id, text, 0), strength: Strength::default(), graded_at_ms: 0 }
    }

    #[test]
    fn what_is_said_again_grows_stronger_and_is_not_stored_again() {
        let near = [known("k", "My dog is called Rex")];
        let plan = plan(&new("n", "my dog is called Rex"), &near, |_| None);
        assert_eq!((plan.verdict, plan.fact.as_str()), ("known", "k"));
        let [Change::Cite { .. }, Change::Strengthen { id, strength }] = &plan.changes[..] else {
            panic!("{:?}", plan.changes)
        };
        assert_eq!(id, "k");
        assert!(strength.memory.stability > Strength::default().memory.stability);
    }

    #[test]
    fn learning_a_turn_twice_changes_nothing_the_second_time() {
        let plan = plan(&new("k", "My dog is called Rex"), &[known("k", "My dog is called Rex")], |_| None);
        assert_eq!(plan.changes, []);
    }

    #[test]
    fn what_is_public_does_not_take_in_what_is_private() {
        let mut near = [known("k", "I am allergic to nuts")];
        let text = "I am allergic to nuts and penicillin";
        assert_eq!(plan(&new("n", text), &near, |_| None).verdict, "merge");
        near[0].fact.is_public = true;
        assert_eq!(plan(&new("n", text), &near, |_| None).verdict, "add");
    }

    #[test]
    fn what_belongs_to_one_project_says_nothing_of_another() {
        let mut near = [known("k", "My dog is called Rex")];
        near[0].fact.project = "garden".into();
        let mut dog = new("n", "My dog is called Max");
        dog.project = "kitchen".into();
        assert_eq!(plan(&dog, &near, |_| None).verdict, "add");
        dog.project = "garden".into();
        assert_eq!(plan(&dog, &near, |_| None).verdict, "supersede");
        // What is otherwise in a project stays as it is everywhere else; the same is known.
        near[0].fact.project.clear();
        assert_eq!(plan(&dog, &near, |_| None).verdict, "add");
        dog.statement.text = "My dog is called Rex".into();
        assert_eq!(plan(&dog, &near, |_| None).verdict, "known");
    }

    #[test]
    fn what_was_said_earlier_and_is_learnt_later_supersedes_nothing() {
        let mut near = [known("k", "My dog is called Max")];
        near[0].fact.updated_at_ms = 11 * 86_400_000;
        assert_eq!(plan(&new("n", "My dog is called Rex"), &near, |_| None).changes, []);
    }

    #[test]
    fn what_is_no_longer_true_stays_behind_what_is() {
        let plan = plan(&new("n", "My dog is called Max"), &[known("k", "My dog is called Rex")], |_| None);
        assert_eq!((plan.verdict, plan.fact.as_str()), ("supersede", "n"));
        let expected = Change::Supersede { old: "k".into(), by: "n".into(), reason: "value" };
        assert_eq!(plan.changes.last(), Some(&expected));
    }
}
