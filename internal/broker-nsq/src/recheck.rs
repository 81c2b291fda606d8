//! How far logs reach, told to devices whose consumers came or went.

use crate::channel::Channel;
use lockstep_model::ConversationId;
use lockstep_ports::MessageLog;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Channels that one query answers for.
const CHANNELS_MAX: usize = 1_024;

/// Tells the connections of each channel that comes how far its log reaches. What they lack they read.
pub(crate) async fn run(log: Arc<dyn MessageLog>, mut changed: mpsc::UnboundedReceiver<Arc<Channel>>) {
    let mut channels = Vec::new();
    while changed.recv_many(&mut channels, CHANNELS_MAX).await > 0 {
        let mut topics: HashMap<ConversationId, Vec<Arc<Channel>>> = HashMap::new();
        for channel in channels.drain(..) {
            topics.entry(channel.topic).or_default().push(channel);
        }
        let conversations: Vec<_> = topics.keys().copied().collect();
        match log.bounds(conversations.clone()).await {
            Ok(bounds) => {
                for (conversation, bounds) in conversations.into_iter().zip(bounds) {
                    let head = bounds.unwrap_or_default().head;
                    topics[&conversation].iter().for_each(|channel| channel.signal_head(head));
                }
            }
            // The periodic comparison of heads finds it.
            Err(error) => tracing::warn!(%error, "heads could not be read after consumers were opened"),
        }
    }
}
