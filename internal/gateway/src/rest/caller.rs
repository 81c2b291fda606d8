//! Whose request it is.

use super::admin::OverSocket;
use crate::standing::Standing;
use crate::state::engine_claim;
use crate::{GatewayState, Problem};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use lockstep_auth::Bearer;
use lockstep_model::{Code, Device, Service, UnixMs};

/// The device whose token the request carries (RFC 6750, section 2.1): whole, not expired, not revoked.
pub(super) struct Caller(pub(super) Device);

impl FromRequestParts<GatewayState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &GatewayState) -> Result<Self, Problem> {
        let token = bearer_token(&parts.headers)?;
        let claim = state.verify(token)?;
        state.requests().admit_device(&claim.user, &claim.device)?;
        let device = state.engine.authorize(&claim).await?;
        parts.extensions.insert(Standing::of_device(&state.engine, claim));
        Ok(Self(device))
    }
}

/// Who may send: the device or the service whose token the request carries.
pub(super) enum Sending {
    Device(Device),
    Service(Service),
}

impl FromRequestParts<GatewayState> for Sending {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &GatewayState) -> Result<Self, Problem> {
        match state.tokens.verify_any(bearer_token(&parts.headers)?, UnixMs::now())? {
            Bearer::Device(claim) => {
                state.requests().admit_device(&claim.user, &claim.device)?;
                let claim = engine_claim(claim);
                let device = state.engine.authorize(&claim).await?;
                parts.extensions.insert(Standing::of_device(&state.engine, claim));
                Ok(Self::Device(device))
            }
            Bearer::Service(claim) => {
                let service = state.engine.authorize_service(&claim.service, claim.token_generation).await?;
                let standing = Standing::of_service(&state.engine, service.clone(), claim.token_generation);
                parts.extensions.insert(standing);
                Ok(Self::Service(service))
            }
        }
    }
}

/// Somebody who may administer the server: a service with the scope `admin`, or whoever can open the admin socket.
pub(super) struct Administrator;

impl FromRequestParts<GatewayState> for Administrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &GatewayState) -> Result<Self, Problem> {
        if parts.extensions.get::<OverSocket>().is_some() {
            return Ok(Self);
        }
        match state.tokens.verify_any(bearer_token(&parts.headers)?, UnixMs::now())? {
            Bearer::Device(_) => {
                Err(Problem::new(Code::Forbidden, "This takes the token of a service with the scope \"admin\"."))
            }
            Bearer::Service(claim) => {
                let service = state.engine.authorize_service(&claim.service, claim.token_generation).await?;
                let standing = Standing::of_service(&state.engine, service.clone(), claim.token_generation);
                parts.extensions.insert(standing);
                let out_of_scope = || Problem::new(Code::OutOfScope, "The service does not have the scope \"admin\".");
                service.may_administer().then_some(Self).ok_or_else(out_of_scope)
            }
        }
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
