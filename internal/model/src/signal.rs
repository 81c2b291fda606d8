//! What passes between devices and is never kept: signals, and who is there.

use lockstep_protocol::{Body, ConversationId, DeviceId, UserId};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// A signal of one device to all that follow a conversation, such as "is typing".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// The conversation.
    pub conversation: ConversationId,
    /// Whose device.
    pub user: UserId,
    /// Which device.
    pub device: DeviceId,
    /// What it says.
    pub body: Body,
}

/// A signal shared by every connection that gets it, with room for its encoded form, as a
/// [`SharedEntry`](crate::SharedEntry) has.
#[derive(Debug, Clone)]
pub struct SharedSignal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    signal: Signal,
    native: OnceLock<Box<str>>,
}

impl SharedSignal {
    /// Shares a signal.
    pub fn new(signal: Signal) -> Self {
        Self(Arc::new(Inner { signal, native: OnceLock::new() }))
    }

    /// The native door's frame for this signal, encoded by `encode` if nobody has done so yet.
    pub fn native_frame(&self, encode: impl FnOnce(&Signal) -> Box<str>) -> &str {
        self.0.native.get_or_init(|| encode(&self.0.signal))
    }
}

impl Deref for SharedSignal {
    type Target = Signal;
    fn deref(&self) -> &Signal {
        &self.0.signal
    }
}

impl PartialEq for SharedSignal {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
impl Eq for SharedSignal {}
