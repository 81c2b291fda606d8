//! An nsqd that is down: the server serves from its log, and says so.

use crate::house::{House, PATIENCE};
use anyhow::{Result, ensure};

const ENVELOPES: &str = "lockstep_nsq_messages_total{what=\"envelope\"}";

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_while_nsqd_is_down_and_through_it_when_it_returns() -> Result<()> {
    let mut house = House::start(vec![]).await?;
    let mut ben = house.ben_live().await?;
    house.until_ready("ready\n").await?;
    ensure!(connected(&house).await? == (2.0, 2.0));
    let home = house.nsqds.home(house.direct).await?;

    house.nsqds.nsqd_mut(home).kill();
    house.until_ready("ready\n1 of 2 nsqds are connected; devices read the log instead\n").await?;
    ensure!(connected(&house).await? == (1.0, 2.0));
    let before = house.server.metric(ENVELOPES).await?;
    for seq in 1..=5 {
        ensure!(house.send(&format!("while it is down {seq}")).await? == seq);
        let heard = house.heard(&mut ben).await?;
        ensure!(heard["seq"] == seq, "{heard}");
    }
    ensure!(house.server.metric(ENVELOPES).await? == before, "nothing can have come through nsqd");

    house.nsqds.nsqd_mut(home).restart()?;
    house.until_ready("ready\n").await?;
    ensure!(connected(&house).await? == (2.0, 2.0));
    house.until_fed(1).await?;
    ensure!(house.send("it is back").await? == 6);
    ensure!(house.heard(&mut ben).await?["seq"] == 6);
    house.server.until_metric(ENVELOPES, PATIENCE, |count| count > before).await?;
    house.publish(b"and services are heard").await?;
    let heard = house.heard(&mut ben).await?;
    ensure!(heard["seq"] == 7 && heard["sender"] == "service:nsq", "{heard}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_and_serves_without_any_nsqd() -> Result<()> {
    let mut house = House::start(vec![]).await?;
    for nsqd in 0..house.nsqds.count() {
        house.nsqds.nsqd_mut(nsqd).kill();
    }
    house.server.restart().await?;
    house.until_ready("ready\n0 of 2 nsqds are connected; devices read the log instead\n").await?;
    let mut ben = lockstep_testkit::Wire::live(&house.server.door(), &house.ben).await?;
    ensure!(house.send("hello").await? == 1);
    ensure!(house.heard(&mut ben).await?["seq"] == 1);
    let status = house.server.terminate().await?;
    ensure!(status.success(), "{status}\n{}", house.server.log_tail());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nsqlookupds_that_are_down_or_hang_keep_nobody_from_anything() -> Result<()> {
    // The system takes connections for it, and it never reads them.
    let mute = std::net::TcpListener::bind("127.0.0.1:0")?;
    let lookupds = format!("[\"127.0.0.1:1\", \"{}\"]", mute.local_addr()?);
    let house = House::start(vec![("nsq.lookupds", lookupds)]).await?;
    house.until_ready("ready\n").await?;
    let mut ben = house.ben_live().await?;
    ensure!(house.send("hello").await? == 1);
    ensure!(house.heard(&mut ben).await?["seq"] == 1);
    house.publish(b"and services are heard").await?;
    let heard = house.heard(&mut ben).await?;
    ensure!(heard["seq"] == 2 && heard["sender"] == "service:nsq", "{heard}");
    for lookupd in ["127.0.0.1:1".to_owned(), mute.local_addr()?.to_string()] {
        house.until_logged(&["does not answer", &format!("nsqlookupd={lookupd} ")]).await?;
    }
    let status = house.server.terminate().await?;
    ensure!(status.success(), "{status}\n{}", house.server.log_tail());
    Ok(())
}

/// How many nsqds are connected, and how many there are.
async fn connected(house: &House) -> Result<(f64, f64)> {
    Ok((house.server.metric("lockstep_nsqds_connected").await?, house.server.metric("lockstep_nsqds").await?))
}
