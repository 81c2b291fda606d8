//! What devices say about filling, and what becomes due.

use super::effect::RelayConfig;
use super::effects::{stop_all, tell};
use super::plan::Item;
use super::relay::Relay;
use super::{Filling, Giver, OfUser};
use crate::{Connection, Engine};
use lockstep_model::{
    BootstrapFrame, BootstrapId, BootstrapNews, Chunk, ChunkAck, Code, ConversationId, Coverage, DeviceId, DeviceKind,
    FillNotice, Seq, Source, Start, UserId,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Engine {
    /// Looks after the deadlines of fillings until the engine stops.
    pub(crate) fn start_bootstraps(&self) {
        let engine = self.clone();
        let tick = self.0.config.bootstrap.tick();
        self.0.tasks.spawn(async move {
            let stopping = engine.0.stopping.clone();
            let ticks = async {
                loop {
                    let begun = engine.0.bootstraps.begun.notified();
                    if engine.0.bootstraps.count() == 0 {
                        begun.await;
                    }
                    tokio::time::sleep(tick).await;
                    engine.look_at_fillings();
                }
            };
            stopping.run_until_cancelled(ticks).await;
        });
    }

    /// Answers [`lockstep_model::Ask::Bootstrap`].
    pub(crate) fn bootstrap(&self, connection: &Arc<Connection>, frame: BootstrapFrame) {
        let reference = frame.reference();
        let outcome = match frame {
            BootstrapFrame::Start(start) => self.start_filling(connection, start),
            BootstrapFrame::Coverage(coverage) => self.note_coverage(connection, coverage),
            BootstrapFrame::Chunk { chunk, .. } => self.take_chunk(connection, chunk),
            BootstrapFrame::Ack(ack) => self.take_chunk_ack(connection, ack),
            BootstrapFrame::Refuse(refuse) => self.of_filling(connection, refuse.bootstrap, |relay, now| {
                relay.handle_refusal(connection.device, refuse.conversation, now)
            }),
        };
        if let Err(code) = outcome {
            tell(connection, FillNotice::Failed { reference, code });
        }
    }

    fn start_filling(&self, connection: &Arc<Connection>, start: Start) -> Result<(), Code> {
        let waiting = connection.unfilled.waiting().ok_or(Code::NotUnfilled)?;
        let settings = &self.0.config.bootstrap;
        let may_take_log = settings.log_fallback || connection.kind == DeviceKind::Main;
        if start.source != Source::Main && !(start.source == Source::Log && may_take_log) {
            return Err(Code::Forbidden);
        }
        let at: HashMap<ConversationId, Seq> = start.at.iter().map(|at| (at.conversation, at.seq)).collect();
        let first_lacking = |conversation| at.get(&conversation).filter(|seq| **seq > Seq::ZERO).map(|seq| seq.next());
        let items: Vec<Item> =
            waiting.into_iter().map(|conversation| Item::new(conversation, first_lacking(conversation))).collect();
        let config = RelayConfig {
            stall: settings.stall,
            ack_timeout: settings.ack_timeout,
            wait: settings.wait,
            log_fallback: settings.log_fallback,
        };
        let is_known = |of_user: &OfUser| of_user.fillings.contains_key(&connection.device);
        let is_going_on = self.0.bootstraps.users.get(&connection.user).is_some_and(|of_user| is_known(&of_user));
        if !is_going_on && self.0.bootstraps.count() >= settings.fillings_max {
            return Err(Code::TooManyBootstraps);
        }
        let mut of_user = self.0.bootstraps.users.entry(connection.user.clone()).or_default();
        if connection.mailbox.is_closed() {
            // Another connection has begun since, or whoever closed it has forgotten the filling, as a removal does: none must
            // begin behind it.
            return Ok(());
        }
        let before = of_user.fillings.remove(&connection.device);
        let (id, done, givers) = match before {
            Some(mut before) => {
                before.relay.handle_device_gone();
                self.act_on(&mut of_user, connection.device, &mut before);
                (before.relay.id, before.relay.count().0, before.givers)
            }
            None => {
                self.0.bootstraps.count.fetch_add(1, Ordering::Relaxed);
                (BootstrapId::generate(), 0, BTreeSet::new())
            }
        };
        let mut relay = Relay::new(id, config, start.entries, start.source, items);
        relay.goes_on(done);
        let (done, total) = relay.count();
        let started = BootstrapNews::BootstrapStarted { reference: start.reference, bootstrap: id, total, done };
        tell(connection, FillNotice::News(started));
        let public_key = connection.unfilled.public_key();
        let away_since = Duration::ZERO;
        let filling = Filling {
            relay,
            connection: Some(Arc::clone(connection)),
            public_key,
            to_tell: vec![],
            givers,
            away_since,
        };
        of_user.fillings.insert(connection.device, filling);
        self.drive(&mut of_user, connection.device);
        drop(of_user);
        self.0.bootstraps.begun.notify_one();
        Ok(())
    }

    fn note_coverage(&self, connection: &Arc<Connection>, coverage: Coverage) -> Result<(), Code> {
        if connection.kind != DeviceKind::Main {
            return Err(Code::Forbidden);
        }
        let mut of_user = self.0.bootstraps.users.entry(connection.user.clone()).or_default();
        if connection.mailbox.is_closed() {
            return Ok(());
        }
        let before = of_user.mains.get(&connection.device);
        if before.is_some_and(|giver| !Arc::ptr_eq(&giver.connection, connection)) {
            // What its earlier connection was asked for, this one never heard of.
            self.lose_giver(&mut of_user, connection.device);
        }
        let new = || Giver { connection: Arc::clone(connection), is_ready: false, held: HashMap::new() };
        let giver = of_user.mains.entry(connection.device).or_insert_with(new);
        let room = self.0.config.conversations_per_user_max + 1;
        for held in coverage.conversations {
            if giver.held.len() < room || giver.held.contains_key(&held.conversation) {
                giver.held.insert(held.conversation, held.from_seq);
            }
        }
        if coverage.more {
            return Ok(());
        }
        giver.is_ready = true;
        let devices: Vec<DeviceId> = of_user.fillings.keys().copied().collect();
        for device in devices {
            if let Some(filling) = of_user.fillings.get_mut(&device) {
                filling.relay.handle_coverage(connection.device);
            }
            self.drive(&mut of_user, device);
        }
        Ok(())
    }

    fn take_chunk(&self, connection: &Arc<Connection>, chunk: Box<Chunk>) -> Result<(), Code> {
        if connection.kind != DeviceKind::Main {
            return Err(Code::Forbidden);
        }
        // Before anything is locked: it takes time.
        if !chunk.is_whole() {
            return Err(Code::ChunkDigest);
        }
        let id = chunk.bootstrap;
        self.of_filling(connection, id, |relay, now| relay.handle_chunk(connection.device, chunk, now))
    }

    /// Does something with a filling of the user, named by its id, and what follows from it.
    fn of_filling(
        &self,
        connection: &Arc<Connection>,
        id: BootstrapId,
        act: impl FnOnce(&mut Relay, Duration) -> Result<(), Code>,
    ) -> Result<(), Code> {
        let now = self.0.bootstraps.now();
        let mut of_user = self.0.bootstraps.users.get_mut(&connection.user).ok_or(Code::NoSuchBootstrap)?;
        let is_current =
            of_user.mains.get(&connection.device).is_some_and(|main| Arc::ptr_eq(&main.connection, connection));
        let named = of_user.fillings.iter_mut().find(|(_, filling)| filling.relay.id == id);
        let (device, filling) = named.filter(|_| is_current).ok_or(Code::NoSuchBootstrap)?;
        let device = *device;
        act(&mut filling.relay, now)?;
        of_user.fillings.values_mut().for_each(|filling| filling.relay.note_heard(connection.device, now));
        self.drive(&mut of_user, device);
        Ok(())
    }

    fn take_chunk_ack(&self, connection: &Arc<Connection>, ack: ChunkAck) -> Result<(), Code> {
        let now = self.0.bootstraps.now();
        let mut of_user = self.0.bootstraps.users.get_mut(&connection.user).ok_or(Code::NoSuchBootstrap)?;
        let filling = of_user.fillings.get_mut(&connection.device).filter(|filling| {
            let is_current = filling.connection.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection));
            is_current && filling.relay.id == ack.bootstrap
        });
        filling.ok_or(Code::NoSuchBootstrap)?.relay.handle_ack(ack.conversation, ack.seq, now)?;
        self.drive(&mut of_user, connection.device);
        Ok(())
    }

    /// A main device's connection gives nothing more.
    fn lose_giver(&self, of_user: &mut OfUser, main: DeviceId) {
        of_user.mains.remove(&main);
        let devices: Vec<DeviceId> = of_user.fillings.keys().copied().collect();
        for device in devices {
            if let Some(filling) = of_user.fillings.get_mut(&device) {
                filling.relay.handle_main_gone(main);
            }
            self.drive(of_user, device);
        }
    }

    /// A connection is over: what it gave is asked of others, what it was given waits for it.
    pub(crate) fn leave_fillings(&self, connection: &Arc<Connection>) {
        let Some(mut of_user) = self.0.bootstraps.users.get_mut(&connection.user) else { return };
        let now = self.0.bootstraps.now();
        if of_user.mains.get(&connection.device).is_some_and(|main| Arc::ptr_eq(&main.connection, connection)) {
            self.lose_giver(&mut of_user, connection.device);
        }
        let filling = of_user.fillings.get_mut(&connection.device);
        let is_filled = |filling: &&mut Filling| {
            filling.connection.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection))
        };
        if let Some(filling) = filling.filter(is_filled) {
            filling.relay.handle_device_gone();
            (filling.connection, filling.away_since) = (None, now);
            self.drive(&mut of_user, connection.device);
        }
        drop(of_user);
        self.forget_user(&connection.user);
    }

    /// A device will not come back: nothing is kept of its filling.
    pub(crate) fn forget_filling(&self, user: &UserId, device: DeviceId) {
        if let Some(mut of_user) = self.0.bootstraps.users.get_mut(user) {
            self.end_filling(&mut of_user, device);
        }
        self.forget_user(user);
    }

    pub(super) fn forget_user(&self, user: &UserId) {
        let is_empty = |_: &UserId, of_user: &OfUser| of_user.mains.is_empty() && of_user.fillings.is_empty();
        self.0.bootstraps.users.remove_if(user, is_empty);
    }

    fn end_filling(&self, of_user: &mut OfUser, device: DeviceId) {
        if let Some(mut filling) = of_user.fillings.remove(&device) {
            filling.relay.handle_device_gone();
            self.act_on(of_user, device, &mut filling);
            // The others that gave something too, whose word was just waited for.
            stop_all(of_user, &filling);
            self.0.bootstraps.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Does what is due.
    fn look_at_fillings(&self) {
        let now = self.0.bootstraps.now();
        let wait = self.0.config.bootstrap.wait;
        let users: Vec<UserId> = self.0.bootstraps.users.iter().map(|row| row.key().clone()).collect();
        for user in users {
            let Some(mut of_user) = self.0.bootstraps.users.get_mut(&user) else { continue };
            let devices: Vec<DeviceId> = of_user.fillings.keys().copied().collect();
            for device in devices {
                let Some(filling) = of_user.fillings.get_mut(&device) else { continue };
                self.tell_more(filling);
                if filling.connection.is_none() && filling.away_since + wait <= now {
                    self.end_filling(&mut of_user, device);
                } else if filling.relay.poll_timeout().is_some_and(|at| at <= now) {
                    filling.relay.handle_timeout(now);
                    self.drive(&mut of_user, device);
                }
            }
            drop(of_user);
            self.forget_user(&user);
        }
    }
}
