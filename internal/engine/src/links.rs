//! Links: a device asks to become a user's, a main device of the user lets it, and it becomes one, once. They are stored, so
//! a restart in between loses nothing; who waits on a connection is woken here.

use crate::accounts::{Refresh, check_platform};
use crate::api::store_failed;
use crate::devices::check_name;
use crate::{Engine, LinkSecret};
use lockstep_model::{
    Code, Device, DeviceChange, DeviceId, DeviceKind, Link, LinkId, SecretHash, TokenGeneration, UnixMs,
};
use lockstep_ports::{LinkAnswer, LinkClaim, LinkRefusal, LinkState, NewLink, StoreError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What a device is called that says nothing about itself.
const DEFAULT_NAME: &str = "linked device";

/// What a device says that asks to be linked, and what is kept of its three secrets.
#[derive(Debug, Clone)]
pub struct LinkDraft {
    /// What it is to be called.
    pub name: Option<String>,
    /// What it runs on.
    pub platform: Option<String>,
    /// A key of its own.
    pub public_key: Option<String>,
    /// Where it asks from.
    pub address: String,
    /// The same as it is counted.
    pub network: String,
    /// What is kept of its code.
    pub code: SecretHash,
    /// What is kept of what its QR code holds.
    pub scan: SecretHash,
    /// What is kept of what it shows itself.
    pub secret: SecretHash,
}

/// What has become of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPolled {
    /// Nobody has said anything yet; until when it waits.
    Waiting(UnixMs),
    /// It was approved: the device that it has become.
    Linked(Device),
}

/// Who waits for links, one for each. There are as many as connections that wait.
#[derive(Debug, Default)]
pub(crate) struct LinkWaiters(Mutex<HashMap<LinkId, watch::Sender<()>>>);

/// Somebody who waits for a link.
#[derive(Debug)]
pub struct LinkWaiter {
    link: LinkId,
    woken: watch::Receiver<()>,
    all: Arc<LinkWaiters>,
}

/// Another one waits for the link now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced;

impl LinkWaiter {
    /// Waits until somebody has said something about the link. What was said before is to be asked for once this waiter
    /// is there: then nothing is missed.
    ///
    /// # Errors
    ///
    /// [`Replaced`]: this one hears nothing any more.
    pub async fn woken(&mut self) -> Result<(), Replaced> {
        self.woken.changed().await.map_err(|_| Replaced)
    }
}

impl Drop for LinkWaiter {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        // The place may be another one's by now.
        if all.get(&self.link).is_some_and(|sender| sender.subscribe().same_channel(&self.woken)) {
            all.remove(&self.link);
        }
    }
}

impl LinkWaiters {
    fn add(self: &Arc<Self>, link: LinkId) -> LinkWaiter {
        let (sender, woken) = watch::channel(());
        self.0.lock().insert(link, sender);
        LinkWaiter { link, woken, all: Arc::clone(self) }
    }

    fn wake(&self, link: LinkId) {
        if let Some(sender) = self.0.lock().get(&link) {
            sender.send_replace(());
        }
    }
}

impl Engine {
    /// Takes a device that asks to be linked. The inner error says how long to wait: so many wait already.
    ///
    /// # Errors
    ///
    /// `bad_request` (a name, platform or key that does not fit), `try_again`.
    pub async fn ask_link(&self, draft: LinkDraft) -> Result<Result<Link, Duration>, Code> {
        let LinkDraft { name, platform, public_key, address, network, code, scan, secret } = draft;
        name.as_deref().map_or(Ok(()), check_name)?;
        platform.as_deref().map_or(Ok(()), check_platform)?;
        if !public_key.as_deref().is_none_or(is_public_key) {
            return Err(Code::BadRequest);
        }
        let now = UnixMs::now();
        let expires_at = UnixMs::new(now.get().saturating_add(self.0.config.link_ttl.as_millis() as u64));
        let link = Link { id: LinkId::generate(), name, platform, address, public_key, created_at: now, expires_at };
        let bounds = self.0.config.links_waiting;
        let new = NewLink { link: link.clone(), network, code, scan, secret, bounds };
        match self.0.ports.directory.add_link(new).await.map_err(failed)? {
            Ok(()) => Ok(Ok(link)),
            Err(LinkRefusal::TooMany { until }) => {
                Ok(Err(Duration::from_millis(until.get().saturating_sub(now.get()))))
            }
            Err(refusal) => Err(refused(refusal)),
        }
    }

    /// The link that waits and whose device shows this; `link` says which one is meant.
    ///
    /// # Errors
    ///
    /// `forbidden` (a sub device asks), `no_such_link`, `try_again`.
    pub async fn find_link(&self, by: &Device, link: Option<LinkId>, shown: LinkSecret) -> Result<Link, Code> {
        is_main(by)?;
        let found = self.0.ports.directory.find_link(link, shown, UnixMs::now()).await.map_err(failed)?;
        found.ok_or(Code::NoSuchLink)
    }

