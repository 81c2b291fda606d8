//! Profiles, contacts, blocks, and what the caller keeps about conversations.

use super::caller::Caller;
use super::openapi::schemas::CustomSchema;
use super::page_size;
use crate::http::{JsonBody, Params, PathId, bad_request};
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lockstep_model::{
    Block, Code, Contact, ConversationId, Custom, CustomError, MemberState, Profile, ProfileChange, Seq, StateChange,
    UnixMs, UserId, limits,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

#[derive(Serialize, ToSchema)]
pub(super) struct ProfileAnswer {
    id: UserId,
    name: Option<String>,
    avatar: Option<String>,
    #[schema(value_type = CustomSchema)]
    custom: Box<RawValue>,
}

impl TryFrom<Profile> for ProfileAnswer {
    type Error = Problem;
    fn try_from(profile: Profile) -> Result<Self, Problem> {
        let custom = RawValue::from_string(profile.custom.as_json().to_owned());
        let custom = custom.map_err(|_| Problem::from(Code::Internal))?;
        Ok(Self { id: profile.id, name: profile.name, avatar: profile.avatar, custom })
    }
}

/// `GET /v1/profile`: the caller's own.
#[utoipa::path(get, path = "/v1/profile", security(("device" = [])),
    responses((status = 200, description = "It.", body = ProfileAnswer)),
    extensions(("x-codes" = json!(["no_such_user"]))))]
pub(super) async fn own_profile(
    State(state): State<GatewayState>,
    Caller(device): Caller,
) -> Result<Json<ProfileAnswer>, Problem> {
    state.engine.profile(&device.user).await?.try_into().map(Json)
}

/// What is to change: an absent field stays, null removes.
#[derive(Deserialize, ToSchema)]
pub(super) struct ProfileRequest {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, example = "https://example.com/ana.png")]
    avatar: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<CustomSchema>)]
    custom: Option<Option<Box<RawValue>>>,
}

/// Tells null from absence, which serde does not.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// `PATCH /v1/profile`: what is absent stays, null removes.
#[utoipa::path(patch, path = "/v1/profile", request_body = ProfileRequest, security(("device" = [])),
    responses((status = 200, description = "As it is now.", body = ProfileAnswer)),
    extensions(("x-codes" = json!(["no_such_user"]))))]
pub(super) async fn change_profile(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    JsonBody(request): JsonBody<ProfileRequest>,
) -> Result<Json<ProfileAnswer>, Problem> {
    super::groups::admit(&state, &device)?;
    let ProfileRequest { name, avatar, custom } = request;
    check_name(name.as_ref().and_then(Option::as_deref))?;
    let custom = custom.map(|custom| custom.map_or(Ok(Custom::default()), |custom| Custom::parse(custom.get())));
    let custom = custom.transpose().map_err(|error: CustomError| wrong("custom", &error.to_string()))?;
    let avatar_given = avatar.as_ref().is_some_and(Option::is_some);
    let changed = state.engine.change_profile(&device.user, ProfileChange { name, avatar, custom }).await;
    let changed = changed.map_err(|code| match code {
        // The name fits, so that it is the avatar.
        Code::BadRequest if avatar_given => {
            let bound = limits::AVATAR_BYTES_MAX;
            wrong("avatar", &format!("it must be an http or https URL of at most {bound} bytes"))
        }
        code => code.into(),
    });
    changed?.try_into().map(Json)
}

fn wrong(field: &str, sentence: &str) -> Problem {
    bad_request(&format!("\"{field}\" does not fit: {sentence}"))
}

pub(super) fn check_name(name: Option<&str>) -> Result<(), Problem> {
    let fits = |name: &str| {
        (1..=limits::NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control)
    };
    if name.is_none_or(fits) {
        return Ok(());
    }
    let bound = limits::NAME_CHARS_MAX;
    Err(wrong("name", &format!("it must have 1 to {bound} characters, none of them a control character")))
}

