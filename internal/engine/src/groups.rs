//! Groups and rooms: made, changed, joined and left. Whether somebody may is decided in the store's transaction.

use crate::Engine;
use crate::api::store_failed;
use lockstep_model::{
    Code, Conversation, ConversationId, ConversationKind, CustomObject, DetailsChange, History, Role, UnixMs, UserId,
    limits,
};
use lockstep_ports::{Actor, Committed, GroupRefusal, NewConversation, NewGroup, Standing, StoreError};

/// A group or room that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDraft {
    /// A group, or a room.
    pub kind: ConversationKind,
    /// Its title.
    pub title: Option<String>,
    /// Where its picture is: an `http` or `https` URL.
    pub avatar: Option<String>,
    /// The application's own.
    pub custom: Option<CustomObject>,
    /// What newcomers see. If absent: nothing in a group, which is a closed circle; all in a room, which anybody may enter.
    pub history: Option<History>,
    /// Its members besides who makes it.
    pub members: Vec<UserId>,
}

impl GroupDraft {
    /// A group with this title and these members.
    pub fn group(title: Option<String>, members: Vec<UserId>) -> Self {
        Self { kind: ConversationKind::Group, title, avatar: None, custom: None, history: None, members }
    }
}

impl Engine {
    /// Makes a group of the creator and the named members.
    ///
    /// # Errors
    ///
    /// As those of [`Engine::create`].
    pub async fn create_group(
        &self,
        creator: &UserId,
        title: Option<String>,
        members: Vec<UserId>,
    ) -> Result<Conversation, Code> {
        self.create(creator, GroupDraft::group(title, members)).await
    }

    /// Makes a group or room, which its creator owns.
    ///
    /// # Errors
    ///
    /// `bad_request` (too many members are named, or a text is not allowed), `no_such_user`, `blocked` (a member has
    /// blocked the creator), `too_many_conversations`, `too_many_members`, `try_again`.
    pub async fn create(&self, creator: &UserId, draft: GroupDraft) -> Result<Conversation, Code> {
        let GroupDraft { kind, title, avatar, custom, history, mut members } = draft;
        members.sort();
        members.dedup();
        members.retain(|member| member != creator);
        members.insert(0, creator.clone());
        let fits = title.as_deref().is_none_or(is_title) && avatar.as_deref().is_none_or(is_avatar);
        let makeable = matches!(kind, ConversationKind::Group | ConversationKind::Room);
        if !fits || !makeable || members.len() > limits::GROUP_MEMBERS_MAX {
            return Err(Code::BadRequest);
        }
        let (id, now) = (ConversationId::generate(), UnixMs::now());
        let history = history.unwrap_or(if kind == ConversationKind::Room { History::All } else { History::None });
        let conversation = NewConversation { id, kind, title, members, now };
        let group = NewGroup { conversation, avatar, custom, history };
        self.done(self.0.ports.directory.create_group(group).await).await
    }

    /// A conversation as a user finds it. A room stands open to anybody's look.
    ///
    /// # Errors
    ///
    /// `no_such_conversation` if the user is no member, `try_again`.
    pub async fn conversation(&self, user: &UserId, conversation: ConversationId) -> Result<Standing, Code> {
        let found = self.0.ports.directory.standing(user.clone(), conversation).await;
        let found = found.map_err(|error| store_failed(&error))?;
        let is_open = |standing: &Standing| standing.conversation.kind == ConversationKind::Room;
        found.filter(|standing| standing.role.is_some() || is_open(standing)).ok_or(Code::NoSuchConversation)
    }

    /// Changes title, avatar and the like.
    ///
    /// # Errors
    ///
    /// `bad_request` (a text is not allowed), `no_such_conversation`, `direct_conversation`, `forbidden`, `try_again`.
    pub async fn change_details(
        &self,
        user: &UserId,
        conversation: ConversationId,
        change: DetailsChange,
    ) -> Result<Conversation, Code> {
        let fits = change.title.iter().flatten().all(|title| is_title(title))
            && change.avatar.iter().flatten().all(|avatar| is_avatar(avatar));
        if !fits {
            return Err(Code::BadRequest);
        }
        self.done(self.0.ports.directory.change_details(actor(user, conversation), change).await).await
    }