    /// A main device approves or refuses a link that it is shown. The first word counts, and the same device may say it
    /// again.
    ///
    /// # Errors
    ///
    /// `forbidden` (a sub device says it), `no_such_link`, `too_many_devices`, `token_revoked` (the device was signed out
    /// meanwhile), `try_again`.
    pub async fn answer_link(&self, by: &Device, link: LinkId, shown: LinkSecret, approve: bool) -> Result<(), Code> {
        is_main(by)?;
        let (device, token_generation) = (by.id, by.token_generation);
        let answer =
            LinkAnswer { link, shown, user: by.user.clone(), device, token_generation, approve, now: UnixMs::now() };
        let engine = self.clone();
        self.to_the_end(async move {
            engine.0.ports.directory.answer_link(answer).await.map_err(failed)?.map_err(refused)?;
            engine.0.link_waiters.wake(link);
            Ok(())
        })
        .await
    }

    /// Waits for the word about a link. An earlier waiter of the same link is [`Replaced`].
    pub fn await_link(&self, link: LinkId) -> LinkWaiter {
        self.0.link_waiters.add(link)
    }

    /// Looks what has become of a link. If it was approved it becomes a sub device, once; `refresh` makes the refresh token of
    /// the device with its generation. Until that device uses its tokens it is given others when it asks again: the answer may
    /// have been lost.
    ///
    /// # Errors
    ///
    /// `no_such_link`, `link_refused`, `too_many_devices`, `try_again`.
    pub async fn poll_link(
        &self,
        link: LinkId,
        secret: SecretHash,
        refresh: impl FnOnce(DeviceId, TokenGeneration) -> Refresh + Send,
    ) -> Result<LinkPolled, Code> {
        let now = UnixMs::now();
        let device = match self.0.ports.directory.link_state(link, secret, now).await.map_err(failed)? {
            None => return Err(Code::NoSuchLink),
            Some(LinkState::Waiting(until)) => return Ok(LinkPolled::Waiting(until)),
            Some(LinkState::Refused) => return Err(Code::LinkRefused),
            Some(LinkState::Approved) => DeviceId::generate(),
            Some(LinkState::Unused(device)) => device,
        };
        let Refresh { hash, expires_at } = refresh(device, TokenGeneration::default());
        let claim = LinkClaim {
            link,
            secret,
            device,
            default_name: DEFAULT_NAME.to_owned(),
            refresh: hash,
            refresh_expires_at: expires_at,
            now,
        };
        let engine = self.clone();
        self.to_the_end(async move {
            let claimed = engine.0.ports.directory.claim_link(claim).await.map_err(failed)?.map_err(refused)?;
            engine.tell(&claimed, DeviceChange::Added);
            Ok(LinkPolled::Linked(engine.announce(claimed).await))
        })
        .await
    }
}

/// Whether a text may be a device's public key: short, and in one line.
fn is_public_key(key: &str) -> bool {
    key.chars().count() <= Link::PUBLIC_KEY_CHARS_MAX && !key.chars().any(char::is_control)
}

fn is_main(device: &Device) -> Result<(), Code> {
    if device.kind == DeviceKind::Main { Ok(()) } else { Err(Code::Forbidden) }
}

fn failed(error: StoreError) -> Code {
    store_failed(&error)
}

fn refused(refusal: LinkRefusal) -> Code {
    match refusal {
        // A link that was looked at and claimed then does not wait.
        LinkRefusal::NoSuchLink | LinkRefusal::Waiting => Code::NoSuchLink,
        LinkRefusal::Refused => Code::LinkRefused,
        LinkRefusal::NotAllowed => Code::TokenRevoked,
        LinkRefusal::TooManyDevices => Code::TooManyDevices,
        LinkRefusal::TooMany { .. } => Code::RateLimited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn one_waits_for_a_link_and_leaves_nothing() {
        let all: Arc<LinkWaiters> = Arc::default();
        let (link, other) = (LinkId::generate(), LinkId::generate());
        let mut first = all.add(link);
        all.wake(other);
        assert_eq!(first.woken().now_or_never(), None);
        all.wake(link);
        all.wake(link);
        assert_eq!((first.woken().now_or_never(), first.woken().now_or_never()), (Some(Ok(())), None));
        let mut second = all.add(link);
        assert_eq!(first.woken().now_or_never(), Some(Err(Replaced)));
        drop(first);
        all.wake(link);
        assert_eq!(second.woken().now_or_never(), Some(Ok(())), "its place was not the first one's to give up");
        drop(second);
        assert!(all.0.lock().is_empty());
    }
}
