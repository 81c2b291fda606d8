//! Access tokens: made for one device or one service, verified at every door.

use crate::key::SigningKey;
use crate::{KeyError, LinkCodes, RefreshTokens};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use lockstep_model::{Code, DeviceId, ServiceName, TokenGeneration, UnixMs, UserId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::Path;
use std::time::Duration;

/// Who issues tokens, and for whom: pinned, so that a token of another purpose never passes (RFC 8725, section 3.9).
const ISSUER: &str = "lockstep";
const AUDIENCE: &str = "lockstep";
/// The type of an access token (RFC 9068, section 2.1), so that no other kind of JWT passes for one.
const TOKEN_TYPE: &str = "at+jwt";
/// Audience and type of a service's token: other ones, so that neither kind ever passes for the other.
const SERVICE_AUDIENCE: &str = "lockstep-service";
const SERVICE_TOKEN_TYPE: &str = "lockstep-service+jwt";
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

/// What a service's token says. What the service may do stands in the store, so that it can be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceClaim {
    /// The service.
    pub service: ServiceName,
    /// Refused once the service's generation is higher and the grace of the one before is over.
    pub token_generation: TokenGeneration,
}

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bearer {
    /// A device's.
    Device(Claim),
    /// A service's.
    Service(ServiceClaim),
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

/// The claims of a service's token on the wire.
#[derive(Serialize, Deserialize)]
struct ServiceClaims {
    iss: String,
    aud: String,
    sub: ServiceName,
    #[serde(rename = "gen")]
    generation: u64,
    iat: u64,
    exp: u64,
}

/// One kind of token: what its header is, and what it has to say.
struct Kind {
    header: Header,
    validation: Validation,
}

/// Issues and verifies access tokens with the key of a data folder.
pub struct Tokens {
    device: Kind,
    service: Kind,
    signing: EncodingKey,
    verifying: DecodingKey,
    jwks: String,
    pkcs8: Vec<u8>,
}

impl Kind {
    fn new(key: &SigningKey, token_type: &str, audience: &str) -> Self {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(token_type.to_owned());
        header.kid = Some(key.id.clone());
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The time is the caller's argument; `verify` compares it.
        validation.validate_exp = false;
        Self { header, validation }
    }
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
        Self {
            device: Kind::new(key, TOKEN_TYPE, AUDIENCE),
            service: Kind::new(key, SERVICE_TOKEN_TYPE, SERVICE_AUDIENCE),
            signing: EncodingKey::from_ed_der(&key.pkcs8),
            verifying: DecodingKey::from_ed_der(&key.public),
            jwks: serde_json::json!({"keys": [key.public_jwk()]}).to_string(),
            pkcs8: key.pkcs8.clone(),
        }
    }

    /// A secret for one purpose inside this server, from the signing key: the same after each start, and of no use for
    /// another purpose (HKDF-SHA-256, RFC 5869).
    pub fn secret_for(&self, purpose: &str) -> [u8; 32] {
        let info = [purpose.as_bytes()];
        let derived = Salt::new(HKDF_SHA256, b"lockstep").extract(&self.pkcs8);
        let mut secret = [0; 32];
        derived.expand(&info, HKDF_SHA256).and_then(|okm| okm.fill(&mut secret)).expect("32 bytes are one block");
        secret
    }

    /// What makes and reads refresh tokens.
    pub fn refresh_tokens(&self) -> RefreshTokens {
        RefreshTokens::new(self.secret_for(crate::refresh::PURPOSE))
    }

    /// What makes and reads the codes of links.
    pub fn link_codes(&self) -> LinkCodes {
        LinkCodes::new(self.secret_for(crate::link_codes::PURPOSE))
    }

    /// Makes a token that is good for `ttl` from `now` on, both cut to whole seconds.
    pub fn issue(&self, claim: &Claim, ttl: Duration, now: UnixMs) -> Issued {
        let (iat, exp) = times(ttl, now);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: claim.user.clone(),
            device: claim.device,
            generation: claim.token_generation.0,
            iat,
            exp,
        };
        self.sign(&self.device, &claims, exp)
    }

    /// Makes a service's token that is good for `ttl` from `now` on, both cut to whole seconds.
    pub fn issue_service(&self, claim: &ServiceClaim, ttl: Duration, now: UnixMs) -> Issued {
        let (iat, exp) = times(ttl, now);
        let claims = ServiceClaims {
            iss: ISSUER.to_owned(),
            aud: SERVICE_AUDIENCE.to_owned(),
            sub: claim.service.clone(),
            generation: claim.token_generation.0,
            iat,
            exp,
        };
        self.sign(&self.service, &claims, exp)
    }

    fn sign(&self, kind: &Kind, claims: &impl Serialize, exp: u64) -> Issued {
        let token = jsonwebtoken::encode(&kind.header, claims, &self.signing)
            .expect("the key was read as an Ed25519 key, and the claims have text keys");
        Issued { token, expires_at: UnixMs::new(exp.saturating_mul(1_000)) }
    }

    /// Reads a device's token. What it says is true, but the device may have been removed or signed out since.
    ///
    /// # Errors
    ///
    /// As [`verify_any`](Self::verify_any); `service_token` for one of a service.
    pub fn verify(&self, token: &str, now: UnixMs) -> Result<Claim, Code> {
        match self.verify_any(token, now)? {
            Bearer::Device(claim) => Ok(claim),
            Bearer::Service(_) => Err(Code::ServiceToken),
        }
    }

    /// Reads a token of either kind. What it says is true, but it may have been revoked since.
    ///
    /// # Errors
    ///
    /// `token_invalid` unless it was signed with this key by this algorithm for this issuer and the audience of its kind,
    /// `token_expired` from its expiry on (no leeway: it is compared with the clock that set it).
    pub fn verify_any(&self, token: &str, now: UnixMs) -> Result<Bearer, Code> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Code::TokenInvalid);
        }
        // The whole header has to be ours: algorithm, type and key, and no critical extension (RFC 8725, section 3.1).
        let header = jsonwebtoken::decode_header(token).map_err(|_| Code::TokenInvalid)?;
        if header == self.device.header {
            let claims: Claims = self.claims(&self.device, token)?;
            let token_generation = TokenGeneration(claims.generation);
            unless_expired(claims.exp, now)?;
            Ok(Bearer::Device(Claim { user: claims.sub, device: claims.device, token_generation }))
        } else if header == self.service.header {
            let claims: ServiceClaims = self.claims(&self.service, token)?;
            let token_generation = TokenGeneration(claims.generation);
            unless_expired(claims.exp, now)?;
            Ok(Bearer::Service(ServiceClaim { service: claims.sub, token_generation }))
        } else {
            Err(Code::TokenInvalid)
        }
    }

    fn claims<C: DeserializeOwned>(&self, kind: &Kind, token: &str) -> Result<C, Code> {
        let decoded = jsonwebtoken::decode::<C>(token, &self.verifying, &kind.validation);
        decoded.map(|token| token.claims).map_err(|_| Code::TokenInvalid)
    }

    /// The public key as a JWK set (RFC 7517, section 5), for services that verify tokens themselves.
    pub fn jwks(&self) -> &str {
        &self.jwks
    }
}

/// From when to when a token is good, in seconds since 1970.
fn times(ttl: Duration, now: UnixMs) -> (u64, u64) {
    let iat = now.get() / 1_000;
    (iat, iat.saturating_add(ttl.as_secs()))
}

fn unless_expired(exp: u64, now: UnixMs) -> Result<(), Code> {
    if now.get() >= exp.saturating_mul(1_000) { Err(Code::TokenExpired) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
