//! Tokens of outside issuers: what an identity provider says of a person, as a JWT (RFC 7519), read as RFC 8725 asks.

mod keys;

pub use keys::IssuerError;

use jsonwebtoken::{Algorithm, Header, Validation};
use keys::Keys;
use lockstep_model::{Code, UnixMs, UserId};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::time::Duration;

/// Longest token that is looked at. Those of large providers have some thousand bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// An issuer whose word counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// One of the `aud` of its tokens: who they are meant for.
    pub audience: String,
    /// The one algorithm of its tokens, with the key.
    pub key: Key,
    /// How far its clock may be from ours.
    pub leeway: Duration,
    /// The claim that names the user.
    pub user_claim: String,
    /// The claim that says what people call the user, if one does.
    pub name_claim: Option<String>,
    /// Put in front of what stands there, so that two issuers cannot name the same user.
    pub user_prefix: String,
    /// Whether users are made at their first sign-in.
    pub create_users: bool,
}

/// How an issuer signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// HS256, with the secret in this file: its bytes, without the line's end.
    Hs256(PathBuf),
    /// RS256, with the public keys in this file: a JWK set (RFC 7517, section 5).
    Rs256(PathBuf),
    /// ES256, likewise.
    Es256(PathBuf),
    /// EdDSA with Ed25519, likewise.
    EdDsa(PathBuf),
}

/// What an issuer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalClaim {
    /// Who it is.
    pub user: UserId,
    /// Whether the user is made if need be.
    pub create_user: bool,
    /// What people call the user: any text, if there is one.
    pub name: Option<String>,
}

/// All issuers whose word counts.
#[derive(Default)]
pub struct Issuers(Vec<Issuer>);

struct Issuer {
    settings: IssuerSettings,
    keys: Keys,
    validation: Validation,
}

impl Issuers {
    /// Reads the keys of all issuers.
    ///
    /// # Errors
    ///
    /// [`IssuerError`], in words that name the file and the fix.
    pub fn open(settings: Vec<IssuerSettings>) -> Result<Self, IssuerError> {
        let open = |settings: IssuerSettings| {
            let keys = Keys::open(settings.key.clone())?;
            let mut validation = Validation::new(keys.algorithm());
            validation.set_issuer(&[&settings.issuer]);
            validation.set_audience(&[&settings.audience]);
            validation.set_required_spec_claims(&["iss", "aud", "exp"]);
            // The time is the caller's argument; `check_times` compares it.
            validation.validate_exp = false;
            validation.validate_nbf = false;
            Ok(Issuer { settings, keys, validation })
        };
        settings.into_iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Reads a token.
    ///
    /// # Errors
    ///
    /// `token_invalid` unless it was signed for its audience by one of the issuers, by the issuer's one algorithm and a key
    /// that we have, and names a user; `token_expired`.
    pub fn verify(&self, token: &str, now: UnixMs) -> Result<ExternalClaim, Code> {
        /// Whose token it says that it is: it chooses the keys that it is then held against.
        #[derive(Deserialize)]
        struct Says {
            iss: String,
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Code::TokenInvalid);
        }
        let says: Says = jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| Code::TokenInvalid)?;
        let issuer = self.0.iter().find(|issuer| issuer.settings.issuer == says.iss).ok_or(Code::TokenInvalid)?;
        issuer.verify(token, now)
    }
}

impl Issuer {
    fn verify(&self, token: &str, now: UnixMs) -> Result<ExternalClaim, Code> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Code::TokenInvalid)?;
        if !self.takes(&header) {
            return Err(Code::TokenInvalid);
        }
        let key = self.keys.find(header.kid.as_deref(), now).ok_or(Code::TokenInvalid)?;
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &self.validation);
        let claims = decoded.map_err(|_| Code::TokenInvalid)?.claims;
        self.check_times(&claims, now)?;
        let IssuerSettings { user_claim, name_claim, user_prefix, create_users, .. } = &self.settings;
        let text = |claim: &String| claims.get(claim).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (named, name) = (text(user_claim), name_claim.as_ref().and_then(text));
        let user = UserId::new(&format!("{user_prefix}{}", named.ok_or(Code::TokenInvalid)?));
        let user = user.map_err(|_| Code::TokenInvalid)?;
        Ok(ExternalClaim { user, create_user: *create_users, name: name.map(str::to_owned) })
    }

    /// The algorithm is ours to choose, not the token's (RFC 8725, section 3.1); another kind of JWT is not taken (3.11);
    /// what we would have to understand and do not is refused (RFC 7515, section 4.1.11). Keys that a token brings along
    /// are never looked at.
    fn takes(&self, header: &Header) -> bool {
        let of_type = |typ: &str| typ.eq_ignore_ascii_case("JWT");
        header.alg == self.keys.algorithm() && header.typ.as_deref().is_none_or(of_type) && header.crit.is_none()
    }

    /// `exp` has to be there; `nbf` and `iat` may not lie in the future (RFC 7519, section 4.1).
    fn check_times(&self, claims: &Map<String, Value>, now: UnixMs) -> Result<(), Code> {
        let leeway_ms = self.settings.leeway.as_millis() as f64;
        // NumericDate may have a fraction. Milliseconds fit a f64.
        let now_ms = now.get() as f64;
        let time_ms = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(|seconds| Some(seconds * 1_000.0)).ok_or(Code::TokenInvalid),
        };
        let expires_ms = time_ms("exp")?.ok_or(Code::TokenInvalid)?;
        for name in ["nbf", "iat"] {
            if time_ms(name)?.is_some_and(|from_ms| from_ms > now_ms + leeway_ms) {
                return Err(Code::TokenInvalid);
            }
        }
        if now_ms >= expires_ms + leeway_ms { Err(Code::TokenExpired) } else { Ok(()) }
    }
}

impl Key {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hs256(_) => Algorithm::HS256,
            Self::Rs256(_) => Algorithm::RS256,
            Self::Es256(_) => Algorithm::ES256,
            Self::EdDsa(_) => Algorithm::EdDSA,
        }
    }

    fn path(&self) -> &PathBuf {
        let (Self::Hs256(path) | Self::Rs256(path) | Self::Es256(path) | Self::EdDsa(path)) = self;
        path
    }
}

#[cfg(test)]
mod tests;
