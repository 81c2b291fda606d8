//! Who was in a conversation when, as its own log tells it.

use lockstep_protocol::{Entry, Kind, Seq};
use serde_json::Value;
use std::collections::BTreeMap;

/// The stays of each user of a group or room that was made without further members.
#[derive(Debug, Default)]
pub(super) struct Stays(BTreeMap<String, Vec<Stay>>);

/// From joining to leaving.
#[derive(Debug)]
struct Stay {
    visible_from: Seq,
    joined: Seq,
    /// None while it lasts.
    left: Option<Seq>,
}

impl Stays {
    /// Reads them from a whole log.
    pub(super) fn read(log: &[Entry]) -> Self {
        let mut stays = Self::default();
        let mut earlier_shown = 0;
        for entry in log.iter().filter(|entry| entry.kind == Kind::System) {
            let body: Value = serde_json::from_str(entry.body.as_json()).unwrap_or_default();
            let user = |field: &str| body[field].as_str().unwrap_or_default();
            match &*entry.body.type_name() {
                "created" => {
                    earlier_shown = earlier_entries(&body["history"]);
                    stays.begin(user("by"), entry.seq, earlier_shown);
                }
                "members_added" => {
                    for member in body["members"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                        stays.begin(member, entry.seq, earlier_shown);
                    }
                }
                "member_joined" => stays.begin(user("member"), entry.seq, earlier_shown),
                "member_left" | "member_removed" => stays.end(user("member"), entry.seq),
                _ => {}
            }
        }
        stays
    }

    fn begin(&mut self, user: &str, joined: Seq, earlier_shown: u64) {
        let visible_from = Seq::new(joined.get().saturating_sub(earlier_shown).max(1));
        self.0.entry(user.to_owned()).or_default().push(Stay { visible_from, joined, left: None });
    }

    fn end(&mut self, user: &str, left: Seq) {
        if let Some(stay) = self.0.get_mut(user).and_then(|stays| stays.last_mut()) {
            stay.left.get_or_insert(left);
        }
    }

    /// Whether the user is to get what stands there.
    pub(super) fn see(&self, user: &str, seq: Seq) -> bool {
        self.of(user).iter().any(|stay| stay.visible_from <= seq && stay.left.is_none_or(|left| seq <= left))
    }

    /// Whether the user was a member when this was written.
    pub(super) fn cover(&self, user: &str, seq: Seq) -> bool {
        self.of(user).iter().any(|stay| stay.joined < seq && stay.left.is_none_or(|left| seq < left))
    }

    /// The last place that the user is to get of a log with this head.
    pub(super) fn last_seen(&self, user: &str, head: Seq) -> Seq {
        self.of(user).last().map(|stay| stay.left.unwrap_or(head)).unwrap_or_default()
    }

    /// How many stays have ended.
    pub(super) fn ended(&self) -> usize {
        self.0.values().flatten().filter(|stay| stay.left.is_some()).count()
    }

    fn of(&self, user: &str) -> &[Stay] {
        self.0.get(user).map_or(&[], Vec::as_slice)
    }
}

/// How many entries before joining newcomers see.
fn earlier_entries(history: &Value) -> u64 {
    match history {
        Value::Number(count) => count.as_u64().unwrap_or_default(),
        Value::String(all) if all == "all" => u64::MAX,
        _ => 0,
    }
}
