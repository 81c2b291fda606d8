//! Who an nsqd is, whatever it is called: the address that it broadcasts.
//!
//! A raw message is named by its nsqd among others, and must have the same name when it is delivered again, be it that its
//! nsqd is called otherwise by then. An nsqd that an nsqlookupd lists is called by that address anyway. A configured one is
//! asked for it; until it has answered, raw messages are put back into it.

use crate::NsqBroker;
use crate::lookup::{Heard, Telling};
use lockstep_nsq_client::http::NsqdInfo;
use lockstep_nsq_client::{Address, AddressError, Consumers};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How soon an nsqd that did not say who it is is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// An nsqd's identity, once it is known. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Identity(Arc<OnceLock<Address>>);

/// Where an nsqd's `_seq` channels are consumed, and who it is.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) consumers: Consumers,
    pub(crate) identity: Identity,
}

impl Identity {
    pub(crate) fn known(address: Address) -> Self {
        Self(Arc::new(OnceLock::from(address)))
    }

    pub(crate) fn get(&self) -> Option<&Address> {
        self.0.get()
    }
}

/// Asks a configured nsqd who it is until it says so. It keeps that identity for as long as this process runs.
pub(crate) async fn ask(broker: NsqBroker, node: usize, telling: Telling) {
    let Some(asked) = broker.0.nodes.get(node) else { return };
    let mut is_first = true;
    loop {
        let error: Box<dyn std::error::Error + Send + Sync> = match asked.http.info().await.map(|info| address(&info)) {
            Ok(Ok(identity)) => {
                if !is_first {
                    tracing::info!(nsqd = %asked.addresses.tcp, %identity, "an nsqd has said who it is");
                }
                asked.seqs.identity.0.get_or_init(|| identity);
                return telling.tell(Heard::Known(node));
            }
            Ok(Err(error)) => error.into(),
            Err(error) => error.into(),
        };
        if std::mem::take(&mut is_first) {
            let (nsqd, http) = (&asked.addresses.tcp, &asked.addresses.http);
            tracing::warn!(
                %nsqd, %http, %error,
                "an nsqd does not say who it is (/info): what services publish waits there until it does"
            );
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn address(info: &NsqdInfo) -> Result<Address, AddressError> {
    Address::from_parts(&info.broadcast_address, info.tcp_port)
}
