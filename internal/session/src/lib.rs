//! One connection's state machine: what a device may do now, what it gets next, and when it has been silent too long.
//!
//! Steps 2, 6 and 7 of a message's way. [`Session`] does no I/O and knows no wire format, so that every door has the same
//! windows, gaps and acknowledgements: a door translates its frames into [`Request`]s and [`Event`]s into its frames.
//!
//! Inputs are `handle_request` (the device), `handle_notice` (the engine), `handle_admitted` and `handle_refused` (the
//! answer to [`Effect::Authenticate`]), `handle_renewed` (to [`Effect::Renew`]), and `handle_timeout`. After each input, drain [`Session::poll_effect`] until it
//! returns `None`, in order; then wait no longer than [`Session::poll_timeout`] says. While
//! [`Session::wants_requests`] is false, leave the device's frames where they are: that is the back pressure.
//!
//! It never reads a clock, never keeps more for an idle conversation than one row of 40 bytes, and never asks the engine
//! for more than it has room for.

mod acks;
mod config;
mod delivery;
mod describe;
mod early;
mod ephemeral;
mod filling;
mod follows;
mod handshake;
mod held;
mod io;
mod rate;
mod receipts;
mod requests;
mod send_rate;
mod session;
mod timers;
mod topics;
mod window;

pub use config::SessionConfig;
pub use io::{Admitted, Effect, Event, Hello, Request};
pub use send_rate::SendRate;
pub use session::Session;
