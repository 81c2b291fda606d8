//! The groups' part of the directory.

use crate::row::{Columns, conversation_columns, state_columns};
use crate::sql::Values;
use crate::store::SqliteStore;
use crate::write::{AddMembers, ChangeDetails, CreateGroup, Join, Leave, RemoveMember, SetRole};
use async_trait::async_trait;
use lockstep_model::{Conversation, ConversationId, DetailsChange, DeviceId, Intervals, Role, Seq, UserId};
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

    async fn followed_one(
        &self,
        user: UserId,
        device: DeviceId,
        conversation: ConversationId,
    ) -> Result<Option<Followed>, StoreError> {
        const FIND: &str = "SELECT c.floor, c.head, c.active_at, c.member_count, k.seq, m.joined_seq, m.left_seq, \
               max(m.visible_from_seq, ifnull(s.delete_before, 0)) \
             FROM conversations c JOIN members m INDEXED BY members_by_user ON m.user = ?2 AND m.conversation = c.id \
             LEFT JOIN member_states s ON s.user = ?2 AND s.conversation = c.id \
             LEFT JOIN cursors k ON k.device = ?3 AND k.conversation = c.id WHERE c.id = ?1 ORDER BY m.joined_seq";
        let mut values = Values::new();
        values.blob(conversation.as_bytes()).text(user.as_str()).blob(device.as_bytes());
        let receipts_members_max = self.receipts_members_max();
        let stay = |columns: &mut Columns<'_>| {
            let (bounds, active_at) = (columns.bounds()?, columns.time()?);
            let is_small = columns.int()? <= receipts_members_max;
            let cursor = columns.optional_int()?.map(Seq::new);
            let intervals = Intervals(vec![columns.interval()?]);
            Ok(Followed { conversation, bounds, active_at, cursor, intervals, is_small })
        };
        let stays = self.ask("followed_one", FIND, &mut values, stay).await?;
        Ok(stays.into_iter().reduce(|mut all, stay| {
            all.intervals.0.extend(stay.intervals.0);
            all
        }))
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
