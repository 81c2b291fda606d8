//! Finding an entry by its id. No index knows ids, since each append would pay for it: the time in the id says where to
//! look.

use super::STEP;
use crate::Engine;
use lockstep_model::{ConversationId, Device, Entry, EntryId, Seq, UnixMs};
use lockstep_ports::{Followed, Range, StoreError};
use std::cmp::Reverse;
use std::collections::HashSet;

/// Conversations that are looked through: the most recently active of those that may have it.
const SEARCHED_MAX: usize = 1_000;
/// Rows of the list of a user's conversations that are read at a time, and how often. What comes later is not looked through.
const LISTED: u32 = 500;
const LISTS_MAX: usize = 40;
/// How far the time of an entry may be from the time in its id.
const APART_MAX_MS: u64 = 10_000;
/// Conversations of which the entries near the time are looked at.
const NEAR_MAX: usize = 64;
/// Steps on either side of the time in one conversation, and in all of them. Then the search ends.
const SIDE_STEPS_MAX: usize = 8;
const STEPS_MAX: usize = 256;

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
        let (rows, mut cut) = self.conversations_since(device, made_at).await?;
        let mut searches: Vec<Search> =
            rows.iter().filter(|row| may_have(row, made_at)).take(SEARCHED_MAX + 1).map(Search::of).collect();
        cut |= searches.len() > SEARCHED_MAX;
        searches.truncate(SEARCHED_MAX);
        self.narrow(&mut searches, made_at).await?;
        searches.retain(|search| search.apart_ms <= APART_MAX_MS);
        searches.sort_by_key(|search| search.apart_ms);
        cut |= searches.len() > NEAR_MAX;
        let mut steps = STEPS_MAX;
        for search in searches.into_iter().take(NEAR_MAX) {
            if let Some(seq) = self.look_near(&search, id, made_at, &mut steps).await? {
                return Ok(Found::At(search.conversation, seq));
            }
        }
        cut |= steps == 0;
        let advice = if cut { " Not all of them were looked through: name it by CONVERSATION:SEQ." } else { "" };
        Ok(Found::Not(format!(
            "None of {}'s conversations has an entry of this id: it belongs elsewhere, was never committed, or is gone by \
             retention.{advice}",
            device.user
        )))
    }

    /// What a device's user is in and was in at that time or later, the feed first, then the most recently active; and
    /// whether there is more. A connecting device does not hear of what it has acknowledged to the end: that is taken
    /// from the list of all conversations.
    async fn conversations_since(&self, device: &Device, moment: UnixMs) -> Result<(Vec<Followed>, bool), StoreError> {
        let directory = &self.0.ports.directory;
        let mut rows = directory.followed(device.user.clone(), device.id).await?;
        let known: HashSet<ConversationId> = rows.iter().map(|row| row.conversation).collect();
        let (mut after, mut more) = (None, true);
        for _ in 0..LISTS_MAX {
            let listed = directory.conversations_of(device.user.clone(), after, LISTED).await?;
            let listed: Vec<_> =
                listed.into_iter().map(|one| (one.conversation.active_at, one.conversation.id)).collect();
            let since = |at: UnixMs| at.get() + APART_MAX_MS >= moment.get();
            after = listed.last().copied();
            more = listed.len() == LISTED as usize && after.is_some_and(|(at, _)| since(at));
            let over = listed.into_iter().filter(|(at, id)| since(*at) && !known.contains(id)).map(|(_, id)| id);
            rows.extend(directory.followed_in(device.user.clone(), device.id, over.collect()).await?);
            if !more {
                break;
            }
        }
        if let Some(conversations) = rows.get_mut(1..) {
            conversations.sort_by_key(|row| Reverse(row.active_at));
        }
        Ok((rows, more))
    }

    /// Looks at the entries on both sides of the moment, the next ones first, a few at a time: each has its body with it.
    async fn look_near(
        &self,
        search: &Search,
        id: EntryId,
        moment: UnixMs,
        steps: &mut usize,
    ) -> Result<Option<Seq>, StoreError> {
        let conversation = search.conversation;
        let is_near = |entry: &Entry| entry.sent_at.get().abs_diff(moment.get()) <= APART_MAX_MS;
        let (mut above, mut below) = (Some(search.low), Some(search.low));
        for _ in 0..SIDE_STEPS_MAX {
            let up = above.map(|from| (from, u64::from(STEP)));
            let floor = search.floor.get();
            let down = below.filter(|to| *to > floor).map(|to| {
                let from = to.saturating_sub(STEP.into()).max(floor);
                (from, to - from)
            });
            for (goes_up, stretch) in [(true, up), (false, down)] {
                let Some((from, count)) = stretch.filter(|_| *steps > 0) else { continue };
                *steps -= 1;
                let range = Range { conversation, from: Seq::new(from), count: count as u32 };
                let entries: Vec<Entry> = self.0.ports.log.ranges(vec![range]).await?.into_iter().flatten().collect();
                if let Some(entry) = entries.iter().find(|entry| entry.id == id) {
                    return Ok(Some(entry.seq));
                }
                if goes_up {
                    above = entries.last().filter(|last| is_near(last)).map(|last| last.seq.next().get());
                } else {
                    below = entries.first().filter(|first| is_near(first)).map(|_| from);
                }
            }
        }
        Ok(None)
    }

    /// Finds in each log the first entry that is not older than the moment.
    async fn narrow(&self, searches: &mut [Search], moment: UnixMs) -> Result<(), StoreError> {
        loop {
            let mut open: Vec<&mut Search> = searches.iter_mut().filter(|search| search.low < search.high).collect();
            if open.is_empty() {
                return Ok(());
            }
            for some in open.chunks_mut(STEP as usize) {
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
