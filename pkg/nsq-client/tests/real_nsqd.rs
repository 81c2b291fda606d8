//! The real nsqd: found on this machine, or built.

mod common;

use common::{Heard, Subscriber, channel, impatient, soon, topic};
use lockstep_nsq_client::http::{HttpSettings, NsqdHttp, StatsQuery};
use lockstep_nsq_client::{
    ChannelName, CloseOutcome, ConnectSettings, ConsumerSettings, Consumers, Disconnect, ErrorCode, OutputBuffer,
    Producer, ProducerSettings, PublishError, Reconnect, TopicName, Verdict,
};
use lockstep_nsq_servers::{Nsqd, NsqdOptions};
use std::collections::HashSet;
use std::time::Duration;

struct World {
    nsqd: Nsqd,
    http: NsqdHttp,
    producer: Producer,
}

impl World {
    async fn new(options: NsqdOptions) -> Self {
        let nsqd =
            tokio::task::spawn_blocking(move || Nsqd::start(&options)).await.expect("no panic").expect("an nsqd");
        let http = NsqdHttp::new(nsqd.http_address().into(), HttpSettings::default());
        let settings = ProducerSettings { connect: impatient(), ..ProducerSettings::default() };
        let producer = Producer::open(nsqd.tcp_address().into(), settings).expect("good settings");
        assert!(soon(producer.connected()).await);
        Self { nsqd, http, producer }
    }

    fn subscribe_with(&self, settings: ConsumerSettings, channel: ChannelName, verdict: Verdict) -> Subscriber {
        let consumers = Consumers::new(self.nsqd.tcp_address().into(), settings).expect("good settings");
        Subscriber::open(&consumers, topic("t"), channel, verdict)
    }

    fn subscribe(&self, name: &str, verdict: Verdict) -> Subscriber {
        let settings = ConsumerSettings { connect: impatient(), ..ConsumerSettings::default() };
        self.subscribe_with(settings, channel(name), verdict)
    }

    async fn publish(&self, body: &str) {
        soon(self.producer.publish(&topic("t"), body.as_bytes())).await.expect("published");
    }

