//! Sessions of devices: they begin, go on and end.

use super::accounts::{proven, refused};
use super::caller::Caller;
use super::sign_ins::{self, WaitingAnswer};
use crate::accounts::SessionAnswer;
use crate::http::{JsonBody, Params, bad_request};
use crate::peer::ClientAddress;
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lockstep_engine::{DeviceWanted, Proof, Refresh, SignInOutcome, SignInRequest};
use lockstep_model::{Code, Device, DeviceId, DeviceKind, UnixMs, UserId, limits};
use serde::Deserialize;

/// With which device somebody signs in.
#[derive(Deserialize)]
pub(super) struct DeviceRequest {
    #[serde(default)]
    id: Option<DeviceId>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    platform: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct PasswordSignIn {
    user: UserId,
    password: String,
    device: DeviceRequest,
}

/// `POST /v1/sessions`: 201 with the tokens of a main device, or 202 if another main device has to approve it.
pub(super) async fn sign_in(
    State(state): State<GatewayState>,
    ClientAddress(address): ClientAddress,
    JsonBody(request): JsonBody<PasswordSignIn>,
) -> Result<Response, Problem> {
    let device = request.device.checked()?;
    state.accounts.admit_address(&address)?;
    let hash = proven(&state, &request.user, request.password).await?;
    begin(&state, SignInRequest { user: request.user, proof: Proof::Password(hash), device }).await
}

#[derive(Deserialize)]
pub(super) struct ExternalSignIn {
    token: String,
    device: DeviceRequest,
}

/// `POST /v1/sessions/external`: as [`sign_in`], by the word of an outside issuer.
pub(super) async fn sign_in_external(
    State(state): State<GatewayState>,
    ClientAddress(address): ClientAddress,
    JsonBody(request): JsonBody<ExternalSignIn>,
) -> Result<Response, Problem> {
    let device = request.device.checked()?;
    state.accounts.admit_address(&address)?;
    let claim = state.accounts.issuers.verify(&request.token, UnixMs::now())?;
    let proof = Proof::Issuer { create_user: claim.create_user };
    begin(&state, SignInRequest { user: claim.user, proof, device }).await
}

impl DeviceRequest {
    fn checked(self) -> Result<DeviceWanted, Problem> {
        let Self { id: known, name, platform } = self;
        if known.is_none() && name.is_none() {
            return Err(bad_request("\"device\" must have a \"name\", or the \"id\" of a device that is there"));
        }
        let max = limits::NAME_CHARS_MAX;
        let fits =
            |text: &String, min| (min..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if !name.as_ref().is_none_or(|name| fits(name, 1)) {
            return Err(bad_request(&format!(
                "\"name\" must have 1 to {max} characters, none of them a control character"
            )));
        }
        if !platform.as_ref().is_none_or(|platform| fits(platform, 0)) {
            return Err(bad_request(&format!(
                "\"platform\" must have at most {max} characters, none of them a control character"
            )));
        }
        Ok(DeviceWanted { known, name, platform })
    }
}

/// Signs in whoever has proven to be the user, or lets them wait for an approval.
async fn begin(state: &GatewayState, request: SignInRequest) -> Result<Response, Problem> {
    match attempt(state, &request, state.config.accounts.approve_mains).await.map_err(refused)? {
        Some(session) => Ok((StatusCode::CREATED, Json(session)).into_response()),
        None => {
            let waiting: WaitingAnswer = sign_ins::wait(state, request)?;
            Ok((StatusCode::ACCEPTED, Json(waiting)).into_response())
        }
    }
}

/// Signs in; `None` if a main device has to approve it.
pub(super) async fn attempt(
    state: &GatewayState,
    request: &SignInRequest,
    alone: bool,
) -> Result<Option<SessionAnswer>, Code> {
    let mut made = None;
    let outcome = state.engine.sign_in(request, alone, |device, generation| {
        let token = state.accounts.refresh_token(device, generation);
        let refresh = Refresh { hash: token.hash, expires_at: token.expires_at };
        made = Some(token);
        refresh
    });
    match (outcome.await?, made) {
        (SignInOutcome::Done(device), Some(token)) => Ok(Some(state.accounts.session(device, token))),
        (SignInOutcome::Done(_), None) => Err(Code::Internal),
        (SignInOutcome::NeedsApproval, _) => Ok(None),
    }
}

#[derive(Deserialize)]
pub(super) struct RefreshRequest {
    refresh_token: String,
}

/// `POST /v1/sessions/refresh`: the next access token and the next refresh token.
pub(super) async fn refresh(
    State(state): State<GatewayState>,
    JsonBody(request): JsonBody<RefreshRequest>,
) -> Result<Json<SessionAnswer>, Problem> {
    let accounts = &state.accounts;
    let claim = accounts.refresh_tokens.read(&request.refresh_token, UnixMs::now())?;
    accounts.admit_refresh(claim.device)?;
    let token = accounts.refresh_token(claim.device, claim.token_generation);
    let next = Refresh { hash: token.hash, expires_at: token.expires_at };
    let device = state.engine.refresh(claim.device, claim.token_generation, claim.hash, next).await?;
    Ok(Json(accounts.session(device, token)))
}

/// `DELETE /v1/sessions/current`: 204. The device is removed too, unless it is the user's last main device.
pub(super) async fn sign_out(
    State(state): State<GatewayState>,
    Caller(Device { id, .. }): Caller,
) -> Result<StatusCode, Problem> {
    state.engine.sign_out(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(super) struct SignOutParams {
    keep: Option<String>,
}

/// `DELETE /v1/sessions`: 204. A main device signs out all devices of its user, with `keep=current` all others.
pub(super) async fn sign_out_all(
    State(state): State<GatewayState>,
    Caller(caller): Caller,
    Params(params): Params<SignOutParams>,
) -> Result<StatusCode, Problem> {
    let keep = match params.keep.as_deref() {
        None => None,
        Some("current") => Some(caller.id),
        Some(_) => return Err(bad_request("\"keep\" must be \"current\", or absent")),
    };
    if caller.kind == DeviceKind::Sub {
        return Err(Problem::new(
            Code::Forbidden,
            "A sub device may sign out only itself; a main device may sign out all.",
        ));
    }
    state.engine.sign_out_all(&caller.user, keep).await?;
    Ok(StatusCode::NO_CONTENT)
}
