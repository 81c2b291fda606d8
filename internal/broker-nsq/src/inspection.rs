//! What nsqds say of one topic, for operators.

use crate::fleet::Fleet;
use lockstep_nsq_client::TopicName;
use lockstep_nsq_client::http::{NsqdHttp, StatsQuery, TopicStats};
use lockstep_ports::{TopicAt, TopicChannel};

/// Asks every nsqd that is reached for a topic. Those that do not have it are left out.
pub(crate) async fn places(fleet: &Fleet, topic: &TopicName) -> Vec<TopicAt> {
    let query = StatsQuery { topic: Some(topic.clone()), ..StatsQuery::default() };
    let stats = |nsqd: NsqdHttp| {
        let query = query.clone();
        async move { nsqd.stats(&query).await }
    };
    let answers = fleet.reach().await.nsqds.ask("stats of a topic", stats).await;
    let topics = answers.into_iter().flat_map(|(nsqd, stats)| {
        let server = nsqd.address().to_string();
        stats.topics.into_iter().map(move |topic| place(server.clone(), topic))
    });
    topics.collect()
}

fn place(server: String, topic: TopicStats) -> TopicAt {
    let channels = topic.channels.into_iter().map(|channel| TopicChannel {
        name: channel.channel_name.as_str().to_owned(),
        depth: count(channel.depth),
        in_flight: count(channel.in_flight_count),
        clients: channel.client_count,
    });
    let mut channels: Vec<TopicChannel> = channels.collect();
    channels.sort_unstable_by(|one, other| other.depth.cmp(&one.depth).then_with(|| one.name.cmp(&other.name)));
    TopicAt { server, depth: count(topic.depth), channels }
}

/// nsqd counts in signed numbers.
fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
