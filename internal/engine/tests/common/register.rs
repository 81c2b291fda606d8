//! What is kept twice, as a state that can be asked for and as changes in a log, must come out the same: whoever asks for
//! the state and then takes the changes after it ends where one does who took all changes from the first on.
//!
//! A slice that keeps such a state implements [`Register`] and hands [`race`] something that changes it.

use super::{House, soon};
use lockstep_engine::Slice;
use lockstep_model::{ConversationId, Details, Entry, LogChange, Role, Seq, SharedEntry, UserId};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// A state that is told of in a conversation's log.
pub trait Register: Clone + PartialEq + Debug + Default {
    /// Asks for the state, and for the place in the log that it is at least as new as. It may be newer: a change that it
    /// holds already must do nothing.
    fn ask(house: &House, observer: &UserId, room: ConversationId) -> impl Future<Output = (Self, Seq)>;

    /// Takes a change.
    fn take(&mut self, entry: &Entry);
}

/// Asks for the state over and over while the changes are made, and checks that all ways lead to the same end.
pub async fn race<R: Register>(
    house: &House,
    observer: &UserId,
    room: ConversationId,
    changes: impl Future<Output = ()>,
) {
    let mut asked = vec![R::ask(house, observer, room).await];
    let mut changes = std::pin::pin!(changes);
    let mut running = true;
    while running {
        tokio::select! {
            biased;
            answer = R::ask(house, observer, room) => asked.push(answer),
            () = &mut changes => running = false,
        }
        // Both get their turn, whichever is ready first.
        if running && futures_now(changes.as_mut()).await {
            running = false;
        }
    }
    let (end, _) = R::ask(house, observer, room).await;
    let log = log(house, observer, room).await;
    let mut from_the_start = R::default();
    log.iter().for_each(|entry| from_the_start.take(entry));
    assert_eq!(from_the_start, end, "the log from its start");
    for (number, (mut state, head)) in asked.into_iter().enumerate() {
        log.iter().filter(|entry| entry.seq > head).for_each(|entry| state.take(entry));
        assert_eq!(state, end, "state {number}, which was asked for at {head}");
    }
}

/// Lets a future run as far as it gets now. True if it is done.
async fn futures_now(mut future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_ready())).await
}

async fn log(house: &House, observer: &UserId, room: ConversationId) -> Vec<SharedEntry> {
    let mut log: Vec<SharedEntry> = Vec::new();
    loop {
        let after = Slice::After(log.last().map_or(Seq::ZERO, |last| last.seq));
        let page = soon(house.engine.history(observer, room, after, 100)).await.unwrap();
        if page.entries.is_empty() {
            return log;
        }
        log.extend(page.entries);
    }
}

/// Details and members of a group or room.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Roll {
    pub details: Option<Details>,
    pub members: BTreeMap<UserId, Role>,
}

impl Register for Roll {
    async fn ask(house: &House, observer: &UserId, room: ConversationId) -> (Self, Seq) {
        let standing = soon(house.engine.conversation(observer, room)).await.unwrap();
        let mut roll = Self { details: Some(standing.conversation.details), members: BTreeMap::new() };
        let mut after = None;
        loop {
            let (page, _) = soon(house.engine.members(observer, room, after, 2)).await.unwrap();
            after = page.last().map(|last| (last.joined_seq, last.user.clone()));
            roll.members.extend(page.into_iter().map(|member| (member.user, member.role)));
            if after.is_none() {
                // The oldest of what was asked for counts.
                return (roll, standing.conversation.bounds.head);
            }
        }
    }

    fn take(&mut self, entry: &Entry) {
        let members = &mut self.members;
        match LogChange::of(entry) {
            Some(LogChange::Created { by, title, avatar, history, custom, .. }) => {
                let details = Some(Details { title, avatar, custom, history });
                *self = Self { details, members: BTreeMap::from([(by, Role::Owner)]) };
            }
            Some(LogChange::MembersAdded { members: added, .. }) => {
                members.extend(added.into_iter().map(|member| (member, Role::Member)));
            }
            Some(LogChange::MemberJoined { member }) => members.extend([(member, Role::Member)]),
            Some(LogChange::MemberLeft { member } | LogChange::MemberRemoved { member, .. }) => {
                members.remove(&member);
            }
            Some(LogChange::RoleChanged { member, role, .. }) => members.extend([(member, role)]),
            Some(LogChange::OwnerChanged { by, member }) => {
                members.extend([(by, Role::Admin), (member, Role::Owner)]);
            }
            Some(LogChange::Changed { change, .. }) => {
                let details = self.details.as_mut().unwrap();
                details.title = change.title.unwrap_or(details.title.take());
                details.avatar = change.avatar.unwrap_or(details.avatar.take());
                details.custom = change.custom.unwrap_or(details.custom.take());
                details.history = change.history.unwrap_or(details.history);
            }
            None => {}
        }
    }
}
