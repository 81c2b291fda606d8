//! Two nsqds, an nsqlookupd, and a directory of devices.
#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod proxy;

use lockstep_broker_nsq::{Fleet, Janitor, JanitorSettings, NsqSettings};
use lockstep_model::{ConversationId, ConversationKind, DeviceId, DeviceKind, Epoch, UnixMs, UserId};
use lockstep_nsq_client::http::{HttpSettings, NsqdHttp, Stats, StatsQuery};
use lockstep_nsq_client::{Address, EPHEMERAL_SUFFIX};
use lockstep_nsq_servers::{NsqLookupd, Nsqd, NsqdOptions};
use lockstep_ports::{DeviceRemoval, Directory, NewConversation, NewDevice, Remover};
use lockstep_store_sql::{SqliteOptions, SqliteStore};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

pub(crate) struct World {
    pub(crate) nsqds: Vec<Nsqd>,
    pub(crate) lookupd: NsqLookupd,
    pub(crate) fleet: Fleet,
    pub(crate) directory: Arc<dyn Directory>,
    _folder: tempfile::TempDir,
}

impl World {
    /// Both nsqds are configured.
    pub(crate) async fn new() -> Self {
        Self::with(|_, _| ()).await
    }

    /// `change` may replace what is configured.
    pub(crate) async fn with(change: impl FnOnce(&mut Vec<Address>, &[Nsqd])) -> Self {
        let lookupd = NsqLookupd::start().expect("nsqlookupd starts");
        let start = |node_id| {
            let lookupds = vec![lookupd.tcp_address()];
            let options = NsqdOptions { lookupds, node_id: Some(node_id), ..NsqdOptions::default() };
            let nsqd = Nsqd::start(&options).expect("nsqd starts");
            nsqd.wait_for_log("peer info").expect("it registers");
            nsqd
        };
        let nsqds = vec![start(1), start(2)];
        let mut configured: Vec<Address> = nsqds.iter().map(|nsqd| nsqd.http_address().into()).collect();
        change(&mut configured, &nsqds);
        let fleet = fleet(&configured, &[lookupd.http_address().into()]);
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path(), SqliteOptions::default()).await.expect("a store");
        Self { nsqds, lookupd, fleet, directory: Arc::new(store), _folder: folder }
    }

    /// A device that is there.
    pub(crate) async fn device(&self) -> DeviceId {
        let user = UserId::new("ann").unwrap();
        self.directory.ensure_user(user.clone(), UnixMs::new(1)).await.unwrap();
        let (id, kind, now) = (DeviceId::generate(), DeviceKind::Sub, UnixMs::new(2));
        let new = NewDevice { id, user, name: "a tablet".to_owned(), kind, unfilled: false, now };
        self.directory.create_device(new).await.unwrap().unwrap().value.id
    }

    /// A conversation that the devices' user is in.
    pub(crate) async fn conversation(&self) -> ConversationId {
        let (id, user) = (ConversationId::generate(), UserId::new("ann").unwrap());
        self.directory.ensure_user(user.clone(), UnixMs::new(1)).await.unwrap();
        let (kind, now) = (ConversationKind::Group, UnixMs::new(2));
        let new = NewConversation { id, kind, title: None, members: vec![user], now };
        self.directory.create_conversation(new).await.unwrap().unwrap();
        id
    }

    pub(crate) async fn remove(&self, device: DeviceId) {
        let removal = DeviceRemoval { device, by: Remover::Administrator, now: UnixMs::new(3) };
        let _removed = self.directory.remove_device(removal).await.unwrap().unwrap();
    }

    pub(crate) fn janitor(&self) -> Janitor {
        self.janitor_with(JanitorSettings::new(|_| false))
    }

    pub(crate) fn janitor_with(&self, settings: JanitorSettings) -> Janitor {
        Janitor::new(self.fleet.clone(), Arc::clone(&self.directory), settings)
    }

    /// Makes a channel on an nsqd, and waits until the nsqlookupd knows that it is there: what nsqd tells of it later would
    /// arrive after it was deleted.
    pub(crate) fn make(&self, nsqd: usize, topic: &str, channel: &str) {
        let nsqd = &self.nsqds[nsqd];
        post(nsqd, &format!("/topic/create?topic={topic}"));
        post(nsqd, &channel_target("create", topic, channel));
        self.wait_until_listed(nsqd, topic, channel);
    }

    pub(crate) fn wait_until_listed(&self, nsqd: &Nsqd, topic: &str, channel: &str) {
        let (key, port) = (format!("channel:{topic}:{channel}"), nsqd.http_address().port());
        self.wait_for(|listed| listed[&key].as_array().is_some_and(|all| all.iter().any(|p| p["http_port"] == port)));
    }

    /// Waits for something that servers tell the nsqlookupd by themselves.
    pub(crate) fn wait_for(&self, is_so: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        loop {
            let listed = self.lookupd.http("GET", "/debug", b"").expect("nsqlookupd answers");
            let listed = serde_json::from_slice(&listed).expect("JSON");
            if is_so(&listed) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "it does not become so: {listed}");
            std::thread::yield_now();
        }
    }

    /// Makes the nsqlookupd know a channel that no nsqd has.
    pub(crate) fn list(&self, topic: &str, channel: &str) {
        let target = channel_target("create", topic, channel);
        self.lookupd.http("POST", &target, b"").expect("it is listed");
    }

    /// The channels that the nsqlookupd lists for a topic; `None` if it does not know the topic.
    pub(crate) fn listed(&self, topic: &str) -> Option<Vec<String>> {
        let answer = self.lookupd.http("GET", &format!("/lookup?topic={topic}"), b"").ok()?;
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let mut channels: Vec<String> = serde_json::from_value(answer["channels"].clone()).expect("names");
        channels.sort_unstable();
        Some(channels)
    }

    pub(crate) fn address(&self, nsqd: usize) -> Address {
        self.nsqds[nsqd].http_address().into()
    }

    pub(crate) async fn stats(&self, nsqd: usize) -> Stats {
        NsqdHttp::new(self.address(nsqd), HttpSettings::default()).stats(&StatsQuery::default()).await.expect("stats")
    }

    /// The topics of an nsqd.
    pub(crate) async fn topics(&self, nsqd: usize) -> Vec<String> {
        self.stats(nsqd).await.topics.iter().map(|topic| topic.topic_name.to_string()).collect()
    }

    /// The channels of an nsqd's topic.
    pub(crate) async fn channels(&self, nsqd: usize, topic: &str) -> Vec<String> {
        let stats = self.stats(nsqd).await;
        let topic = stats.topics.iter().find(|found| found.topic_name.as_str() == topic);
        let channels = topic.into_iter().flat_map(|topic| &topic.channels);
        channels.map(|channel| channel.channel_name.to_string()).collect()
    }

    /// How many channels of the device there are on nsqds that run.
    pub(crate) async fn count(&self, device: DeviceId) -> usize {
        let mut count = 0;
        for nsqd in (0..self.nsqds.len()).filter(|nsqd| self.nsqds[*nsqd].is_running()) {
            let stats = self.stats(nsqd).await;
            let channels = stats.topics.iter().flat_map(|topic| &topic.channels);
            count += channels.filter(|c| c.channel_name.as_str().starts_with(&device.to_string())).count();
        }
        count
    }
}

