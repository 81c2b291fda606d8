//! The demo's nsqds: real ones, found on this machine or built for it.

use anyhow::{Context, Result};
use lockstep_nsq_servers::{Nsqd, NsqdOptions, Servers, go_toolchain};
use lockstep_protocol::ConversationId;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{interval, timeout};

/// Two show that conversations are spread, and that one may fail.
const COUNT: u16 = 2;
/// How long an nsqd may take to have what is waited for: one that was away is tried again after at most 15 s.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// Running nsqds, gone when this is dropped.
pub(super) struct Nsqds(Vec<Nsqd>);

impl Nsqds {
    /// Finds or builds nsqd, saying so, and starts some.
    pub(super) async fn start() -> Result<Self> {
        tokio::task::spawn_blocking(start).await.context("the start of the nsqds broke off")?
    }

    /// TCP and HTTP address of each.
    pub(super) fn addresses(&self) -> Vec<(SocketAddr, SocketAddr)> {
        self.0.iter().map(|nsqd| (nsqd.tcp_address(), nsqd.http_address())).collect()
    }

    /// The nsqd that a conversation is placed on, once the server takes in there what services publish.
    pub(super) async fn home(&mut self, conversation: ConversationId) -> Result<&mut Nsqd> {
        let wanted = format!("/stats?format=json&topic={}&channel=_seq", topic(conversation));
        let mut ticks = interval(LOOK_PERIOD);
        let looking = async {
            loop {
                ticks.tick().await;
                for (number, nsqd) in self.0.iter().enumerate() {
                    if consumers(&nsqd.http("GET", &wanted, b"")?)? > 0 {
                        return anyhow::Ok(number);
                    }
                }
            }
        };
        let number = timeout(PATIENCE, looking).await.context("no nsqd has the conversation's topic")??;
        Ok(&mut self.0[number])
    }

    /// Starts the one at this TCP address again, where it was.
    pub(super) fn restart(&mut self, tcp: SocketAddr) -> Result<()> {
        let nsqd = self.0.iter_mut().find(|nsqd| nsqd.tcp_address() == tcp);
        nsqd.with_context(|| format!("there is no nsqd at {tcp}"))?.restart()
    }
}

/// The topic of a conversation.
pub(super) fn topic(conversation: ConversationId) -> String {
    format!("lockstep.{conversation}")
}

fn start() -> Result<Nsqds> {
    if Servers::find()?.is_none() && go_toolchain().is_some() {
        println!("There is no nsqd on this machine: it is built with Go now, once, which may take a minute.");
    }
    let servers = Servers::find_or_build().context("the demo on NSQ has no nsqd to run")?;
    let nsqd = |number| Nsqd::start(&NsqdOptions { node_id: Some(number), ..NsqdOptions::default() });
    let nsqds = Nsqds((1..=COUNT).map(nsqd).collect::<Result<_>>()?);
    println!("{COUNT} nsqds run, of {}:", servers.nsqd.display());
    for (tcp, http) in nsqds.addresses() {
        println!("  TCP {tcp}, HTTP {http}");
    }
    Ok(nsqds)
}

/// Consumers of the channels in an answer of nsqd's `/stats`.
fn consumers(stats: &[u8]) -> Result<u64> {
    let stats: serde_json::Value = serde_json::from_slice(stats).context("nsqd's statistics are not JSON")?;
    let topics = stats["topics"].as_array().into_iter().flatten();
    let channels = topics.flat_map(|topic| topic["channels"].as_array().into_iter().flatten());
    Ok(channels.filter_map(|channel| channel["client_count"].as_u64()).sum())
}
