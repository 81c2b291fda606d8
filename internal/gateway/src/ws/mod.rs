//! The WebSocket door `/v1/ws`, subprotocol `lockstep.v1`: `docs/protocol.md` describes it frame by frame.

mod connection;
mod gathered;
mod meters;
mod portioned;
mod socket;
mod translate;
mod upgrade;

pub(crate) use meters::Meters;
pub(crate) use upgrade::{__path_upgrade, upgrade};
