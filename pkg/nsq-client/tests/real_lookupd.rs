//! The real nsqlookupd, and nsqds that come and go.

mod common;

use common::{channel, soon, topic};
use lockstep_nsq_client::http::{HttpSettings, LookupdHttp, Node, NsqdHttp, StatsQuery};
use lockstep_nsq_client::{Address, Lookup, LookupSettings, TopicName, Watcher};
use lockstep_nsq_servers::{NsqLookupd, Nsqd, NsqdOptions};
use std::time::Duration;
use tokio::sync::mpsc;

#[derive(Debug, PartialEq)]
enum Told {
    Appeared(TopicName, u16),
    Vanished(TopicName, u16),
    Polled(usize),
}

struct Listener(mpsc::UnboundedSender<Told>);

impl Watcher for Listener {
    fn appeared(&mut self, topic: &TopicName, node: &Node) {
        let _ = self.0.send(Told::Appeared(topic.clone(), node.tcp_port));
    }
    fn vanished(&mut self, topic: &TopicName, node: &Node) {
        let _ = self.0.send(Told::Vanished(topic.clone(), node.tcp_port));
    }
    fn polled(&mut self, answered: usize) {
        let _ = self.0.send(Told::Polled(answered));
    }
}

/// The next change.
async fn change(told: &mut mpsc::UnboundedReceiver<Told>) -> Told {
    soon(async {
        loop {
            match told.recv().await.expect("the poller lives") {
                Told::Polled(_) => {}
                change => return change,
            }
        }
    })
    .await
}

/// Waits for periods in which so many answered; nothing may change.
async fn periods(told: &mut mpsc::UnboundedReceiver<Told>, answered: usize, count: usize) {
    soon(async {
        let mut seen = 0;
        while seen < count {
            match told.recv().await.expect("the poller lives") {
                Told::Polled(number) => seen += usize::from(number == answered),
                change => panic!("{change:?}"),
            }
        }
    })
    .await;
}

async fn start(lookupds: &[&NsqLookupd], node_id: u16) -> (Nsqd, NsqdHttp) {
    let lookupds = lookupds.iter().map(|lookupd| lookupd.tcp_address()).collect();
    let options = NsqdOptions { lookupds, node_id: Some(node_id), ..NsqdOptions::default() };
    let nsqd = tokio::task::spawn_blocking(move || Nsqd::start(&options)).await.expect("no panic").expect("an nsqd");
    let http = NsqdHttp::new(nsqd.http_address().into(), HttpSettings::default());
    (nsqd, http)
}

async fn lookupd() -> NsqLookupd {
    tokio::task::spawn_blocking(NsqLookupd::start).await.expect("no panic").expect("an nsqlookupd")
}

fn settings(lookupds: &[&NsqLookupd]) -> LookupSettings {
    let addresses: Vec<Address> = lookupds.iter().map(|lookupd| lookupd.http_address().into()).collect();
    LookupSettings { period: Duration::from_millis(20), misses_max: 5, ..LookupSettings::new(addresses) }
}

#[tokio::test]
async fn topics_are_found_where_they_are() {
    let lookupds = [lookupd().await, lookupd().await];
    let both = [&lookupds[0], &lookupds[1]];
    let ((mut a, a_http), (b, b_http)) = (start(&both, 1).await, start(&both, 2).await);
    let (sender, mut told) = mpsc::unbounded_channel();
    let lookup = Lookup::open(settings(&both), Listener(sender)).expect("good settings");
    let (t, u) = (topic("t"), topic("u"));
    let (a_port, b_port) = (a.tcp_address().port(), b.tcp_address().port());
    lookup.add(t.clone());
    periods(&mut told, 2, 3).await;
    a_http.create_topic(&t).await.expect("made");
    assert_eq!(change(&mut told).await, Told::Appeared(t.clone(), a_port));
    // Nobody asked for this one yet.
    b_http.create_topic(&u).await.expect("made");
    b_http.create_topic(&t).await.expect("made");
    assert_eq!(change(&mut told).await, Told::Appeared(t.clone(), b_port));
    lookup.add(u.clone());
    assert_eq!(change(&mut told).await, Told::Appeared(u.clone(), b_port));
    // One leaves the topic, the other leaves altogether.
    b_http.delete_topic(&t).await.expect("deleted");
    assert_eq!(change(&mut told).await, Told::Vanished(t.clone(), b_port));
    a.stop().expect("it stops");
    assert_eq!(change(&mut told).await, Told::Vanished(t.clone(), a_port));
    // What is out of use is out of mind.
    lookup.remove(&u);
    periods(&mut told, 2, 3).await;
    b_http.delete_topic(&u).await.expect("deleted");
    periods(&mut told, 2, 10).await;
    lookup.close().await;
    while let Some(told) = told.recv().await {
        assert_eq!(told, Told::Polled(2));
    }
}