/// `GET /v1/users/{id}`: anybody's profile.
#[utoipa::path(get, path = "/v1/users/{id}", security(("device" = [])), params(("id" = UserId, Path)),
    responses((status = 200, description = "It.", body = ProfileAnswer)),
    extensions(("x-codes" = json!(["no_such_user"]))))]
pub(super) async fn profile(
    State(state): State<GatewayState>,
    Caller(_): Caller,
    PathId(user): PathId<UserId>,
) -> Result<Json<ProfileAnswer>, Problem> {
    state.engine.profile(&user).await?.try_into().map(Json)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UsersParams {
    /// At most 100 users, separated by commas.
    #[param(example = "ana,ben")]
    ids: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct UsersAnswer {
    users: Vec<ProfileAnswer>,
}

/// `GET /v1/users?ids=a,b`: the profiles of those that exist, in the order asked.
#[utoipa::path(get, path = "/v1/users", security(("device" = [])), params(UsersParams),
    responses((status = 200, description = "They.", body = UsersAnswer)))]
pub(super) async fn profiles(
    State(state): State<GatewayState>,
    Caller(_): Caller,
    Params(params): Params<UsersParams>,
) -> Result<Json<UsersAnswer>, Problem> {
    let ids = comma_separated("ids", &params.ids, limits::USERS_PER_REQUEST_MAX)?;
    let found = state.engine.profiles(ids).await?;
    let users = found.into_iter().map(ProfileAnswer::try_from).collect::<Result<_, _>>()?;
    Ok(Json(UsersAnswer { users }))
}

/// The ids of a query parameter, separated by commas.
pub(super) fn comma_separated<T: std::str::FromStr<Err = lockstep_model::IdError>>(
    name: &str,
    text: &str,
    most: usize,
) -> Result<Vec<T>, Problem> {
    let ids: Vec<&str> = text.split(',').filter(|id| !id.is_empty()).collect();
    if ids.is_empty() || ids.len() > most {
        return Err(bad_request(&format!("\"{name}\" must have 1 to {most} ids, separated by commas")));
    }
    let parsed = ids.into_iter().map(str::parse).collect::<Result<_, _>>();
    parsed.map_err(|error: lockstep_model::IdError| wrong(name, &error.to_string()))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// The `next` of the page before.
    cursor: Option<UserId>,
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ContactAnswer {
    user: UserId,
    name: Option<String>,
    created_at: UnixMs,
}

impl From<Contact> for ContactAnswer {
    fn from(Contact { user, name, created_at }: Contact) -> Self {
        Self { user, name, created_at }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct ContactsAnswer {
    contacts: Vec<ContactAnswer>,
    /// What to give as `cursor` for the next page; null on the last one.
    next: Option<UserId>,
}

/// `GET /v1/contacts`, in the order of their ids.
#[utoipa::path(get, path = "/v1/contacts", security(("device" = [])), params(ListParams),
    responses((status = 200, description = "A page.", body = ContactsAnswer)))]
pub(super) async fn contacts(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<ContactsAnswer>, Problem> {
    let size = page_size(params.limit)?;
    let mut contacts = state.engine.contacts(&device.user, params.cursor, size + 1).await?;
    let more = contacts.len() > size as usize;
    contacts.truncate(size as usize);
    let next = contacts.last().filter(|_| more).map(|contact| contact.user.clone());
    Ok(Json(ContactsAnswer { contacts: contacts.into_iter().map(ContactAnswer::from).collect(), next }))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct ContactRequest {
    /// What the caller calls the user.
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
}

/// `PUT /v1/contacts/{user}`: the whole contact; without a name it has none.
#[utoipa::path(put, path = "/v1/contacts/{user}", request_body = ContactRequest, security(("device" = [])),
    params(("user" = UserId, Path)),
    responses((status = 200, description = "The contact.", body = ContactAnswer)),
    extensions(("x-codes" = json!(["no_such_user", "too_many_contacts"]))))]
pub(super) async fn put_contact(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(user): PathId<UserId>,
    JsonBody(request): JsonBody<ContactRequest>,
) -> Result<Json<ContactAnswer>, Problem> {
    super::groups::admit(&state, &device)?;
    check_name(request.name.as_deref())?;
    Ok(Json(state.engine.put_contact(&device.user, user, request.name).await?.into()))
}

/// `DELETE /v1/contacts/{user}`: removing one again changes nothing.
#[utoipa::path(delete, path = "/v1/contacts/{user}", security(("device" = [])), params(("user" = UserId, Path)),
    responses((status = 204, description = "The user is no contact.")))]
