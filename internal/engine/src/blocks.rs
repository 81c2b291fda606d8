//! Blocks: two users of whom one has blocked the other send each other nothing directly, and hear nothing of each other.
//!
//! The store refuses what they send. What connections know by themselves (whom they watch, where they tell receipts) is
//! changed here, after the commit.

use crate::Engine;
use crate::api::store_failed;
use crate::people::{failed, refused};
use lockstep_model::{Block, Code, ConversationId, UnixMs, UserId};
use lockstep_ports::StoreError;
use parking_lot::Mutex;

/// How often a connection asks before it keeps blocks from being noted until it has its answer.
const ASKED_FREELY: u32 = 3;

/// How many blocks have been noted at a connection. One asks the store what a block decides, and notes the answer only if no
/// block was noted meanwhile; else it asks again. So no connection goes on with an answer from before a block, and nobody
/// waits for the question of another.
#[derive(Debug, Default)]
pub(crate) struct BlocksNoted(Mutex<u64>);

/// One of the questions whose answers blocks decide.
pub(crate) struct Asking<'a> {
    engine: &'a Engine,
    noted: &'a BlocksNoted,
    asked: u32,
    before: u64,
    settled: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl BlocksNoted {
    pub(crate) fn asking<'a>(&'a self, engine: &'a Engine) -> Asking<'a> {
        Asking { engine, noted: self, asked: 0, before: 0, settled: None }
    }
}

impl Asking<'_> {
    /// To be called before each question.
    pub(crate) async fn begin(&mut self) {
        if self.asked == ASKED_FREELY {
            self.settled = Some(self.engine.0.noting_blocks.lock().await);
        }
        self.asked += 1;
        self.before = *self.noted.0.lock();
    }

    /// Notes what was answered, unless a block was noted meanwhile.
    pub(crate) fn note<T>(&self, note: impl FnOnce() -> T) -> Option<T> {
        let now = self.noted.0.lock();
        (*now == self.before).then(note)
    }
}

