//! The WebSocket door `/v1/ws`, and the one where devices wait to be linked; subprotocol `lockstep.v1`: `docs/protocol.md`
//! describes them frame by frame.

mod connection;
mod gathered;
mod link_wait;
mod meters;
mod portioned;
mod socket;
mod translate;
mod upgrade;

pub(crate) use link_wait::{__path_wait, wait};
pub(crate) use meters::Meters;
pub(crate) use upgrade::{__path_upgrade, upgrade};
