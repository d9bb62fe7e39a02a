//! The tools that running turns are offered: turns with the same list hold one.

use std::sync::{Arc, Weak};

use domain::tool::ToolSpec;

/// Lists that are compared at most; beyond that a turn keeps its own.
const LISTS: usize = 64;

/// The lists that some turn here holds.
#[derive(Default)]
pub(crate) struct Offered(Vec<Weak<[ToolSpec]>>);

impl Offered {
    /// The list that is already held, if it is the same.
    pub(crate) fn share(&mut self, tools: Arc<[ToolSpec]>) -> Arc<[ToolSpec]> {
        if let Some(held) = self.0.iter().filter_map(Weak::upgrade).find(|held| *held == tools) {
            return held;
        }
        self.0.retain(|held| held.strong_count() > 0);
        if self.0.len() < LISTS {
            self.0.push(Arc::downgrade(&tools));
        }
        tools
    }
}

#[cfg(test)]
mod tests {
    use domain::tool::{Consent, Effect, Intent, Risk, ToolClass};

    use super::*;

    fn tools(name: &str) -> Arc<[ToolSpec]> {
        Arc::new([ToolSpec {
            name: name.into(),
            description: String::new(),
            schema: String::new(),
            class: ToolClass::Builtin,
            effect: Effect::ReadOnly,
            risk: Risk::Safe,
            intent: Intent::Read,
            group: String::new(),
            is_untrusted: false,
            consent: Consent::Given,
            for_anyone: false,
            timeout_ms: 1,
        }])
    }

    #[test]
    fn turns_with_the_same_tools_hold_them_once() {
        let mut offered = Offered::default();
        let first = offered.share(tools("a"));
        assert!(Arc::ptr_eq(&first, &offered.share(tools("a"))));
        assert_eq!(*offered.share(tools("b")), *tools("b"));
    }

    #[test]
    fn lists_that_nobody_holds_any_more_make_room() {
        let mut offered = Offered::default();
        for number in 0..2 * LISTS {
            offered.share(tools(&number.to_string()));
        }
        assert_eq!(offered.0.len(), 1);
        let held: Vec<_> = (0..2 * LISTS).map(|number| offered.share(tools(&number.to_string()))).collect();
        assert_eq!((held.len(), offered.0.len()), (2 * LISTS, LISTS));
    }
}
