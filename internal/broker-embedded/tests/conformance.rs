//! The broker's suite.

use lockstep_broker_embedded::EmbeddedBroker;
use lockstep_ports::conformance;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    conformance::broker(Arc::new(EmbeddedBroker::new())).await;
}

#[tokio::test]
async fn delivers_in_order_and_once() {
    conformance::broker_in_order_and_once(&EmbeddedBroker::new()).await;
}
