//! Groups and rooms: looked at, changed, joined and left.

use super::caller::Caller;
use super::conversations::ConversationAnswer;
use super::openapi::schemas::{CustomSchema, HistorySchema, RoleSchema};
use crate::http::{JsonBody, PathId, bad_request};
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use lockstep_engine::{GroupDraft, is_avatar, is_title};
use lockstep_model::{
    Code, ConversationId, ConversationKind, CustomObject, DetailsChange, Device, History, IdError, Role, UserId, limits,
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

type JsonObject = serde_json::Map<String, serde_json::Value>;

/// A group or room to make.
#[derive(Deserialize, ToSchema)]
pub(super) struct GroupRequest {
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    title: Option<String>,
    #[serde(default)]
    #[schema(example = "https://example.com/team.png")]
    avatar: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<CustomSchema>)]
    custom: Option<JsonObject>,
    #[serde(default)]
    #[schema(value_type = Option<HistorySchema>)]
    history: Option<History>,
    #[serde(default)]
    members: Vec<UserId>,
}

impl GroupRequest {
    /// What the engine is asked for.
    pub(super) fn draft(self, kind: ConversationKind) -> Result<GroupDraft, Problem> {
        let Self { title, avatar, custom, history, members } = self;
        check_title(title.as_deref())?;
        check_avatar(avatar.as_deref())?;
        if members.len() > limits::GROUP_MEMBERS_MAX {
            return Err(too_many_named("members"));
        }
        let custom = custom.map(checked_custom).transpose()?;
        Ok(GroupDraft { kind, title, avatar, custom, history, members })
    }
}

/// What is to be changed. What is absent stays; null takes away.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangeRequest {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    title: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, example = "https://example.com/team.png")]
    avatar: Option<Option<String>>,
    #[serde(default)]
    #[schema(value_type = Option<HistorySchema>)]
    history: Option<History>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<CustomSchema>)]
    custom: Option<Option<JsonObject>>,
}

/// A field that is there, even as null.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// `GET /v1/conversations/{id}`: for its members; for anybody if it is a room.
#[utoipa::path(get, path = "/v1/conversations/{id}", security(("device" = [])), params(("id" = ConversationId, Path)),
    responses((status = 200, description = "It, and the caller's role in it.", body = ConversationAnswer)),
    extensions(("x-codes" = json!(["no_such_conversation"]))))]
pub(super) async fn show(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(conversation): PathId<ConversationId>,
) -> Result<Json<ConversationAnswer>, Problem> {
    let standing = state.engine.conversation(&device.user, conversation).await?;
    Ok(Json(ConversationAnswer::standing(standing)))
}

/// `PATCH /v1/conversations/{id}`: changes title and the like, for admins and the owner.
#[utoipa::path(patch, path = "/v1/conversations/{id}", request_body = ChangeRequest, security(("device" = [])),
    params(("id" = ConversationId, Path)),
    responses((status = 200, description = "As it is now.", body = ConversationAnswer)),
    extensions(("x-codes" = json!(["no_such_conversation", "direct_conversation", "forbidden"]))))]
pub(super) async fn change(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(conversation): PathId<ConversationId>,
    JsonBody(request): JsonBody<ChangeRequest>,
) -> Result<Json<ConversationAnswer>, Problem> {
    let ChangeRequest { title, avatar, history, custom } = request;
    check_title(title.as_ref().and_then(Option::as_deref))?;
    check_avatar(avatar.as_ref().and_then(Option::as_deref))?;
    let custom = custom.map(|custom| custom.map(checked_custom).transpose()).transpose()?;
    let change = DetailsChange { title, avatar, history, custom };
    admit(&state, &device)?;
    state.engine.change_details(&device.user, conversation, change).await?;
    let standing = state.engine.conversation(&device.user, conversation).await?;
    Ok(Json(ConversationAnswer::standing(standing)))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct InviteRequest {
    users: Vec<UserId>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct InviteAnswer {
    /// Those who were no members before.
    added: Vec<UserId>,
}

/// `POST /v1/conversations/{id}/members`: adds members, for admins and the owner.
#[utoipa::path(post, path = "/v1/conversations/{id}/members", request_body = InviteRequest, security(("device" = [])),
    params(("id" = ConversationId, Path)),
    responses((status = 200, description = "Who was added.", body = InviteAnswer)),
    extensions(("x-codes" = json!([
        "no_such_conversation", "direct_conversation", "forbidden", "no_such_user", "too_many_conversations",
        "too_many_members", "blocked"]))))]
pub(super) async fn invite(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(conversation): PathId<ConversationId>,
    JsonBody(InviteRequest { users }): JsonBody<InviteRequest>,
) -> Result<Json<InviteAnswer>, Problem> {
    if users.len() > limits::GROUP_MEMBERS_MAX {
        return Err(too_many_named("users"));
    }
    admit_naming(&state, &device, users.len())?;
    let added = state.engine.invite(&device.user, conversation, users).await?;
    Ok(Json(InviteAnswer { added }))
}

