//! What reads the partitions, and what looks after them.

pub(crate) mod janitor; // Takes out what was handled long ago.
pub(crate) mod partition; // Applies the events of a partition, in order.
pub(crate) mod sweeper; // Finds turns that nobody works on.
pub(crate) mod timers; // Publishes what is to be published after a time.