#[tokio::test]
async fn what_does_not_answer_takes_nothing_back() {
    let mut lookupds = [lookupd().await, lookupd().await];
    let both = [&lookupds[0], &lookupds[1]];
    let (a, a_http) = start(&both, 1).await;
    let t = topic("t");
    a_http.create_topic(&t).await.expect("made");
    let (sender, mut told) = mpsc::unbounded_channel();
    // Long enough for nsqd to come back to an nsqlookupd, which it tries every 15 s.
    let settings = LookupSettings { misses_max: 10_000, ..settings(&both) };
    let lookup = Lookup::open(settings, Listener(sender)).expect("good settings");
    lookup.add(t.clone());
    assert_eq!(change(&mut told).await, Told::Appeared(t.clone(), a.tcp_address().port()));
    lookupds[0].kill();
    periods(&mut told, 1, 10).await;
    lookupds[1].kill();
    periods(&mut told, 0, 10).await;
    lookupds[1].restart().expect("it starts again");
    periods(&mut told, 1, 10).await;
    lookup.close().await;
}

#[tokio::test]
async fn http_does_what_it_says() {
    let lookupd = lookupd().await;
    let (nsqd, nsqd_http) = start(&[&lookupd], 7).await;
    let http = LookupdHttp::new(lookupd.http_address().into(), HttpSettings::default());
    let (t, c) = (topic("t"), channel("c"));
    http.ping().await.expect("it is there");
    assert_eq!(http.lookup(&t).await.expect("an answer"), None);
    http.create_topic(&t).await.expect("made");
    http.create_channel(&t, &c).await.expect("made");
    let nodes = http.lookup(&t).await.expect("an answer").expect("known");
    assert_eq!((nodes.channels, nodes.producers.len()), (vec!["c".to_owned()], 0));
    // A new topic gets the channels that are registered, before it answers.
    nsqd_http.create_topic(&t).await.expect("made");
    let stats = nsqd_http.stats(&StatsQuery::default()).await.expect("an answer");
    assert_eq!(stats.topics[0].channels[0].channel_name, c);
    let node = soon(async {
        loop {
            let nodes = http.lookup(&t).await.expect("an answer").expect("known");
            match nodes.producers.into_iter().next() {
                Some(node) => break node,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    assert_eq!(node.tcp_address().expect("an address"), nsqd.tcp_address().into());
    assert_eq!(node.http_address().expect("an address"), nsqd.http_address().into());
    let all = http.nodes().await.expect("an answer");
    assert_eq!((all.len(), all[0].live_topics().collect::<Vec<_>>()), (1, vec!["t"]));
    http.tombstone(&t, &node).await.expect("marked");
    assert_eq!(http.nodes().await.expect("an answer")[0].live_topics().count(), 0);
    http.delete_channel(&t, &c).await.expect("forgotten");
    assert!(http.delete_channel(&t, &c).await.is_err_and(|error| error.is_not_found()));
    assert_eq!(http.topics().await.expect("an answer"), ["t"]);
    http.delete_topic(&t).await.expect("forgotten");
    assert!(http.topics().await.expect("an answer").is_empty());
    assert_eq!(http.lookup(&t).await.expect("an answer"), None);
}