/// `DELETE /v1/conversations/{id}/members/{user}`: the owner removes anybody, an admin plain members, everybody oneself.
#[utoipa::path(delete, path = "/v1/conversations/{id}/members/{user}", security(("device" = [])),
    params(("id" = ConversationId, Path), ("user" = UserId, Path)),
    responses((status = 204, description = "The user is no member any more.")),
    extensions(("x-codes" = json!(["no_such_conversation", "direct_conversation", "forbidden", "no_such_member"]))))]
pub(super) async fn remove(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathMember(conversation, member): PathMember,
) -> Result<StatusCode, Problem> {
    admit(&state, &device)?;
    if member == device.user {
        state.engine.leave(&device.user, conversation).await?;
    } else {
        state.engine.remove_member(&device.user, conversation, member).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
pub(super) struct RoleRequest {
    #[schema(value_type = RoleSchema)]
    role: Role,
}

/// `PATCH /v1/conversations/{id}/members/{user}`: the owner gives roles. The role `owner` hands the conversation over.
#[utoipa::path(patch, path = "/v1/conversations/{id}/members/{user}", request_body = RoleRequest,
    security(("device" = [])), params(("id" = ConversationId, Path), ("user" = UserId, Path)),
    responses((status = 204, description = "The member has the role.")),
    extensions(("x-codes" = json!(["no_such_conversation", "direct_conversation", "forbidden", "no_such_member"]))))]
pub(super) async fn set_role(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathMember(conversation, member): PathMember,
    JsonBody(RoleRequest { role }): JsonBody<RoleRequest>,
) -> Result<StatusCode, Problem> {
    admit(&state, &device)?;
    state.engine.set_role(&device.user, conversation, member, role).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/conversations/{id}/join`: into a room.
#[utoipa::path(post, path = "/v1/conversations/{id}/join", security(("device" = [])),
    params(("id" = ConversationId, Path)),
    responses((status = 200, description = "The caller is a member.", body = ConversationAnswer)),
    extensions(("x-codes" = json!(["no_such_conversation", "too_many_conversations", "too_many_members"]))))]
pub(super) async fn join(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(conversation): PathId<ConversationId>,
) -> Result<Json<ConversationAnswer>, Problem> {
    admit(&state, &device)?;
    state.engine.join(&device.user, conversation).await?;
    let standing = state.engine.conversation(&device.user, conversation).await?;
    Ok(Json(ConversationAnswer::standing(standing)))
}

/// `POST /v1/conversations/{id}/leave`: the caller is no member any more.
#[utoipa::path(post, path = "/v1/conversations/{id}/leave", security(("device" = [])),
    params(("id" = ConversationId, Path)),
    responses((status = 204, description = "So it is.")),
    extensions(("x-codes" = json!(["no_such_conversation", "direct_conversation"]))))]
pub(super) async fn leave(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(conversation): PathId<ConversationId>,
) -> Result<StatusCode, Problem> {
    admit(&state, &device)?;
    state.engine.leave(&device.user, conversation).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A conversation and a user in the path.
pub(super) struct PathMember(ConversationId, UserId);

impl<S: Send + Sync> FromRequestParts<S> for PathMember {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(Path((conversation, user))) = Path::<(String, String)>::from_request_parts(parts, state).await else {
            return Err(bad_request("The ids in the path are not UTF-8"));
        };
        let wrong = |error: IdError| bad_request(&format!("In the path, {error}"));
        Ok(Self(conversation.parse().map_err(wrong)?, user.parse().map_err(wrong)?))
    }
}

/// Each change is an entry of a log: changes share the rate of sends.
pub(super) fn admit(state: &GatewayState, device: &Device) -> Result<(), Problem> {
    admit_naming(state, device, 0)
}

/// A change that is told to so many users, each by an entry of the user's feed.
pub(super) fn admit_naming(state: &GatewayState, device: &Device, users: usize) -> Result<(), Problem> {
    let admitted = state.device_rates().admit_many(&device.id, 1 + users, std::time::Instant::now());
    admitted.map_err(|wait| Problem::from(Code::RateLimited).retry_after(wait))
}

fn check_title(title: Option<&str>) -> Result<(), Problem> {
    if title.is_none_or(is_title) {
        return Ok(());
    }
    let bound = limits::NAME_CHARS_MAX;
    Err(bad_request(&format!("\"title\" must have 1 to {bound} characters, none of them a control character")))
}

fn check_avatar(avatar: Option<&str>) -> Result<(), Problem> {
    if avatar.is_none_or(is_avatar) {
        return Ok(());
    }
    let bound = limits::AVATAR_BYTES_MAX;
    Err(bad_request(&format!("\"avatar\" must be an http or https URL of at most {bound} bytes, without spaces")))
}

fn checked_custom(custom: JsonObject) -> Result<CustomObject, Problem> {
    let (bytes, depth) = (limits::CUSTOM_BYTES_MAX, limits::BODY_DEPTH_MAX - 1);
    CustomObject::new(custom).ok_or_else(|| {
        bad_request(&format!("\"custom\" must have at most {bytes} bytes and be nested at most {depth} levels deep"))
    })
}

fn too_many_named(field: &str) -> Problem {
    bad_request(&format!("\"{field}\" may name at most {} users", limits::GROUP_MEMBERS_MAX))
}
