//! Opening a device's conversations: where each begins, its consumer, its head after that.

use crate::api::store_failed;
use crate::{Connection, Engine};
use lockstep_model::{
    Bounds, Code, ConversationId, Cursor, Intervals, Notice, Offset, OffsetsVersion, ResumePoint, Seq, Shown, View,
};
use lockstep_ports::{CursorRow, Followed, HeadMark, Range, StoreError};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a user may see of those conversations that are not wholly visible: most are, so most connections keep nothing. Of each
/// it is one stay, however many there are: when that ends, the session asks what follows.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<HashMap<ConversationId, Intervals>>);

impl Views {
    /// Notes what is to be seen of a conversation that is read from `from` on.
    pub(crate) fn note(&self, conversation: ConversationId, intervals: Intervals, from: Seq) {
        if intervals.view(from, Seq::ZERO) == (View::Visible { to: None }) {
            self.0.lock().remove(&conversation);
        } else {
            self.0.lock().insert(conversation, intervals.stretch(from));
        }
    }

    /// Whether a stay ends at this place.
    pub(crate) fn end_at(&self, conversation: ConversationId, seq: Seq) -> bool {
        self.0.lock().get(&conversation).is_some_and(|intervals| intervals.end_at(seq))
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
        let followed = match self.open_followed(&connection, &shown, verify).await {
            Ok(followed) => followed,
            Err(error) => return give_up(&connection, &error),
        };
        let topics = topics(&followed);
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
        let fills = connection.unfilled.any();
        let points = followed.into_iter().enumerate().filter_map(|(index, row)| {
            let known = shown.get(&row.conversation).map(|cursor| cursor.seq).or(row.cursor);
            let reset = foreign.contains(&row.conversation);
            // The feed stands first, and is the server's own.
            let unfilled = fills && index > 0 && known.is_none();
            let point = begin(&connection, row, known.unwrap_or_default(), reset)?;
            Some(ResumePoint { unfilled, ..point })
        });
        let points: Vec<ResumePoint> = points.collect();
        if fills {
            let lacking = points.iter().filter(|point| point.unfilled).map(|point| point.conversation);
            connection.unfilled.note(lacking.collect());
        }
        if !connection.mailbox.answer(Notice::Resumed(points)) {
            self.0.ports.broker.close(&topics, &connection.mailbox).await;
        }
    }

