//! A broker on real nsqds, and a log to ask for heads.

#![allow(dead_code, reason = "each test program needs another part of it")]

pub(crate) mod listener;
pub(crate) mod look;
pub(crate) mod spy;

use async_trait::async_trait;
use lockstep_broker_nsq::{NsqBroker, NsqSettings, NsqdAddresses, RawMessage};
use lockstep_model::{Bounds, ConversationId, Entry, Epoch, Offset, Seq};
use lockstep_nsq_servers::{NsqLookupd, Nsqd, NsqdOptions};
use lockstep_ports::{Append, AppendRefusal, Appended, HeadMark, MessageLog, Range, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// Logs of which only the heads are known.
#[derive(Default)]
pub(crate) struct Heads(Mutex<HashMap<ConversationId, Seq>>);

impl Heads {
    pub(crate) fn set(&self, conversation: ConversationId, head: u64) {
        self.0.lock().unwrap().insert(conversation, Seq::new(head));
    }
}

#[async_trait]
impl MessageLog for Heads {
    fn epoch(&self) -> Epoch {
        Epoch::from_bytes([9; 16])
    }

    async fn append(&self, _: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        unreachable!("a broker appends nothing")
    }

    async fn ranges(&self, _: Vec<Range>) -> Result<Vec<Vec<Entry>>, StoreError> {
        unreachable!("a broker reads no entries")
    }

    async fn bounds(&self, conversations: Vec<ConversationId>) -> Result<Vec<Option<Bounds>>, StoreError> {
        let heads = self.0.lock().unwrap();
        let bounds = |id| heads.get(&id).map(|head| Bounds { floor: Seq::new(1), head: *head });
        Ok(conversations.into_iter().map(bounds).collect())
    }

    fn mark(&self) -> HeadMark {
        HeadMark(0)
    }

    fn moved_since(&self, _: HeadMark) -> Option<Vec<Offset>> {
        Some(vec![])
    }

    async fn raise_floor(&self, _: ConversationId, _: Seq) -> Result<(), StoreError> {
        unreachable!("a broker raises no floors")
    }
}

/// Real nsqds, and a broker on them.
pub(crate) struct House {
    pub(crate) broker: NsqBroker,
    pub(crate) raw: mpsc::Receiver<RawMessage>,
    pub(crate) heads: Arc<Heads>,
    pub(crate) nsqds: Vec<Nsqd>,
    pub(crate) lookupd: Option<NsqLookupd>,
}

/// Starts as many nsqds; with an nsqlookupd, the broker is told of the first one only.
pub(crate) async fn house(nsqds: usize, with_lookupd: bool, change: impl FnOnce(&mut NsqSettings)) -> House {
    let (lookupd, nsqds) = start(nsqds, with_lookupd, |_| {}).await;
    furnish(lookupd, nsqds, change)
}

/// Starts as many nsqds, each with another node id unless that is changed.
pub(crate) async fn start(
    nsqds: usize,
    with_lookupd: bool,
    change: impl Fn(&mut NsqdOptions) + Send + 'static,
) -> (Option<NsqLookupd>, Vec<Nsqd>) {
    tokio::task::spawn_blocking(move || {
        let lookupd = with_lookupd.then(|| NsqLookupd::start().expect("nsqlookupd starts"));
        let lookupds = lookupd.iter().map(|lookupd| lookupd.tcp_address()).collect::<Vec<_>>();
        let start = |number: usize| {
            let mut options =
                NsqdOptions { lookupds: lookupds.clone(), node_id: Some(number as u16 + 1), ..NsqdOptions::default() };
            change(&mut options);
            Nsqd::start(&options).expect("nsqd starts")
        };
        (lookupd, (0..nsqds).map(start).collect::<Vec<_>>())
    })
    .await
    .unwrap()
}

/// A broker on nsqds; with an nsqlookupd, it is told of the first one only.
pub(crate) fn furnish(lookupd: Option<NsqLookupd>, nsqds: Vec<Nsqd>, change: impl FnOnce(&mut NsqSettings)) -> House {
    let mut settings = NsqSettings::new(Epoch::from_bytes([9; 16]), [7; 32]);
    let told = if lookupd.is_some() { &nsqds[..1] } else { &nsqds[..] };
    settings.nsqds = told.iter().map(addresses).collect();
    settings.lookupds = lookupd.iter().map(|lookupd| lookupd.http_address().into()).collect();
    change(&mut settings);
    let heads = Arc::new(Heads::default());
    let (broker, raw) = NsqBroker::start(settings, heads.clone()).expect("the broker starts");
    House { broker, raw, heads, nsqds, lookupd }
}

pub(crate) fn addresses(nsqd: &Nsqd) -> NsqdAddresses {
    NsqdAddresses { tcp: nsqd.tcp_address().into(), http: nsqd.http_address().into() }
}
