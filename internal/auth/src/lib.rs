//! Who is there: access tokens, the key that signs them, and what they are given out for: passwords, refresh tokens, the
//! tokens of outside issuers.
//!
//! Before step 1 of a message's way: a door verifies a device's token here, then asks the engine whether the device is
//! still there and the token's generation is not over. A token is a JWT (RFC 7519) signed with Ed25519 (RFC 8037), bound to
//! one user, one device and one token generation, or to one service and its generation (I12).
//!
//! This crate never asks a store, and never says or logs what stood in a token.

mod external;
mod key;
mod link_codes;
mod passwords;
mod refresh;
mod tokens;

pub use external::{ExternalClaim, IssuerError, IssuerSettings, Issuers, Key};
pub use key::KeyError;
pub use link_codes::LinkCodes;
pub use passwords::{Busy, Password, PasswordSettings, Passwords};
pub use refresh::{RefreshClaim, RefreshToken, RefreshTokens, hash_of_secret, new_secret};
pub use tokens::{Bearer, Claim, Issued, ServiceClaim, Tokens};
