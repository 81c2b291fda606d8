//! The caller's conversations, and who is in them.

use super::caller::Caller;
use super::groups::GroupRequest;
use super::openapi::schemas::{CustomSchema, HistorySchema, RoleSchema};
use super::page_size;
use super::people::StateAnswer;
use crate::http::{JsonBody, Params, PathId, bad_request};
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lockstep_engine::{ListedConversation, Standing};
use lockstep_model::{
    Code, Conversation, ConversationId, ConversationKind, CustomObject, Details, Device, History, Member, MemberState,
    Role, Seq, UnixMs, UserId,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A conversation as lists show it.
#[derive(Serialize, ToSchema)]
pub(super) struct ConversationAnswer {
    id: ConversationId,
    #[schema(examples("direct", "group", "room"))]
    kind: &'static str,
    title: Option<String>,
    avatar: Option<String>,
    #[schema(value_type = Option<CustomSchema>)]
    custom: Option<CustomObject>,
    #[schema(value_type = HistorySchema)]
    history: History,
    /// For direct ones, the other user.
    peer: Option<UserId>,
    head: Seq,
    floor: Seq,
    created_at: UnixMs,
    active_at: UnixMs,
    member: bool,
    /// The caller's; null if it is no member.
    #[schema(value_type = Option<RoleSchema>)]
    role: Option<Role>,
    /// How many there are.
    members: u64,
    /// What the caller keeps about it.
    state: StateAnswer,
}

impl ConversationAnswer {
    fn new(conversation: Conversation, peer: Option<UserId>, role: Option<Role>, state: MemberState) -> Self {
        let Details { title, avatar, custom, history } = conversation.details;
        Self {
            id: conversation.id,
            kind: conversation.kind.as_str(),
            title,
            avatar,
            custom,
            history,
            peer,
            head: conversation.bounds.head,
            floor: conversation.bounds.floor,
            created_at: conversation.created_at,
            active_at: conversation.active_at,
            member: role.is_some(),
            role,
            members: conversation.member_count,
            state: state.into(),
        }
    }

    pub(super) fn standing(standing: Standing) -> Self {
        Self::new(standing.conversation, standing.peer, standing.role, standing.state)
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ListAnswer {
    conversations: Vec<ConversationAnswer>,
    /// What to give as `cursor` for the next page; null on the last one.
    next: Option<String>,
}

/// `GET /v1/conversations`: those that the caller is or was in, most recently active first.
#[utoipa::path(get, path = "/v1/conversations", params(ListParams), security(("device" = [])),
    responses((status = 200, description = "A page.", body = ListAnswer)))]
pub(super) async fn list(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<ListAnswer>, Problem> {
    let size = page_size(params.limit)?;
    let after = match &params.cursor {
        None => None,
        Some(text) => Some(parse_cursor(text).ok_or_else(wrong_cursor)?),
    };
    // One more than fits tells whether there is a next page.
    let mut listed = state.engine.conversations(&device.user, after, size + 1).await?;
    let more = listed.len() > size as usize;
    listed.truncate(size as usize);
    let next = listed.last().filter(|_| more).map(write_cursor);
    let conversations = listed
        .into_iter()
        .map(|one| ConversationAnswer::new(one.conversation, one.peer, one.role, one.state))
        .collect();
    Ok(Json(ListAnswer { conversations, next }))
}

pub(super) fn wrong_cursor() -> Problem {
    bad_request("\"cursor\" must be the \"next\" of an earlier answer, as it was")
}

/// The id comes last, since it may have any characters.
pub(super) fn parse_member_cursor(text: &str) -> Option<(Seq, UserId)> {
    let (joined_seq, user) = text.split_once('.')?;
    Some((Seq::new(joined_seq.parse().ok()?), user.parse().ok()?))
}

fn write_cursor(last: &ListedConversation) -> String {
    format!("{}.{}", last.conversation.active_at, last.conversation.id)
}

fn parse_cursor(text: &str) -> Option<(UnixMs, ConversationId)> {
    let (active_at, id) = text.split_once('.')?;
    Some((UnixMs::new(active_at.parse().ok()?), id.parse().ok()?))
}

/// A conversation to make.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum CreateRequest {
    /// A group of the caller and others.
    Group(GroupRequest),
    /// A room, open to join.
    Room(GroupRequest),
    /// The one conversation with another user.
    Direct { user: UserId },
}

/// `POST /v1/conversations`: 201 if it was made, 200 if it was there: a direct one is made once.
#[utoipa::path(post, path = "/v1/conversations", request_body = CreateRequest, security(("device" = [])),
    responses(
        (status = 200, description = "It was there.", body = ConversationAnswer),
        (status = 201, description = "It was made.", body = ConversationAnswer)),
    extensions(("x-codes" = json!(["no_such_user", "blocked", "too_many_conversations", "too_many_members"]))))]
