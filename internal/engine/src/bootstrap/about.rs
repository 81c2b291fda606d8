//! What the server itself knows of the conversations that are filled.

use super::Filling;
use super::effects::send;
use crate::api::store_failed;
use crate::{Connection, Engine};
use lockstep_model::{
    About, AboutState, BootstrapId, BootstrapNews, Code, ConversationId, MemberState, Seq, Unread, limits,
};
use lockstep_ports::StoreError;
use std::collections::HashMap;
use std::sync::Arc;

impl Engine {
    /// Reads what is known of these conversations, tells the device, and goes on.
    pub(super) fn tell_of_conversations(&self, filling: &Filling, conversations: Vec<ConversationId>) {
        let Some(connection) = filling.connection.clone() else { return };
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
        mut read: HashMap<ConversationId, (About, Seq)>,
    ) {
        let Some(mut of_user) = self.0.bootstraps.users.get_mut(&connection.user) else { return };
        let Some(filling) = of_user.fillings.get_mut(&connection.device) else { return };
        let is_current = filling.connection.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection));
        if !is_current || filling.relay.id != id {
            return;
        }
        let mut told = Vec::with_capacity(conversations.len());
        for conversation in conversations {
            let about = read.remove(&conversation);
            told.push((conversation, about.as_ref().map(|(_, head)| *head)));
            if let Some((about, _)) = about {
                send(Some(connection), BootstrapNews::BootstrapConversation(Box::new(about)));
            }
        }
        filling.relay.handle_told(&told);
        self.drive(&mut of_user, connection.device);
    }

    /// What is known, and how far each may be filled: to its head, or to where the user's last stay ended.
    async fn read_about(
        &self,
        connection: &Connection,
        id: BootstrapId,
        conversations: &[ConversationId],
    ) -> Result<HashMap<ConversationId, (About, Seq)>, StoreError> {
        let (directory, user) = (&self.0.ports.directory, &connection.user);
        let unread = directory.unread(user.clone(), conversations.to_vec()).await?;
        let unread: HashMap<ConversationId, Unread> = unread.into_iter().map(|row| (row.conversation, row)).collect();
        let mut read = HashMap::with_capacity(conversations.len());
        for conversation in conversations {
            let standing = directory.standing(user.clone(), *conversation).await?;
            let followed = directory.followed_one(user.clone(), connection.device, *conversation).await?;
            let (Some(standing), Some(followed)) = (standing, followed) else { continue };
            let members = match followed.intervals.is_member() {
                true => directory.members_of(*conversation, None, limits::BOOTSTRAP_MEMBERS_MAX as u32).await?,
                // Who is there now is nothing to one who has left.
                false => vec![],
            };
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
                title: standing.conversation.details.title,
                avatar: standing.conversation.details.avatar,
                role: standing.role.map(|role| role.as_str().to_owned()),
                members: members.into_iter().map(|member| member.user).collect(),
                member_count: standing.conversation.member_count,
                floor: followed.bounds.floor,
                unread: unread.get(conversation).copied().unwrap_or(nothing),
                state: AboutState { pinned, archived, muted_until, delete_before },
            };
            read.insert(*conversation, (about, head));
        }
        Ok(read)
    }
}
