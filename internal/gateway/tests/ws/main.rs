//! The WebSocket door over real sockets: what it answers to right and wrong input.

mod ephemeral;
mod filling;
mod frames;
mod handshake;
mod house;
mod links;
mod lives;
mod personal;
mod rates;
mod strangers;
mod tokens;
mod transport;
