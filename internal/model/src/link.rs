//! Devices that ask to be linked.

use lockstep_protocol::{LinkId, UnixMs};
use std::fmt;

/// A device that asks to be linked to a user: what the main device that decides about it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// What the device is to be called, if that was said.
    pub name: Option<String>,
    /// What it runs on, if that was said.
    pub platform: Option<String>,
    /// The network address that it asked from.
    pub address: String,
    /// A key of the device's own. The server passes it on and knows nothing about it.
    pub public_key: Option<String>,
    /// When it was asked for.
    pub created_at: UnixMs,
    /// From when on it is over.
    pub expires_at: UnixMs,
}

impl Link {
    /// The most characters of a public key.
    pub const PUBLIC_KEY_CHARS_MAX: usize = 256;
}

/// What is kept of a secret. Two are compared in a time that does not depend on where they differ.
#[derive(Clone, Copy)]
pub struct SecretHash(pub [u8; 32]);

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(&other.0).fold(0, |differs, (one, other)| differs | (one ^ other));
        std::hint::black_box(differing) == 0
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_compared_whole() {
        let one = SecretHash([7; 32]);
        assert!(one == SecretHash([7; 32]));
        for place in 0..32 {
            let mut other = one;
            other.0[place] ^= 0x80;
            assert!(one != other, "byte {place}");
        }
    }
}
