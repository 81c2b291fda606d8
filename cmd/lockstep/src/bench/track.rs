//! What a device has got: whether each entry came, once and in order; where to go on; what to acknowledge.

use super::frames;
use anyhow::{Context, Result};
use lockstep_model::limits::CURSORS_PER_FRAME_MAX;
use std::collections::BTreeSet;
use std::ops::AddAssign;

/// The text of a UUID. Ids are compared as they stand on the wire.
type Name = [u8; 36];

/// What must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Faults {
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
    }
}

/// One conversation of a device.
#[derive(Debug, Clone)]
struct Row {
    conversation: Name,
    /// The next entry that is expected.
    next: u64,
    /// The id of the entry before it, if there is one.
    last: Option<Name>,
    unacknowledged: bool,
}

/// All conversations of one device.
#[derive(Debug, Clone, Default)]
pub(super) struct Track {
    rows: Vec<Row>,
    /// The row of the last entry: mostly that of the next one too.
    current: usize,
    /// Entries that were passed over, by row and seq: they are lost unless they still come, out of order.
    missing: BTreeSet<(usize, u64)>,
    duplicated: u64,
    reordered: u64,
    /// Rows and entries to acknowledge.
    unacknowledged_rows: Vec<usize>,
    pub(super) unacknowledged: usize,
}

impl Track {
    /// Adds a conversation of which the device has everything up to `seq`, the entry with this id. Rows may be added
    /// only before the first entry.
    pub(super) fn follow(&mut self, conversation: &str, seq: u64, id: Option<&str>) -> Result<()> {
        let row = Row {
            conversation: name(conversation)?,
            next: seq + 1,
            last: id.map(name).transpose()?,
            unacknowledged: false,
        };
        let at = self.rows.partition_point(|other| other.conversation < row.conversation);
        self.rows.insert(at, row);
        Ok(())
    }

    /// Takes an entry. True if it had not come before.
    ///
    /// # Errors
    ///
    /// If the device does not follow the conversation.
    pub(super) fn take(&mut self, conversation: &str, seq: u64, id: &str) -> Result<bool> {
        let current = self.rows.get(self.current).is_some_and(|row| row.conversation == conversation.as_bytes());
        if !current {
            let found = self.rows.binary_search_by(|row| row.conversation.as_slice().cmp(conversation.as_bytes()));
            self.current = found.ok().with_context(|| format!("an entry of {conversation}, which is not followed"))?;
        }
        let row = &mut self.rows[self.current];
        if seq < row.next {
            let late = self.missing.remove(&(self.current, seq));
            if late {
                self.reordered += 1;
            } else {
                self.duplicated += 1;
            }
            return Ok(late);
        }
        self.missing.extend((row.next..seq).map(|missing| (self.current, missing)));
        row.next = seq + 1;
        row.last = Some(name(id)?);
        self.unacknowledged += 1;
        if !std::mem::replace(&mut row.unacknowledged, true) {
            self.unacknowledged_rows.push(self.current);
        }
        Ok(true)
    }

    /// Acknowledges everything that came since the last time.
    pub(super) fn acknowledge(&mut self, frames: &mut Vec<String>) {
        for chunk in self.unacknowledged_rows.chunks(CURSORS_PER_FRAME_MAX) {
            frames.push(frames::ack(chunk.iter().map(|&index| {
                let row = &self.rows[index];
                (text(&row.conversation), row.next - 1)
            })));
        }
        for index in self.unacknowledged_rows.drain(..) {
            self.rows[index].unacknowledged = false;
        }
        self.unacknowledged = 0;
    }

