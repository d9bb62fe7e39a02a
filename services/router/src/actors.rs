//! What reads the partitions, and what makes room in them.

pub(crate) mod janitor; // Takes out what was handled long ago.
pub(crate) mod partition; // Applies the events of a partition, in order.
