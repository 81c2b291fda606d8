//! Opening a device's conversations: where each begins, its consumer, its head after that.

use crate::api::store_failed;
use crate::{Connection, Engine};
use lockstep_model::{
    Bounds, Code, ConversationId, Cursor, Intervals, Notice, OffsetsVersion, ResumePoint, Seq, Shown, View, limits,
};
use lockstep_ports::{CursorRow, Followed, HeadMark, Range, StoreError};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a user may see of those conversations that are not wholly visible: most are, so most connections keep nothing.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<HashMap<ConversationId, Intervals>>);

impl Views {
    fn note(&self, conversation: ConversationId, intervals: Intervals) {
        let whole = matches!(intervals.view(Seq::new(1), Seq::new(1)), View::Visible { to: None });
        if !whole {
            self.0.lock().insert(conversation, intervals);
        }
    }

    /// What the user sees from `from` on, the floor left aside.
    pub(crate) fn at(&self, conversation: ConversationId, from: Seq) -> View {
        let views = self.0.lock();
        views.get(&conversation).map_or(View::Visible { to: None }, |intervals| intervals.view(from, Seq::ZERO))
    }
}

impl Engine {
    /// Answers [`lockstep_model::Ask::Resume`].
    pub(crate) async fn resume(&self, connection: Arc<Connection>, shown: Vec<Shown>, verify: bool) {
        let shown: HashMap<ConversationId, Cursor> =
            shown.into_iter().map(|row| (row.conversation, row.cursor)).collect();
        // Before the stored cursors are read, so that none is raised above what is shown after that.
        self.0.cursors.forget_above(connection.device, &shown).await;
        let followed = match self.open_followed(&connection).await {
            Ok(followed) => followed,
            Err(error) => return give_up(&connection, &error),
        };
        let topics: Vec<_> = followed.iter().map(|row| row.conversation).collect();
        let ready = async {
            let foreign = self.foreign(&followed, &shown, verify).await?;
            self.lower_cursors(&connection, &followed, &shown).await?;
            Ok(foreign)
        };
        let foreign = match ready.await {
            Ok(foreign) => foreign,
            Err(error) => {
                // The session never hears of these consumers, so it cannot close them.
                self.0.ports.broker.close(&topics, &connection.mailbox).await;
                return give_up(&connection, &error);
            }
        };
        let silent = followed.iter().filter(|row| !row.is_small).map(|row| row.conversation);
        connection.receipts.keep_silent_in(silent);
        let points = followed.into_iter().map(|row| {
            let cursor = shown.get(&row.conversation).map(|cursor| cursor.seq).or(row.cursor).unwrap_or_default();
            let reset = foreign.contains(&row.conversation);
            connection.views.note(row.conversation, row.intervals);
            point(row.conversation, row.bounds, cursor, reset)
        });
        if !connection.mailbox.answer(Notice::Resumed(points.collect())) {
            self.0.ports.broker.close(&topics, &connection.mailbox).await;
        }
    }

    /// Opens the consumers of all that the device follows. The heads are those after the opening, so that nothing falls
    /// between the log and the consumer.
    async fn open_followed(&self, connection: &Arc<Connection>) -> Result<Vec<Followed>, StoreError> {
        let mark = self.0.ports.log.mark();
        let mut followed = self.0.ports.directory.followed(connection.user.clone(), connection.device).await?;
        let topics: Vec<_> = followed.iter().map(|row| row.conversation).collect();
        self.0.ports.broker.open(&topics, &connection.mailbox).await;
        let heads = match self.heads_since(mark, &topics).await {
            Ok(heads) => heads,
            Err(error) => {
                self.0.ports.broker.close(&topics, &connection.mailbox).await;
                return Err(error);
            }
        };
        if !heads.is_empty() {
            for row in &mut followed {
                let head = heads.get(&row.conversation).copied().unwrap_or_default();
                row.bounds.head = row.bounds.head.max(head);
            }
        }
        Ok(followed)
    }

    async fn heads_since(
        &self,
        mark: HeadMark,
        topics: &[ConversationId],
    ) -> Result<HashMap<ConversationId, Seq>, StoreError> {
        if let Some(moved) = self.0.ports.log.moved_since(mark) {
            // In the order of commits, so the last one of a conversation is its head.
            return Ok(moved.into_iter().map(|head| (head.conversation, head.seq)).collect());
        }
        let bounds = self.0.ports.log.bounds(topics.to_vec()).await?;
        Ok(topics.iter().copied().zip(bounds.into_iter().map(|bounds| bounds.unwrap_or_default().head)).collect())
    }

