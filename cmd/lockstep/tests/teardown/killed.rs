//! A server that is killed between the commit of a removal and the end of the deletion.

use crate::scene::{Ben, House, to_the_end};
use anyhow::{Context, Result, ensure};
use lockstep_protocol::Code;
use lockstep_testkit::{Nsqds, TcpProxy, Wire};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_PERIOD: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_goes_on_after_a_crash() -> Result<()> {
    let nsqds = Nsqds::start(2)?;
    let (mut addresses, mut proxies) = (Vec::new(), Vec::new());
    for (tcp, http) in nsqds.addresses() {
        let proxy = TcpProxy::start(http).await?;
        addresses.push((tcp, proxy.address()));
        proxies.push(proxy);
    }
    let mut house = House::start_at(Some(nsqds), addresses).await?;
    let ben = Ben::make(&house, "ben".into(), false).await?;
    let wire = Wire::live(&house.server.door(), ben.device.token()).await?;
    let device = ben.device.id.clone();
    let nsqds = house.nsqds.as_ref().context("there are nsqds")?;
    // The feed and the group.
    let fed = |count: usize, device: &str| {
        let device = device.to_owned();
        move |all: &[Vec<lockstep_testkit::ChannelStats>]| {
            all.iter().flatten().filter(|one| one.channel.starts_with(&device)).count() == count
        }
    };
    nsqds.until("the device is fed", fed(2, &device)).await?;
    // From here on nsqds take no commands, so that the deletion cannot end.
    proxies.iter().for_each(TcpProxy::stall);
    let removing = house.remove(ben.phone.token(), &device);
    let out = async {
        let code = to_the_end(wire).await;
        house.server.kill9();
        code
    };
    let (answer, code) = tokio::join!(removing, out);
    ensure!(answer.is_err() && code? == Code::DeviceRemoved, "{answer:?}");
    ensure!(house.channels_of(&device)? == 2, "the deletion had not begun");
    proxies.iter().for_each(TcpProxy::resume);
    house.server.restart().await?;
    let nsqds = house.nsqds.as_ref().context("there are nsqds")?;
    nsqds.until("nothing of the device is left", fed(0, &device)).await?;
    house.is_out(&ben.device).await?;
    let job = until_done(&house).await?;
    ensure!((&*job[0], &*job[1], &*job[2]) == (&*device, "ben", "main"), "{job:?}");
    Ok(())
}

/// The one removal, as an operator sees it once it is done.
async fn until_done(house: &House) -> Result<Vec<String>> {
    let mut ticks = tokio::time::interval(LOOK_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        while !house.admin.teardowns(false, None).await?.teardowns.is_empty() {
            ticks.tick().await;
        }
        let line = house.server.administer(&["device", "teardowns", "--all"]).await?;
        anyhow::Ok(line.split('\t').map(str::to_owned).collect())
    };
    tokio::time::timeout(PATIENCE, looking).await.context("the removal is not done")?
}