    /// Waits until the channel's numbers are so.
    async fn until(&self, fine: impl Fn(&lockstep_nsq_client::http::ChannelStats) -> bool) {
        let query = StatsQuery { topic: Some(topic("t")), ..StatsQuery::default() };
        soon(async {
            loop {
                let stats = self.http.stats(&query).await.expect("stats");
                if stats.topics.iter().flat_map(|topic| &topic.channels).any(&fine) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// However many tries it takes.
async fn opened_again(subscriber: &mut Subscriber) {
    loop {
        match subscriber.next().await {
            Heard::Opened => break,
            Heard::Closed(_, Some(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn messages_arrive_once_and_are_finished() {
    let world = World::new(NsqdOptions::default()).await;
    for output_buffer in [OutputBuffer::Off, OutputBuffer::On { bytes: 16_384, timeout: Duration::from_millis(25) }] {
        let settings = ConsumerSettings { connect: impatient(), output_buffer, ..ConsumerSettings::default() };
        let mut subscriber = world.subscribe_with(settings, channel("c"), Verdict::Finish);
        subscriber.opened().await;
        let bodies: Vec<String> = (0..5_000).map(|number| format!("message {number}")).collect();
        for chunk in bodies.chunks(500) {
            soon(world.producer.publish_many(&topic("t"), chunk)).await.expect("published");
        }
        let mut arrived = HashSet::new();
        while arrived.len() < bodies.len() {
            let (body, _) = subscriber.message().await;
            assert!(arrived.insert(body), "a message came twice");
        }
        world.until(|channel| channel.in_flight_count == 0 && channel.depth == 0).await;
        assert_eq!(soon(subscriber.consumer.close()).await, CloseOutcome::Orderly);
    }
    world.until(|channel| channel.client_count == 0 && channel.timeout_count == 0 && channel.requeue_count == 0).await;
}

#[tokio::test]
async fn held_messages_wait_for_their_answers() {
    let world = World::new(NsqdOptions::default()).await;
    let settings = ConsumerSettings { connect: impatient(), rdy: 2, ..ConsumerSettings::default() };
    let mut subscriber = world.subscribe_with(settings, channel("c"), Verdict::Hold);
    let responder = subscriber.opened().await;
    for body in ["a", "b", "c"] {
        world.publish(body).await;
    }
    let (a, b) = (subscriber.message().await, subscriber.message().await);
    assert_eq!((&a.0[..], &b.0[..]), (&b"a"[..], &b"b"[..]));
    // Two are in flight, which is all that RDY allows: the third comes when one is answered.
    world.until(|channel| channel.in_flight_count == 2 && channel.depth == 1).await;
    assert!(subscriber.heard.try_recv().is_err());
    responder.touch(a.1).expect("open");
    responder.finish(a.1).expect("open");
    let c = subscriber.message().await;
    assert_eq!(c.0, b"c");
    responder.requeue(b.1, Duration::ZERO).expect("open");
    let b_again = subscriber.message().await;
    assert_eq!(b_again.0, b"b");
    // Finishing twice is refused, and harmless.
    for ticket in [b_again.1, c.1, c.1] {
        responder.finish(ticket).expect("open");
    }
    let heard = subscriber.next().await;
    assert!(matches!(&heard, Heard::Refused(error) if error.code == ErrorCode::FinFailed), "{heard:?}");
    world.until(|channel| channel.in_flight_count == 0 && channel.requeue_count == 1).await;
    world.publish("d").await;
    assert_eq!(subscriber.message().await.0, b"d");
}

#[tokio::test]
async fn what_was_in_flight_comes_again_after_its_timeout() {
    let options = NsqdOptions { msg_timeout: Some(Duration::from_secs(60)), ..NsqdOptions::default() };
    let world = World::new(options).await;
    let settings = ConsumerSettings {
        connect: impatient(),
        msg_timeout: Some(Duration::from_secs(1)),
        ..ConsumerSettings::default()
    };
    let mut subscriber = world.subscribe_with(settings, channel("c"), Verdict::Hold);
    let responder = subscriber.opened().await;
    world.publish("a").await;
    let first = subscriber.message().await;
    let second = subscriber.message().await;
    assert_eq!((first.0, first.1.id()), (second.0, second.1.id()));
    responder.finish(second.1).expect("open");
    world.until(|channel| channel.in_flight_count == 0 && channel.timeout_count == 1).await;
}

#[tokio::test]
async fn a_server_that_comes_back_finds_its_clients() {
    let mut world = World::new(NsqdOptions::default()).await;
    let mut subscriber = world.subscribe("c#ephemeral", Verdict::Finish);
    subscriber.opened().await;
    world.nsqd.kill();
    let (reason, retry) = subscriber.closed().await;
    assert!(matches!(reason, Disconnect::Closed | Disconnect::Io(_)) && retry.is_some(), "{reason:?}");
    let error = soon(world.producer.publish(&topic("t"), b"lost")).await.expect_err("nobody is there");
    assert!(matches!(error, PublishError::NotConnected | PublishError::NotSent | PublishError::Lost), "{error:?}");
    world.nsqd.restart().expect("it starts again");
    opened_again(&mut subscriber).await;
    assert!(soon(world.producer.connected()).await);
    world.publish("back").await;
    assert_eq!(subscriber.message().await.0, b"back");
}

#[tokio::test]
async fn a_deleted_channel_ends_its_consumers_and_a_stopped_one_does_not_make_it_again() {
    let world = World::new(NsqdOptions::default()).await;
    let mut stays = world.subscribe("c", Verdict::Finish);
    stays.opened().await;
    world.http.delete_channel(&topic("t"), &channel("c")).await.expect("it is there");
    assert!(matches!(stays.closed().await.0, Disconnect::Closed | Disconnect::Io(_)));
    opened_again(&mut stays).await;
    // It made the channel again, as it should: nobody had told it to stop.
    world.until(|it| it.channel_name == channel("c") && it.client_count == 1).await;
    assert_eq!(soon(stays.consumer.close()).await, CloseOutcome::Orderly);
    world.http.delete_channel(&topic("t"), &channel("c")).await.expect("it is there");
    let again = world.http.delete_channel(&topic("t"), &channel("c")).await.expect_err("it is gone");
    assert!(again.is_not_found(), "{again}");
}

#[tokio::test]
async fn limits_of_the_server_are_heeded_or_told() {
    let options = NsqdOptions {
        message_bytes_max: Some(100),
        extra: vec!["--max-rdy-count=5".into(), "--max-channel-consumers=1".into()],
        ..NsqdOptions::default()
    };
    let world = World::new(options).await;
    let mut first = world.subscribe("c", Verdict::Hold);
    first.opened().await;
    for number in 0..6 {
        world.publish(&number.to_string()).await;
    }
    // RDY was 200, which this server does not take.
    world.until(|channel| channel.in_flight_count == 5 && channel.depth == 1).await;
    let connect = ConnectSettings { reconnect: Reconnect::NEVER, ..impatient() };
    let settings = ConsumerSettings { connect, ..ConsumerSettings::default() };
    let mut second = world.subscribe_with(settings, channel("c"), Verdict::Finish);
    let (reason, retry) = second.closed().await;
    assert!(matches!(&reason, Disconnect::Server(error) if error.code == ErrorCode::SubFailed), "{reason:?}");
    assert_eq!(retry, None);
    // This producer believes that nsqd takes more.
    let error = soon(world.producer.publish(&topic("t"), &[b'x'; 101])).await.expect_err("too large");
    assert!(matches!(&error, PublishError::Refused(error) if error.code == ErrorCode::BadMessage), "{error:?}");
    assert!(soon(world.producer.connected()).await);
}

#[tokio::test]
async fn deferred_messages_come_later() {
    let world = World::new(NsqdOptions::default()).await;
    let mut subscriber = world.subscribe("c", Verdict::Finish);
    subscriber.opened().await;
    let t = topic("t");
    soon(world.producer.publish_deferred(&t, Duration::from_millis(300), b"later")).await.expect("published");
    world.publish("now").await;
    assert_eq!(subscriber.message().await.0, b"now");
    assert_eq!(subscriber.message().await.0, b"later");
}

#[tokio::test]
async fn http_does_what_it_says() {
    let world = World::new(NsqdOptions::default()).await;
    let (t, c): (TopicName, ChannelName) = (topic("u"), channel("c#ephemeral"));
    let http = &world.http;
    http.ping().await.expect("healthy");
    let info = http.info().await.expect("an answer");
    assert_eq!((info.tcp_port, info.http_port), (world.nsqd.tcp_address().port(), world.nsqd.http_address().port()));
    http.create_topic(&t).await.expect("made");
    http.create_channel(&t, &c).await.expect("made");
    http.pause_topic(&t).await.expect("paused");
    http.publish(&t, "one".into(), None).await.expect("published");
    http.publish_many(&t, &["two", "three\n"]).await.expect("published");
    let query = StatsQuery { topic: Some(t.clone()), channel: Some(c.clone()), clients: true };
    let stats = http.stats(&query).await.expect("an answer");
    assert_eq!((stats.health.as_str(), stats.topics.len()), ("OK", 1));
    let it = &stats.topics[0];
    assert_eq!((&it.topic_name, it.depth, it.message_count, it.paused), (&t, 3, 3, true));
    assert_eq!((&it.channels[0].channel_name, it.channels[0].depth, it.channels[0].paused), (&c, 0, false));
    http.empty_topic(&t).await.expect("emptied");
    http.unpause_topic(&t).await.expect("goes on");
    http.pause_channel(&t, &c).await.expect("paused");
    http.publish(&t, "four".into(), Some(Duration::from_millis(1))).await.expect("published");
    let paused = http.stats(&query).await.expect("an answer");
    assert!(paused.topics[0].channels[0].paused && !paused.topics[0].paused);
    http.empty_channel(&t, &c).await.expect("emptied");
    http.unpause_channel(&t, &c).await.expect("goes on");
    http.delete_channel(&t, &c).await.expect("deleted");
    assert!(http.empty_channel(&t, &c).await.is_err_and(|error| error.is_not_found()));
    http.delete_topic(&t).await.expect("deleted");
    assert!(http.delete_topic(&t).await.is_err_and(|error| error.is_not_found()));
    assert!(http.stats(&query).await.expect("an answer").topics.is_empty());

    let mut subscriber = world.subscribe("c", Verdict::Finish);
    subscriber.opened().await;
    let stats = http.stats(&StatsQuery { clients: true, ..StatsQuery::default() }).await.expect("an answer");
    let client = &stats.topics[0].channels[0].clients[0];
    assert_eq!((client.client_id.as_str(), client.ready_count), ("lockstep-nsq-client", 200));
    assert!(client.connected_at > 0);
    let stats = http.stats(&StatsQuery::default()).await.expect("an answer");
    assert!(stats.topics[0].channels[0].clients.is_empty() && stats.topics[0].channels[0].client_count == 1);
}
