//! What services publish, and what raw bytes become.

mod common;

use common::{House, Live, user};
use lockstep_engine::{EngineConfig, Ingested, Slice};
use lockstep_model::{
    Body, ClientMsgId, Code, ConversationId, Notice, Scope, Sender, Seq, ServiceName, SharedEntry, TokenGeneration,
    limits,
};
use std::time::Duration;

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

fn key(text: &str) -> ClientMsgId {
    ClientMsgId::new(text).unwrap()
}

async fn entry(live: &mut Live, conversation: ConversationId) -> SharedEntry {
    let of = |notice: &Notice| matches!(notice, Notice::Entry(entry) if entry.conversation == conversation);
    let Notice::Entry(entry) = live.find(of).await else { unreachable!() };
    entry
}

#[tokio::test]
async fn a_service_publishes_to_live_devices_once() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    let mut live = house.resume(&ben).await;
    let publish = |id: &str, text: &str| house.engine.publish(name("billing"), group, key(id), Body::text(text));
    let first = publish("m1", "paid").await.unwrap();
    let again = publish("m1", "paid").await.unwrap();
    assert_eq!((again.seq, again.id, again.duplicate), (first.seq, first.id, true));
    assert_eq!(publish("m1", "unpaid").await, Err(Code::DuplicateId));
    publish("m2", "thanks").await.unwrap();
    let delivered = entry(&mut live, group).await;
    assert_eq!((&delivered.sender, delivered.sender_device), (&Sender::service(&name("billing")), None));
    assert_eq!(delivered.client_msg_id, Some(key("m1")));
    assert_eq!(entry(&mut live, group).await.client_msg_id, Some(key("m2")), "what came twice reaches nobody again");
    let nowhere = house.engine.publish(name("billing"), ConversationId::generate(), key("m3"), Body::text("x")).await;
    assert_eq!(nowhere, Err(Code::NoSuchConversation));
}

#[tokio::test]
async fn feeds_are_the_servers_own() {
    let house = House::new().await;
    house.device("ana").await;
    let feed = house.engine.ensure_user(user("ana")).await.unwrap().feed;
    let published = house.engine.publish(name("billing"), feed, key("m1"), Body::text("x")).await;
    assert_eq!(published, Err(Code::NoSuchConversation));
    assert_eq!(house.engine.ingest(feed, b"x", key("m1")).await, Ingested::Refused(Code::NoSuchConversation));
}

#[tokio::test]
async fn what_becomes_of_raw_messages() {
    let house = House::new().await;
    let ana = house.device("ana").await;
    let group = house.group(&[&ana]).await;
    let mut live = house.resume(&ana).await;
    let Ingested::Stored(sent) = house.engine.ingest(group, b"server room: 41 C", key("k1")).await else { panic!() };
    assert_eq!((sent.conversation, sent.seq, sent.duplicate), (group, Seq::new(1), false));
    let delivered = entry(&mut live, group).await;
    assert_eq!((delivered.sender.as_str(), delivered.body.clone()), ("service:nsq", Body::text("server room: 41 C")));
    let again = house.engine.ingest(group, b"server room: 41 C", key("k1")).await;
    assert!(matches!(again, Ingested::Duplicate(ref first) if first.seq == sent.seq), "{again:?}");
    let cases: [(ConversationId, Vec<u8>, &str, Code); 4] = [
        (group, b"another".to_vec(), "k1", Code::DuplicateId),
        (ConversationId::generate(), b"x".to_vec(), "k2", Code::NoSuchConversation),
        (group, vec![], "k3", Code::BadBody),
        (group, vec![b'x'; limits::BODY_BYTES_MAX], "k4", Code::BodyTooLarge),
    ];
    for (conversation, raw, id, code) in cases {
        assert_eq!(house.engine.ingest(conversation, &raw, key(id)).await, Ingested::Refused(code), "{id}");
    }
    house.engine.disconnect(&live.connection, vec![], None).await;
    house.engine.stop().await;
    assert_eq!(house.engine.ingest(group, b"late", key("k5")).await, Ingested::TryAgain);
}

#[tokio::test]
async fn many_bodies_are_taken_in_order_or_not_at_all() {
    let house = House::with(EngineConfig { appends_waiting_max: 8, ..EngineConfig::default() }).await;
    let ana = house.device("ana").await;
    let group = house.group(&[&ana]).await;
    let bodies = |count: usize| (0..count).map(|number| Body::text(&number.to_string())).collect::<Vec<_>>();
    assert_eq!(house.engine.ingest_all(group, bodies(9)).await, Err(Code::TryAgain), "more than can wait");
    assert_eq!(house.engine.ingest_all(group, bodies(8)).await, Ok(()));
    assert_eq!(house.engine.ingest_all(group, vec![]).await, Ok(()));
    assert_eq!(house.engine.ingest_all(ConversationId::generate(), bodies(2)).await, Err(Code::NoSuchConversation));
    let page = house.engine.history(&user("ana"), group, Slice::Latest, 50).await.unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.body.clone()).collect::<Vec<_>>(), bodies(8));
}

#[tokio::test]
async fn tokens_end_with_their_generation() {
    let house = House::new().await;
    let engine = &house.engine;
    let good =
        async |generation| engine.authorize_service(&name("billing"), TokenGeneration(generation)).await.map(drop);
    assert_eq!(good(0).await, Err(Code::TokenRevoked), "there is none");
    let scopes = vec![Scope::PublishAnywhere];
    engine.put_service(name("billing"), scopes.clone()).await.unwrap().unwrap();
    assert_eq!((good(0).await, good(1).await), (Ok(()), Err(Code::TokenRevoked)));
    engine.rotate_service(name("billing"), Duration::from_secs(3_600)).await.unwrap().unwrap();
    assert_eq!((good(0).await, good(1).await), (Ok(()), Ok(())), "both, for the grace");
    engine.rotate_service(name("billing"), Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(
        (good(0).await, good(1).await, good(2).await),
        (Err(Code::TokenRevoked), Err(Code::TokenRevoked), Ok(()))
    );
    engine.revoke_service(name("billing")).await.unwrap().unwrap();
    assert_eq!((good(2).await, good(3).await), (Err(Code::TokenRevoked), Err(Code::TokenRevoked)));
    engine.put_service(name("billing"), scopes).await.unwrap().unwrap();
    assert_eq!((good(2).await, good(3).await), (Err(Code::TokenRevoked), Ok(())));
}
