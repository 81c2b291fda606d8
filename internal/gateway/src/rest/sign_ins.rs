//! Sign-ins that a main device has to approve.

use super::accounts::refused;
use super::caller::Caller;
use super::sessions::attempt;
use crate::http::{JsonBody, PathId};
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lockstep_auth::{hash_of_secret, new_secret};
use lockstep_engine::{Polled, SignInRequest, WaitingSignIn};
use lockstep_model::{Code, Device, DeviceKind, SignInId, UnixMs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What whoever has to wait is told: the id, and once the secret that they ask with.
#[derive(Serialize, ToSchema)]
pub(super) struct WaitingAnswer {
    id: SignInId,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    expires_at: UnixMs,
}

/// Lets a sign-in wait.
pub(super) fn wait(state: &GatewayState, request: SignInRequest) -> Result<WaitingAnswer, Problem> {
    let (secret, hash) = new_secret();
    let (id, expires_at) = state.engine.await_approval(request, hash).map_err(|wait| {
        let many = "Too many sign-ins wait for an approval; wait as long as retry_after_ms says.";
        Problem::new(Code::RateLimited, many).retry_after(wait)
    })?;
    Ok(WaitingAnswer { id, secret: Some(secret), expires_at })
}

#[derive(Deserialize, ToSchema)]
pub(super) struct PollRequest {
    secret: String,
}

/// `POST /v1/sign-ins/{id}`: 202 while nobody has said anything, 201 with the tokens, once, when it was approved.
#[utoipa::path(post, path = "/v1/sign-ins/{id}", request_body = PollRequest, params(("id" = SignInId, Path)),
    responses(
        (status = 201, description = "The device is signed in.", body = crate::accounts::SessionAnswer),
        (status = 202, description = "Nobody has answered yet.", body = WaitingAnswer)),
    extensions(("x-codes" = json!([
        "no_such_sign_in", "sign_in_refused", "wrong_credentials", "no_such_user", "user_disabled", "no_such_device",
        "too_many_devices",
        "try_again", "unavailable", "internal"]))))]
pub(super) async fn poll(
    State(state): State<GatewayState>,
    PathId(id): PathId<SignInId>,
    JsonBody(request): JsonBody<PollRequest>,
) -> Result<Response, Problem> {
    let secret = hash_of_secret(&request.secret);
    let request = match state.engine.poll_sign_in(id, &secret)? {
        Polled::Waiting(expires_at) => {
            let waiting = WaitingAnswer { id, secret: None, expires_at };
            return Ok((StatusCode::ACCEPTED, Json(waiting)).into_response());
        }
        Polled::Approved(request) => request,
    };
    match attempt(&state, &request, false).await {
        Ok(Some(session)) => Ok((StatusCode::CREATED, Json(session)).into_response()),
        // Who approved it is gone by now.
        Ok(None) => Err(Code::NoSuchSignIn.into()),
        Err(code) => {
            if code == Code::TryAgain {
                state.engine.restore_sign_in(id);
            }
            Err(refused(code))
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct SignInAnswer {
    id: SignInId,
    name: Option<String>,
    platform: Option<String>,
    created_at: UnixMs,
    expires_at: UnixMs,
}

#[derive(Serialize, ToSchema)]
pub(super) struct SignInsAnswer {
    sign_ins: Vec<SignInAnswer>,
}

/// `GET /v1/sign-ins`: those of the caller's user that wait, oldest first. There are at most five.
#[utoipa::path(get, path = "/v1/sign-ins", security(("device" = [])),
    responses((status = 200, description = "All of them.", body = SignInsAnswer)),
    extensions(("x-codes" = json!(["forbidden"]))))]
pub(super) async fn list(
    State(state): State<GatewayState>,
    Caller(caller): Caller,
) -> Result<Json<SignInsAnswer>, Problem> {
    let caller = main_device(caller)?;
    let answer = |WaitingSignIn { id, name, platform, created_at, expires_at }| SignInAnswer {
        id,
        name,
        platform,
        created_at,
        expires_at,
    };
    let sign_ins = state.engine.waiting_sign_ins(&caller.user).into_iter().map(answer).collect();
    Ok(Json(SignInsAnswer { sign_ins }))
}

/// `POST /v1/sign-ins/{id}/approve`: a main device lets the new one in.
#[utoipa::path(post, path = "/v1/sign-ins/{id}/approve", params(("id" = SignInId, Path)), security(("device" = [])),
    responses((status = 204, description = "It may sign in.")),
    extensions(("x-codes" = json!(["no_such_sign_in", "forbidden"]))))]
pub(super) async fn approve(
    State(state): State<GatewayState>,
    Caller(caller): Caller,
    PathId(id): PathId<SignInId>,
) -> Result<StatusCode, Problem> {
    state.engine.answer_sign_in(&main_device(caller)?, id, true)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/sign-ins/{id}/refuse`: a main device turns the new one away.
#[utoipa::path(post, path = "/v1/sign-ins/{id}/refuse", params(("id" = SignInId, Path)), security(("device" = [])),
    responses((status = 204, description = "It may not sign in.")),
    extensions(("x-codes" = json!(["no_such_sign_in", "forbidden"]))))]
pub(super) async fn refuse(
    State(state): State<GatewayState>,
    Caller(caller): Caller,
    PathId(id): PathId<SignInId>,
) -> Result<StatusCode, Problem> {
    state.engine.answer_sign_in(&main_device(caller)?, id, false)?;
    Ok(StatusCode::NO_CONTENT)
}

fn main_device(caller: Device) -> Result<Device, Problem> {
    match caller.kind {
        DeviceKind::Main => Ok(caller),
        DeviceKind::Sub => Err(Problem::new(Code::Forbidden, "Only a main device may see and answer sign-ins.")),
    }
}