    /// The `hello` and `resume` frames that go on from here, as the SDK writes them.
    pub(super) fn greeting(&self, token: &str, epoch: &str, feed: &str) -> Vec<String> {
        let cursor = |row: &Row| {
            let entry = row.last.as_ref().map_or(String::new(), |id| format!(r#","entry":"{}""#, text(id)));
            format!(r#""seq":{}{entry}"#, row.next - 1)
        };
        let of_feed = |row: &&Row| row.conversation == feed.as_bytes();
        let feed =
            self.rows.iter().find(of_feed).map_or(String::new(), |row| format!(r#","feed":{{{}}}"#, cursor(row)));
        let mut frames = vec![format!(r#"{{"type":"hello","token":"{token}","epoch":"{epoch}"{feed}}}"#)];
        let known = self.rows.iter().filter(|row| !of_feed(row) && row.next > 1);
        let shown: Vec<String> =
            known.map(|row| format!(r#"{{"conversation":"{}",{}}}"#, text(&row.conversation), cursor(row))).collect();
        let mut chunks = shown.chunks(CURSORS_PER_FRAME_MAX).peekable();
        if chunks.peek().is_none() {
            frames.push(r#"{"type":"resume","conversations":[]}"#.to_owned());
        }
        while let Some(chunk) = chunks.next() {
            let more = chunks.peek().is_some();
            frames.push(format!(r#"{{"type":"resume","conversations":[{}],"more":{more}}}"#, chunk.join(",")));
        }
        frames
    }

    /// What went wrong, if the conversations reach as far as `head` says.
    pub(super) fn faults(&self, head: impl Fn(&str) -> Option<u64>) -> Faults {
        let mut faults =
            Faults { lost: self.missing.len() as u64, duplicated: self.duplicated, reordered: self.reordered };
        for row in &self.rows {
            let end = head(text(&row.conversation)).map_or(row.next, |head| head + 1);
            faults.lost += end.saturating_sub(row.next);
            // More than was sent: something was stored twice.
            faults.duplicated += row.next.saturating_sub(end);
        }
        faults
    }
}

fn name(id: &str) -> Result<Name> {
    id.as_bytes().try_into().ok().with_context(|| format!("{id:?} is not a UUID"))
}

fn text(name: &Name) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11";
    const B: &str = "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a22";

    #[test]
    fn faults_are_told_apart() {
        let cases = [
            (vec![1, 2, 3, 4], (0, 0, 0)),
            (vec![1, 2, 2, 3, 4], (0, 1, 0)),
            (vec![1, 3, 2, 4], (0, 0, 1)),
            (vec![1, 2, 4], (1, 0, 0)),
            (vec![1, 2], (2, 0, 0)),
            (vec![2, 4, 3], (1, 0, 1)),
            (vec![1, 2, 3, 4, 5], (0, 1, 0)),
        ];
        for (seqs, (lost, duplicated, reordered)) in cases {
            let mut track = Track::default();
            track.follow(B, 7, None).unwrap();
            track.follow(A, 0, None).unwrap();
            for seq in &seqs {
                track.take(A, *seq, B).unwrap();
            }
            let found = track.faults(|conversation| (conversation == A).then_some(4));
            assert_eq!(found, Faults { lost, duplicated, reordered }, "{seqs:?}");
        }
    }

    #[test]
    fn a_device_goes_on_where_it_was() {
        let mut track = Track::default();
        track.follow(A, 0, None).unwrap();
        track.follow(B, 2, None).unwrap();
        assert!(track.take(A, 1, B).unwrap());
        let mut frames = Vec::new();
        track.acknowledge(&mut frames);
        assert_eq!(frames, [format!(r#"{{"type":"ack","cursors":[{{"conversation":"{A}","seq":1}}]}}"#)]);
        let greeting = track.greeting("t", A, B);
        assert_eq!(
            greeting,
            [
                format!(r#"{{"type":"hello","token":"t","epoch":"{A}","feed":{{"seq":2}}}}"#),
                format!(
                    r#"{{"type":"resume","conversations":[{{"conversation":"{A}","seq":1,"entry":"{B}"}}],"more":false}}"#
                ),
            ]
        );
        assert!(greeting.iter().all(|frame| lockstep_protocol::decode_client(frame).is_ok()));
    }
}