    /// The conversations of which the device remembers another log: there is another entry where it shows one, or none.
    async fn foreign(
        &self,
        followed: &[Followed],
        shown: &HashMap<ConversationId, Cursor>,
        verify: bool,
    ) -> Result<HashSet<ConversationId>, StoreError> {
        if !verify {
            return Ok(HashSet::new());
        }
        let shown_entries = followed.iter().filter_map(|row| {
            let cursor = shown.get(&row.conversation).filter(|cursor| cursor.seq > Seq::ZERO)?;
            Some((Range { conversation: row.conversation, from: cursor.seq, count: 1 }, cursor.entry))
        });
        let (ranges, ids): (Vec<Range>, Vec<_>) = shown_entries.unzip();
        if ranges.is_empty() {
            return Ok(HashSet::new());
        }
        let found = self.0.ports.log.ranges(ranges.clone()).await?;
        let wrong = ranges.into_iter().zip(ids).zip(found).filter(|((range, id), entries)| {
            let there = entries.first().filter(|entry| entry.seq == range.from).map(|entry| entry.id);
            there.is_none() || there != *id
        });
        Ok(wrong.map(|((range, _), _)| range.conversation).collect())
    }

    /// A device that shows less than is stored has lost something: what is stored must not claim it for a later connect.
    async fn lower_cursors(
        &self,
        connection: &Connection,
        followed: &[Followed],
        shown: &HashMap<ConversationId, Cursor>,
    ) -> Result<(), StoreError> {
        let lower = followed.iter().filter_map(|row| {
            let (seq, conversation) = (shown.get(&row.conversation)?.seq, row.conversation);
            (row.cursor? > seq).then_some(CursorRow { device: connection.device, conversation, seq })
        });
        let lower: Vec<_> = lower.collect();
        if lower.is_empty() {
            return Ok(());
        }
        self.0.ports.directory.lower_cursors(lower).await
    }

    /// Answers [`lockstep_model::Ask::Follow`].
    pub(crate) async fn follow(&self, connection: Arc<Connection>, conversation: ConversationId) {
        self.0.ports.broker.open(&[conversation], &connection.mailbox).await;
        let found = async {
            let members = self.0.ports.directory.member_count(conversation).await?;
            let is_small = members <= limits::RECEIPTS_MEMBERS_MAX;
            connection.receipts.keep_silent_in((!is_small).then_some(conversation).into_iter());
            self.0.ports.directory.membership(connection.user.clone(), conversation).await
        };
        let found = found.await;
        let kept = match found {
            Ok(Some((intervals, bounds))) if intervals.is_member() => {
                connection.views.note(conversation, intervals);
                let point = point(conversation, bounds, Seq::ZERO, false);
                connection.mailbox.answer(Notice::Followed(Box::new(point)))
            }
            Ok(_) => false,
            Err(error) => {
                give_up(&connection, &error);
                false
            }
        };
        if !kept {
            self.0.ports.broker.close(&[conversation], &connection.mailbox).await;
        }
    }

    /// Answers [`lockstep_model::Ask::Recheck`].
    pub(crate) async fn recheck(
        &self,
        connection: Arc<Connection>,
        conversations: Vec<ConversationId>,
        offsets_version: OffsetsVersion,
    ) {
        let checked = async {
            if !conversations.is_empty() {
                let bounds = self.0.ports.log.bounds(conversations.clone()).await?;
                let heads = conversations.into_iter().zip(bounds).map(|(conversation, bounds)| {
                    lockstep_model::Offset { conversation, seq: bounds.unwrap_or_default().head }
                });
                let _gone = connection.mailbox.answer(Notice::Heads(heads.collect()));
            }
            self.tell_offsets(&connection, offsets_version).await
        };
        if let Err(error) = checked.await {
            give_up(&connection, &error);
        }
    }
}

fn point(conversation: ConversationId, bounds: Bounds, cursor: Seq, reset: bool) -> ResumePoint {
    let Bounds { floor, head } = bounds;
    ResumePoint { conversation, cursor: cursor.min(head), floor, head, reset }
}

/// A connection whose store cannot be read is of no use to its device.
fn give_up(connection: &Connection, error: &StoreError) {
    store_failed(error);
    connection.mailbox.close(Code::Unavailable);
}
