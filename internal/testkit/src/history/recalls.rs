//! What was recalled, and who read it all the same.

use super::{Delivery, History};
use lockstep_protocol::{ConversationId, Entry, Seq};
use std::collections::HashMap;

/// A moment in a run: how many recalls had been acknowledged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(usize);

/// All recalls of a run.
#[derive(Debug, Default)]
pub(super) struct Recalls {
    targets: Vec<(ConversationId, Seq)>,
    /// When each message was recalled.
    moments: HashMap<(ConversationId, Seq), Moment>,
    /// What was read although it had been recalled before the reading began: by whom, and what.
    shown: Vec<(String, ConversationId, Seq)>,
}

impl Recalls {
    pub(super) fn shown(&self) -> &[(String, ConversationId, Seq)] {
        &self.shown
    }

    pub(super) fn now(&self) -> Moment {
        Moment(self.targets.len())
    }

    /// Somebody who began to read at this moment read this.
    pub(super) fn read(&mut self, reader: &str, began: Moment, read: &Delivery) {
        let Some(message) = read.shows else { return };
        if self.moments.get(&(read.conversation, message)).is_some_and(|recalled| *recalled < began) {
            self.shown.push((reader.to_owned(), read.conversation, read.seq));
        }
    }
}

impl History {
    /// The server said that the recall of a message is on disk. Whoever begins to read from now on sees nothing of it.
    pub fn recalled(&mut self, conversation: ConversationId, message: Seq) {
        let now = self.recalls.now();
        self.recalls.moments.entry((conversation, message)).or_insert(now);
        self.recalls.targets.push((conversation, message));
    }

    /// The messages that were recalled, the first one first.
    pub fn recalled_messages(&self) -> &[(ConversationId, Seq)] {
        &self.recalls.targets
    }

    /// What has been recalled by now. To be asked before something is read.
    pub fn moment(&self) -> Moment {
        self.recalls.now()
    }

    /// Somebody who asked for a page of a conversation at this moment got this.
    pub fn read(&mut self, began: Moment, page: &[Entry]) {
        page.iter().for_each(|entry| self.recalls.read("a page", began, &entry.into()));
    }
}
