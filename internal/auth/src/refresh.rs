//! Refresh tokens: opaque to devices, good for one more each, stored only as their SHA-256.
//!
//! A token holds 32 random bytes, and in front of them the device, its token generation and the expiry, with a MAC over
//! all of it. The MAC lets the server tell an older token of its own, used again, from a text that somebody made up,
//! without keeping all the tokens that there ever were.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockstep_model::{Code, DeviceId, RefreshHash, TokenGeneration, UnixMs};

/// What the key is derived for; see [`Tokens::secret_for`](crate::Tokens::secret_for).
pub(crate) const PURPOSE: &str = "refresh tokens";
/// Device, generation, expiry.
const HEAD_BYTES: usize = 16 + 8 + 8;
const RANDOM_BYTES: usize = 32;
const MAC_BYTES: usize = 32;
const TOKEN_BYTES: usize = HEAD_BYTES + RANDOM_BYTES + MAC_BYTES;
/// Each three bytes are four characters.
const TOKEN_CHARS: usize = TOKEN_BYTES.div_ceil(3) * 4;

/// A refresh token that was made.
#[derive(Clone)]
pub struct RefreshToken {
    /// The token: a secret.
    pub token: String,
    /// What is stored of it.
    pub hash: RefreshHash,
    /// From when on it is refused.
    pub expires_at: UnixMs,
}

/// What a refresh token says. Whether it is the newest one stands in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshClaim {
    /// Of which device.
    pub device: DeviceId,
    /// Refused once the device's generation is another one.
    pub token_generation: TokenGeneration,
    /// What is stored of it.
    pub hash: RefreshHash,
}

/// Makes and reads refresh tokens.
pub struct RefreshTokens {
    key: hmac::Key,
}

impl RefreshTokens {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret) }
    }

    /// Makes a token.
    pub fn make(&self, device: DeviceId, generation: TokenGeneration, expires_at: UnixMs) -> RefreshToken {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.extend_from_slice(device.as_bytes());
        bytes.extend_from_slice(&generation.0.to_be_bytes());
        bytes.extend_from_slice(&expires_at.get().to_be_bytes());
        let mut random = [0; RANDOM_BYTES];
        aws_lc_rs::rand::fill(&mut random).expect("the system gives randomness");
        bytes.extend_from_slice(&random);
        let mac = hmac::sign(&self.key, &bytes);
        bytes.extend_from_slice(mac.as_ref());
        RefreshToken { token: URL_SAFE_NO_PAD.encode(&bytes), hash: hash(&bytes), expires_at }
    }

    /// Reads a token.
    ///
    /// # Errors
    ///
    /// `token_invalid` unless it was made with this key; `token_expired` from its expiry on.
    pub fn read(&self, token: &str, now: UnixMs) -> Result<RefreshClaim, Code> {
        if token.len() > TOKEN_CHARS {
            return Err(Code::TokenInvalid);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Code::TokenInvalid)?;
        if bytes.len() != TOKEN_BYTES {
            return Err(Code::TokenInvalid);
        }
        let (message, mac) = bytes.split_at(HEAD_BYTES + RANDOM_BYTES);
        hmac::verify(&self.key, message, mac).map_err(|_| Code::TokenInvalid)?;
        let device: [u8; 16] = part(message, 0);
        let token_generation = TokenGeneration(u64::from_be_bytes(part(message, 16)));
        if now.get() >= u64::from_be_bytes(part(message, 24)) {
            return Err(Code::TokenExpired);
        }
        Ok(RefreshClaim { device: DeviceId::from_bytes(device), token_generation, hash: hash(&bytes) })
    }
}

/// A secret that is shown once: the text, and its SHA-256.
pub fn new_secret() -> (String, [u8; 32]) {
    let mut bytes = [0; RANDOM_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives randomness");
    let text = URL_SAFE_NO_PAD.encode(bytes);
    let hash = hash_of_secret(&text);
    (text, hash)
}

/// The SHA-256 of a secret's text.
pub fn hash_of_secret(text: &str) -> [u8; 32] {
    hash(text.as_bytes()).0
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the length has been checked")
}

fn hash(bytes: &[u8]) -> RefreshHash {
    RefreshHash(digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_what_it_was_made_for() {
        let tokens = RefreshTokens::new([1; 32]);
        let (device, generation, until) = (DeviceId::generate(), TokenGeneration(7), UnixMs::new(5_000));
        let one = tokens.make(device, generation, until);
        let claim = RefreshClaim { device, token_generation: generation, hash: one.hash };
        assert_eq!(tokens.read(&one.token, UnixMs::new(4_999)), Ok(claim));
        assert_eq!(tokens.read(&one.token, until), Err(Code::TokenExpired));
        assert_eq!(one.token.len(), TOKEN_CHARS);
        let other = tokens.make(device, generation, until);
        assert!(one.token != other.token && one.hash != other.hash);
    }

    #[test]
    fn secrets_are_known_by_their_hashes() {
        let ((one, its), (other, others)) = (new_secret(), new_secret());
        assert!(one != other && its != others);
        assert_eq!((hash_of_secret(&one), hash_of_secret(&other)), (its, others));
    }

    #[test]
    fn wrong_tokens_are_invalid() {
        let tokens = RefreshTokens::new([1; 32]);
        let made = |tokens: &RefreshTokens| tokens.make(DeviceId::generate(), TokenGeneration(0), UnixMs::new(5)).token;
        let good = made(&tokens);
        let mut cases = vec![String::new(), "x".into(), "x".repeat(100_000), good[1..].into(), format!("{good}A")];
        cases.push(made(&RefreshTokens::new([2; 32])));
        // Each byte counts.
        let bytes = URL_SAFE_NO_PAD.decode(&good).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            cases.push(URL_SAFE_NO_PAD.encode(changed));
        }
        for token in cases {
            assert_eq!(tokens.read(&token, UnixMs::ZERO), Err(Code::TokenInvalid), "{}", &token[..token.len().min(99)]);
        }
        assert!(tokens.read(&good, UnixMs::ZERO).is_ok());
    }
}
