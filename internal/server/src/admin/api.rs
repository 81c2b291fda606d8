//! What the admin socket answers.

use super::wire::{GroupInfo, GroupRequest, TokenGrant, TokenRequest, UserInfo, UserRequest};
use super::{accounts, aliases, services};
use crate::config::TOKEN_TTL_S_MAX;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use lockstep_auth::{Claim, Passwords, Tokens};
use lockstep_engine::Engine;
use lockstep_gateway::{BodyLimits, JsonBody, Problem, bad_request, no_such_route, wrong_method};
use lockstep_model::{Code, Device, DeviceKind, UnixMs, UserId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct AdminState {
    pub(crate) engine: Engine,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) token_ttl: Duration,
    pub(crate) body: BodyLimits,
    pub(crate) passwords: Arc<Passwords>,
    /// Held while a device is looked up and made, so that two requests for one name make one device.
    making_device: Arc<Mutex<()>>,
}

impl AdminState {
    pub(crate) fn new(
        engine: Engine,
        tokens: Arc<Tokens>,
        token_ttl: Duration,
        body: BodyLimits,
        passwords: Passwords,
    ) -> Self {
        let passwords = Arc::new(passwords);
        Self { engine, tokens, token_ttl, body, passwords, making_device: Arc::default() }
    }
}

impl FromRef<AdminState> for Engine {
    fn from_ref(state: &AdminState) -> Self {
        state.engine.clone()
    }
}

impl FromRef<AdminState> for BodyLimits {
    fn from_ref(state: &AdminState) -> Self {
        state.body
    }
}

/// The routes of the admin socket: its own, and those of the administration by REST.
pub(crate) fn router(state: AdminState, administration: Router) -> Router {
    Router::new()
        .route("/v1/tokens", post(issue_token))
        .route("/v1/users", post(ensure_user))
        .route("/v1/conversations", post(create_group))
        .merge(aliases::routes())
        .merge(services::routes())
        .merge(accounts::routes())
        .with_state(state)
        .merge(administration)
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
}

async fn issue_token(
    State(state): State<AdminState>,
    JsonBody(request): JsonBody<TokenRequest>,
) -> Result<Json<TokenGrant>, Problem> {
    let user = user_id(&request.user)?;
    let kind =
        DeviceKind::from_text(&request.kind).ok_or_else(|| bad_request("\"kind\" must be \"main\" or \"sub\""))?;
    let ttl = match request.ttl_s {
        None => state.token_ttl,
        Some(ttl_s @ 1..=TOKEN_TTL_S_MAX) => Duration::from_secs(ttl_s),
        Some(_) => return Err(bad_request(&format!("\"ttl_s\" must be from 1 to {TOKEN_TTL_S_MAX}"))),
    };
    let device = ensure_device(&state, user, &request.device_name, kind, request.unfilled).await?;
    let kind = device.kind.as_str().to_owned();
    let claim = Claim { user: device.user, device: device.id, token_generation: device.token_generation };
    let issued = state.tokens.issue(&claim, ttl, UnixMs::now());
    Ok(Json(TokenGrant {
        token: issued.token,
        user: claim.user.to_string(),
        device: claim.device.to_string(),
        kind,
        expires_at: issued.expires_at.get(),
    }))
}

/// The user's device of this name, made if need be, with its user, who must not be disabled: a token that is made meanwhile
/// would be good once the user is enabled.
async fn ensure_device(
    state: &AdminState,
    user: UserId,
    name: &str,
    kind: DeviceKind,
    unfilled: bool,
) -> Result<Device, Problem> {
    let _one_at_a_time = state.making_device.lock().await;
    state.engine.ensure_user(user.clone()).await?;
    if state.engine.user_record(&user).await?.disabled_at.is_some() {
        return Err(Code::UserDisabled.into());
    }
    let devices = state.engine.devices_of(&user).await?;
    match devices.into_iter().find(|device| device.name == name) {
        Some(device) => Ok(device),
        None if unfilled => Ok(state.engine.create_unfilled_device(&user, name, kind).await?),
        None => Ok(state.engine.create_device(&user, name, kind).await?),
    }
}

async fn ensure_user(
    State(state): State<AdminState>,
    JsonBody(request): JsonBody<UserRequest>,
) -> Result<Json<UserInfo>, Problem> {
    let user = state.engine.ensure_user(user_id(&request.user)?).await?;
    Ok(Json(UserInfo { user: user.id.to_string(), feed: user.feed.to_string(), created_at: user.created_at.get() }))
}

async fn create_group(
    State(state): State<AdminState>,
    JsonBody(request): JsonBody<GroupRequest>,
) -> Result<(StatusCode, Json<GroupInfo>), Problem> {
    let members = request.members.iter().map(|member| user_id(member)).collect::<Result<Vec<_>, _>>()?;
    let creator = match &request.creator {
        Some(creator) => user_id(creator)?,
        None => members.first().cloned().ok_or_else(|| bad_request("\"members\" must name at least one user"))?,
    };
    let made = state.engine.create_group(&creator, request.title, members).await?;
    Ok((StatusCode::CREATED, Json(GroupInfo { id: made.id.to_string(), title: made.details.title })))
}

fn user_id(text: &str) -> Result<UserId, Problem> {
    text.parse().map_err(|error: lockstep_model::IdError| bad_request(&error.to_string()))
}
