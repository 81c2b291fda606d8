//! Access tokens: made for one device, verified at every door.

use crate::KeyError;
use crate::key::SigningKey;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use lockstep_model::{Code, DeviceId, TokenGeneration, UnixMs, UserId};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// Who issues tokens, and for whom: pinned, so that a token of another purpose never passes (RFC 8725, section 3.9).
const ISSUER: &str = "lockstep";
const AUDIENCE: &str = "lockstep";
/// The type of an access token (RFC 9068, section 2.1), so that no other kind of JWT passes for one.
const TOKEN_TYPE: &str = "at+jwt";
/// Longest token that is looked at. The longest one that is issued has about 700 bytes.
const TOKEN_BYTES_MAX: usize = 2 * 1024;

/// What a token says: it opens one device of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose token it is.
    pub user: UserId,
    /// Of which device.
    pub device: DeviceId,
    /// Refused once the device's generation is higher.
    pub token_generation: TokenGeneration,
}

/// A token that was made.
#[derive(Clone)]
pub struct Issued {
    /// The token: a secret.
    pub token: String,
    /// From when on it is refused.
    pub expires_at: UnixMs,
}

/// The claims on the wire (RFC 7519, section 4.1). Times are in seconds since 1970.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    device: DeviceId,
    #[serde(rename = "gen")]
    generation: u64,
    iat: u64,
    exp: u64,
}

/// Issues and verifies access tokens with the key of a data folder.
pub struct Tokens {
    header: Header,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
    jwks: String,
}

impl Tokens {
    /// Opens the key of a data folder, or makes one with mode 0600.
    ///
    /// # Errors
    ///
    /// [`KeyError`], in words that name the file and the fix.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        Ok(Self::with_key(&SigningKey::open(folder)?))
    }

    fn with_key(key: &SigningKey) -> Self {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(key.id.clone());
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The time is the caller's argument; `verify` compares it.
        validation.validate_exp = false;
        Self {
            header,
            signing: EncodingKey::from_ed_der(&key.pkcs8),
            verifying: DecodingKey::from_ed_der(&key.public),
            validation,
            jwks: serde_json::json!({"keys": [key.public_jwk()]}).to_string(),
        }
    }

    /// Makes a token that is good for `ttl` from `now` on, both cut to whole seconds.
    pub fn issue(&self, claim: &Claim, ttl: Duration, now: UnixMs) -> Issued {
        let iat = now.get() / 1_000;
        let exp = iat.saturating_add(ttl.as_secs());
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: claim.user.clone(),
            device: claim.device,
            generation: claim.token_generation.0,
            iat,
            exp,
        };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.signing)
            .expect("the key was read as an Ed25519 key, and the claims have text keys");
        Issued { token, expires_at: UnixMs::new(exp.saturating_mul(1_000)) }
    }

    /// Reads a token. What it says is true, but the device may have been removed or signed out since.
    ///
    /// # Errors
    ///
    /// `token_invalid` unless it was signed with this key by this algorithm for this issuer and audience, `token_expired`
    /// from its expiry on (no leeway: it is compared with the clock that set it).
    pub fn verify(&self, token: &str, now: UnixMs) -> Result<Claim, Code> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Code::TokenInvalid);
        }
        // The whole header has to be ours: algorithm, type and key, and no critical extension (RFC 8725, section 3.1).
        let header = jsonwebtoken::decode_header(token).map_err(|_| Code::TokenInvalid)?;
        if header != self.header {
            return Err(Code::TokenInvalid);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation)
            .map_err(|_| Code::TokenInvalid)?
            .claims;
        if now.get() >= claims.exp.saturating_mul(1_000) {
            return Err(Code::TokenExpired);
        }
        Ok(Claim { user: claims.sub, device: claims.device, token_generation: TokenGeneration(claims.generation) })
    }

    /// The public key as a JWK set (RFC 7517, section 5), for services that verify tokens themselves.
    pub fn jwks(&self) -> &str {
        &self.jwks
    }
}

#[cfg(test)]
mod tests;
