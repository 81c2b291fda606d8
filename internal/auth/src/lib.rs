//! Who is there: access tokens, and the key that signs them.
//!
//! Before step 1 of a message's way: a door verifies a device's token here, then asks the engine whether the device is
//! still there and the token's generation is not over. A token is a JWT (RFC 7519) signed with Ed25519 (RFC 8037), bound to
//! one user, one device and one token generation, or to one service and its generation (I12).
//!
//! This crate never asks a store, and never says or logs what stood in a token.

mod key;
mod tokens;

pub use key::KeyError;
pub use tokens::{Bearer, Claim, Issued, ServiceClaim, Tokens};
