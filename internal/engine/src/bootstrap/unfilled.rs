//! What a connection's device still lacks.

use lockstep_model::{ConversationId, Device};
use parking_lot::Mutex;
use std::collections::VecDeque;

/// The conversations that another device is to fill. Most connections have none and keep nothing.
#[derive(Debug, Default)]
pub(crate) struct Unfilled(Mutex<Option<Box<Lacking>>>);

#[derive(Debug, Default)]
struct Lacking {
    public_key: Option<String>,
    /// Most recently active first; absent before the device has shown where it stands.
    conversations: VecDeque<ConversationId>,
}

impl Unfilled {
    pub(crate) fn of(device: &Device) -> Self {
        let lacking = || Box::new(Lacking { public_key: device.public_key.clone(), conversations: VecDeque::new() });
        Self(Mutex::new(device.unfilled.then(lacking)))
    }

    /// Whether there may be something to fill.
    pub(crate) fn any(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Notes what the device lacks: it has shown where it stands.
    pub(crate) fn note(&self, conversations: Vec<ConversationId>) {
        if let Some(lacking) = &mut *self.0.lock() {
            lacking.conversations = conversations.into();
        }
    }

    /// What it lacks; `None` if the device is not unfilled.
    pub(crate) fn waiting(&self) -> Option<Vec<ConversationId>> {
        self.0.lock().as_ref().map(|lacking| lacking.conversations.iter().copied().collect())
    }

    pub(crate) fn public_key(&self) -> Option<String> {
        self.0.lock().as_ref().and_then(|lacking| lacking.public_key.clone())
    }

    pub(crate) fn note_filled(&self, conversation: ConversationId) {
        if let Some(lacking) = &mut *self.0.lock() {
            // It is one of the first.
            if let Some(index) = lacking.conversations.iter().position(|other| *other == conversation) {
                lacking.conversations.remove(index);
            }
        }
    }

    pub(crate) fn note_all(&self) {
        *self.0.lock() = None;
    }
}
