//! Who is there: told to connections that watch, while they last.
//!
//! A user is online while a device of the user is connected to this process. Each watched user has one place that knows
//! what its watchers were told; it is compared with the connection map after each change of that.

use crate::api::store_failed;
use crate::connections::Connections;
use crate::{Connection, Engine};
use dashmap::DashMap;
use lockstep_model::{Code, Notice, Online, Ref, UserId};
use lockstep_ports::Mailbox;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The watched users of this process. Guards of the map never leave this file; within them the connection map may be read.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    watched: DashMap<UserId, Watched>,
}

#[derive(Debug)]
struct Watched {
    /// What the watchers know.
    online: bool,
    watchers: Vec<Arc<Mailbox>>,
}

/// Whom a connection watches.
#[derive(Debug, Default)]
pub(crate) struct Watching {
    asked: AtomicU64,
    inner: Mutex<WatchingNow>,
}

#[derive(Debug, Default)]
struct WatchingNow {
    /// The last question that counts.
    turn: u64,
    users: Box<[UserId]>,
    /// The connection is over: nothing is watched for it any more.
    over: bool,
}

impl Watching {
    /// The turn of one more question. Questions are answered side by side; the last one asked wins.
    pub(crate) fn next_turn(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed) + 1
    }

    #[cfg(test)]
    pub(crate) fn is_of(&self, user: &UserId) -> bool {
        self.inner.lock().users.contains(user)
    }
}

impl Presence {
    /// Watches these users for a connection instead of those before, unless a later question has been answered already, and
    /// says who is there.
    fn watch(&self, connections: &Connections, connection: &Connection, turn: u64, users: Vec<UserId>) -> Vec<Online> {
        let mut now = connection.watching.inner.lock();
        if now.over || turn < now.turn {
            return users.into_iter().map(|user| Online { online: connections.is_online(&user), user }).collect();
        }
        for user in &now.users {
            self.unwatch(user, &connection.mailbox);
        }
        now.turn = turn;
        now.users = users.into();
        let watch = |user: &UserId| {
            let mut slot =
                self.watched.entry(user.clone()).or_insert_with(|| Watched { online: false, watchers: vec![] });
            if slot.watchers.is_empty() {
                slot.online = connections.is_online(user);
            }
            slot.watchers.push(Arc::clone(&connection.mailbox));
            Online { user: user.clone(), online: slot.online }
        };
        now.users.iter().map(watch).collect()
    }

    /// Whether the watchers were told last that the user is there.
    fn unwatch(&self, user: &UserId, mailbox: &Arc<Mailbox>) -> bool {
        let was_online = self.watched.get_mut(user).is_some_and(|mut watched| {
            watched.watchers.retain(|other| !Arc::ptr_eq(other, mailbox));
            watched.online
        });
        self.watched.remove_if(user, |_, watched| watched.watchers.is_empty());
        was_online
    }

    /// A block stands between a connection's user and another: it watches that one no more. If it was told that the other
    /// is there, it is told otherwise, as it would have been at the end of the other's last connection.
    pub(crate) fn part(&self, connection: &Connection, from: &UserId) {
        let mut now = connection.watching.inner.lock();
        if !now.users.contains(from) {
            return;
        }
        now.users = now.users.iter().filter(|user| *user != from).cloned().collect();
        if self.unwatch(from, &connection.mailbox) {
            // Never dropped: it would not be told again. There is at most one for each user that was watched.
            let told = [Online { user: from.clone(), online: false }];
            let _gone = connection.mailbox.answer(Notice::Presence(told.into()));
        }
    }

    /// The connection is over.
    pub(crate) fn forget(&self, connection: &Connection) {
        let mut now = connection.watching.inner.lock();
        now.over = true;
        for user in std::mem::take(&mut now.users) {
            self.unwatch(&user, &connection.mailbox);
        }
    }

