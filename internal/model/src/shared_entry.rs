//! A log entry that many connections hold at once.

use lockstep_protocol::Entry;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// A log entry shared by every connection that delivers it, with room for its encoded form: the first connection of a
/// door that delivers the entry encodes it, all others reuse those bytes.
#[derive(Debug, Clone)]
pub struct SharedEntry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    entry: Entry,
    native: OnceLock<Box<str>>,
}

impl SharedEntry {
    /// Shares an entry.
    pub fn new(entry: Entry) -> Self {
        Self(Arc::new(Inner { entry, native: OnceLock::new() }))
    }

    /// The native door's frame for this entry, encoded by `encode` if nobody has done so yet.
    pub fn native_frame(&self, encode: impl FnOnce(&Entry) -> Box<str>) -> &str {
        self.0.native.get_or_init(|| encode(&self.0.entry))
    }

    /// What the entry counts for in windows and rings: the bytes of its body and a little for the rest.
    pub fn cost_bytes(&self) -> usize {
        self.0.entry.body.as_json().len() + 256
    }
}

impl Deref for SharedEntry {
    type Target = Entry;
    fn deref(&self) -> &Entry {
        &self.0.entry
    }
}

impl From<Entry> for SharedEntry {
    fn from(entry: Entry) -> Self {
        Self::new(entry)
    }
}

impl PartialEq for SharedEntry {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}
impl Eq for SharedEntry {}
