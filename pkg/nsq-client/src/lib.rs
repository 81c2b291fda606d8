//! A lean NSQ client (protocol V2, nsqd 1.x).
//!
//! - [`codec`]: commands and frames, without I/O.
//! - [`Consumers`] and [`Consumer`]: one connection and one task per consumer, built for tens of thousands of them in one
//!   process. An idle one has no buffer and wakes for heartbeats only. Bodies are lent to the [`Handler`], not copied.
//! - [`Producer`]: one connection per nsqd, publishing pipelined, errors that say what became of the message;
//!   [`Failover`] tries several.
//! - [`Lookup`]: one poller per process tells which nsqds have which topics, with one request per nsqlookupd and period.
//! - [`http`]: the HTTP interfaces of nsqd and nsqlookupd.
//!
//! It knows no other crate of this repository and nothing about what the messages mean. Input from the network never
//! panics, every buffer has a bound, and nothing is retried without end unless its owner asked for it. TLS and AUTH are
//! not there yet: a connection begins in one place (`transport`), where they belong.

mod address;
mod backoff;
pub mod codec;
mod consumer;
mod disconnect;
pub mod http;
mod link;
mod lookup;
mod name;
mod producer;
mod scratch;
mod settings;
mod transport;

pub use address::{Address, AddressError};
pub use codec::{ErrorCode, Message, MessageId, ServerError};
pub use consumer::{
    AnswerError, CloseOutcome, Consumer, ConsumerSettings, Consumers, Handler, OutputBuffer, Responder, Ticket, Verdict,
};
pub use disconnect::{Disconnect, Step};
pub use lookup::{Lookup, LookupSettings, Watcher};
pub use name::{ChannelName, EPHEMERAL_SUFFIX, NAME_CHARS_MAX, NameError, TopicName};
pub use producer::{Failover, Fate, Invalid, Producer, ProducerSettings, PublishError, Publishing};
pub use settings::{ConnectSettings, Reconnect, SettingsError};

/// Compiles the page's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
