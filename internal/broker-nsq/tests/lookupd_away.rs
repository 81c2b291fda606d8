//! An nsqlookupd that is down, dies, comes back or hangs: only what services publish on other nsqds waits for it.

mod common;

use common::listener::{Listener, conversations, publish};
use common::look::{PATIENCE, publish_raw, topic_name, until};
use common::{House, furnish, house, start};
use lockstep_broker_nsq::NsqSettings;
use lockstep_model::ConversationId;
use lockstep_nsq_client::http::{HttpSettings, NsqdHttp};
use lockstep_ports::Broker;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::block_in_place;

/// Far more than anything takes that does not wait for an nsqlookupd, but for nsqd: it asks one for the channels of a new
/// topic, and gives up after some 5 s.
const SOON: Duration = Duration::from_secs(15);

/// An nsqd looks after its nsqlookupds every 15 s: the first time it may find no more than that it was cut off, and only
/// the next time it comes back.
const COMING_BACK: Duration = Duration::from_secs(60);

impl House {
    /// Waits for these raw bodies, in any order, and finishes them.
    async fn until_raw(&mut self, mut wanted: Vec<Vec<u8>>) {
        while !wanted.is_empty() {
            let next = tokio::time::timeout(COMING_BACK, self.raw.recv()).await;
            let raw = next.unwrap_or_else(|_| panic!("these never came: {wanted:?}")).expect("the broker runs");
            let index = wanted.iter().position(|body| *body == raw.body).expect("it was published, and comes once");
            wanted.swap_remove(index);
            raw.finish();
        }
    }

    /// A device comes, is fed by nsqd, and gets raw bodies and entries of the topic's own nsqd, soon.
    async fn serves(&mut self, topic: ConversationId) -> Listener {
        let began = Instant::now();
        let mut device = Listener::fed(&self.broker, &[topic]).await;
        self.home_serves(&mut device, topic, 1).await;
        assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
        device
    }

    async fn home_serves(&mut self, device: &mut Listener, topic: ConversationId, seq: u64) {
        let body = format!("at home {seq}").into_bytes();
        publish_raw(&self.nsqds[0], topic, &body).await;
        self.until_raw(vec![body]).await;
        publish(&self.broker, topic, seq..=seq).await;
        device.until_entry(topic, seq).await;
        assert!(device.heads(topic).is_empty(), "a head signal in place of an entry");
    }

    async fn stops_soon(self) {
        let began = Instant::now();
        self.broker.stop().await;
        assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    }

    fn lookupd(&mut self) -> &mut lockstep_nsq_servers::NsqLookupd {
        self.lookupd.as_mut().expect("there is one")
    }
}

/// No head signal is to come in place of an entry, however slow the machine is.
fn patient(settings: &mut NsqSettings) {
    settings.publish_timeout = PATIENCE;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_down_from_the_start_and_comes() {
    let (mut lookupd, nsqds) = start(2, true, |_| {}).await;
    block_in_place(|| lookupd.as_mut().expect("there is one").kill());
    let mut house = furnish(lookupd, nsqds, patient);
    house.until_connected().await;
    let [topic] = conversations();
    publish_raw(&house.nsqds[1], topic, b"elsewhere").await;
    let _device = house.serves(topic).await;
    assert!(house.raw.is_empty(), "nobody can know of it");
    block_in_place(|| house.lookupd().restart()).expect("it starts");
    house.until_raw(vec![b"elsewhere".to_vec()]).await;
    publish_raw(&house.nsqds[1], topic, b"elsewhere again").await;
    house.until_raw(vec![b"elsewhere again".to_vec()]).await;
    house.stops_soon().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_dies_and_comes_back() {
    let mut house = house(2, true, patient).await;
    house.until_connected().await;
    let [known, new] = conversations();
    let mut device = house.serves(known).await;
    publish_raw(&house.nsqds[1], known, b"before").await;
    house.until_raw(vec![b"before".to_vec()]).await;
    block_in_place(|| house.lookupd().kill());
    // What was found stays found.
    for round in 0..3_u8 {
        publish_raw(&house.nsqds[1], known, &[b'd', round]).await;
        house.until_raw(vec![vec![b'd', round]]).await;
    }
    house.home_serves(&mut device, known, 2).await;
    publish_raw(&house.nsqds[1], new, b"of a new one").await;
    let mut late = house.serves(new).await;
    assert!(house.raw.is_empty(), "nobody can know of it");
    block_in_place(|| house.lookupd().restart()).expect("it starts");
    // It knows nobody yet, which takes nothing back either.
    for round in 0..3_u8 {
        publish_raw(&house.nsqds[1], known, &[b'r', round]).await;
    }
    let returned = (0..3).map(|round| vec![b'r', round]).chain([b"of a new one".to_vec()]).collect();
    house.until_raw(returned).await;
    house.home_serves(&mut device, known, 3).await;
    house.home_serves(&mut late, new, 2).await;
    house.stops_soon().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_halts_and_goes_on() {
    let mut house = house(2, true, patient).await;
    house.until_connected().await;
    let [known, new] = conversations();
    let mut device = house.serves(known).await;
    publish_raw(&house.nsqds[1], known, b"before").await;
    house.until_raw(vec![b"before".to_vec()]).await;
    house.lookupd().pause().expect("it halts");
    publish_raw(&house.nsqds[1], known, b"meanwhile").await;
    house.until_raw(vec![b"meanwhile".to_vec()]).await;
    house.home_serves(&mut device, known, 2).await;
    let mut late = house.serves(new).await;
    // nsqd itself asks for a new topic's channels, and answers after it has given up.
    let patient = HttpSettings { timeout: PATIENCE, ..HttpSettings::default() };
    let elsewhere = NsqdHttp::new(house.nsqds[1].http_address().into(), patient);
    elsewhere.publish(&topic_name(new), b"of a new one".to_vec().into(), None).await.expect("nsqd takes it");
    house.lookupd().resume().expect("it goes on");
    house.until_raw(vec![b"of a new one".to_vec()]).await;
    house.home_serves(&mut device, known, 3).await;
    house.home_serves(&mut late, new, 2).await;
    house.lookupd().pause().expect("it halts");
    house.stops_soon().await;
}

/// It takes connections and never says a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_answers_holds_the_other_up_no_longer_than_a_request_may_take() {
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = mute.local_addr().expect("an address");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = mute.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            held.push(stream);
        }
    });
    let with_it = |settings: &mut NsqSettings| {
        patient(settings);
        settings.lookupds.insert(0, address.into());
    };
    let mut house = house(2, true, with_it).await;
    house.until_connected().await;
    let [topic] = conversations();
    let device = house.serves(topic).await;
    let began = Instant::now();
    publish_raw(&house.nsqds[1], topic, b"elsewhere").await;
    house.until_raw(vec![b"elsewhere".to_vec()]).await;
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    // It is asked again and again, one question at a time.
    until("it was asked twice", async || asked.load(Ordering::Relaxed) >= 2).await;
    house.broker.close(&[topic], &device.mailbox).await;
    house.stops_soon().await;
}
