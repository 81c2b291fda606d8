//! The native protocol of Lockstep: what stands on the wire between a device and the gateway.
//!
//! Step 1 and step 7 of the way of a message (see `internal/ARCHITECTURE.md`): frames, wire ids, the codec,
//! limits, and the one table of error and close codes. Devices (`pkg/client`) and the server share this crate,
//! so that they cannot disagree.
//!
//! This crate does no I/O, keeps no state and knows nothing about how a server is built.
//! The prose description, with an example of every frame, is `docs/protocol.md`; a test holds the two together.

mod body;
mod bootstrap;
mod code;
mod codec;
mod content;
mod encode_entry;
mod entry;
mod frame;
mod ids;
pub mod limits;
mod link;
#[cfg(feature = "openapi")]
mod openapi;
mod personal;
mod service;

pub use body::{Body, BodyError};
pub use bootstrap::{
    About, AboutState, BootstrapFrame, BootstrapNews, BootstrapState, Chunk, ChunkAck, Coverage, Fill, FillRefuse,
    Filled, Held, Progress, Source, Start, WaitReason,
};
pub use code::{Advice, Code, Spec};
pub use codec::{DecodeError, decode_client, decode_server, encode_client, encode_server};
pub use content::{Content, ContentError};
pub use encode_entry::{push_entries, push_entry};
pub use entry::{Entry, Kind, Sender};
pub use frame::{
    Ack, ClientFrame, ClientLimits, Cursor, DeviceOnline, ErrorFrame, Hello, Offset, Online, Ref, Renew, Resume, Send,
    ServerFrame, Shown, SignalFrame, SkipReason, Target, Welcome,
};
pub use ids::{
    BootstrapId, ClientMsgId, ConversationId, DeviceId, EntryId, Epoch, IdError, LinkId, OffsetsVersion, Seq, SignInId,
    UnixMs, UserId,
};
pub use link::{
    LinkClientFrame, LinkServerFrame, Linked, decode_link_client, decode_link_server, encode_link_client,
    encode_link_server,
};
pub use personal::{Receipt, StateChange, Unread};
pub use service::ServiceName;
