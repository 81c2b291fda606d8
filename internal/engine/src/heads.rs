//! Tail loss is found (I4): once per period the heads that moved are told to whoever follows those conversations.

use crate::Ports;
use crate::publisher::Publisher;
use lockstep_model::Offset;
use lockstep_ports::{HeadMark, StoreError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Conversations in one question to the store, where memory does not tell.
const BOUNDS_PER_QUERY_MAX: usize = 1_000;

pub(crate) fn start(
    ports: &Ports,
    publisher: &Arc<Publisher>,
    period: Duration,
    tasks: &TaskTracker,
    stopping: &CancellationToken,
) {
    let (ports, publisher, stopping) = (ports.clone(), Arc::clone(publisher), stopping.clone());
    tasks.spawn(async move {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut mark = ports.log.mark();
        while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            let next = ports.log.mark();
            match tell_heads(&ports, mark).await {
                Ok(()) => mark = next,
                // The same stretch is asked for again in the next period.
                Err(error) => {
                    crate::api::store_failed(&error);
                }
            }
            publisher.rings.tidy(|conversation| ports.broker.has_consumers(conversation));
        }
    });
}

/// Signals all heads that moved since `mark` and that somebody here follows. Silence costs one look into memory.
async fn tell_heads(ports: &Ports, mark: HeadMark) -> Result<(), StoreError> {
    let Some(moved) = ports.log.moved_since(mark) else {
        return tell_all_heads(ports).await;
    };
    let moved: HashMap<_, _> = moved.into_iter().map(|head| (head.conversation, head.seq)).collect();
    let heads = moved.into_iter().filter(|(conversation, _)| ports.broker.has_consumers(*conversation));
    let heads: Vec<_> = heads.map(|(conversation, seq)| Offset { conversation, seq }).collect();
    ports.broker.signal_heads(&heads);
    Ok(())
}

async fn tell_all_heads(ports: &Ports) -> Result<(), StoreError> {
    for topics in ports.broker.topics().chunks(BOUNDS_PER_QUERY_MAX) {
        let bounds = ports.log.bounds(topics.to_vec()).await?;
        let heads = topics
            .iter()
            .zip(bounds)
            .filter_map(|(conversation, bounds)| Some(Offset { conversation: *conversation, seq: bounds?.head }));
        ports.broker.signal_heads(&heads.collect::<Vec<_>>());
    }
    Ok(())
}