pub(super) async fn remove_contact(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(user): PathId<UserId>,
) -> Result<StatusCode, Problem> {
    super::groups::admit(&state, &device)?;
    state.engine.remove_contact(&device.user, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, ToSchema)]
pub(super) struct BlockAnswer {
    user: UserId,
    created_at: UnixMs,
}

impl From<Block> for BlockAnswer {
    fn from(Block { user, created_at }: Block) -> Self {
        Self { user, created_at }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct BlocksAnswer {
    blocks: Vec<BlockAnswer>,
    /// What to give as `cursor` for the next page; null on the last one.
    next: Option<UserId>,
}

/// `GET /v1/blocks`, in the order of their ids.
#[utoipa::path(get, path = "/v1/blocks", security(("device" = [])), params(ListParams),
    responses((status = 200, description = "A page.", body = BlocksAnswer)))]
pub(super) async fn blocks(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<BlocksAnswer>, Problem> {
    let size = page_size(params.limit)?;
    let mut blocks = state.engine.blocks(&device.user, params.cursor, size + 1).await?;
    let more = blocks.len() > size as usize;
    blocks.truncate(size as usize);
    let next = blocks.last().filter(|_| more).map(|block| block.user.clone());
    Ok(Json(BlocksAnswer { blocks: blocks.into_iter().map(BlockAnswer::from).collect(), next }))
}

/// `PUT /v1/blocks/{user}`: blocking again changes nothing.
#[utoipa::path(put, path = "/v1/blocks/{user}", security(("device" = [])), params(("user" = UserId, Path)),
    responses((status = 200, description = "The block.", body = BlockAnswer)),
    extensions(("x-codes" = json!(["no_such_user", "too_many_contacts"]))))]
pub(super) async fn put_block(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(user): PathId<UserId>,
) -> Result<Json<BlockAnswer>, Problem> {
    super::groups::admit(&state, &device)?;
    Ok(Json(state.engine.put_block(&device.user, user).await?.into()))
}

/// `DELETE /v1/blocks/{user}`: ending it again changes nothing.
#[utoipa::path(delete, path = "/v1/blocks/{user}", security(("device" = [])), params(("user" = UserId, Path)),
    responses((status = 204, description = "The user is not blocked.")))]
pub(super) async fn remove_block(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(user): PathId<UserId>,
) -> Result<StatusCode, Problem> {
    super::groups::admit(&state, &device)?;
    state.engine.remove_block(&device.user, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the caller keeps about a conversation.
#[derive(Serialize, ToSchema)]
pub(super) struct StateAnswer {
    pinned: bool,
    archived: bool,
    muted_until: UnixMs,
    marked_unread: bool,
    delete_before: Seq,
}

impl From<MemberState> for StateAnswer {
    fn from(state: MemberState) -> Self {
        let MemberState { pinned, archived, muted_until, marked_unread, delete_before } = state;
        Self { pinned, archived, muted_until, marked_unread, delete_before }
    }
}

/// `PATCH /v1/conversations/{id}/state`: changes what the caller keeps about it; what is absent stays.
#[utoipa::path(patch, path = "/v1/conversations/{id}/state", request_body = StateChange, security(("device" = [])),
    params(("id" = ConversationId, Path)),
    responses((status = 200, description = "The whole state.", body = StateAnswer)),
    extensions(("x-codes" = json!(["no_such_conversation"]))))]
pub(super) async fn change_state(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(conversation): PathId<ConversationId>,
    JsonBody(change): JsonBody<StateChange>,
) -> Result<Json<StateAnswer>, Problem> {
    super::groups::admit(&state, &device)?;
    Ok(Json(state.engine.change_state(&device.user, conversation, change).await?.into()))
}