impl Engine {
    /// Whom a user has blocked, in the order of their ids, those after `after`.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn blocks(&self, user: &UserId, after: Option<UserId>, count: u32) -> Result<Vec<Block>, Code> {
        self.0.ports.directory.blocks(user.clone(), after, count).await.map_err(failed)
    }

    /// Blocks a user: neither can send to the other directly any more, or hears of the other's presence and receipts there.
    ///
    /// # Errors
    ///
    /// `no_such_user` (also for oneself), `too_many_contacts`, `try_again`.
    pub async fn put_block(&self, user: &UserId, blocked: UserId) -> Result<Block, Code> {
        let (engine, user) = (self.clone(), user.clone());
        self.to_the_end(async move {
            let put = engine.0.ports.directory.put_block(user.clone(), blocked.clone(), UnixMs::now()).await;
            let changed = match &put {
                Ok(Ok(put)) => !put.entries.is_empty(),
                Ok(Err(_)) => false,
                // Nobody knows whether it is stored, and said again it changes nothing.
                Err(_) => true,
            };
            if changed {
                engine.note_block(&user, &blocked).await;
            }
            Ok(engine.announce(put.map_err(failed)?.map_err(refused)?).await)
        })
        .await
    }

    /// Ends a block, if there is one.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn remove_block(&self, user: &UserId, blocked: UserId) -> Result<(), Code> {
        let (engine, user) = (self.clone(), user.clone());
        self.to_the_end(async move {
            let removed = engine.0.ports.directory.remove_block(user.clone(), blocked.clone(), UnixMs::now()).await;
            if removed.as_ref().map_or(true, |removed| !removed.entries.is_empty()) {
                engine.note_block(&user, &blocked).await;
            }
            engine.announce(removed.map_err(failed)?).await;
            Ok(())
        })
        .await
    }

    /// A block between two users began or ended: their connections follow what is stored now, since the other side may have
    /// one too, and two commands may be noted in another order than that of their commits.
    async fn note_block(&self, one: &UserId, other: &UserId) {
        let _in_order = self.0.noting_blocks.lock().await;
        let direct = ConversationId::direct(one, other);
        let (blocked, silent) = self.decided(one, other, direct).await.unwrap_or_else(|error| {
            store_failed(&error);
            // To tell nothing until they connect again is the lesser harm.
            (true, true)
        });
        for (user, peer) in [(one, other), (other, one)] {
            for connection in self.0.connections.of(user) {
                let mut noted = connection.blocks.0.lock();
                *noted += 1;
                connection.receipts.set_silent_in(direct, silent);
                if blocked {
                    self.0.presence.part(&connection, peer);
                }
            }
        }
        if blocked {
            self.0.receipts.forget(direct);
        }
    }

    /// Whether there is a block between two users, and whether nothing is told of receipts in their conversation: a block is
    /// not the only reason for that.
    async fn decided(&self, one: &UserId, other: &UserId, direct: ConversationId) -> Result<(bool, bool), StoreError> {
        let directory = &self.0.ports.directory;
        let blocked = directory.is_blocked(one.clone(), other.clone()).await?;
        Ok((blocked, blocked || !directory.tells_receipts(direct).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Claim, Connection, EngineConfig, Ports};
    use lockstep_broker_embedded::EmbeddedBroker;
    use lockstep_model::{DeviceKind, Offset, OffsetsVersion, Seq};
    use lockstep_store_sql::{SqliteOptions, SqliteStore};
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    struct House {
        engine: Engine,
        ana: UserId,
        ben: UserId,
        direct: ConversationId,
        connection: Arc<Connection>,
        _folder: tempfile::TempDir,
    }

    /// Ana is connected, and has a direct conversation with Ben.
    async fn house(config: EngineConfig) -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let receipts_members_max = config.receipts_members_max as u32;
        let options = SqliteOptions { receipts_members_max, ..SqliteOptions::default() };
        let store = SqliteStore::open(folder.path(), options).await.expect("a store");
        let (log, directory, offsets) = (Arc::new(store.clone()), Arc::new(store.clone()), Arc::new(store));
        let ports = Ports { log, directory, offsets, broker: Arc::new(EmbeddedBroker::new()), events: None };
        let engine = Engine::start(ports, config);
        let (ana, ben) = (UserId::new("ana").expect("a user"), UserId::new("ben").expect("a user"));
        engine.ensure_user(ana.clone()).await.expect("a user");
        engine.ensure_user(ben.clone()).await.expect("a user");
        let direct = engine.open_direct(&ana, &ben).await.expect("a conversation").id;
        let made = engine.create_device(&ana, "phone", DeviceKind::Main).await.expect("a device");
        let claim = Claim { user: ana.clone(), device: made.id, token_generation: made.token_generation };
        let admission =
            engine.connect(claim, None, OffsetsVersion::ZERO, Default::default()).await.expect("it is let in");
        House { engine, ana, ben, direct, connection: admission.connection, _folder: folder }
    }

    #[tokio::test]
    async fn what_was_asked_before_a_block_is_asked_again() {
        let House { engine, ana, ben, direct, connection, _folder } = house(EngineConfig::default()).await;
        let live = || Arc::clone(&connection);
        let questions: [Pin<Box<dyn Future<Output = ()>>>; 3] = [
            Box::pin(engine.resume(live(), vec![], false)),
            Box::pin(engine.follow(live(), Offset { conversation: direct, seq: Seq::ZERO })),
            Box::pin(engine.watch(live(), None, 1, vec![ben.clone()])),
        ];
        for mut question in questions {
            let asked = question.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            // The store has answered by then, and mostly nobody has taken the answer.
            engine.put_block(&ana, ben.clone()).await.expect("a block");
            if asked.is_pending() {
                question.await;
            }
            assert!(connection.receipts.is_silent_in(direct), "a receipt for one who is blocked");
            assert!(!connection.watching.is_of(&ben), "one who is blocked is watched");
            engine.remove_block(&ana, ben.clone()).await.expect("no block");
            assert!(!connection.receipts.is_silent_in(direct));
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_a_block_and_a_block_for_nobody() {
        let House { engine, ana, ben, direct, connection, _folder } = house(EngineConfig::default()).await;
        let noting = engine.0.noting_blocks.lock().await;
        engine.watch(Arc::clone(&connection), None, 1, vec![ben.clone()]).await;
        engine.resume(Arc::clone(&connection), vec![], false).await;
        engine.follow(Arc::clone(&connection), Offset { conversation: direct, seq: Seq::ZERO }).await;
        // Nothing has changed.
        engine.remove_block(&ana, ben.clone()).await.expect("no block");
        drop(noting);
        // One who is disturbed again and again keeps the next block waiting.
        let mut asking = connection.blocks.asking(&engine);
        for _ in 0..ASKED_FREELY {
            asking.begin().await;
            engine.put_block(&ana, ben.clone()).await.expect("a block");
            engine.remove_block(&ana, ben.clone()).await.expect("no block");
            assert_eq!(asking.note(|| ()), None);
        }
        asking.begin().await;
        assert!(engine.0.noting_blocks.try_lock().is_err());
        assert_eq!(asking.note(|| ()), Some(()));
    }

    #[tokio::test]
    async fn the_end_of_a_block_tells_no_more_than_before() {
        let config = EngineConfig { receipts_members_max: 1, ..EngineConfig::default() };
        let House { engine, ana, ben, direct, connection, _folder } = house(config).await;
        engine.put_block(&ana, ben.clone()).await.expect("a block");
        engine.remove_block(&ana, ben).await.expect("no block");
        assert!(connection.receipts.is_silent_in(direct));
    }
}
