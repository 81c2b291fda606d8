//! Conversations: who is in them and who consumes them, never what is in them.

use super::{ConsumerPage, ConversationInfo, MemberPage, PageParams, TopicChannelInfo, TopicInfo, TopicServer, cut};
use crate::http::{Params, PathId};
use crate::rest::caller::Administrator;
use crate::rest::conversations::{parse_member_cursor, wrong_cursor};
use crate::rest::page_size;
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use lockstep_engine::{TopicAt, TopicChannel};
use lockstep_model::{ConversationId, DeviceId};

/// Channels of one topic on one server that are told of.
const CHANNELS_MAX: usize = 200;

/// `GET /v1/admin/conversations/{id}`: one conversation, a feed too.
#[utoipa::path(get, path = "/v1/admin/conversations/{id}", tag = "admin", params(("id" = ConversationId, Path)),
    security(("service" = ["admin"])),
    responses((status = 200, description = "The conversation.", body = ConversationInfo)),
    extensions(("x-codes" = json!(["no_such_conversation"]))))]
pub(crate) async fn admin_conversation(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    PathId(id): PathId<ConversationId>,
) -> Result<Json<ConversationInfo>, Problem> {
    let conversation = state.engine.conversation_record(id).await?;
    Ok(Json(ConversationInfo::new(conversation, state.engine.consumers_of(id).len())))
}

/// `GET /v1/admin/conversations/{id}/members`: in the order of joining.
#[utoipa::path(get, path = "/v1/admin/conversations/{id}/members", tag = "admin",
    params(("id" = ConversationId, Path), PageParams), security(("service" = ["admin"])),
    responses((status = 200, description = "A page.", body = MemberPage)),
    extensions(("x-codes" = json!(["no_such_conversation"]))))]
pub(crate) async fn admin_members(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    PathId(id): PathId<ConversationId>,
    Params(params): Params<PageParams>,
) -> Result<Json<MemberPage>, Problem> {
    let size = page_size(params.limit)?;
    let after = params.cursor.as_deref().map(|text| parse_member_cursor(text).ok_or_else(wrong_cursor)).transpose()?;
    state.engine.conversation_record(id).await?;
    let members = state.engine.members_after(id, after, size + 1).await?;
    let (members, next) = cut(members, size, |last| format!("{}.{}", last.joined_seq, last.user));
    Ok(Json(MemberPage { members: members.into_iter().map(Into::into).collect(), next }))
}

/// `GET /v1/admin/conversations/{id}/consumers`: the devices that consume it in this process, in the order of their ids.
#[utoipa::path(get, path = "/v1/admin/conversations/{id}/consumers", tag = "admin",
    params(("id" = ConversationId, Path), PageParams), security(("service" = ["admin"])),
    responses((status = 200, description = "A page.", body = ConsumerPage)),
    extensions(("x-codes" = json!(["no_such_conversation"]))))]
pub(crate) async fn consumers(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    PathId(id): PathId<ConversationId>,
    Params(params): Params<PageParams>,
) -> Result<Json<ConsumerPage>, Problem> {
    let size = page_size(params.limit)?;
    let after = match &params.cursor {
        None => None,
        Some(text) => Some(text.parse::<DeviceId>().map_err(|_| wrong_cursor())?),
    };
    state.engine.conversation_record(id).await?;
    let devices = state.engine.consumers_of(id).into_iter().filter(|device| after.is_none_or(|after| *device > after));
    let (devices, next) = cut(devices.take(size as usize + 1).collect(), size, DeviceId::to_string);
    Ok(Json(ConsumerPage { devices, next }))
}

/// `GET /v1/admin/conversations/{id}/topic`: where NSQ has its topic, and what waits there.
#[utoipa::path(get, path = "/v1/admin/conversations/{id}/topic", tag = "admin", params(("id" = ConversationId, Path)),
    security(("service" = ["admin"])),
    responses((status = 200, description = "The servers that answered and have it.", body = TopicInfo)),
    extensions(("x-codes" = json!(["no_such_conversation"]))))]
pub(crate) async fn topic(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    PathId(id): PathId<ConversationId>,
) -> Result<Json<TopicInfo>, Problem> {
    state.engine.conversation_record(id).await?;
    Ok(Json(TopicInfo { servers: state.engine.places_of(id).await.into_iter().map(server).collect() }))
}

fn server(TopicAt { server, depth, mut channels }: TopicAt) -> TopicServer {
    let channel_count = channels.len() as u64;
    channels.truncate(CHANNELS_MAX);
    let info = |TopicChannel { name, depth, in_flight, clients }| TopicChannelInfo { name, depth, in_flight, clients };
    TopicServer { server, depth, channel_count, channels: channels.into_iter().map(info).collect() }
}
