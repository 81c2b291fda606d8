//! What is set about NSQ.

use super::Config;
use axum::http::uri::Authority;
use lockstep_model::TopicPrefix;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Where the door is opened when the server is tried out: nsqd's own HTTP port.
const DEV_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4151);
/// Most further names of the door.
const NAMES_MAX: usize = 64;

/// How conversations are called in NSQ.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NsqConfig {
    /// A conversation's topic is this and the conversation's id.
    pub topic_prefix: TopicPrefix,
}

/// The door for services that publish as to nsqd's HTTP port.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NsqHttpConfig {
    /// Where it listens; absent: nowhere, but with `--dev` on 127.0.0.1:4151 if that is free. Port 0 takes a free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Host names and addresses, beside this machine's own and the one that is listened on, under which it may be asked for.
    #[serde(default)]
    pub names: Vec<String>,
}

/// Where the door is to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NsqHttpListen {
    /// The address.
    pub address: SocketAddr,
    /// Whether it was set: then the server does not start without it.
    pub required: bool,
}

impl NsqHttpConfig {
    pub(super) fn names_are_right(&self) -> bool {
        let is_bare = |name: &String| name.parse::<Authority>().is_ok_and(|authority| authority.host() == name);
        self.names.len() <= NAMES_MAX && self.names.iter().all(is_bare)
    }
}

impl Config {
    /// Where services publish as to nsqd, if they may.
    pub fn nsq_http_listen(&self) -> Option<NsqHttpListen> {
        match self.nsq_http.listen {
            Some(address) => Some(NsqHttpListen { address, required: true }),
            None => self.dev.then_some(NsqHttpListen { address: DEV_LISTEN, required: false }),
        }
    }
}