    /// Opens the consumers of all that the device follows. The heads are those after the opening, so that nothing falls
    /// between the log and the consumer.
    async fn open_followed(
        &self,
        connection: &Connection,
        shown: &HashMap<ConversationId, Cursor>,
        verify: bool,
    ) -> Result<Vec<Followed>, StoreError> {
        let mark = self.0.ports.log.mark();
        let mut followed = self.followed(connection, shown, verify).await?;
        let topics = topics(&followed);
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

    /// What the device follows. Where no receipts are told is noted.
    async fn followed(
        &self,
        connection: &Connection,
        shown: &HashMap<ConversationId, Cursor>,
        verify: bool,
    ) -> Result<Vec<Followed>, StoreError> {
        let Connection { ref user, device, .. } = *connection;
        let mut asking = connection.blocks.asking(self);
        loop {
            asking.begin().await;
            let mut followed = self.0.ports.directory.followed(user.clone(), device).await?;
            let again = shown_below(&followed, shown, verify);
            if !again.is_empty() {
                let found = self.0.ports.directory.followed_in(user.clone(), device, again).await?;
                let mut found: HashMap<_, _> = found.into_iter().map(|row| (row.conversation, row)).collect();
                let all = followed.into_iter().map(|row| found.remove(&row.conversation).unwrap_or(row));
                followed = all.collect();
                followed.extend(found.into_values());
            }
            let silent = followed.iter().filter(|row| !row.tells_receipts).map(|row| row.conversation);
            if asking.note(|| connection.receipts.keep_silent_in(silent)).is_some() {
                return Ok(followed);
            }
        }
    }

    /// One conversation of those, whose stays may all be over.
    async fn followed_one(
        &self,
        connection: &Connection,
        conversation: ConversationId,
    ) -> Result<Option<Followed>, StoreError> {
        let mut asking = connection.blocks.asking(self);
        loop {
            asking.begin().await;
            let (user, device) = (connection.user.clone(), connection.device);
            let found = self.0.ports.directory.followed_one(user, device, conversation).await?;
            let silent = found.as_ref().map(|row| !row.tells_receipts);
            let note = || silent.inspect(|silent| connection.receipts.set_silent_in(conversation, *silent));
            if asking.note(note).is_some() {
                return Ok(found);
            }
        }
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

    /// Answers [`lockstep_model::Ask::Follow`]. A session asks it once at a time for each conversation: two who open and
    /// close the same consumer would pass each other.
    pub(crate) async fn follow(&self, connection: Arc<Connection>, after: Offset) {
        let conversation = after.conversation;
        let waiting = self.0.cursors.waiting(connection.device, conversation).await;
        let row = match self.open_one(&connection, conversation).await {
            Ok(Some(row)) => row,
            Ok(None) => {
                let nothing = Offset { conversation, seq: Seq::ZERO };
                let _gone = connection.mailbox.answer(Notice::Unfollowed(nothing));
                return;
            }
            Err(error) => return give_up(&connection, &error),
        };
        let end = Offset { conversation, seq: row.intervals.end().unwrap_or_default() };
        if !row.intervals.is_member() {
            // Whatever the session may still ask for, nothing beyond the stay is read.
            connection.views.note(conversation, row.intervals.clone(), after.seq.next());
        }
        // A session that has some of it goes on there, wherever what is stored stands: what it may see is told from there.
        let stored = row.cursor.max(waiting).unwrap_or_default();
        let cursor = if after.seq > Seq::ZERO { after.seq } else { stored };
        let answer = match begin(&connection, row, cursor, false) {
            Some(point) => Notice::Followed(Box::new(point)),
            None => Notice::Unfollowed(end),
        };
        if !connection.mailbox.answer(answer) {
            self.0.ports.broker.close(&[conversation], &connection.mailbox).await;
        }
    }

    /// Opens the consumer of a conversation if the user is a member of it, and else closes one of an earlier stay. The store
    /// is asked first: a consumer is a channel in the transport's servers, which a stranger gets none of. The head is that
    /// after the opening.
    async fn open_one(
        &self,
        connection: &Connection,
        conversation: ConversationId,
    ) -> Result<Option<Followed>, StoreError> {
        let (broker, topics, mark) = (&self.0.ports.broker, [conversation], self.0.ports.log.mark());
        let found = self.followed_one(connection, conversation).await;
        let mut row = match found {
            Ok(Some(row)) if row.intervals.is_member() => row,
            Ok(left) => {
                broker.leave(conversation, &connection.mailbox).await;
                return Ok(left);
            }
            Err(error) => {
                broker.close(&topics, &connection.mailbox).await;
                return Err(error);
            }
        };
        broker.open(&topics, &connection.mailbox).await;
        match self.heads_since(mark, &topics).await {
            Ok(heads) => {
                row.bounds.head = row.bounds.head.max(heads.get(&conversation).copied().unwrap_or_default());
                Ok(Some(row))
            }
            Err(error) => {
                broker.close(&topics, &connection.mailbox).await;
                Err(error)
            }
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
                self.0.presence.retell(&self.0.connections, &connection);
                let devices = self.0.ports.directory.devices_of(connection.user.clone()).await?;
                let known: Vec<_> = devices.into_iter().map(|device| device.id).collect();
                self.0.connections.retell(&connection, &known);
            }
            self.tell_offsets(&connection, offsets_version).await
        };
        if let Err(error) = checked.await {
            give_up(&connection, &error);
        }
    }
}

/// The conversations in which the device may go on below its stored cursor, by which stays were left out: it shows less, or
/// shows what it is told nothing of, or what belongs to another log.
fn shown_below(followed: &[Followed], shown: &HashMap<ConversationId, Cursor>, verify: bool) -> Vec<ConversationId> {
    let mut below = shown.clone();
    if !verify {
        let reaches = |row: &Followed| {
            row.cursor.is_none_or(|stored| shown.get(&row.conversation).is_some_and(|cursor| cursor.seq >= stored))
        };
        for row in followed.iter().filter(|row| reaches(row)) {
            below.remove(&row.conversation);
        }
    }
    below.into_keys().collect()
}

/// The conversations that have something to bring: those of which the user is a member.
fn topics(followed: &[Followed]) -> Vec<ConversationId> {
    followed.iter().filter(|row| row.intervals.is_member()).map(|row| row.conversation).collect()
}

/// Where a conversation begins for a device. One that the user has left goes on until there; nothing of it is left for a
/// device that has all that.
fn begin(connection: &Connection, row: Followed, cursor: Seq, reset: bool) -> Option<ResumePoint> {
    let Followed { conversation, bounds: Bounds { mut floor, mut head }, intervals, .. } = row;
    let end = intervals.end();
    if let Some(left) = end {
        if cursor >= left && !reset {
            return None;
        }
        (floor, head) = (floor.min(left.next()), head.min(left));
    }
    let (cursor, ended) = (cursor.min(head), end.is_some());
    let point = ResumePoint { conversation, cursor, floor, head, reset, unfilled: false, ended };
    let from = if reset { floor } else { point.cursor.next() };
    connection.views.note(conversation, intervals, from);
    Some(point)
}

/// A connection whose store cannot be read is of no use to its device.
fn give_up(connection: &Connection, error: &StoreError) {
    store_failed(error);
    connection.mailbox.close(Code::Unavailable);
}