    /// The connection map has changed for this user. The last of several changes at once finds the final state.
    pub(crate) fn changed(&self, connections: &Connections, user: &UserId) {
        let Some(mut watched) = self.watched.get_mut(user) else { return };
        let online = connections.is_online(user);
        if online != watched.online {
            watched.online = online;
            let told = [Online { user: user.clone(), online }];
            watched.watchers.iter().for_each(|mailbox| mailbox.signal(Notice::Presence(told.to_vec().into())));
        }
    }

    /// Tells a connection anew what it may have missed.
    pub(crate) fn retell(&self, connections: &Connections, connection: &Connection) {
        // Held until it is told, so that nothing of this comes after the end of a watch.
        let now = connection.watching.inner.lock();
        if now.users.is_empty() {
            return;
        }
        let online = now.users.iter().map(|user| Online { online: connections.is_online(user), user: user.clone() });
        let _gone = connection.mailbox.answer(Notice::Presence(online.collect()));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.watched.len()
    }
}

impl Engine {
    /// Answers [`lockstep_model::Ask::Watch`]. Of users whose presence is none of the user's business nothing is said: only
    /// who shares a direct conversation may know.
    pub(crate) async fn watch(
        &self,
        connection: Arc<Connection>,
        reference: Option<Ref>,
        turn: u64,
        mut users: Vec<UserId>,
    ) {
        users.sort_unstable();
        users.dedup();
        let mut asking = connection.blocks.asking(self);
        loop {
            asking.begin().await;
            let peers = self.0.ports.directory.direct_peers(connection.user.clone(), users.clone()).await;
            let watch = |peers| self.0.presence.watch(&self.0.connections, &connection, turn, peers);
            let note = || {
                let outcome: Result<Vec<Online>, Code> = peers.map(watch).map_err(|error| store_failed(&error));
                let _gone = connection.mailbox.answer(Notice::Watched { reference, outcome: Box::new(outcome) });
            };
            if asking.note(note).is_some() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_model::{ConnectionGeneration, DeviceId};

    fn user(name: &str) -> UserId {
        UserId::new(name).expect("a user")
    }

    fn connection(name: &str) -> Arc<Connection> {
        let device = DeviceId::generate();
        let mailbox = Mailbox::new(device, 100);
        let generation = ConnectionGeneration(1);
        Arc::new(Connection {
            kind: lockstep_model::DeviceKind::Main,
            unfilled: Default::default(),
            user: user(name),
            device,
            generation,
            connected_at: Default::default(),
            origin: Default::default(),
            mailbox,
            views: Default::default(),
            watching: Default::default(),
            blocks: Default::default(),
            receipts: crate::receipts::Telling::new(Default::default()),
        })
    }

    #[test]
    fn nothing_is_left_of_connections_that_are_over() {
        let (presence, connections) = (Presence::default(), Connections::default());
        let (ana, ben) = (connection("ana"), connection("ben"));
        let watch = |turn, names: &[&str]| {
            let users = names.iter().map(|name| user(name)).collect();
            let told = presence.watch(&connections, &ana, turn, users);
            told.into_iter().map(|online| (online.user.to_string(), online.online)).collect::<Vec<_>>()
        };
        assert!(connections.insert(&ben));
        let told = |online| vec![("ben".to_owned(), online), ("eve".to_owned(), false)];
        assert_eq!(watch(2, &["ben", "eve"]), told(true));
        // A question that was asked earlier and is answered later changes nothing.
        assert_eq!(watch(1, &["eve"]).len(), 1);
        assert_eq!(presence.len(), 2);
        assert_eq!(watch(3, &["ben"]).len(), 1);
        assert_eq!(presence.len(), 1);
        connections.withdraw(&ben);
        presence.changed(&connections, &ben.user);
        assert_eq!(watch(4, &["ben", "eve"]), told(false));
        presence.forget(&ana);
        assert_eq!(presence.len(), 0);
        watch(5, &["ben"]);
        assert_eq!(presence.len(), 0, "a question that is answered after the end");
    }
}
