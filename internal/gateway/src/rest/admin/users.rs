//! Users.

use super::{UserPage, UserRow, cut};
use crate::http::{Params, PathId, bad_request};
use crate::rest::caller::Administrator;
use crate::rest::page_size;
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use lockstep_engine::UserRecord;
use lockstep_model::UserId;
use serde::Deserialize;
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsersParams {
    /// How the ids begin.
    #[param(max_length = 64)]
    prefix: Option<String>,
    /// The `next` of the page before.
    cursor: Option<UserId>,
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
}

/// `GET /v1/admin/users`: in the order of their ids.
#[utoipa::path(get, path = "/v1/admin/users", tag = "admin", params(UsersParams), security(("service" = ["admin"])),
    responses((status = 200, description = "A page.", body = UserPage)))]
pub(crate) async fn admin_users(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    Params(params): Params<UsersParams>,
) -> Result<Json<UserPage>, Problem> {
    let size = page_size(params.limit)?;
    let prefix = params.prefix.unwrap_or_default();
    if prefix.chars().count() > UserId::CHARS_MAX {
        return Err(bad_request(&format!("\"prefix\" must have at most {} characters", UserId::CHARS_MAX)));
    }
    let records = state.engine.user_records(prefix, params.cursor, size + 1).await?;
    let (records, next) = cut(records, size, |last| last.id.to_string());
    let users = records.into_iter().map(|record| row(&state, record)).collect();
    Ok(Json(UserPage { users, next }))
}

/// `GET /v1/admin/users/{id}`: one user.
#[utoipa::path(get, path = "/v1/admin/users/{id}", tag = "admin", params(("id" = UserId, Path)),
    security(("service" = ["admin"])),
    responses((status = 200, description = "The user.", body = UserRow)),
    extensions(("x-codes" = json!(["no_such_user"]))))]
pub(crate) async fn admin_user(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    PathId(user): PathId<UserId>,
) -> Result<Json<UserRow>, Problem> {
    show(&state, &user).await
}

/// `POST /v1/admin/users/{id}/disable`: signs all devices of the user out and lets none in any more. They stay, and can be
/// signed in again after the user is enabled.
#[utoipa::path(post, path = "/v1/admin/users/{id}/disable", tag = "admin", params(("id" = UserId, Path)),
    security(("service" = ["admin"])),
    responses((status = 200, description = "The user is disabled.", body = UserRow)),
    extensions(("x-codes" = json!(["no_such_user"]))))]
pub(crate) async fn disable(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    PathId(user): PathId<UserId>,
) -> Result<Json<UserRow>, Problem> {
    state.engine.disable_user(&user).await?;
    show(&state, &user).await
}

/// `POST /v1/admin/users/{id}/enable`: lets the user sign in again. No token of before is good again.
#[utoipa::path(post, path = "/v1/admin/users/{id}/enable", tag = "admin", params(("id" = UserId, Path)),
    security(("service" = ["admin"])),
    responses((status = 200, description = "The user is not disabled.", body = UserRow)),
    extensions(("x-codes" = json!(["no_such_user"]))))]
pub(crate) async fn enable(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    PathId(user): PathId<UserId>,
) -> Result<Json<UserRow>, Problem> {
    state.engine.enable_user(&user).await?;
    show(&state, &user).await
}

async fn show(state: &GatewayState, user: &UserId) -> Result<Json<UserRow>, Problem> {
    Ok(Json(row(state, state.engine.user_record(user).await?)))
}

fn row(state: &GatewayState, record: UserRecord) -> UserRow {
    let connections = state.engine.connections_of(&record.id) as u64;
    let UserRecord { id, name, feed, created_at, disabled_at, devices, conversations } = record;
    UserRow { id, name, feed, created_at, disabled_at, devices, conversations, connections }
}
