//! Read offsets: one device reads, the user's others hear.

use crate::api::store_failed;
use crate::receipts::Place;
use crate::{Connection, Engine};
use lockstep_model::{
    Code, ConversationId, Event, EventKind, Notice, Offset, OffsetsVersion, Ref, Seq, UnixMs, UserId,
};
use lockstep_ports::{OffsetsChange, StoreError};
use std::sync::Arc;

impl Engine {
    /// Answers [`lockstep_model::Ask::AdvanceOffset`].
    pub(crate) async fn advance_offset(
        &self,
        connection: Arc<Connection>,
        reference: Option<Ref>,
        conversation: ConversationId,
        seq: Seq,
    ) {
        let advanced = self.advance(&connection.user, conversation, seq).await;
        if let Ok(Some(read)) = advanced {
            self.0.receipts.note_of(&connection, conversation, Place { delivered: None, read: Some(read) });
        }
        let refusal = advanced.err();
        let _gone = connection.mailbox.answer(Notice::ReadDone { reference, refusal });
    }

    /// Raises a user's offset, and tells all live devices of the user, the reading one too, so that their versions stay
    /// without gaps. Says where the offset is now if it moved.
    pub(crate) async fn advance(
        &self,
        user: &UserId,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Option<Seq>, Code> {
        let advanced = self.0.ports.offsets.advance(user.clone(), conversation, seq).await;
        let advanced = advanced.map_err(|error| store_failed(&error))?;
        if advanced.moved {
            let since = OffsetsVersion::new(advanced.version.get() - 1);
            let offsets = vec![Offset { conversation, seq: advanced.seq }];
            let notice = Notice::Offsets { since, version: advanced.version, offsets };
            let devices = self.0.connections.of(user);
            devices.iter().for_each(|device| device.mailbox.signal(notice.clone()));
            self.0.events.emit(EventKind::Read, || {
                let user = user.clone();
                Event::Read { user, conversation, seq: advanced.seq, at: UnixMs::now() }
            });
        }
        Ok(advanced.moved.then_some(advanced.seq))
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
