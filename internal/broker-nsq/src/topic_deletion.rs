//! Deleting a topic that stands empty.

use crate::deletion::was_there;
use crate::fleet::Reach;
use crate::idle_topics::{Mark, Ripe, still_empty};
use lockstep_nsq_client::http::{HttpError, LookupdHttp, NsqdHttp, StatsQuery};
use lockstep_nsq_client::{Address, TopicName};
use std::collections::BTreeSet;

/// How a topic is at the last look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    Absent,
    Empty(Mark),
    Used,
}

/// Deletes a topic where it is ripe, and says on how many nsqds.
///
/// nsqd has no way to delete a topic only if it is empty: what is published between the last look and the deletion, a few
/// milliseconds after an hour, is lost with it. (Entries are in the log; a service that needs to be sure publishes by REST.)
pub(crate) async fn delete_topic(reach: &mut Reach, topic: &TopicName, ripe: &Ripe) -> usize {
    let looked = reach.nsqds.ask("stats of a topic", |nsqd| look(nsqd, topic.clone())).await;
    let is_ripe = |nsqd: &NsqdHttp, now: Now| ripe.get(nsqd.address()).is_some_and(|mark| now == Now::Empty(*mark));
    let (there, absent): (Vec<_>, Vec<_>) = looked.iter().partition(|(_, now)| *now != Now::Absent);
    let still_ripe: BTreeSet<Address> =
        there.iter().filter(|(nsqd, now)| is_ripe(nsqd, *now)).map(|(nsqd, _)| nsqd.address().clone()).collect();
    // Else nsqlookupds would forget that some nsqd has it, and nobody would find what is published there.
    let everywhere = still_ripe.len() + absent.len() == looked.len() && reach.nsqds.missed().is_empty();
    if everywhere {
        forget(reach, topic, false).await;
    }
    let delete = |nsqd: NsqdHttp| {
        let (topic, is_ripe) = (topic.clone(), still_ripe.contains(nsqd.address()));
        async move { if is_ripe { was_there(nsqd.delete_topic(&topic).await) } else { Ok(false) } }
    };
    let deleted = reach.nsqds.ask("deleting a topic", delete).await.into_iter().filter(|(_, deleted)| *deleted).count();
    if everywhere {
        forget(reach, topic, true).await;
    }
    deleted
}

async fn look(nsqd: NsqdHttp, topic: TopicName) -> Result<Now, HttpError> {
    let stats = nsqd.stats(&StatsQuery { topic: Some(topic.clone()), ..StatsQuery::default() }).await?;
    Ok(match still_empty(&topic, &stats) {
        Some(mark) => Now::Empty(mark),
        None if stats.topics.is_empty() => Now::Absent,
        None => Now::Used,
    })
}

/// Makes the nsqlookupds forget a topic, with `unless_listed` only if they know of no nsqd that has got it meanwhile.
async fn forget(reach: &mut Reach, topic: &TopicName, unless_listed: bool) {
    let forget = |lookupd: LookupdHttp| {
        let topic = topic.clone();
        async move {
            let has_nsqds =
                unless_listed && lookupd.lookup(&topic).await?.is_some_and(|found| !found.producers.is_empty());
            if has_nsqds { Ok(()) } else { was_there(lookupd.delete_topic(&topic).await).map(drop) }
        }
    };
    reach.lookupds.ask("deleting a topic", forget).await;
}
