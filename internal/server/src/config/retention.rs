//! How long conversations keep their entries.

use lockstep_model::{Retention, RetentionRule};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A day.
const PERIOD_MAX_S: u64 = 24 * 60 * 60;
/// A hundred years.
const AGE_MAX_S: u64 = 100 * 365 * 24 * 60 * 60;
const COUNT_MAX: u64 = 1_000_000_000_000;

/// What is kept, for each kind of conversation. Everything, unless it is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// How often conversations are looked through for entries that are kept no longer, in seconds.
    pub period_s: u64,
    /// Of direct conversations.
    pub direct: RetentionRuleConfig,
    /// Of groups.
    pub group: RetentionRuleConfig,
    /// Of rooms.
    pub room: RetentionRuleConfig,
    /// Of users' feeds. The bound on their number waits for what a device of the user has yet to get, the one on age does not.
    pub feed: RetentionRuleConfig,
}

/// What one kind of conversation keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionRuleConfig {
    /// Entries that are older than so many seconds go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_max_s: Option<u64>,
    /// So many of the newest entries stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count_max: Option<u64>,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        let [direct, group, room, feed] = Default::default();
        Self { period_s: 600, direct, group, room, feed }
    }
}

impl RetentionConfig {
    /// Keys whose values the types leave open, and whether they are right.
    pub(super) fn checks(&self) -> [(&'static str, bool); 9] {
        let age = |rule: &RetentionRuleConfig| rule.age_max_s.is_none_or(|age| (60..=AGE_MAX_S).contains(&age));
        let count = |rule: &RetentionRuleConfig| rule.count_max.is_none_or(|count| (1..=COUNT_MAX).contains(&count));
        [
            ("retention.period_s", (1..=PERIOD_MAX_S).contains(&self.period_s)),
            ("retention.direct.age_max_s", age(&self.direct)),
            ("retention.direct.count_max", count(&self.direct)),
            ("retention.group.age_max_s", age(&self.group)),
            ("retention.group.count_max", count(&self.group)),
            ("retention.room.age_max_s", age(&self.room)),
            ("retention.room.count_max", count(&self.room)),
            ("retention.feed.age_max_s", age(&self.feed)),
            ("retention.feed.count_max", count(&self.feed)),
        ]
    }

    /// What each of those keys has to be, as the end of a sentence.
    pub(super) fn requirement(key: &str) -> Option<String> {
        if key == "retention.period_s" {
            return Some(format!("a whole number from 1 to {PERIOD_MAX_S}"));
        }
        let (_kind, name) = key.strip_prefix("retention.")?.split_once('.')?;
        match name {
            "age_max_s" => Some(format!("a whole number from 60 to {AGE_MAX_S}")),
            "count_max" => Some(format!("a whole number from 1 to {COUNT_MAX}")),
            _ => None,
        }
    }

    /// How often conversations are looked through.
    pub(crate) fn period(&self) -> Duration {
        Duration::from_secs(self.period_s)
    }

    /// The rules as the engine takes them.
    pub fn rules(&self) -> Retention {
        let rule = |rule: &RetentionRuleConfig| RetentionRule {
            age_max: rule.age_max_s.map(Duration::from_secs),
            count_max: rule.count_max,
        };
        Retention {
            direct: rule(&self.direct),
            group: rule(&self.group),
            room: rule(&self.room),
            feed: rule(&self.feed),
        }
    }
}
