//! The caller's conversations, and who is in them.

use super::caller::Caller;
use super::page_size;
use super::people::StateAnswer;
use crate::http::{JsonBody, Params, PathId, bad_request};
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lockstep_engine::ListedConversation;
use lockstep_model::{Code, Conversation, ConversationId, MemberState, Seq, UnixMs, UserId, limits};
use serde::{Deserialize, Serialize};

/// A conversation as lists show it.
#[derive(Serialize)]
pub(super) struct ConversationAnswer {
    id: ConversationId,
    kind: &'static str,
    title: Option<String>,
    /// For direct ones, the other user.
    peer: Option<UserId>,
    head: Seq,
    floor: Seq,
    created_at: UnixMs,
    active_at: UnixMs,
    member: bool,
    /// What the caller keeps about it.
    state: StateAnswer,
}

impl ConversationAnswer {
    fn new(conversation: Conversation, peer: Option<UserId>, member: bool, state: MemberState) -> Self {
        Self {
            id: conversation.id,
            kind: conversation.kind.as_str(),
            title: conversation.title,
            peer,
            head: conversation.bounds.head,
            floor: conversation.bounds.floor,
            created_at: conversation.created_at,
            active_at: conversation.active_at,
            member,
            state: state.into(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct ListParams {
    cursor: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct ListAnswer {
    conversations: Vec<ConversationAnswer>,
    /// What to give as `cursor` for the next page; null on the last one.
    next: Option<String>,
}

/// `GET /v1/conversations`: those that the caller is or was in, most recently active first.
pub(super) async fn list(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<ListAnswer>, Problem> {
    let size = page_size(params.limit)?;
    let after = match &params.cursor {
        None => None,
        Some(text) => Some(
            parse_cursor(text)
                .ok_or_else(|| bad_request("\"cursor\" must be the \"next\" of an earlier answer, as it was"))?,
        ),
    };
    // One more than fits tells whether there is a next page.
    let mut listed = state.engine.conversations(&device.user, after, size + 1).await?;
    let more = listed.len() > size as usize;
    listed.truncate(size as usize);
    let next = listed.last().filter(|_| more).map(write_cursor);
    let conversations = listed
        .into_iter()
        .map(|one| ConversationAnswer::new(one.conversation, one.peer, one.member, one.state))
        .collect();
    Ok(Json(ListAnswer { conversations, next }))
}

fn write_cursor(last: &ListedConversation) -> String {
    format!("{}.{}", last.conversation.active_at, last.conversation.id)
}

fn parse_cursor(text: &str) -> Option<(UnixMs, ConversationId)> {
    let (active_at, id) = text.split_once('.')?;
    Some((UnixMs::new(active_at.parse().ok()?), id.parse().ok()?))
}

/// A conversation to make.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum CreateRequest {
    /// A group of the caller and others.
    Group {
        #[serde(default)]
        title: Option<String>,
        members: Vec<UserId>,
    },
    /// The one conversation with another user.
    Direct { user: UserId },
}

/// `POST /v1/conversations`: 201 if it was made, 200 if it was there: a direct one is made once.
pub(super) async fn create(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    JsonBody(request): JsonBody<CreateRequest>,
) -> Result<(StatusCode, Json<ConversationAnswer>), Problem> {
    match request {
        CreateRequest::Group { title, members } => {
            if let Some(title) = &title {
                check_title(title)?;
            }
            if members.len() > limits::GROUP_MEMBERS_MAX {
                return Err(bad_request(&format!(
                    "A group is made with at most {} members",
                    limits::GROUP_MEMBERS_MAX
                )));
            }
            let made = state.engine.create_group(&device.user, title, members).await?;
            Ok((StatusCode::CREATED, Json(ConversationAnswer::new(made, None, true, MemberState::default()))))
        }
        CreateRequest::Direct { user } => {
            let was_there = direct_exists(&state, &device.user, &user).await?;
            let direct = state.engine.open_direct(&device.user, &user).await?;
            let status = if was_there { StatusCode::OK } else { StatusCode::CREATED };
            let kept = state.engine.member_state(&device.user, direct.id).await?;
            Ok((status, Json(ConversationAnswer::new(direct, Some(user), true, kept))))
        }
    }
}

/// Two who make it at the same moment may both be told that they made it.
async fn direct_exists(state: &GatewayState, user: &UserId, peer: &UserId) -> Result<bool, Problem> {
    match state.engine.members(user, ConversationId::direct(user, peer), None, 1).await {
        Ok(_) => Ok(true),
        Err(Code::NoSuchConversation) => Ok(false),
        Err(code) => Err(code.into()),
    }
}

fn check_title(title: &str) -> Result<(), Problem> {
    let fits = (1..=limits::NAME_CHARS_MAX).contains(&title.chars().count());
    if fits && !title.chars().any(char::is_control) {
        return Ok(());
    }
    let bound = limits::NAME_CHARS_MAX;
    Err(bad_request(&format!("\"title\" must have 1 to {bound} characters, none of them a control character")))
}

#[derive(Deserialize)]
pub(super) struct MembersParams {
    cursor: Option<UserId>,
    limit: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct MembersAnswer {
    members: Vec<UserId>,
    /// What to give as `cursor` for the next page; null on the last one.
    next: Option<UserId>,
}

/// `GET /v1/conversations/{id}/members`, in order of joining.
pub(super) async fn members(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(conversation): PathId<ConversationId>,
    Params(params): Params<MembersParams>,
) -> Result<Json<MembersAnswer>, Problem> {
    let size = page_size(params.limit)?;
    let mut members = state.engine.members(&device.user, conversation, params.cursor, size + 1).await?;
    let more = members.len() > size as usize;
    members.truncate(size as usize);
    let next = members.last().filter(|_| more).cloned();
    Ok(Json(MembersAnswer { members, next }))
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
    }

    #[test]
    fn which_titles_are_taken() {
        let cases = [("t", true), (&"ü".repeat(128), true), (&"ü".repeat(129), false), ("", false), ("a\nb", false)];
        for (title, expected) in cases {
            assert_eq!(check_title(title).is_ok(), expected, "{title}");
        }
    }
}
