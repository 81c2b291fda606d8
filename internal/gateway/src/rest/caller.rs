//! Whose request it is.

use crate::{GatewayState, Problem};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use lockstep_model::{Code, Device};

/// The device whose token the request carries (RFC 6750, section 2.1): whole, not expired, not revoked.
pub(super) struct Caller(pub(super) Device);

impl FromRequestParts<GatewayState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &GatewayState) -> Result<Self, Problem> {
        let token = bearer_token(&parts.headers)?;
        let claim = state.verify(token)?;
        Ok(Self(state.engine.authorize(&claim).await?))
    }
}

fn bearer_token(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        let missing = "Send the header \"Authorization: Bearer\" with an access token.";
        return Err(Problem::new(Code::TokenInvalid, missing).without_credentials());
    };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
    });
    match token {
        Some(token) if values.next().is_none() => Ok(token),
        _ => Err(Problem::new(Code::TokenInvalid, "Send one Authorization header: \"Bearer\", a space, the token.")),
    }
}
