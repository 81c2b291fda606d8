//! What became of a message for a device: gathered from the log, the directory, the cursors, the live connection and the
//! trace. Bodies are looked at only for whether they were recalled.

mod find;
mod verdict;

use crate::api::store_failed;
use crate::trace::Record;
use crate::{Connection, Engine};
use lockstep_model::{
    Bounds, Code, Content, ConversationId, Device, DeviceId, Entry, Explanation, Intervals, Kind, LiveTopic,
    MessageRef, Seq, UnixMs, Verdict,
};
use lockstep_ports::{Range, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// Entries that are read at a time. Each comes with its body, so that these are 4 MiB at most.
const STEP: u32 = 64;
/// Steps behind a message in which its recall is looked for. One that came later has no time in the answer.
const RECALL_STEPS_MAX: usize = 16;
/// How long one who asks waits for those before. Then it is `try_again`.
const TURN_PATIENCE: Duration = Duration::from_secs(10);

/// All that is known of one message and one device.
struct Facts {
    device: Device,
    conversation: ConversationId,
    seq: Seq,
    bounds: Bounds,
    intervals: Intervals,
    /// Absent if retention has taken it, or the log does not reach it.
    entry: Option<Entry>,
    /// When it was recalled, if it was; absent inside if that is not to be found any more.
    recalled: Option<Option<UnixMs>>,
    cursor: Option<Seq>,
    live: Live,
    records: Vec<Record>,
    traced_since: Option<UnixMs>,
}

/// How the device is connected.
#[derive(Clone, Copy)]
enum Live {
    Away,
    /// The connection did not answer in time.
    Busy,
    At(LiveTopic),
}

impl Engine {
    /// Says what became of a message for a device, or why the device has not got it. Live connections are asked, for
    /// which at most a second is waited. One is answered at a time: none of it is urgent, and all of it reads a lot.
    ///
    /// # Errors
    ///
    /// `no_such_device`, `try_again`. A message that is not there is an answer, not an error.
    pub async fn explain(&self, device: DeviceId, message: MessageRef) -> Result<Explanation, Code> {
        let turn = tokio::time::timeout(TURN_PATIENCE, self.0.explaining.lock()).await;
        let _turn = turn.map_err(|_| Code::TryAgain)?;
        let device = self.device(device).await?;
        let failed = |error: StoreError| store_failed(&error);
        let (conversation, seq) = match message {
            MessageRef::Place { conversation, seq } => (conversation, seq),
            MessageRef::Id(id) => match self.find_entry(&device, id).await.map_err(failed)? {
                find::Found::At(conversation, seq) => (conversation, seq),
                find::Found::Not(sentence) => return Ok(nowhere(&device, None, None, sentence)),
            },
        };
        match self.gather(device.clone(), conversation, seq).await.map_err(failed)? {
            Some(facts) => Ok(facts.explained()),
            None => {
                let sentence = "There is no such conversation.".to_owned();
                Ok(nowhere(&device, Some(conversation), Some(seq), sentence))
            }
        }
    }

    async fn gather(
        &self,
        device: Device,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Option<Facts>, StoreError> {
        let directory = &self.0.ports.directory;
        let Some((intervals, bounds)) = directory.membership(device.user.clone(), conversation).await? else {
            return Ok(None);
        };
        let range = Range { conversation, from: seq, count: 1 };
        let found = self.0.ports.log.ranges(vec![range]).await?.into_iter().flatten().next();
        let entry = found.filter(|entry| entry.seq == seq);
        let recalled = match &entry {
            Some(entry) if entry.body.is_recalled() => Some(self.recalled_at(conversation, seq).await?),
            _ => None,
        };
        let waiting = self.0.cursors.waiting(device.id, conversation).await;
        let row = directory.followed_one(device.user.clone(), device.id, conversation).await?;
        let cursor = row.and_then(|row| row.cursor).max(waiting);
        let live = self.live(&device, conversation).await;
        // Last, so that what the others tell has its records too.
        let (records, traced_since) = self.0.trace.about(device.id, conversation);
        let facts = Facts {
            device,
            conversation,
            seq,
            bounds,
            intervals,
            entry,
            recalled,
            cursor,
            live,
            records,
            traced_since,
        };
        Ok(Some(facts))
    }

    /// When a message was recalled, if one of the next entries says so.
    async fn recalled_at(&self, conversation: ConversationId, seq: Seq) -> Result<Option<UnixMs>, StoreError> {
        let recalls_it = |entry: &Entry| {
            entry.kind == Kind::Recall
                && matches!(Content::of(&entry.kind, &entry.body), Ok(Content::Recall { target }) if target == seq)
        };
        let mut from = seq.next();
        for _ in 0..RECALL_STEPS_MAX {
            let range = Range { conversation, from, count: STEP };
            let later: Vec<Entry> = self.0.ports.log.ranges(vec![range]).await?.into_iter().flatten().collect();
            if let Some(recall) = later.iter().find(|entry| recalls_it(entry)) {
                return Ok(Some(recall.sent_at));
            }
            let Some(last) = later.last() else { break };
            from = last.seq.next();
        }
        Ok(None)
    }

    async fn live(&self, device: &Device, conversation: ConversationId) -> Live {
        let is_its = |connection: &Arc<Connection>| connection.device == device.id && !connection.mailbox.is_closed();
        let Some(connection) = self.0.connections.of(&device.user).into_iter().find(is_its) else {
            return Live::Away;
        };
        match self.0.questions.ask(&connection, conversation).await {
            Some(topic) => Live::At(LiveTopic { generation: connection.generation.0, topic }),
            None if connection.mailbox.is_closed() => Live::Away,
            None => Live::Busy,
        }
    }
}

/// The answer about a message that is not there.
fn nowhere(device: &Device, conversation: Option<ConversationId>, seq: Option<Seq>, sentence: String) -> Explanation {
    Explanation {
        device: device.id,
        user: device.user.clone(),
        conversation,
        seq,
        id: None,
        kind: None,
        verdict: Verdict::NotFound,
        sentence,
        stages: Vec::new(),
        cursor: None,
        connection: None,
        traced_since: None,
    }
}