pub(super) async fn create(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    JsonBody(request): JsonBody<CreateRequest>,
) -> Result<(StatusCode, Json<ConversationAnswer>), Problem> {
    match request {
        CreateRequest::Group(group) => create_group(&state, &device, group, ConversationKind::Group).await,
        CreateRequest::Room(room) => create_group(&state, &device, room, ConversationKind::Room).await,
        CreateRequest::Direct { user } => {
            super::groups::admit(&state, &device)?;
            let was_there = direct_exists(&state, &device.user, &user).await?;
            let direct = state.engine.open_direct(&device.user, &user).await?;
            let status = if was_there { StatusCode::OK } else { StatusCode::CREATED };
            let kept = state.engine.member_state(&device.user, direct.id).await?;
            Ok((status, Json(ConversationAnswer::new(direct, Some(user), Some(Role::Member), kept))))
        }
    }
}

async fn create_group(
    state: &GatewayState,
    device: &Device,
    request: GroupRequest,
    kind: ConversationKind,
) -> Result<(StatusCode, Json<ConversationAnswer>), Problem> {
    let draft = request.draft(kind)?;
    super::groups::admit_naming(state, device, draft.members.len())?;
    let made = state.engine.create(&device.user, draft).await?;
    Ok((StatusCode::CREATED, Json(ConversationAnswer::new(made, None, Some(Role::Owner), MemberState::default()))))
}

/// Two who make it at the same moment may both be told that they made it.
async fn direct_exists(state: &GatewayState, user: &UserId, peer: &UserId) -> Result<bool, Problem> {
    match state.engine.members(user, ConversationId::direct(user, peer), None, 1).await {
        Ok(_) => Ok(true),
        Err(Code::NoSuchConversation) => Ok(false),
        Err(code) => Err(code.into()),
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MembersParams {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct MemberAnswer {
    user: UserId,
    #[schema(value_type = RoleSchema)]
    role: Role,
    since: UnixMs,
}

#[derive(Serialize, ToSchema)]
pub(super) struct MembersAnswer {
    members: Vec<MemberAnswer>,
    /// Where the log stood before this was read: changes after it may be known already, and no other is missing.
    head: Seq,
    /// What to give as `cursor` for the next page; null on the last one.
    next: Option<String>,
}

/// `GET /v1/conversations/{id}/members`, in order of joining.
#[utoipa::path(get, path = "/v1/conversations/{id}/members", security(("device" = [])),
    params(("id" = ConversationId, Path), MembersParams),
    responses((status = 200, description = "A page.", body = MembersAnswer)),
    extensions(("x-codes" = json!(["no_such_conversation"]))))]
pub(super) async fn members(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(conversation): PathId<ConversationId>,
    Params(params): Params<MembersParams>,
) -> Result<Json<MembersAnswer>, Problem> {
    let size = page_size(params.limit)?;
    let after = params.cursor.as_deref().map(|text| parse_member_cursor(text).ok_or_else(wrong_cursor)).transpose()?;
    let (mut members, head) = state.engine.members(&device.user, conversation, after, size + 1).await?;
    let more = members.len() > size as usize;
    members.truncate(size as usize);
    let next = members.last().filter(|_| more).map(|last| format!("{}.{}", last.joined_seq, last.user));
    let answer = |member: Member| MemberAnswer { user: member.user, role: member.role, since: member.joined_at };
    Ok(Json(MembersAnswer { members: members.into_iter().map(answer).collect(), head, next }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_cursors_are_taken() {
        let id = ConversationId::generate();
        assert_eq!(parse_cursor(&format!("17.{id}")), Some((UnixMs::new(17), id)));
        for wrong in ["", ".", "17", "17.", &format!(".{id}"), &format!("x.{id}"), &format!("-1.{id}"), "17.x"] {
            assert_eq!(parse_cursor(wrong), None, "{wrong}");
        }
        let ana = UserId::new("ana.b").unwrap();
        assert_eq!(parse_member_cursor("17.ana.b"), Some((Seq::new(17), ana)));
        for wrong in ["", ".", "17", "17.", ".ana", "x.ana", "-1.ana"] {
            assert_eq!(parse_member_cursor(wrong), None, "{wrong}");
        }
    }
}
