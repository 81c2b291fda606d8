//! A conversation in which nobody is online: whatever is sent into it, nothing of it stays in nsqd.

use crate::house::{House, PATIENCE, topic};
use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use lockstep_testkit::{Device, History, Record, TopicStats, Wire};
use serde_json::json;

/// As many as come in an hour at one a second.
const SENDS: u64 = 3_600;
/// Sent before an answer is read.
const AT_ONCE: u64 = 50;

/// No bound on how fast a device's sends and requests may be.
fn fast() -> Vec<(&'static str, String)> {
    let limits = [
        "limits.sends_per_second",
        "limits.sends_burst",
        "limits.device_requests_per_second",
        "limits.device_requests_burst",
        "limits.user_requests_per_second",
        "limits.user_requests_burst",
    ];
    limits.map(|name| (name, "1000000".to_owned())).to_vec()
}

impl House {
    /// What nsqds have of the direct conversation's topic.
    fn topic_stats(&self) -> Result<Vec<TopicStats>> {
        let all = (0..self.nsqds.count()).map(|nsqd| self.nsqds.topics(nsqd)).collect::<Result<Vec<_>>>()?;
        Ok(all.into_iter().flatten().filter(|found| found.topic == topic(self.direct)).collect())
    }

    /// An hour of sends: a device that follows nothing, its user by REST, and a service, by turns. Returns the last seq.
    async fn an_hour_of_sends(&self, hour: &str) -> Result<u64> {
        let service =
            self.server.administer(&["token", "service", "--name", "billing", "--scope", "publish:*"]).await?;
        let mut wire = Wire::hello(&self.server.door(), &self.ana).await?;
        wire.until("welcome").await?;
        for batch in 0..SENDS / 3 / AT_ONCE {
            for number in 0..AT_ONCE {
                let id = format!("{hour} by frame {batch} {number}");
                let body = json!({"type": "text", "text": id});
                let send =
                    json!({"type": "send", "conversation": self.direct.to_string(), "client_msg_id": id, "body": body});
                wire.send(&send).await?;
            }
            for _ in 0..AT_ONCE {
                wire.until("sent").await?;
            }
        }
        drop(wire);
        let mut last = 0;
        for batch in 0..SENDS / 3 / AT_ONCE {
            let texts = |by: &str| (0..AT_ONCE).map(|number| format!("{hour} by {by} {batch} {number}")).collect();
            let (by_rest, by_service): (Vec<String>, Vec<String>) = (texts("REST"), texts("a service"));
            try_join_all(by_rest.iter().map(|text| self.send(text))).await?;
            let seqs = by_service.iter().map(|text| self.send_as(&service, self.direct, text));
            last = try_join_all(seqs).await?.into_iter().fold(last, u64::max);
        }
        Ok(last)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topic_of_a_conversation_where_nobody_is_online_does_not_grow() -> Result<()> {
    let house = House::start(fast()).await?;
    let last = house.an_hour_of_sends("first").await?;
    ensure!(last == SENDS, "{last} are stored");
    let stats = house.topic_stats()?;
    ensure!(stats.is_empty(), "nobody made the topic: {stats:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topic_of_a_conversation_that_all_have_left_does_not_grow() -> Result<()> {
    let house = House::start(fast()).await?;
    let mut ben = house.ben_live().await?;
    ensure!(house.send("while ben is online").await? == 1);
    ensure!(house.heard(&mut ben).await?["seq"] == 1);
    house.until_taken_in().await?;
    drop(ben);
    house.nsqds.until("his channel is gone", |all| all.iter().flatten().all(|one| one.channel == "_seq")).await?;
    let before = house.topic_stats()?;
    ensure!(before.len() == 1 && before[0].unfinished == 0, "{before:?}");
    let last = house.an_hour_of_sends("second").await?;
    ensure!(last == 1 + SENDS, "{last} are stored");
    // Each nsqd counts what it was ever given.
    let after = house.topic_stats()?;
    ensure!(after == before, "{after:?} instead of {before:?}");
    // He comes back, and has it all.
    let record = Record::new();
    record.write(|history| history.member("ben/phone", house.direct));
    let mut ben = Device::new("ben/phone", house.ben.clone(), record.clone());
    ben.start(&house.server.door());
    let reached = |history: &History| history.reached("ben/phone", house.direct).get() == last;
    record.until("he has caught up", PATIENCE, reached).await?;
    ben.stop().await
}
