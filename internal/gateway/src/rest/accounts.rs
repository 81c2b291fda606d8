//! Users: they sign up, and change their password.

use super::caller::Caller;
use super::people::check_name;
use crate::accounts::Guess;
use crate::client_address::ClientNetwork;
use crate::http::{JsonBody, bad_request};
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lockstep_auth::Password;
use lockstep_engine::PasswordHash;
use lockstep_model::{Code, UnixMs, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(super) struct SignUpRequest {
    id: UserId,
    #[schema(min_length = 8, max_length = 256)]
    password: String,
    /// The name of the profile.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct UserAnswer {
    id: UserId,
    created_at: UnixMs,
}

/// `POST /v1/users`: 201 with the user, who may sign in now.
#[utoipa::path(post, path = "/v1/users", request_body = SignUpRequest,
    responses((status = 201, description = "The user was made.", body = UserAnswer)),
    extensions(("x-codes" = json!(["sign_up_closed", "user_taken", "try_again", "unavailable", "internal"]))))]
pub(super) async fn sign_up(
    State(state): State<GatewayState>,
    ClientNetwork(address): ClientNetwork,
    JsonBody(request): JsonBody<SignUpRequest>,
) -> Result<(StatusCode, Json<UserAnswer>), Problem> {
    if !state.config.accounts.sign_up_open {
        return Err(Code::SignUpClosed.into());
    }
    let password = new_password("password", request.password)?;
    check_name(request.name.as_deref())?;
    state.accounts.admit_address(&address)?;
    let hash = PasswordHash(state.accounts.passwords.hash(password).await?);
    let user = state.engine.sign_up(request.id, request.name, hash).await?;
    Ok((StatusCode::CREATED, Json(UserAnswer { id: user.id, created_at: user.created_at })))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct PasswordRequest {
    old: String,
    #[schema(min_length = 8, max_length = 256)]
    new: String,
}

/// `PUT /v1/profile/password`: 204. All other devices of the user are signed out.
#[utoipa::path(put, path = "/v1/profile/password", request_body = PasswordRequest, security(("device" = [])),
    responses((status = 204, description = "It is the new one.")),
    extensions(("x-codes" = json!(["wrong_credentials"]))))]
pub(super) async fn change_password(
    State(state): State<GatewayState>,
    Caller(caller): Caller,
    JsonBody(request): JsonBody<PasswordRequest>,
) -> Result<StatusCode, Problem> {
    let new = new_password("new", request.new)?;
    let (_, old) = proven(&state, Guess::SignedIn(&caller.user), request.old).await?;
    let hash = PasswordHash(state.accounts.passwords.hash(new).await?);
    state.engine.set_password(&caller.user, Some(old), hash, Some(caller.id)).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

fn new_password(field: &str, text: String) -> Result<Password, Problem> {
    let (min, max) = (Password::CHARS_MIN, Password::CHARS_MAX);
    Password::new(text).ok_or_else(|| bad_request(&format!("{field:?} must have {min} to {max} characters")))
}

/// Checks a user's password. It comes back with the hash that it was compared with.
pub(super) async fn proven(
    state: &GatewayState,
    guess: Guess<'_>,
    password: String,
) -> Result<(Password, PasswordHash), Problem> {
    state.accounts.admit_guess(&guess)?;
    // What nobody can have chosen says nothing about the user.
    let password = Password::new(password).ok_or_else(|| refused(Code::WrongCredentials))?;
    let looked_at = compare(state, guess.user(), password.clone()).await;
    if !matches!(looked_at, Ok(None)) {
        state.accounts.forgive_guess(&guess);
    }
    let hash = looked_at?.ok_or_else(|| refused(Code::WrongCredentials))?;
    Ok((password, hash))
}

/// Hashes a password that was proven again if its costs are not those of today any more. If that does not go well now, the
/// next sign-in does it.
pub(super) async fn renew(state: &GatewayState, user: &UserId, password: Password, old: &PasswordHash) {
    let Ok(Some(new)) = state.accounts.passwords.renew(password, &old.0).await else { return };
    // If the password was changed meanwhile, that one stays.
    if let Ok(true) = state.engine.renew_password(user, old.clone(), PasswordHash(new)).await {
        metrics::counter!("lockstep_passwords_renewed_total").increment(1);
    }
}

/// The hash of a user's password if this is the one. A failure says nothing about the password.
async fn compare(state: &GatewayState, user: &UserId, password: Password) -> Result<Option<PasswordHash>, Problem> {
    let stored = state.engine.password(user).await?;
    let is_right = state.accounts.passwords.verify(password, stored.as_ref().map(|hash| hash.0.as_str())).await?;
    Ok(stored.filter(|_| is_right))
}

/// A refusal of a password names no error of a token.
pub(super) fn refused(code: Code) -> Problem {
    let problem = Problem::from(code);
    if code == Code::WrongCredentials { problem.without_credentials() } else { problem }
}
