//! What a filling wants to be done reaches the connections and the store.

use super::effect::Effect;
use super::relay::Relay;
use super::source::{Main, Mains};
use super::{Filling, OfUser};
use crate::api::store_failed;
use crate::{Connection, Engine};
use lockstep_model::{
    BootstrapId, BootstrapNews, BootstrapState, Code, DeviceId, DeviceKind, Event, EventKind, Fill, FillNotice, Filled,
    Notice, Offset, Progress, UnixMs, UserId, WaitReason, limits,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Engine {
    /// Goes on with a filling as far as that is possible now.
    pub(super) fn drive(&self, of_user: &mut OfUser, device: DeviceId) {
        // Out of the map meanwhile, since its effects reach the main devices beside it.
        let Some(mut filling) = of_user.fillings.remove(&device) else { return };
        let now = self.0.bootstraps.now();
        let ready = of_user.mains.iter().filter(|(main, giver)| **main != device && giver.is_ready);
        let ready = ready.map(|(main, giver)| Main {
            device: *main,
            is_filled: !giver.connection.unfilled.any(),
            held: &giver.held,
        });
        let mains = Mains { ready: ready.collect(), more: self.may_tell_more(of_user, &filling, device) };
        filling.relay.pump(&mains, now);
        self.act_on(of_user, device, &mut filling);
        of_user.fillings.insert(device, filling);
    }

    /// Whether a main device came so lately that it may still tell what it can give.
    fn may_tell_more(&self, of_user: &OfUser, filling: &Filling, device: DeviceId) -> bool {
        let Some(connection) = &filling.connection else { return false };
        let lately = UnixMs::now().get().saturating_sub(self.0.config.bootstrap.stall.as_millis() as u64);
        self.0.connections.of(&connection.user).iter().any(|other| {
            let has_told = of_user.mains.get(&other.device).is_some_and(|giver| giver.is_ready);
            let may_tell = other.kind == DeviceKind::Main && other.device != device && !other.unfilled.any();
            may_tell && !has_told && other.connected_at.get() > lately
        })
    }

    pub(super) fn act_on(&self, of_user: &mut OfUser, device: DeviceId, filling: &mut Filling) {
        while let Some(effect) = filling.relay.poll_effect() {
            let id = filling.relay.id;
            let giver = |main: DeviceId| of_user.mains.get(&main).map(|giver| &giver.connection);
            match effect {
                Effect::Tell(conversations) => {
                    filling.to_tell.extend(conversations);
                    self.tell_more(filling);
                }
                Effect::Ask { main, conversation, from_seq, head } => {
                    filling.givers.insert(main);
                    let (entries, window) = (filling.relay.entries(), limits::CHUNKS_WINDOW);
                    let public_key = filling.public_key.clone();
                    let fill =
                        Fill { bootstrap: id, device, public_key, conversation, entries, from_seq, head, window };
                    send(giver(main), BootstrapNews::Fill(fill));
                }
                Effect::Pass(chunk) => send(filling.connection.as_ref(), BootstrapNews::Chunk(chunk)),
                Effect::Skip { conversation, skip } => {
                    if let Some(connection) = &filling.connection {
                        tell(connection, FillNotice::Skip { conversation, skip });
                    }
                }
                Effect::Acked { main, ack } => send(giver(main), BootstrapNews::ChunkAcked(ack)),
                Effect::Filled(filled) => {
                    self.0.cursors.note(device, filled.conversation, filled.seq);
                    if let Some(connection) = &filling.connection {
                        connection.unfilled.note_filled(filled.conversation);
                        let place = Offset { conversation: filled.conversation, seq: filled.seq };
                        tell(connection, FillNotice::Filled(place));
                    }
                }
                Effect::Progress { state, filled, reason } => tell_all(of_user, filling, state, filled, reason),
                Effect::Stop(main) => {
                    filling.givers.remove(&main);
                    send(giver(main), progress(&filling.relay, BootstrapState::Stopped, None, None));
                }
                Effect::Wake => {
                    if let Some(connection) = &filling.connection {
                        self.want_push(&connection.user, device);
                    }
                }
                Effect::Close(code) => {
                    if let Some(connection) = &filling.connection {
                        connection.mailbox.close(code);
                    }
                }
                Effect::Done => {
                    if let Some(connection) = filling.connection.clone() {
                        let engine = self.clone();
                        self.0.tasks.spawn(async move { engine.finish_filling(connection, id).await });
                    }
                }
            }
        }
    }

    /// All is filled: that is stored, and then told.
    async fn finish_filling(&self, connection: Arc<Connection>, id: BootstrapId) {
        // The cursors of what is filled first: without one, a conversation would begin anew from the log.
        self.0.cursors.flush().await;
        if let Err(error) = self.0.ports.directory.fill_device(connection.device).await {
            store_failed(&error);
            return connection.mailbox.close(Code::Unavailable);
        }
        connection.unfilled.note_all();
        if let Some(mut of_user) = self.0.bootstraps.users.get_mut(&connection.user) {
            // Another connection of the device has asked anew.
            let is_others = |current: &Arc<Connection>| !Arc::ptr_eq(current, &connection);
            let is_it =
                |filling: &Filling| filling.relay.id == id && !filling.connection.as_ref().is_some_and(is_others);
            if of_user.fillings.get(&connection.device).is_some_and(is_it)
                && let Some(filling) = of_user.fillings.remove(&connection.device)
            {
                self.0.bootstraps.count.fetch_sub(1, Ordering::Relaxed);
                tell_all(&of_user, &filling, BootstrapState::Done, None, None);
            }
        }
        self.forget_user(&connection.user);
    }

    /// Tells services that somebody should wake a main device.
    pub(super) fn want_push(&self, user: &UserId, device: DeviceId) {
        self.0.events.emit(EventKind::PushWanted, || Event::PushWanted {
            user: user.clone(),
            device,
            at: UnixMs::now(),
        });
    }
}

/// Both sides hear how far it is.
fn tell_all(
    of_user: &OfUser,
    filling: &Filling,
    state: BootstrapState,
    filled: Option<Filled>,
    reason: Option<WaitReason>,
) {
    let givers = filling.givers.iter().filter_map(|main| of_user.mains.get(main)).map(|giver| &giver.connection);
    let news = progress(&filling.relay, state, filled, reason);
    givers.chain(&filling.connection).for_each(|to| send(Some(to), news.clone()));
}

/// The main devices that gave something hear that it is over.
pub(super) fn stop_all(of_user: &OfUser, filling: &Filling) {
    for main in filling.givers.iter().filter_map(|main| of_user.mains.get(main)) {
        send(Some(&main.connection), progress(&filling.relay, BootstrapState::Stopped, None, None));
    }
}

fn progress(relay: &Relay, state: BootstrapState, filled: Option<Filled>, reason: Option<WaitReason>) -> BootstrapNews {
    let (done, total) = relay.count();
    BootstrapNews::BootstrapProgress(Progress { bootstrap: relay.id, state, done, total, filled, reason })
}

pub(super) fn send(connection: Option<&Arc<Connection>>, news: BootstrapNews) {
    if let Some(connection) = connection {
        tell(connection, FillNotice::News(news));
    }
}

/// What is told here is bounded by the window of chunks and by what was asked, so it is not dropped for want of room.
pub(super) fn tell(connection: &Connection, notice: FillNotice) {
    let _gone = connection.mailbox.answer(Notice::Fill(Box::new(notice)));
}
