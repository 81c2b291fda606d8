//! The door for services that publish as to nsqd: when it is there, and when the server does without it.

mod support;

use lockstep_server::{Config, Server, Telemetry};
use std::net::{SocketAddr, TcpListener};
use support::{House, config, exchange, request};

fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test]
async fn it_is_there_if_it_is_set() {
    assert_eq!(House::start().await.running.nsq_http_addr(), None);
    let house = House::start_with(|config| {
        config.nsq_http.listen = Some(free());
        config.nsq_http.names = vec!["test".to_owned()];
        config.nsq.topic_prefix = "chat-".parse().unwrap();
    })
    .await;
    let address = house.running.nsq_http_addr().unwrap();
    // The helper's requests are for the host "test".
    assert_eq!(exchange(address, &request("GET", "/ping", &[], "")).await.body, "OK");
    let made = house.admin.ensure_user("ana").await.unwrap();
    let team = lockstep_server::admin::GroupRequest { title: None, members: vec![made.user], creator: None };
    let group = house.admin.create_group(&team).await.unwrap().id;
    let post = async |topic: &str| exchange(address, &request("POST", &format!("/pub?topic={topic}"), &[], "hi")).await;
    assert_eq!(post(&format!("chat-{group}")).await.body, "OK");
    assert_eq!(post(&format!("lockstep.{group}")).await.status, 404);
    house.running.stop().await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_foreign_host_is_turned_away() {
    let house = House::start_with(|config| config.nsq_http.listen = Some(free())).await;
    let address = house.running.nsq_http_addr().unwrap();
    let answer = exchange(address, &request("GET", "/ping", &[], "")).await;
    assert!(answer.status == 403 && answer.body.contains("FORBIDDEN: this Host"), "{answer:?}");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_taken_stops_the_start_only_if_it_was_set() {
    let taken = TcpListener::bind(free()).unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let set = config(&folder, |config| config.nsq_http.listen = Some(address));
    let refused = Server::start(set, &Telemetry::detached().unwrap()).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("is an nsqd there? Set nsq_http.listen to another address"), "{refused}");
    // Whoever has nsqd's own port, it is taken from here on.
    let convenient = Config { dev: true, ..Config::default() }.nsq_http_listen().unwrap();
    let _taken = TcpListener::bind(convenient.address);
    let house = House::start_with(|config| config.dev = true).await;
    assert_eq!(house.running.nsq_http_addr(), None);
    house.running.stop().await.unwrap();
}
