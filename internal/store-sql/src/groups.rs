//! The groups' part of the directory.

use crate::follow;
use crate::row::{Columns, conversation_columns, state_columns};
use crate::sql::Values;
use crate::store::SqliteStore;
use crate::write::{AddMembers, ChangeDetails, CreateGroup, Join, Leave, RemoveMember, SetRole};
use async_trait::async_trait;
use lockstep_model::{Conversation, ConversationId, DetailsChange, DeviceId, Role, UserId};
use lockstep_ports::{Actor, Committed, Followed, GroupRefusal, Groups, NewGroup, Standing, StoreError};

type Refusable<T> = Result<Result<Committed<T>, GroupRefusal>, StoreError>;

#[async_trait]
impl Groups for SqliteStore {
    async fn create_group(&self, group: NewGroup) -> Refusable<Conversation> {
        self.command(CreateGroup(group)).await
    }

    async fn standing(&self, user: UserId, conversation: ConversationId) -> Result<Option<Standing>, StoreError> {
        const FIND: &str = concat!(
            "SELECT ",
            conversation_columns!(),
            ", m.role, CASE WHEN c.kind = 'direct' THEN \
               (SELECT p.user FROM members p WHERE p.conversation = c.id AND p.user <> ?2 LIMIT 1) END, ",
            state_columns!(),
            " FROM conversations c LEFT JOIN members m INDEXED BY members_by_user \
               ON m.user = ?2 AND m.conversation = c.id AND m.left_seq IS NULL \
             LEFT JOIN member_states s ON s.user = ?2 AND s.conversation = c.id \
             WHERE c.id = ?1 AND c.kind <> 'feed'"
        );
        let mut values = Values::new();
        values.blob(conversation.as_bytes()).text(user.as_str());
        let standing = |columns: &mut Columns<'_>| {
            Ok(Standing {
                conversation: columns.conversation()?,
                role: columns.optional_role()?,
                peer: columns.optional_user_id()?,
                state: columns.member_state()?,
            })
        };
        Ok(self.ask("standing", FIND, &mut values, standing).await?.into_iter().next())
    }

    async fn followed_in(
        &self,
        user: UserId,
        device: DeviceId,
        conversations: Vec<ConversationId>,
    ) -> Result<Vec<Followed>, StoreError> {
        follow::followed_in(self.readers(), &user, device, &conversations, self.receipts_members_max()).await
    }

    async fn change_details(&self, actor: Actor, change: DetailsChange) -> Refusable<Conversation> {
        self.command(ChangeDetails { actor, change }).await
    }

    async fn add_members(&self, actor: Actor, users: Vec<UserId>) -> Refusable<Vec<UserId>> {
        self.command(AddMembers { actor, users }).await
    }

    async fn join(&self, actor: Actor) -> Refusable<Conversation> {
        self.command(Join(actor)).await
    }

    async fn leave(&self, actor: Actor) -> Refusable<()> {
        self.command(Leave(actor)).await
    }

    async fn remove_member(&self, actor: Actor, member: UserId) -> Refusable<()> {
        self.command(RemoveMember { actor, member }).await
    }

    async fn set_role(&self, actor: Actor, member: UserId, role: Role) -> Refusable<()> {
        self.command(SetRole { actor, member, role }).await
    }
}
