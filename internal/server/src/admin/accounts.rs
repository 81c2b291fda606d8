//! What the admin socket does for accounts.

use super::api::AdminState;
use super::wire::PasswordRequest;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::put;
use lockstep_auth::Password;
use lockstep_gateway::{JsonBody, PathId, Problem, bad_request};
use lockstep_model::UserId;

pub(super) fn routes() -> Router<AdminState> {
    Router::new().route("/v1/users/{id}/password", put(set_password))
}

/// Makes the user if need be. All devices of a user who had a password are signed out: whoever knows that one may be the
/// reason for the new one.
async fn set_password(
    State(state): State<AdminState>,
    PathId(user): PathId<UserId>,
    JsonBody(request): JsonBody<PasswordRequest>,
) -> Result<StatusCode, Problem> {
    let (min, max) = (Password::CHARS_MIN, Password::CHARS_MAX);
    let password = Password::new(request.password)
        .ok_or_else(|| bad_request(&format!("A password must have {min} to {max} characters")))?;
    let hash = lockstep_engine::PasswordHash(state.passwords.hash(password).await?);
    state.engine.ensure_user(user.clone()).await?;
    state.engine.set_password(&user, None, hash, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
