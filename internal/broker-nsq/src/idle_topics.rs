//! Since when topics stand empty: the janitor's memory.

use crate::fleet::device_of;
use crate::raw::SEQ_CHANNEL;
use lockstep_nsq_client::http::{ChannelStats, Stats, TopicStats};
use lockstep_nsq_client::{Address, TopicName};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// What stood empty when it was last looked at. As large as there are such topics; after a restart it begins anew.
#[derive(Default)]
pub(crate) struct IdleTopics(HashMap<(Address, TopicName), Idle>);

#[derive(Clone, Copy)]
struct Idle {
    since: Instant,
    mark: Mark,
}

/// Changes when something was published, or nsqd, which counts from its start, was started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    messages: u64,
    started_at: i64,
}

/// On which nsqds a topic stood empty for long enough.
pub(crate) type Ripe = BTreeMap<Address, Mark>;

impl IdleTopics {
    /// Takes note of what nsqds say at this moment of the topics that may go, and returns those that stand empty for
    /// `idle`. nsqds that are not among them are forgotten.
    pub(crate) fn look<'s>(
        &mut self,
        now: Instant,
        idle: Duration,
        stats: impl IntoIterator<Item = (&'s Address, &'s Stats)>,
        may_go: impl Fn(&TopicName) -> bool,
    ) -> BTreeMap<TopicName, Ripe> {
        let before = std::mem::take(&mut self.0);
        let mut ripe: BTreeMap<TopicName, Ripe> = BTreeMap::new();
        for (nsqd, stats) in stats {
            for topic in stats.topics.iter().filter(|topic| may_go(&topic.topic_name)) {
                let (name, key) = (&topic.topic_name, (nsqd.clone(), topic.topic_name.clone()));
                let Some(mark) = empty(topic, stats) else { continue };
                let seen = before.get(&key).filter(|seen| seen.mark == mark);
                let seen = seen.copied().unwrap_or(Idle { since: now, mark });
                self.0.insert(key, seen);
                if now.saturating_duration_since(seen.since) >= idle {
                    ripe.entry(name.clone()).or_default().insert(nsqd.clone(), mark);
                }
            }
        }
        ripe
    }

    /// Takes a topic that is being deleted as one that was never seen: if it comes back, it has its time again.
    pub(crate) fn forget(&mut self, topic: &TopicName, ripe: &Ripe) {
        for nsqd in ripe.keys() {
            self.0.remove(&(nsqd.clone(), topic.clone()));
        }
    }
}

/// The topic's mark, if it is still as empty as it was in a list of this one topic.
pub(crate) fn still_empty(name: &TopicName, stats: &Stats) -> Option<Mark> {
    empty(stats.topics.iter().find(|topic| topic.topic_name == *name)?, stats)
}

/// Nothing waits, nobody consumes, and nobody else has a channel. Who paused it, wants it.
fn empty(topic: &TopicStats, stats: &Stats) -> Option<Mark> {
    let unused = |channel: &ChannelStats| {
        let waiting = [channel.depth, channel.in_flight_count, channel.deferred_count];
        let name = channel.channel_name.as_str();
        let is_ours = name == SEQ_CHANNEL || device_of(name).is_some();
        is_ours && !channel.paused && channel.client_count == 0 && waiting == [0; 3]
    };
    let is_empty = topic.depth == 0 && !topic.paused && topic.channels.iter().all(unused);
    is_empty.then_some(Mark { messages: topic.message_count, started_at: stats.start_time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_model::DeviceId;

    const HOUR: Duration = Duration::from_secs(3600);
    const HELD: [&str; 6] = ["depth", "in_flight_count", "deferred_count", "client_count", "requeue_count", "paused"];

    /// What an nsqd says of one topic whose channel has `changed` at one.
    fn stats(channel: &str, changed: &str, messages: u64, started_at: i64) -> Stats {
        let value = |field: &str| u8::from(field == changed);
        let text = format!(
            r#"{{"version":"1.3.0","health":"OK","start_time":{started_at},"topics":[{{"topic_name":"t",
            "depth":{},"backend_depth":0,"message_count":{messages},"paused":{},"channels":[{{"channel_name":"{channel}",
            "depth":{},"backend_depth":0,"in_flight_count":{},"deferred_count":{},"message_count":9,
            "requeue_count":{},"timeout_count":0,"client_count":{},"paused":{}}}]}}]}}"#,
            value("topic depth"),
            changed == "topic paused",
            value("depth"),
            value("in_flight_count"),
            value("deferred_count"),
            value("requeue_count"),
            value("client_count"),
            changed == "paused",
        );
        serde_json::from_str(&text).expect("what nsqd says")
    }

    #[test]
    fn what_is_empty() {
        let name = TopicName::new("t").unwrap();
        let is_empty = |channel: &str, changed: &str| still_empty(&name, &stats(channel, changed, 1, 1)).is_some();
        let device = DeviceId::generate();
        for ours in [SEQ_CHANNEL, &device.to_string(), &format!("{device}#ephemeral")] {
            assert!(is_empty(ours, "nothing"), "{ours}");
        }
        assert!(!is_empty("archive", "nothing") && !is_empty("6fa459ea-ee8a-4ca4-894e-db77e160355e", "nothing"));
        for held in HELD.into_iter().chain(["topic depth", "topic paused"]) {
            assert_eq!(is_empty(SEQ_CHANNEL, held), held == "requeue_count", "{held}");
        }
    }

    #[test]
    fn a_topic_is_ripe_after_an_hour_without_anything() {
        let (mut idle, start, name) = (IdleTopics::default(), Instant::now(), TopicName::new("t").unwrap());
        let [one, two] = ["a:1", "b:1"].map(|address| address.parse::<Address>().unwrap());
        let mut look = |minutes: u64, nsqds: &[(&Address, &Stats)]| {
            let now = start + Duration::from_secs(60 * minutes);
            idle.look(now, HOUR, nsqds.iter().copied(), |_| true).remove(&name).map(|ripe| ripe.len())
        };
        let quiet = stats("_seq", "nothing", 1, 1);
        let used = stats("_seq", "client_count", 1, 1);
        assert_eq!(look(0, &[(&one, &quiet)]), None);
        assert_eq!(look(59, &[(&one, &quiet)]), None);
        assert_eq!(look(60, &[(&one, &quiet)]), Some(1));
        // On another nsqd it is in use, or was until lately.
        assert_eq!(look(61, &[(&one, &quiet), (&two, &used)]), Some(1));
        assert_eq!(look(62, &[(&one, &quiet), (&two, &quiet)]), Some(1));
        assert_eq!(look(122, &[(&one, &quiet), (&two, &quiet)]), Some(2));
        // A message came and went, nsqd was started anew, was away, or somebody consumed: another hour.
        let (more, anew) = (stats("_seq", "nothing", 2, 1), stats("_seq", "nothing", 2, 2));
        for (minutes, seen) in [(123, Some(&more)), (183, Some(&anew)), (243, None), (244, Some(&used))] {
            let seen: Vec<_> = seen.map(|stats| (&one, stats)).into_iter().collect();
            assert_eq!(look(minutes, &seen), None, "{minutes}");
        }
        assert_eq!(look(245, &[(&one, &anew)]), None);
        assert_eq!(look(304, &[(&one, &anew)]), None);
        assert_eq!(look(305, &[(&one, &anew)]), Some(1));
    }
}
