//! A device of the demo that another one lets in.

use super::device::{Device, PATIENCE};
use super::slow_store::SlowStore;
use super::stage::Stage;
use anyhow::{Context, Result, bail, ensure};
use lockstep_client::{Accounts, Approver, LinkOutcome, LinkProof, Links, NewDevice, RestError, Session};
use std::sync::Arc;

/// A linked device.
pub(super) struct Linked {
    pub(super) device: Device,
    /// What the server gave it when it was let in.
    pub(super) session: Session,
    pub(super) store: Arc<SlowStore>,
}

/// How Ana's phone gets to know of a new device.
#[derive(Clone, Copy)]
pub(super) enum Seen {
    /// A person types the code.
    Typed,
    /// A camera reads the QR code.
    Scanned,
}

impl Linked {
    /// A new device asks, Ana's phone looks at it and lets it in. It is not connected yet, and takes so many pieces of the
    /// past by itself.
    pub(super) async fn link(
        stage: &Stage,
        name: &'static str,
        platform: &str,
        seen: Seen,
        pieces: usize,
    ) -> Result<Self> {
        let (_, device_name) = name.split_once('/').context("a device's name is user/device")?;
        let links = Links::new(stage.url());
        let new = NewDevice { name: Some(device_name.into()), platform: Some(platform.into()), public_key: None };
        let asked = links.ask(&new).await?;
        let proof = match seen {
            Seen::Typed => {
                println!("  {name:<10} shows the code {}", asked.code);
                LinkProof::read(&asked.code)
            }
            Seen::Scanned => {
                println!("  {name:<10} shows a QR code of {} characters", asked.qr.len());
                LinkProof::read(&asked.qr)
            }
        };
        let waiting = tokio::spawn({
            let asked = asked.clone();
            async move { tokio::time::timeout(PATIENCE, links.wait(&asked)).await }
        });
        let approver = Approver::new(stage.url(), stage.ana_phone.tokens());
        let found = approver.find(&proof).await?;
        let shown = (found.name.as_deref(), found.platform.as_deref());
        ensure!(shown == (Some(device_name), Some(platform)), "the phone sees {found:?}");
        println!("  ana/phone  sees who asks: {device_name} on {platform} at {}", found.address);
        approver.approve(found.link, &proof).await?;
        let outcome = waiting.await.context("the new device broke off")?.context("the new device hears nothing")??;
        let LinkOutcome::Approved(session) = outcome else { bail!("{name} was not let in: {outcome:?}") };
        ensure!(session.user.as_str() == "ana", "{name} is a device of {}", session.user);
        stage.ana_laptop.wait_for_news("device_linked", session.device).await?;
        println!("  ana/phone  approved; {name} has tokens of its own, and ana/laptop heard of it");
        // A code is good for one device.
        match approver.find(&proof).await {
            Err(RestError::Refused { code, .. }) if code == "no_such_link" => {}
            other => bail!("the code is used, but still leads to {other:?}"),
        }
        let store = Arc::new(SlowStore::new(pieces));
        let token = session.access_token.clone();
        let device = Device::on_store(name, stage.server.address(), token, store.clone());
        Ok(Self { device, session, store })
    }

    /// Checks that it is out: its connection was closed for that, and neither of its tokens opens anything.
    pub(super) async fn check_out(&self, stage: &Stage) -> Result<()> {
        let name = self.device.name;
        self.device.wait_for_stop("device_removed").await?;
        println!("  {name:<10} is closed with device_removed");
        match self.device.rest.list().await {
            Err(RestError::Refused { code, .. }) if code == "device_removed" => {}
            other => bail!("{name} was removed, but its access token opens {other:?}"),
        }
        match Accounts::new(stage.url()).refresh(&self.session.refresh_token).await {
            Err(RestError::Refused { code, .. }) if code == "device_removed" => {}
            other => bail!("{name} was removed, but its refresh token gave {other:?}"),
        }
        println!("  {name:<10} is refused with its access token and its refresh token: device_removed");
        stage.ana_laptop.wait_for_news("device_removed", self.session.device).await?;
        println!("  ana/laptop heard of it");
        Ok(())
    }
}
