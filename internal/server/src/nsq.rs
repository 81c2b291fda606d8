//! NSQ as the transport, if nsqds are configured.

use crate::config::{Channels, Ingest, NsqConfig};
use crate::start::StartError;
use lockstep_auth::Tokens;
use lockstep_broker_nsq::{
    EventsSettings, Fleet, Janitor, JanitorSettings, NsqBroker, NsqEvents, NsqSettings, NsqdAddresses, RawMessage,
};
use lockstep_engine::{Engine, Ingested};
use lockstep_nsq_client::http::HttpSettings;
use lockstep_nsq_client::{Address, AddressError};
use lockstep_ports::MessageLog;
use lockstep_store_sql::SqliteStore;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Raw messages that are taken into the log as one batch.
const BATCH_MAX: usize = 256;

/// NSQ as it is used.
pub(crate) struct Nsq {
    /// The broker on the configured nsqds.
    pub(crate) broker: NsqBroker,
    /// What services publish there.
    pub(crate) raw_messages: mpsc::Receiver<RawMessage>,
    /// What tells services of events, if any are configured.
    pub(crate) events: Option<NsqEvents>,
    /// What deletes channels of devices that are gone and topics that stand empty.
    pub(crate) janitor: Janitor,
    /// How often.
    pub(crate) janitor_period: Duration,
}

/// Starts all that uses the configured nsqds; the janitor is to be run.
pub(crate) fn start(config: &NsqConfig, store: &SqliteStore, tokens: &Tokens) -> Result<Nsq, StartError> {
    let log = Arc::new(store.clone());
    let settings = settings(config, &*log, tokens).map_err(|source| StartError::Nsq(source.into()))?;
    let (fleet, pinned) = (Fleet::new(&settings, HttpSettings::default()), settings.pinned.clone());
    let events = EventsSettings::new(&settings, config.events.clone());
    let started = |source: lockstep_broker_nsq::StartError| StartError::Nsq(source.into());
    let (broker, raw_messages) = NsqBroker::start(settings, log).map_err(started)?;
    let events = if config.events.is_empty() { None } else { Some(NsqEvents::start(events).map_err(started)?) };
    let users = broker.clone();
    let janitor = JanitorSettings { pinned, ..JanitorSettings::new(move |topic| users.uses(topic)) };
    let janitor = Janitor::new(fleet, Arc::new(store.clone()), janitor);
    let janitor_period = Duration::from_secs(config.janitor_period_s);
    Ok(Nsq { broker, raw_messages, events, janitor, janitor_period })
}

fn settings(config: &NsqConfig, log: &dyn MessageLog, tokens: &Tokens) -> Result<NsqSettings, AddressError> {
    let nsqd = |nsqd: &crate::config::NsqdConfig| {
        Ok(NsqdAddresses { tcp: nsqd.tcp.parse::<Address>()?, http: nsqd.http.parse::<Address>()? })
    };
    let mut settings = NsqSettings::new(log.epoch(), tokens.secret_for("NSQ envelopes"));
    settings.nsqds = config.nsqds.iter().map(nsqd).collect::<Result<_, AddressError>>()?;
    settings.lookupds = config.lookupds.iter().map(|lookupd| lookupd.parse()).collect::<Result<_, _>>()?;
    settings.topic_prefix = config.topic_prefix.clone();
    settings.channels = match config.channels {
        Channels::Ephemeral => lockstep_broker_nsq::Channels::Ephemeral,
        Channels::Durable => lockstep_broker_nsq::Channels::Durable,
    };
    settings.ingest = match config.ingest {
        Ingest::Off => lockstep_broker_nsq::Ingest::Off,
        Ingest::Live => lockstep_broker_nsq::Ingest::Live,
    };
    settings.pinned = config.pinned.iter().copied().collect();
    settings.consumers_per_device_max = config.consumers_per_device_max as usize;
    settings.consumers_max = config.consumers_max as usize;
    settings.seqs_max = config.seqs_max as usize;
    settings.consumers_per_second_max = config.consumers_per_second_max as u32;
    settings.publish_timeout = Duration::from_millis(config.publish_timeout_ms);
    Ok(settings)
}

/// Takes what services publish into the log, and tells nsqd what became of it (I7).
pub(crate) async fn take_in(engine: Engine, mut messages: mpsc::Receiver<RawMessage>, stopping: CancellationToken) {
    let mut batch = Vec::new();
    while let Some(1..) = stopping.run_until_cancelled(messages.recv_many(&mut batch, BATCH_MAX)).await {
        let raws = batch.iter().map(|raw| (raw.conversation, &*raw.body, raw.key.clone()));
        let outcomes = engine.ingest_many(raws).await;
        for (raw, outcome) in batch.drain(..).zip(outcomes) {
            let label = match outcome {
                Ingested::Stored(_) => "stored",
                Ingested::Duplicate(_) => "duplicate",
                Ingested::TryAgain => "again",
                Ingested::Refused(code) => {
                    let bytes = raw.body.len();
                    tracing::warn!(
                        conversation = %raw.conversation, code = %code, bytes,
                        "a body that a service published into a topic cannot be stored, and was dropped"
                    );
                    "refused"
                }
            };
            metrics::counter!("lockstep_nsq_raw_total", "outcome" => label).increment(1);
            if outcome == Ingested::TryAgain { raw.requeue() } else { raw.finish() }
        }
    }
}

/// What readiness says of NSQ beside that the server is ready: it serves without, from the log.
pub(crate) fn remark(broker: &NsqBroker) -> Option<String> {
    let (connected, all) = broker.connected();
    let (consumers, seqs) = broker.waiting();
    metrics::gauge!("lockstep_nsq_places_waited_for", "of" => "consumer").set(consumers as f64);
    metrics::gauge!("lockstep_nsq_places_waited_for", "of" => "_seq").set(seqs as f64);
    metrics::gauge!("lockstep_nsqds_connected").set(connected as f64);
    metrics::gauge!("lockstep_nsqds").set(all as f64);
    (connected < all).then(|| format!("{connected} of {all} nsqds are connected; devices read the log instead"))
}
