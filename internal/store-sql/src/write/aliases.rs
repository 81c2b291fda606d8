//! What users and conversations are called elsewhere.

use super::job::Command;
use super::work::Work;
use crate::row::Columns;
use crate::sql::{self, Values};
use lockstep_model::{Alias, AliasName, AliasTarget, UnixMs, UserId};
use lockstep_ports::PeopleRefusal;

/// [`put_alias`](lockstep_ports::People::put_alias).
pub(crate) struct PutAlias {
    pub(crate) alias: Alias,
    pub(crate) now: UnixMs,
}

/// [`remove_alias`](lockstep_ports::People::remove_alias).
pub(crate) struct RemoveAlias(pub(crate) AliasName);

impl Command for PutAlias {
    const OPERATION: &'static str = "put_alias";
    type Output = Result<(), PeopleRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let Alias { name, target } = &self.alias;
        const FIND: &str = "SELECT user, conversation FROM aliases WHERE namespace = ? AND external = ?";
        let found = sql::fetch(work.connection().await?, FIND, &mut of(name)).await?;
        if let Some(row) = found.first() {
            let same = Columns::of(row).alias_target()? == *target;
            return Ok(if same { Ok(()) } else { Err(PeopleRefusal::AliasTaken) });
        }
        if let Some(refusal) = missing(work, target).await? {
            return Ok(Err(refusal));
        }
        const PUT: &str =
            "INSERT INTO aliases (namespace, external, user, conversation, created_at) VALUES (?, ?, ?, ?, ?)";
        let (user, conversation) = match target {
            AliasTarget::User(user) => (Some(user), None),
            AliasTarget::Conversation(conversation) => (None, Some(conversation)),
        };
        let mut values = of(name);
        values.optional_text(user.map(UserId::as_str));
        values.optional_blob(conversation.map(|conversation| conversation.as_bytes().as_slice())).int(self.now.get());
        sql::execute(work.connection().await?, PUT, &mut values).await?;
        Ok(Ok(()))
    }
}

impl Command for RemoveAlias {
    const OPERATION: &'static str = "remove_alias";
    type Output = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), sqlx::Error> {
        const REMOVE: &str = "DELETE FROM aliases WHERE namespace = ? AND external = ?";
        sql::execute(work.connection().await?, REMOVE, &mut of(&self.0)).await.map(drop)
    }
}

fn of(name: &AliasName) -> Values {
    let mut values = Values::new();
    values.text(name.namespace()).text(name.external());
    values
}

/// What there is not that the alias would stand for.
async fn missing(work: &mut Work<'_>, target: &AliasTarget) -> Result<Option<PeopleRefusal>, sqlx::Error> {
    const USER: &str = "SELECT 1 FROM users WHERE id = ?";
    const CONVERSATION: &str = "SELECT 1 FROM conversations WHERE id = ? AND kind <> 'feed'";
    let mut values = Values::new();
    let (sql, refusal) = match target {
        AliasTarget::User(user) => {
            values.text(user.as_str());
            (USER, PeopleRefusal::NoSuchUser)
        }
        AliasTarget::Conversation(conversation) => {
            values.blob(conversation.as_bytes());
            (CONVERSATION, PeopleRefusal::NoSuchConversation)
        }
    };
    let found = sql::fetch(work.connection().await?, sql, &mut values).await?;
    Ok(found.is_empty().then_some(refusal))
}