/// What deletes on these.
pub(crate) fn fleet(nsqds: &[Address], lookupds: &[Address]) -> Fleet {
    fleet_in(nsqds, lookupds, HttpSettings::default().timeout)
}

/// As [`fleet`], with another bound of each request.
pub(crate) fn fleet_in(nsqds: &[Address], lookupds: &[Address], timeout: Duration) -> Fleet {
    let mut settings = NsqSettings::new(Epoch::from_bytes([9; 16]), [7; 32]);
    let addresses = |http: &Address| lockstep_broker_nsq::NsqdAddresses { tcp: http.clone(), http: http.clone() };
    settings.nsqds = nsqds.iter().map(addresses).collect();
    settings.lookupds = lookupds.to_vec();
    Fleet::new(&settings, HttpSettings { timeout, ..HttpSettings::default() })
}

pub(crate) fn post(nsqd: &Nsqd, target: &str) {
    nsqd.http("POST", target, b"").unwrap_or_else(|error| panic!("{target}: {error}"));
}

pub(crate) fn publish(nsqd: &Nsqd, topic: &str) {
    nsqd.http("POST", &format!("/pub?topic={topic}"), b"hello").expect("it is published");
}

pub(crate) fn channel_target(what: &str, topic: &str, channel: &str) -> String {
    format!("/channel/{what}?topic={topic}&channel={}", channel.replace('#', "%23"))
}

/// Consumes a channel, and takes no message.
pub(crate) fn consume(world: &World, nsqd: usize, topic: &str, channel: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.nsqds[nsqd].tcp_address()).expect("it listens");
    stream.write_all(format!("  V2SUB {topic} {channel}\n").as_bytes()).expect("it reads");
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer[8..], b"OK");
    stream
}

/// A conversation's topic.
pub(crate) fn topic() -> String {
    topic_of(ConversationId::generate())
}

pub(crate) fn topic_of(conversation: ConversationId) -> String {
    format!("lockstep.{conversation}")
}

pub(crate) fn ephemeral(device: DeviceId) -> String {
    format!("{device}{EPHEMERAL_SUFFIX}")
}

/// Waits no longer than a broken test may take.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it did not happen in time")
}
