//! A conversation of the demo: what has been said in it so far, and whether devices have it.

use super::device::Device;
use anyhow::{Result, ensure};
use lockstep_client::Sent;
use lockstep_protocol::{ConversationId, Entry, Seq};

/// What the server has told of a conversation.
pub(super) struct Log {
    pub(super) id: ConversationId,
    /// Everything that the server said is on its disk.
    pub(super) acknowledged: Vec<Sent>,
    /// The last place that the server has told anybody.
    head: Seq,
}

impl Log {
    /// A conversation whose log ends here.
    pub(super) fn new(id: ConversationId, head: Seq) -> Self {
        Self { id, acknowledged: Vec::new(), head }
    }

    /// The last place that the server has told anybody.
    pub(super) fn head(&self) -> Seq {
        self.acknowledged.iter().map(|sent| sent.seq).max().unwrap_or_default().max(self.head)
    }

    /// One more entry stands there that no message made.
    pub(super) fn grow(&mut self) {
        self.head = self.head().next();
    }

    /// Writes down an answer and shows it.
    pub(super) fn note(&mut self, who: &str, text: &str, sent: Sent) {
        println!("  {who:<10} sent {text:?}: on disk as seq {}", sent.seq);
        self.acknowledged.push(sent);
    }

    /// Writes down the answer to what was said about a message.
    pub(super) fn note_about(&mut self, who: &str, what: &str, sent: Sent) {
        println!("  {who:<10} {what}: on disk as seq {}", sent.seq);
        self.acknowledged.push(sent);
    }

    /// Waits until these devices have everything, and checks that each got every entry once and in order, that all have
    /// the same, and that every acknowledged message stands where its answer said.
    pub(super) async fn check(&self, devices: &[&Device]) -> Result<()> {
        let head = self.head();
        for device in devices {
            device.wait_for(self.id, head).await?;
        }
        let reference = devices[0].entries(self.id);
        for device in devices {
            let entries = device.entries(self.id);
            let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq.get()).collect();
            let whole: Vec<u64> = (1..=seqs.len() as u64).collect();
            ensure!(seqs == whole, "{} got {seqs:?}: not each once and in order", device.name);
            ensure!(entries == reference, "{} and {} have different entries", device.name, devices[0].name);
            for sent in &self.acknowledged {
                let found = entries.get(sent.seq.previous().get() as usize);
                let there = found.is_some_and(|entry| {
                    entry.id == sent.id && entry.client_msg_id.as_ref() == Some(&sent.client_msg_id)
                });
                ensure!(there, "{}: seq {} is not what was acknowledged as {}", device.name, sent.seq, sent.id);
            }
            println!("  {:<10} has {}", device.name, stretch(&seqs));
        }
        Ok(())
    }

    /// Waits until a device that was filled has everything up to the end, and checks that it has what another one got from
    /// `first` on, each once and in order, and nothing else.
    pub(super) async fn check_filled(&self, device: &Device, like: &Device, first: Seq) -> Result<()> {
        device.wait_for(self.id, self.head()).await?;
        like.wait_for(self.id, self.head()).await?;
        let entries = device.entries(self.id);
        let latest: Vec<Entry> = like.entries(self.id).into_iter().filter(|entry| entry.seq >= first).collect();
        let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq.get()).collect();
        let whole: Vec<u64> = (first.get()..=self.head().get()).collect();
        ensure!(seqs == whole, "{} got {seqs:?}: not each once and in order", device.name);
        // What was recalled is not given on.
        let is_same = |(one, other): (&Entry, &Entry)| {
            one == other || (one.seq, one.id) == (other.seq, other.id) && one.body.is_recalled()
        };
        let all_same = entries.len() == latest.len() && entries.iter().zip(&latest).all(is_same);
        ensure!(all_same, "{} and {} have different entries", device.name, like.name);
        println!("  {:<10} has {}", device.name, stretch(&seqs));
        Ok(())
    }
}

/// Seqs for people: all of a few, the ends of many.
fn stretch(seqs: &[u64]) -> String {
    match seqs {
        [first, .., last] if seqs.len() > 12 => format!("seq {first} to {last}, each once, in order"),
        _ => format!("seq {}, each once, in order", seqs.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")),
    }
}
