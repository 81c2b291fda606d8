//! The further steps of the full demo.

use super::fill_steps::{first_of_latest, is_done};
use super::linked::{Linked, Seen};
use super::stage::Stage;
use super::steps::Step;
use anyhow::{Context, Result, ensure};
use lockstep_client::Accounts;

/// They come after those that are always played.
pub(super) const FULL_STEPS: &[(&str, Step)] = &[(
    "A browser finds no main device that could fill it, is filled later, and signs out: that is a removal too.",
    |stage| Box::pin(browser(stage)),
)];

async fn browser(stage: &mut Stage) -> Result<()> {
    let mut browser = Linked::link(stage, "ana/web", "Firefox", Seen::Scanned, usize::MAX >> 4).await?;
    stage.ana_phone.leave().await?;
    stage.ana_laptop.wait_for_parting(&stage.ana_phone).await?;
    println!("  ana/phone  is switched off; ana/laptop is a sub device, which fills nobody");
    browser.device.set_out();
    browser.device.wait("been turned away", |seen| seen.turned_away.is_some()).await?;
    let (code, retry_in) = browser.device.find(|seen| seen.turned_away.clone()).context("it was turned away")?;
    ensure!(code == "main_offline", "the browser was turned away with {code}");
    println!("  ana/web    is turned away with {code}, and told to come again in {} s", retry_in.as_secs());
    browser.device.leave().await?;

    stage.ana_phone.come().await?;
    browser.device.set_out();
    browser.device.wait("been filled", |seen| seen.fillings.iter().any(is_done)).await?;
    println!("  ana/phone  is back, and ana/web is filled from it");
    let (album, group) = (stage.album.as_ref(), stage.group.as_ref());
    for log in [album, group, Some(&stage.direct)] {
        let log = log.context("the groups were made in steps before")?;
        log.check_filled(&browser.device, &stage.ana_phone, first_of_latest(log.head())).await?;
    }
    Accounts::new(stage.url()).sign_out(&browser.session.access_token).await?;
    println!("  ana/web    signed out");
    browser.check_out(stage).await
}