    /// Makes users members, and says who was none before.
    ///
    /// # Errors
    ///
    /// `bad_request` (too many are named), `no_such_conversation`, `direct_conversation`, `forbidden`, `no_such_user`,
    /// `blocked` (one of them has blocked the user), `too_many_conversations`, `too_many_members`, `try_again`.
    pub async fn invite(
        &self,
        user: &UserId,
        conversation: ConversationId,
        mut users: Vec<UserId>,
    ) -> Result<Vec<UserId>, Code> {
        users.sort();
        users.dedup();
        if users.len() > limits::GROUP_MEMBERS_MAX {
            return Err(Code::BadRequest);
        }
        self.done(self.0.ports.directory.add_members(actor(user, conversation), users).await).await
    }

    /// Makes the user a member of a room.
    ///
    /// # Errors
    ///
    /// `no_such_conversation` (also for what is no room), `too_many_conversations`, `too_many_members`, `try_again`.
    pub async fn join(&self, user: &UserId, conversation: ConversationId) -> Result<Conversation, Code> {
        self.done(self.0.ports.directory.join(actor(user, conversation)).await).await
    }

    /// Ends the user's stay.
    ///
    /// # Errors
    ///
    /// `no_such_conversation`, `direct_conversation`, `try_again`.
    pub async fn leave(&self, user: &UserId, conversation: ConversationId) -> Result<(), Code> {
        self.done(self.0.ports.directory.leave(actor(user, conversation)).await).await
    }

    /// Ends another member's stay.
    ///
    /// # Errors
    ///
    /// `no_such_conversation`, `direct_conversation`, `forbidden`, `no_such_member`, `try_again`.
    pub async fn remove_member(&self, user: &UserId, conversation: ConversationId, member: UserId) -> Result<(), Code> {
        self.done(self.0.ports.directory.remove_member(actor(user, conversation), member).await).await
    }

    /// Gives a member a role, or hands the conversation over.
    ///
    /// # Errors
    ///
    /// `no_such_conversation`, `direct_conversation`, `forbidden`, `no_such_member`, `try_again`.
    pub async fn set_role(
        &self,
        user: &UserId,
        conversation: ConversationId,
        member: UserId,
        role: Role,
    ) -> Result<(), Code> {
        self.done(self.0.ports.directory.set_role(actor(user, conversation), member, role).await).await
    }

    /// Publishes what a command wrote, or says why it wrote nothing.
    async fn done<T>(&self, outcome: Result<Result<Committed<T>, GroupRefusal>, StoreError>) -> Result<T, Code> {
        let committed = outcome.map_err(|error| store_failed(&error))?.map_err(refused)?;
        Ok(self.announce(committed).await)
    }
}

/// Whether people may call a conversation so.
pub fn is_title(title: &str) -> bool {
    (1..=limits::NAME_CHARS_MAX).contains(&title.chars().count()) && !title.chars().any(char::is_control)
}

/// Whether an avatar may be there.
pub fn is_avatar(url: &str) -> bool {
    let of_the_web = ["https://", "http://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
    let is_plain = |character: char| !character.is_control() && !character.is_whitespace();
    of_the_web && url.len() <= limits::AVATAR_BYTES_MAX && url.chars().all(is_plain)
}

fn actor(user: &UserId, conversation: ConversationId) -> Actor {
    Actor { user: user.clone(), conversation, now: UnixMs::now() }
}

fn refused(refusal: GroupRefusal) -> Code {
    match refusal {
        GroupRefusal::NoSuchConversation => Code::NoSuchConversation,
        GroupRefusal::Direct => Code::DirectConversation,
        GroupRefusal::Forbidden => Code::Forbidden,
        GroupRefusal::NoSuchUser => Code::NoSuchUser,
        GroupRefusal::NoSuchMember => Code::NoSuchMember,
        GroupRefusal::TooManyConversations => Code::TooManyConversations,
        GroupRefusal::Blocked => Code::Blocked,
        GroupRefusal::TooManyMembers => Code::TooManyMembers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_titles_and_avatars_are_taken() {
        let titles = [("t", true), (&"ü".repeat(128), true), (&"ü".repeat(129), false), ("", false), ("a\nb", false)];
        for (title, expected) in titles {
            assert_eq!(is_title(title), expected, "{title}");
        }
        let long = |bytes: usize| format!("https://{}", "a".repeat(bytes - 8));
        let avatars = [
            ("https://example.org/a.png", true),
            ("http://a", true),
            (&long(2_048), true),
            (&long(2_049), false),
            ("https://", false),
            ("javascript:alert(1)", false),
            ("https://a b", false),
            ("https://a\u{7}", false),
            ("", false),
        ];
        for (avatar, expected) in avatars {
            assert_eq!(is_avatar(avatar), expected, "{avatar}");
        }
    }
}
