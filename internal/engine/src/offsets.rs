//! Read offsets: one device reads, the user's others hear.

use crate::api::store_failed;
use crate::{Connection, Engine};
use lockstep_model::{ConversationId, Event, EventKind, Notice, Offset, OffsetsVersion, Ref, Seq, UnixMs};
use lockstep_ports::{OffsetsChange, StoreError};
use std::sync::Arc;

impl Engine {
    /// Answers [`lockstep_model::Ask::AdvanceOffset`], and tells all live devices of the user, the reading one too, so
    /// that their versions stay without gaps.
    pub(crate) async fn advance_offset(
        &self,
        connection: Arc<Connection>,
        reference: Option<Ref>,
        conversation: ConversationId,
        seq: Seq,
    ) {
        let advanced = self.0.ports.offsets.advance(connection.user.clone(), conversation, seq).await;
        let refusal = match advanced {
            Ok(advanced) => {
                if advanced.moved {
                    let since = OffsetsVersion::new(advanced.version.get() - 1);
                    let offsets = vec![Offset { conversation, seq: advanced.seq }];
                    let notice = Notice::Offsets { since, version: advanced.version, offsets };
                    let devices = self.0.connections.of(&connection.user);
                    devices.iter().for_each(|device| device.mailbox.signal(notice.clone()));
                    self.0.events.emit(EventKind::Read, || {
                        let user = connection.user.clone();
                        Event::Read { user, conversation, seq: advanced.seq, at: UnixMs::now() }
                    });
                }
                None
            }
            Err(error) => Some(store_failed(&error)),
        };
        let _gone = connection.mailbox.answer(Notice::ReadDone { reference, refusal });
    }

    /// Tells a connection what changed in its user's offsets since a version.
    pub(crate) async fn tell_offsets(&self, connection: &Connection, since: OffsetsVersion) -> Result<(), StoreError> {
        let count = self.0.config.conversations_per_user_max as u32 + 1;
        let changed = self.0.ports.offsets.changed_since(connection.user.clone(), since, count).await?;
        let OffsetsChange { version, offsets } = changed;
        if version > since {
            let _gone = connection.mailbox.answer(Notice::Offsets { since, version, offsets });
        }
        Ok(())
    }
}
