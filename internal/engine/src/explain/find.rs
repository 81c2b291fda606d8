//! Finding an entry by its id. No index knows ids, since each append would pay for it: the time in the id says where to
//! look.

use crate::Engine;
use lockstep_model::{ConversationId, Device, Entry, EntryId, Seq, UnixMs};
use lockstep_ports::{Followed, Range, StoreError};

/// Conversations that are looked through: the most recently active of those that may have it.
const SEARCHED_MAX: usize = 1_000;
/// Entries read by one query on the way.
const PROBES_PER_QUERY: usize = 128;
/// How far the time of an entry may be from the time in its id.
const APART_MAX_MS: u64 = 10_000;
/// Conversations of which all entries near the time are looked at, and how many of them on either side.
const NEAR_MAX: usize = 64;
const SIDE_MAX: u64 = Range::COUNT_MAX as u64 / 2;

/// Where an entry was found, or why not.
pub(super) enum Found {
    At(ConversationId, Seq),
    Not(String),
}

/// The search for a moment in one log: it lies in `low..high`, as far as is known.
struct Search {
    conversation: ConversationId,
    floor: Seq,
    low: u64,
    high: u64,
    /// How near the nearest entry is that was looked at.
    apart_ms: u64,
}

impl Engine {
    /// Looks for an entry in the conversations of a device's user: by its time, since the entries of a log stand nearly in
    /// the order of theirs.
    pub(super) async fn find_entry(&self, device: &Device, id: EntryId) -> Result<Found, StoreError> {
        let Some(made_at) = made_at(id) else {
            return Ok(Found::Not("The id is none that this server makes: it has no time in it.".to_owned()));
        };
        let followed = self.0.ports.directory.followed(device.user.clone(), device.id).await?;
        let mut searches: Vec<Search> =
            followed.into_iter().filter(|row| may_have(row, made_at)).map(|row| Search::of(&row)).collect();
        let all = searches.len();
        searches.truncate(SEARCHED_MAX);
        self.narrow(&mut searches, made_at).await?;
        searches.retain(|search| search.apart_ms <= APART_MAX_MS);
        searches.sort_by_key(|search| search.apart_ms);
        let near = searches.len();
        for search in searches.into_iter().take(NEAR_MAX) {
            let from = Seq::new(search.low.saturating_sub(SIDE_MAX)).max(search.floor);
            let range = Range { conversation: search.conversation, from, count: Range::COUNT_MAX };
            let entries = self.0.ports.log.ranges(vec![range]).await?.into_iter().flatten();
            if let Some(entry) = entries.into_iter().find(|entry| entry.id == id) {
                return Ok(Found::At(entry.conversation, entry.seq));
            }
        }
        let cut = all > SEARCHED_MAX || near > NEAR_MAX;
        let advice = if cut { " Not all of them were looked through: name it by CONVERSATION:SEQ." } else { "" };
        Ok(Found::Not(format!(
            "None of {}'s conversations has an entry of this id: it belongs elsewhere, was never committed, or is gone by \
             retention.{advice}",
            device.user
        )))
    }

    /// Finds in each log the first entry that is not older than the moment.
    async fn narrow(&self, searches: &mut [Search], moment: UnixMs) -> Result<(), StoreError> {
        loop {
            let mut open: Vec<&mut Search> = searches.iter_mut().filter(|search| search.low < search.high).collect();
            if open.is_empty() {
                return Ok(());
            }
            for some in open.chunks_mut(PROBES_PER_QUERY) {
                let probes = some.iter().map(|search| search.probe()).collect();
                let found = self.0.ports.log.ranges(probes).await?;
                some.iter_mut().zip(found).for_each(|(search, found)| search.take(found.first(), moment));
            }
        }
    }
}

impl Search {
    fn of(row: &Followed) -> Self {
        let (floor, head) = (row.bounds.floor, row.bounds.head);
        Self { conversation: row.conversation, floor, low: floor.get(), high: head.get() + 1, apart_ms: u64::MAX }
    }

    fn middle(&self) -> u64 {
        self.low + (self.high - self.low) / 2
    }

    fn probe(&self) -> Range {
        Range { conversation: self.conversation, from: Seq::new(self.middle()), count: 1 }
    }

    fn take(&mut self, found: Option<&Entry>, moment: UnixMs) {
        let middle = self.middle();
        match found {
            Some(entry) => {
                self.apart_ms = self.apart_ms.min(entry.sent_at.get().abs_diff(moment.get()));
                if entry.sent_at < moment {
                    self.low = middle + 1;
                } else {
                    self.high = middle;
                }
            }
            // Retention has been here meanwhile.
            None => self.low = self.high,
        }
    }
}

/// Whether the log may hold something of that time: it is not empty, and something was written since.
fn may_have(row: &Followed, moment: UnixMs) -> bool {
    row.bounds.head >= row.bounds.floor && row.active_at.get() + APART_MAX_MS >= moment.get()
}

/// When an id was made, if it is a UUID v7 (RFC 9562, section 5.7).
fn made_at(id: EntryId) -> Option<UnixMs> {
    let number = u128::from_be_bytes(*id.as_bytes());
    ((number >> 76) & 0xf == 7).then_some(UnixMs::new((number >> 80) as u64))
}
