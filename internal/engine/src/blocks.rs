//! Blocks: two users of whom one has blocked the other send each other nothing directly, and hear nothing of each other.
//!
//! The store refuses what they send. What connections know by themselves (whom they watch, where they tell receipts) is
//! changed here, after the commit.

use crate::Engine;
use crate::api::store_failed;
use crate::people::{failed, refused};
use lockstep_model::{Block, Code, ConversationId, UnixMs, UserId};

/// Shared while a connection asks the store what a block decides and notes the answer; held alone while a block that began
/// or ended is noted. So no connection goes on with an answer from before it.
pub(crate) type BlocksNoted = tokio::sync::RwLock<()>;

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
            let put = put.map_err(failed)?.map_err(refused)?;
            engine.note_block(&user, &blocked).await;
            Ok(engine.announce(put).await)
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
            let removed = removed.map_err(failed)?;
            engine.note_block(&user, &blocked).await;
            engine.announce(removed).await;
            Ok(())
        })
        .await
    }

    /// A block between two users began or ended: their connections follow what is stored now, since the other side may have
    /// one too, and two commands may be noted in another order than that of their commits.
    async fn note_block(&self, one: &UserId, other: &UserId) {
        let _alone = self.0.blocks_noted.write().await;
        let blocked = self.0.ports.directory.is_blocked(one.clone(), other.clone()).await.unwrap_or_else(|error| {
            store_failed(&error);
            // To tell nothing until they connect again is the lesser harm.
            true
        });
        let direct = ConversationId::direct(one, other);
        for (user, peer) in [(one, other), (other, one)] {
            for connection in self.0.connections.of(user) {
                connection.receipts.set_silent_in(direct, blocked);
                if blocked {
                    self.0.presence.part(&connection, peer);
                }
            }
        }
        if blocked {
            self.0.receipts.forget(direct);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Claim, EngineConfig, Ports};
    use lockstep_broker_embedded::EmbeddedBroker;
    use lockstep_model::{DeviceKind, Offset, OffsetsVersion, Seq};
    use lockstep_store_sql::{SqliteOptions, SqliteStore};
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    #[tokio::test]
    async fn nobody_asks_the_store_while_a_block_is_noted() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path(), SqliteOptions::default()).await.expect("a store");
        let (log, directory, offsets) = (Arc::new(store.clone()), Arc::new(store.clone()), Arc::new(store));
        let ports = Ports { log, directory, offsets, broker: Arc::new(EmbeddedBroker::new()), events: None };
        let engine = Engine::start(ports, EngineConfig::default());
        let (ana, ben) = (UserId::new("ana").expect("a user"), UserId::new("ben").expect("a user"));
        engine.ensure_user(ana.clone()).await.expect("a user");
        engine.ensure_user(ben.clone()).await.expect("a user");
        let conversation = engine.open_direct(&ana, &ben).await.expect("a conversation").id;
        let made = engine.create_device(&ana, "phone", DeviceKind::Main).await.expect("a device");
        let user = ben.clone();
        let claim = Claim { user: ana, device: made.id, token_generation: made.token_generation };
        let admission =
            engine.connect(claim, None, OffsetsVersion::ZERO, Default::default()).await.expect("it is let in");
        let live = || Arc::clone(&admission.connection);
        let questions: [Pin<Box<dyn Future<Output = ()>>>; 3] = [
            Box::pin(engine.watch(live(), None, 1, vec![ben])),
            Box::pin(engine.resume(live(), vec![], false)),
            Box::pin(engine.follow(live(), Offset { conversation, seq: Seq::ZERO })),
        ];
        for mut question in questions {
            let alone = engine.0.blocks_noted.write().await;
            // Questions of others are answered meanwhile.
            for _ in 0..20 {
                assert_eq!(question.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending, "too early");
                engine.profile(&user).await.expect("a profile");
            }
            drop(alone);
            question.await;
        }
    }
}
