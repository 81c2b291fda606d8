//! Profiles, contacts, what users keep about conversations, aliases.

use crate::Engine;
use crate::api::store_failed;
use crate::groups::is_avatar;
use lockstep_model::{
    Alias, AliasName, AliasTarget, Code, Contact, ConversationId, MemberState, Profile, ProfileChange, StateChange,
    UnixMs, UserId, limits,
};
use lockstep_ports::{PeopleRefusal, StoreError};

impl Engine {
    /// The profile of a user.
    ///
    /// # Errors
    ///
    /// `no_such_user`, `try_again`.
    pub async fn profile(&self, user: &UserId) -> Result<Profile, Code> {
        self.profiles(vec![user.clone()]).await?.pop().ok_or(Code::NoSuchUser)
    }

    /// The profiles of those of these users who exist, in the order asked.
    ///
    /// # Errors
    ///
    /// `bad_request` (too many), `try_again`.
    pub async fn profiles(&self, users: Vec<UserId>) -> Result<Vec<Profile>, Code> {
        if users.len() > limits::USERS_PER_REQUEST_MAX {
            return Err(Code::BadRequest);
        }
        self.0.ports.directory.profiles(users).await.map_err(failed)
    }

    /// Changes a user's profile.
    ///
    /// # Errors
    ///
    /// `bad_request` (a name or an avatar that does not fit), `no_such_user`, `try_again`.
    pub async fn change_profile(&self, user: &UserId, change: ProfileChange) -> Result<Profile, Code> {
        let name_fits = change.name.as_ref().is_none_or(|name| name.as_deref().is_none_or(is_name));
        let avatar_fits = change.avatar.as_ref().is_none_or(|avatar| avatar.as_deref().is_none_or(is_avatar));
        if !name_fits || !avatar_fits {
            return Err(Code::BadRequest);
        }
        let changed = self.0.ports.directory.change_profile(user.clone(), change, UnixMs::now()).await;
        Ok(self.announce(changed.map_err(failed)?.map_err(refused)?).await)
    }

    /// The contacts of a user in the order of their ids, those after `after`.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn contacts(&self, user: &UserId, after: Option<UserId>, count: u32) -> Result<Vec<Contact>, Code> {
        self.0.ports.directory.contacts(user.clone(), after, count).await.map_err(failed)
    }

    /// Notes a contact, or gives one that is there another name.
    ///
    /// # Errors
    ///
    /// `bad_request` (the name), `no_such_user` (also for oneself), `too_many_contacts`, `try_again`.
    pub async fn put_contact(&self, user: &UserId, contact: UserId, name: Option<String>) -> Result<Contact, Code> {
        if !name.as_deref().is_none_or(is_name) {
            return Err(Code::BadRequest);
        }
        let put = self.0.ports.directory.put_contact(user.clone(), contact, name, UnixMs::now()).await;
        Ok(self.announce(put.map_err(failed)?.map_err(refused)?).await)
    }

    /// Removes a contact, if it is one.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn remove_contact(&self, user: &UserId, contact: UserId) -> Result<(), Code> {
        let removed = self.0.ports.directory.remove_contact(user.clone(), contact, UnixMs::now()).await;
        self.announce(removed.map_err(failed)?).await;
        Ok(())
    }

    /// Changes what a user keeps about a conversation.
    ///
    /// # Errors
    ///
    /// `no_such_conversation` if the user is no member (a former member may still change whether it is archived),
    /// `try_again`.
    pub async fn change_state(
        &self,
        user: &UserId,
        conversation: ConversationId,
        change: StateChange,
    ) -> Result<MemberState, Code> {
        let changed = self.0.ports.directory.change_state(user.clone(), conversation, change, UnixMs::now()).await;
        Ok(self.announce(changed.map_err(failed)?.map_err(refused)?).await)
    }

    /// What a user keeps about a conversation.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn member_state(&self, user: &UserId, conversation: ConversationId) -> Result<MemberState, Code> {
        let states = self.0.ports.directory.member_states(user.clone(), vec![conversation]).await;
        Ok(states.map_err(failed)?.pop().unwrap_or_default())
    }

    /// Gives a user or a conversation a name elsewhere. The inner refusal is for operators and doors.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn put_alias(&self, alias: Alias) -> Result<Result<(), PeopleRefusal>, Code> {
        self.0.ports.directory.put_alias(alias, UnixMs::now()).await.map_err(failed)
    }

    /// What these names stand for, in their order.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn aliases(&self, names: Vec<AliasName>) -> Result<Vec<Option<AliasTarget>>, Code> {
        self.0.ports.directory.aliases(names).await.map_err(failed)
    }

    /// Removes a name, if it is there.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn remove_alias(&self, name: AliasName) -> Result<(), Code> {
        self.0.ports.directory.remove_alias(name).await.map_err(failed)
    }
}

/// Whether people can be shown this as a name.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=limits::NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

pub(crate) fn failed(error: StoreError) -> Code {
    store_failed(&error)
}

pub(crate) fn refused(refusal: PeopleRefusal) -> Code {
    match refusal {
        PeopleRefusal::NoSuchUser => Code::NoSuchUser,
        PeopleRefusal::NoSuchConversation => Code::NoSuchConversation,
        PeopleRefusal::TooMany => Code::TooManyContacts,
        PeopleRefusal::AliasTaken => Code::BadRequest,
    }
}
