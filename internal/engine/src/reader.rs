//! Reads of the log for sessions: from the ring if it reaches, else from the store, one query for all who wait.

use crate::api::store_failed;
use crate::publisher::Publisher;
use crate::{Connection, Engine, Ports};
use lockstep_model::{Bounds, Code, ConversationId, Notice, Page, Seq, SharedEntry, Skip, View};
use lockstep_ports::{Directory, MessageLog, Range, StoreError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// Queries under way at once. A conversation is always read by the same worker, so that two who want the same find each
/// other.
const WORKERS: usize = 2;
/// Entries wanted by one query: it bounds what is in memory, since each may be as large as a body can be.
const ENTRIES_PER_QUERY_MAX: u32 = 1_024;

/// The handle of the reader. The queue is bounded by the sessions: each has a few reads under way at the most.
pub(crate) struct Reader(Mutex<Vec<mpsc::UnboundedSender<Wanted>>>);

/// A connection that waits for a stretch of a log.
struct Wanted {
    connection: Arc<Connection>,
    range: Range,
    head: Seq,
}

impl Engine {
    /// Answers a session's read: at once if the ring reaches, else as soon as the store has answered.
    pub(crate) fn read(
        &self,
        connection: &Arc<Connection>,
        conversation: ConversationId,
        from: Seq,
        mut count: u32,
        head: Seq,
    ) {
        let answer = |skip, entries, head| answer(connection, conversation, from, skip, entries, head);
        match connection.views.at(conversation, from) {
            View::Hidden(skip) => return answer(Some(skip), Vec::new(), head.max(skip.to)),
            View::Ended => return answer(None, Vec::new(), from.previous()),
            View::Visible { to: Some(to) } => count = count.min((to.get() + 1 - from.get()) as u32),
            View::Visible { to: None } => {}
        }
        if let Some((entries, head)) = self.0.publisher.rings.read(conversation, from, count as usize, head) {
            metrics::counter!("lockstep_log_reads_total", "source" => "ring").increment(1);
            return answer(None, entries, head);
        }
        // No more than the log is said to hold, so that one query can answer many who each miss a little.
        let missing = (head.get() + 1).saturating_sub(from.get()).max(1);
        let range = Range { conversation, from, count: count.min(u32::try_from(missing).unwrap_or(u32::MAX)) };
        self.0.reader.want(Wanted { connection: Arc::clone(connection), range, head });
    }
}

impl Reader {
    pub(crate) fn start(ports: &Ports, publisher: &Arc<Publisher>, tasks: &TaskTracker) -> Self {
        let workers = (0..WORKERS).map(|_| {
            let (sender, queue) = mpsc::unbounded_channel();
            let (log, directory) = (Arc::clone(&ports.log), Arc::clone(&ports.directory));
            let worker = Worker { log, directory, publisher: Arc::clone(publisher) };
            tasks.spawn(worker.run(queue));
            sender
        });
        Self(Mutex::new(workers.collect()))
    }

    fn want(&self, wanted: Wanted) {
        let worker = usize::from(wanted.range.conversation.as_bytes()[15]) % WORKERS;
        let refused = match self.0.lock().get(worker) {
            Some(sender) => sender.send(wanted).map_err(|refused| refused.0).err(),
            None => Some(wanted),
        };
        if let Some(wanted) = refused {
            wanted.connection.mailbox.close(Code::ShuttingDown);
        }
    }

    /// Takes no more; what waits is still read.
    pub(crate) fn close(&self) {
        self.0.lock().clear();
    }
}

struct Worker {
    log: Arc<dyn MessageLog>,
    directory: Arc<dyn Directory>,
    publisher: Arc<Publisher>,
}

/// Takes as many questions as one query may answer; the same question of many counts once.
fn gather(first: Wanted, queue: &mut mpsc::UnboundedReceiver<Wanted>) -> HashMap<Range, Vec<Wanted>> {
    let mut waiting: HashMap<Range, Vec<Wanted>> = HashMap::new();
    let mut entries = 0;
    let mut next = Some(first);
    while let Some(wanted) = next {
        let count = wanted.range.count;
        let same = waiting.entry(wanted.range).or_default();
        entries += if same.is_empty() { count } else { 0 };
        same.push(wanted);
        next = if entries < ENTRIES_PER_QUERY_MAX { queue.try_recv().ok() } else { None };
    }
    waiting
}

impl Worker {
    async fn run(self, mut queue: mpsc::UnboundedReceiver<Wanted>) {
        while let Some(first) = queue.recv().await {
            let waiting = gather(first, &mut queue);
            let count = waiting.values().map(Vec::len).sum::<usize>();
            metrics::counter!("lockstep_log_reads_total", "source" => "store").increment(count as u64);
            if let Err(error) = self.answer_all(&waiting).await {
                store_failed(&error);
                let all = waiting.into_values().flatten();
                all.for_each(|wanted| wanted.connection.mailbox.close(Code::Unavailable));
            }
        }
    }

    async fn answer_all(&self, waiting: &HashMap<Range, Vec<Wanted>>) -> Result<(), StoreError> {
        let ranges: Vec<Range> = waiting.keys().copied().collect();
        let began = self.publisher.rings.erasures();
        let found = self.log.ranges(ranges.clone()).await?;
        let mut others = Vec::new();
        for (range, entries) in ranges.into_iter().zip(found) {
            let entries: Vec<SharedEntry> = entries.into_iter().map(SharedEntry::new).collect();
            let Some(last) = entries.last().filter(|_| entries[0].seq == range.from) else {
                others.push(range);
                continue;
            };
            // What reaches the head as far as it is known is worth remembering: what comes later is pushed behind it.
            if waiting[&range].iter().all(|wanted| last.seq >= wanted.head) {
                self.publisher.rings.push_read(&entries, began);
            }
            waiting[&range].iter().for_each(|wanted| wanted.give(None, entries.clone(), last.seq.max(wanted.head)));
        }
        self.answer_others(waiting, others).await
    }

    /// Where nothing was found at the first place that was asked for, the log ends, or retention has taken what was there.
    async fn answer_others(&self, waiting: &HashMap<Range, Vec<Wanted>>, ranges: Vec<Range>) -> Result<(), StoreError> {
        if ranges.is_empty() {
            return Ok(());
        }
        let bounds = self.log.bounds(ranges.iter().map(|range| range.conversation).collect()).await?;
        for (range, bounds) in ranges.iter().zip(bounds) {
            let bounds = bounds.unwrap_or_default();
            for wanted in &waiting[range] {
                if bounds.floor > range.from {
                    self.skip(wanted, bounds).await?;
                } else {
                    // The log ended below `from`: a head that was only rumoured is refuted. What was appended since the
                    // read comes through the consumer.
                    wanted.give(None, Vec::new(), range.from.previous());
                }
            }
        }
        Ok(())
    }

    /// Retention may have taken the entry by which the member left: what is known of the stays is asked anew, so that
    /// the skip ends where they do.
    async fn skip(&self, wanted: &Wanted, bounds: Bounds) -> Result<(), StoreError> {
        let Wanted { connection, range: Range { conversation, from, .. }, head } = wanted;
        let found = self.directory.membership(connection.user.clone(), *conversation).await?;
        let intervals = found.map(|(intervals, _)| intervals).unwrap_or_default();
        let view = intervals.view(*from, bounds.floor);
        connection.views.note(*conversation, intervals, *from);
        match view {
            View::Hidden(skip) => wanted.give(Some(skip), Vec::new(), bounds.head.max(*head).max(skip.to)),
            View::Visible { .. } | View::Ended => wanted.give(None, Vec::new(), from.previous()),
        }
        Ok(())
    }
}

impl Wanted {
    fn give(&self, skip: Option<Skip>, entries: Vec<SharedEntry>, head: Seq) {
        let Range { conversation, from, .. } = self.range;
        answer(&self.connection, conversation, from, skip, entries, head);
    }
}

fn answer(
    connection: &Connection,
    conversation: ConversationId,
    from: Seq,
    skip: Option<Skip>,
    entries: Vec<SharedEntry>,
    head: Seq,
) {
    let last = entries.last().map(|entry| entry.seq).or(skip.map(|skip| skip.to));
    let ended = connection.views.end_at(conversation, last.unwrap_or(from.previous()));
    let page = Page { conversation, from, skip, entries, head, ended };
    let _gone = connection.mailbox.answer(Notice::Page(Box::new(page)));
}
