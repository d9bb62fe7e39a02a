//! How the sending of a reply is recorded: `SENDING`, then `SENT`.

/// The record of one segment of a reply, by compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryRecord {
    Sending { replica: String },
    Sent { platform_message: String },
}

/// What an adapter that finds `record` for a segment must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Nobody has begun: record `SENDING`, then send.
    Send,
    /// Somebody began and died: find out whether the platform has it, then send
    /// or record.
    Reconcile,
    /// It is there.
    Delivered,
}

pub fn resume(record: Option<&DeliveryRecord>) -> Resume {
    match record {
        None => Resume::Send,
        Some(DeliveryRecord::Sending { .. }) => Resume::Reconcile,
        Some(DeliveryRecord::Sent { .. }) => Resume::Delivered,
    }
}
