//! What the server itself knows of the conversations that are filled.

use super::Filling;
use super::effects::send;
use crate::api::store_failed;
use crate::{Connection, Engine};
use lockstep_model::{
    About, AboutState, BootstrapId, BootstrapNews, Code, ConversationId, Intervals, MemberState, Seq, Unread, limits,
};
use lockstep_ports::StoreError;
use std::collections::HashMap;
use std::sync::Arc;

/// Notices that may wait for a device before it is told of more conversations.
const WAITING_MAX: usize = 256;

/// What is known of a conversation, and how far it may be filled: to its head, or to where the user's last stay ended.
struct Known {
    about: About,
    head: Seq,
    intervals: Intervals,
}

impl Engine {
    /// Tells the device of what is next, unless so much waits for it already: then the next tick does.
    pub(super) fn tell_more(&self, filling: &mut Filling) {
        let Some(connection) = filling.connection.clone() else { return };
        if filling.to_tell.is_empty() || connection.mailbox.waiting() > WAITING_MAX {
            return;
        }
        let conversations = std::mem::take(&mut filling.to_tell);
        let (engine, id) = (self.clone(), filling.relay.id);
        self.0.tasks.spawn(async move {
            match engine.read_about(&connection, id, &conversations).await {
                Ok(read) => engine.told_about(&connection, id, conversations, read),
                Err(error) => {
                    store_failed(&error);
                    connection.mailbox.close(Code::Unavailable);
                }
            }
        });
    }

    fn told_about(
        &self,
        connection: &Arc<Connection>,
        id: BootstrapId,
        conversations: Vec<ConversationId>,
        mut read: HashMap<ConversationId, Known>,
    ) {
        let Some(mut of_user) = self.0.bootstraps.users.get_mut(&connection.user) else { return };
        let Some(filling) = of_user.fillings.get_mut(&connection.device) else { return };
        let is_current = filling.connection.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection));
        if !is_current || filling.relay.id != id {
            return;
        }
        let mut told = Vec::with_capacity(conversations.len());
        for conversation in conversations {
            let found = read.remove(&conversation);
            told.push((conversation, found.as_ref().map(|known| known.head)));
            if let Some(Known { about, intervals, .. }) = found {
                // The user may have left, or come again, since the connection began.
                connection.views.note(conversation, intervals, Seq::new(1));
                send(Some(connection), BootstrapNews::BootstrapConversation(Box::new(about)));
            }
        }
        filling.relay.handle_told(&told);
        self.drive(&mut of_user, connection.device);
    }

    async fn read_about(
        &self,
        connection: &Connection,
        id: BootstrapId,
        conversations: &[ConversationId],
    ) -> Result<HashMap<ConversationId, Known>, StoreError> {
        let (directory, user) = (&self.0.ports.directory, &connection.user);
        let unread = directory.unread(user.clone(), conversations.to_vec()).await?;
        let unread: HashMap<ConversationId, Unread> = unread.into_iter().map(|row| (row.conversation, row)).collect();
        let mut read = HashMap::with_capacity(conversations.len());
        for conversation in conversations {
            let standing = directory.standing(user.clone(), *conversation).await?;
            let followed = directory.followed_one(user.clone(), connection.device, *conversation).await?;
            let (Some(standing), Some(followed)) = (standing, followed) else { continue };
            // Who is there now, and what it is called, is nothing to one who has left.
            let is_member = followed.intervals.is_member();
            let members = match is_member {
                true => directory.members_of(*conversation, None, limits::BOOTSTRAP_MEMBERS_MAX as u32).await?,
                false => vec![],
            };
            let details = standing.conversation.details;
            let (title, avatar) = if is_member { (details.title, details.avatar) } else { (None, None) };
            let head = followed.intervals.end().map_or(followed.bounds.head, |end| end.min(followed.bounds.head));
            let MemberState { pinned, archived, muted_until, delete_before, .. } = standing.state;
            let nothing = Unread {
                conversation: *conversation,
                read: Seq::ZERO,
                head,
                unread: 0,
                more: false,
                mentions: 0,
                marked: false,
            };
            let about = About {
                bootstrap: id,
                conversation: *conversation,
                kind: standing.conversation.kind.as_str().to_owned(),
                title,
                avatar,
                role: standing.role.map(|role| role.as_str().to_owned()),
                members: members.into_iter().map(|member| member.user).collect(),
                member_count: if is_member { standing.conversation.member_count } else { 0 },
                floor: followed.bounds.floor,
                unread: unread.get(conversation).copied().unwrap_or(nothing),
                state: AboutState { pinned, archived, muted_until, delete_before },
            };
            read.insert(*conversation, Known { about, head, intervals: followed.intervals });
        }
        Ok(read)
    }
}
