//! What reads the partitions.

pub(crate) mod partition; // Applies the events of a partition, in order.
