//! Sessions of devices: they begin, go on and end.

use super::accounts::{proven, refused, renew};
use super::caller::Caller;
use super::sign_ins::{self, WaitingAnswer};
use crate::accounts::{Guess, SessionAnswer};
use crate::client_address::ClientNetwork;
use crate::http::{JsonBody, Params, bad_request, object};
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lockstep_engine::{DeviceWanted, Proof, Refresh, SignInOutcome, SignInRequest};
use lockstep_model::{Code, Device, DeviceId, DeviceKind, UnixMs, UserId, limits};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// With which device somebody signs in: one that is there, or a new one with a name.
#[derive(Deserialize, ToSchema)]
pub(super) struct DeviceRequest {
    #[serde(default)]
    id: Option<DeviceId>,
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    #[serde(default)]
    #[schema(max_length = 128)]
    platform: Option<String>,
    /// Whether a new one is to be filled by another main device, as linked ones are, instead of from the server's log.
    #[serde(default)]
    fill: bool,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct PasswordSignIn {
    user: UserId,
    password: String,
    #[serde(deserialize_with = "object")]
    device: DeviceRequest,
}

/// `POST /v1/sessions`: 201 with the tokens of a main device, or 202 if another main device has to approve it.
#[utoipa::path(post, path = "/v1/sessions", request_body = PasswordSignIn,
    responses(
        (status = 201, description = "The device is signed in.", body = SessionAnswer),
        (status = 202, description = "A main device has to approve it.", body = WaitingAnswer)),
    extensions(("x-codes" = json!([
        "wrong_credentials", "user_disabled", "no_such_device", "too_many_devices", "try_again", "unavailable",
        "internal"]))))]
pub(super) async fn sign_in(
    State(state): State<GatewayState>,
    ClientNetwork(address): ClientNetwork,
    JsonBody(request): JsonBody<PasswordSignIn>,
) -> Result<Response, Problem> {
    let device = request.device.checked()?;
    state.accounts.admit_address(&address)?;
    let (password, hash) = proven(&state, Guess::Stranger(&request.user), request.password).await?;
    renew(&state, &request.user, password, &hash).await;
    begin(&state, SignInRequest { user: request.user, proof: Proof::Password(hash), device, approved_by: None }).await
}

#[derive(Deserialize, ToSchema)]
pub(super) struct ExternalSignIn {
    token: String,
    #[serde(deserialize_with = "object")]
    device: DeviceRequest,
}

/// `POST /v1/sessions/external`: signs in by the word of an outside issuer.
#[utoipa::path(post, path = "/v1/sessions/external", request_body = ExternalSignIn,
    responses(
        (status = 201, description = "The device is signed in.", body = SessionAnswer),
        (status = 202, description = "A main device has to approve it.", body = WaitingAnswer)),
    extensions(("x-codes" = json!([
        "token_invalid", "token_expired", "no_such_user", "user_disabled", "no_such_device", "too_many_devices",
        "try_again", "unavailable", "internal"]))))]
pub(super) async fn sign_in_external(
    State(state): State<GatewayState>,
    ClientNetwork(address): ClientNetwork,
    JsonBody(request): JsonBody<ExternalSignIn>,
) -> Result<Response, Problem> {
    let device = request.device.checked()?;
    state.accounts.admit_address(&address)?;
    let claim = state.accounts.issuers.verify(&request.token, UnixMs::now())?;
    let proof = Proof::Issuer { create_user: claim.create_user, name: claim.name };
    begin(&state, SignInRequest { user: claim.user, proof, device, approved_by: None }).await
}

impl DeviceRequest {
    fn checked(self) -> Result<DeviceWanted, Problem> {
        let Self { id: known, name, platform, fill } = self;
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
        Ok(DeviceWanted { known, name, platform, fill })
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

#[derive(Deserialize, ToSchema)]
pub(super) struct RefreshRequest {
    refresh_token: String,
}

/// `POST /v1/sessions/refresh`: the next access token and the next refresh token.
#[utoipa::path(post, path = "/v1/sessions/refresh", request_body = RefreshRequest,
    responses((
        status = 200, description = "The one that was shown stays good until the new one is used.", body = SessionAnswer)),
    extensions(("x-codes" = json!([
        "token_invalid", "token_expired", "token_revoked", "device_removed", "user_disabled", "try_again", "unavailable",
        "internal"]))))]
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
#[utoipa::path(delete, path = "/v1/sessions/current", security(("device" = [])),
    responses((status = 204, description = "The device is signed out.")))]
pub(super) async fn sign_out(
    State(state): State<GatewayState>,
    Caller(Device { id, .. }): Caller,
) -> Result<StatusCode, Problem> {
    state.engine.sign_out(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SignOutParams {
    /// `current` leaves the caller signed in.
    keep: Option<String>,
}

/// `DELETE /v1/sessions`: 204. A main device signs out all devices of its user, with `keep=current` all others.
#[utoipa::path(delete, path = "/v1/sessions", params(SignOutParams), security(("device" = [])),
    responses((status = 204, description = "They are signed out.")),
    extensions(("x-codes" = json!(["forbidden"]))))]
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
