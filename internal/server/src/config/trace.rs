//! What is remembered of entries on their way.

use serde::{Deserialize, Serialize};

const RECORDS_MAX: u64 = 4_194_304;

/// The trace, which `lockstep explain` looks into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceConfig {
    /// How many records of what happened last are kept, in 64 bytes each; rounded up to a power of two. The oldest are
    /// overwritten. 0 is none.
    pub records: u64,
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self { records: 65_536 }
    }
}

impl TraceConfig {
    /// Keys whose values the types leave open, and whether they are right.
    pub(super) fn checks(&self) -> [(&'static str, bool); 1] {
        [("trace.records", self.records <= RECORDS_MAX)]
    }

    /// What each of those keys has to be, as the end of a sentence.
    pub(super) fn requirement(key: &str) -> Option<String> {
        (key == "trace.records").then(|| format!("a whole number from 0 to {RECORDS_MAX}"))
    }
}
