//! How many raw bodies are in this process's hands at once.
//!
//! A message comes through `_seq`, and for some seconds after that was made anew through the channel of each device too; it
//! comes again when nsqd has waited too long. Each is held once. The others are put back until it is known what became of
//! it, and finished then (I7).

use lockstep_model::ClientMsgId;
use parking_lot::Mutex;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Messages that are held, by what names them. Beyond that they are put back into nsqd for a second.
pub(crate) const MESSAGES_MAX: usize = 1_024;
/// Bytes of those that are held. Beyond that they are put back likewise; one that is larger by itself passes alone.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Names of messages that were finished lately. A copy of an older one is taken in again, which the store finds out.
const FINISHED_MAX: usize = 8_192;

/// The room for raw bodies. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct RawRoom(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    held: HashSet<ClientMsgId>,
    bytes: usize,
    finished: HashSet<ClientMsgId>,
    /// The oldest first.
    order: VecDeque<ClientMsgId>,
}

/// What becomes of a message that has come.
pub(crate) enum Entered {
    /// It is held as long as this is.
    Held(Hold),
    /// It was finished before.
    Finished,
    /// It is held already, or there is no room.
    Later,
}

/// A message that is held.
pub(crate) struct Hold {
    room: RawRoom,
    key: ClientMsgId,
    bytes: usize,
}

impl RawRoom {
    /// Lets a message of so many bytes in.
    pub(crate) fn enter(&self, key: &ClientMsgId, bytes: usize) -> Entered {
        let mut inner = self.0.lock();
        if inner.finished.contains(key) {
            return Entered::Finished;
        }
        let has_room = inner.held.len() < MESSAGES_MAX && (inner.bytes == 0 || inner.bytes + bytes <= BYTES_MAX);
        if !has_room || !inner.held.insert(key.clone()) {
            return Entered::Later;
        }
        inner.bytes += bytes;
        Entered::Held(Hold { room: self.clone(), key: key.clone(), bytes })
    }

    /// Forgets what was finished: silence should cost no memory.
    pub(crate) fn forget_finished(&self) {
        let mut inner = self.0.lock();
        (inner.finished, inner.order) = Default::default();
    }
}

impl Hold {
    /// The message is finished, and so are its copies.
    pub(crate) fn finish(&self) {
        let mut inner = self.room.0.lock();
        if inner.finished.insert(self.key.clone()) {
            inner.order.push_back(self.key.clone());
        }
        if inner.order.len() > FINISHED_MAX
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.finished.remove(&oldest);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut inner = self.room.0.lock();
        inner.held.remove(&self.key);
        inner.bytes -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> ClientMsgId {
        ClientMsgId::new(&format!("nsq-{number}")).expect("a name")
    }

    fn held(room: &RawRoom, number: usize, bytes: usize) -> Option<Hold> {
        match room.enter(&key(number), bytes) {
            Entered::Held(hold) => Some(hold),
            Entered::Finished | Entered::Later => None,
        }
    }

    #[test]
    fn messages_and_bytes_are_bounded() {
        let room = RawRoom::default();
        let all: Vec<Hold> = (0..MESSAGES_MAX).filter_map(|number| held(&room, number, 10)).collect();
        assert_eq!(all.len(), MESSAGES_MAX);
        assert!(held(&room, MESSAGES_MAX, 10).is_none());
        drop(all);
        let half = held(&room, 1, BYTES_MAX / 2).expect("there is room");
        assert!(held(&room, 2, BYTES_MAX / 2 + 1).is_none(), "it does not fit");
        let other = held(&room, 3, BYTES_MAX / 2).expect("this one does");
        drop((half, other));
        let large = held(&room, 4, BYTES_MAX + 1).expect("alone it passes");
        assert!(held(&room, 5, 1).is_none());
        drop(large);
        assert!(held(&room, 5, 1).is_some());
    }

    #[test]
    fn each_is_held_once_and_known_for_a_while() {
        let room = RawRoom::default();
        let hold = held(&room, 1, 10).expect("there is room");
        assert!(matches!(room.enter(&key(1), 10), Entered::Later), "it is held");
        drop(hold);
        let hold = held(&room, 1, 10).expect("nobody knows what became of it");
        hold.finish();
        hold.finish();
        drop(hold);
        assert!(matches!(room.enter(&key(1), 10), Entered::Finished));
        for number in 2..FINISHED_MAX + 2 {
            held(&room, number, 10).expect("there is room").finish();
        }
        assert!(matches!(room.enter(&key(1), 10), Entered::Held(_)), "it is forgotten");
        assert_eq!(room.0.lock().finished.len(), FINISHED_MAX);
        room.forget_finished();
        assert!(matches!(room.enter(&key(FINISHED_MAX), 10), Entered::Held(_)));
    }
}
