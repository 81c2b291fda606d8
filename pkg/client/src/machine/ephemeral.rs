//! What is never kept: signals, and who of others is there.

use super::Machine;
use crate::Event;
use lockstep_protocol::{Body, ClientFrame, ConversationId, DeviceOnline, Online, SignalFrame, UserId};

impl Machine {
    /// The application signals to whoever follows a conversation now. Without a connection it is lost.
    pub fn handle_signal(&mut self, conversation: ConversationId, body: Body) {
        if self.has_caught_up() {
            self.write(ClientFrame::Signal { reference: None, conversation, body });
        }
    }

    /// The application wants to know who of these users is there, on this connection and those after it.
    pub fn handle_watch(&mut self, users: Vec<UserId>) {
        self.watched = Some(users);
        if self.has_caught_up() {
            self.write_watch();
        }
    }

    /// A connection knows nothing of the one before.
    pub(super) fn write_watch(&mut self) {
        if let Some(users) = self.watched.clone() {
            self.write(ClientFrame::Watch { reference: None, users });
        }
    }

    pub(super) fn handle_signalled(&mut self, signal: SignalFrame) {
        self.event(Event::Signal(signal));
    }

    pub(super) fn handle_devices(&mut self, devices: Vec<DeviceOnline>) {
        self.event(Event::Devices(devices));
    }

    pub(super) fn handle_presence(&mut self, users: Vec<Online>) {
        self.event(Event::Presence(users));
    }
}
