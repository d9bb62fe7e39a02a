//! What becomes of a message that arrives while a turn runs.

/// How a conversation queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueMode {
    /// It waits; each message gets a turn of its own.
    Followup,
    /// All that arrive wait, and share the next turn.
    Collect,
    /// It goes into the running turn, at its next step.
    Steer,
    /// It stops the running turn, and a new one begins with it.
    Interrupt,
}

impl QueueMode {
    pub const ALL: [Self; 4] = [Self::Followup, Self::Collect, Self::Steer, Self::Interrupt];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Followup => "followup",
            Self::Collect => "collect",
            Self::Steer => "steer",
            Self::Interrupt => "interrupt",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text.trim().to_lowercase())
    }

    /// What the person is told when they choose it.
    pub fn told_user(self) -> &'static str {
        match self {
            Self::Followup => "From now on each message gets an answer of its own, one after the other.",
            Self::Collect => "From now on what you send while I work is answered together, in one answer.",
            Self::Steer => "From now on what you send while I work goes into what I am doing.",
            Self::Interrupt => "From now on what you send while I work stops me, and I begin anew with it.",
        }
    }

    /// Whether all that wait share one turn.
    pub(crate) fn shares_turns(self) -> bool {
        matches!(self, Self::Collect | Self::Interrupt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_back() {
        for mode in QueueMode::ALL {
            assert_eq!(QueueMode::parse(mode.as_str()), Some(mode));
        }
        assert_eq!(QueueMode::parse(" Collect "), Some(QueueMode::Collect));
        assert_eq!(QueueMode::parse("both"), None);
    }
}
