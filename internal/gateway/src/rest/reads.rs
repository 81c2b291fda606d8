//! What the caller has not read, and how far others have got.

use super::caller::Caller;
use super::conversations::{parse_member_cursor, wrong_cursor};
use super::page_size;
use super::people::comma_separated;
use crate::http::{JsonBody, Params, PathId, object};
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lockstep_model::{ConversationId, Receipt, ReceiptSettings, ReceiptSettingsChange, Seq, Unread, limits};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UnreadParams {
    /// At most 100 conversations, separated by commas.
    #[param(example = "b07e0b16-c06a-8310-ad6d-62bfa14d9be7")]
    conversations: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct UnreadAnswer {
    conversations: Vec<Unread>,
}

/// `GET /v1/reads?conversations=...`: how much is unread, without those that the caller never was in.
#[utoipa::path(get, path = "/v1/reads", security(("device" = [])), params(UnreadParams),
    responses((status = 200, description = "Each that was asked for.", body = UnreadAnswer)))]
pub(super) async fn unread(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    Params(params): Params<UnreadParams>,
) -> Result<Json<UnreadAnswer>, Problem> {
    super::groups::admit(&state, &device)?;
    let asked = comma_separated("conversations", &params.conversations, limits::UNREAD_CONVERSATIONS_MAX)?;
    Ok(Json(UnreadAnswer { conversations: state.engine.unread(&device.user, asked).await? }))
}

#[derive(Serialize, ToSchema)]
pub(super) struct TotalAnswer {
    unread: u64,
    more: bool,
    mentions: u64,
    marked: u64,
}

/// `GET /v1/reads/total`: over all conversations that are neither archived nor muted.
#[utoipa::path(get, path = "/v1/reads/total", security(("device" = [])),
    responses((status = 200, description = "The sums.", body = TotalAnswer)))]
pub(super) async fn total(
    State(state): State<GatewayState>,
    Caller(device): Caller,
) -> Result<Json<TotalAnswer>, Problem> {
    super::groups::admit(&state, &device)?;
    let total = state.engine.unread_total(&device.user).await?;
    let answer = TotalAnswer { unread: total.unread, more: total.more, mentions: total.mentions, marked: total.marked };
    Ok(Json(answer))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct ReadRequest {
    seq: Seq,
}

/// `PUT /v1/conversations/{id}/read`: a lower seq than before changes nothing.
#[utoipa::path(put, path = "/v1/conversations/{id}/read", request_body = ReadRequest, security(("device" = [])),
    params(("id" = ConversationId, Path)),
    responses((status = 204, description = "It is read up to there, or further.")),
    extensions(("x-codes" = json!(["no_such_conversation", "read_beyond"]))))]
pub(super) async fn read(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(conversation): PathId<ConversationId>,
    JsonBody(request): JsonBody<ReadRequest>,
) -> Result<StatusCode, Problem> {
    state.engine.read_up_to(&device.user, conversation, request.seq).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReceiptsParams {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ReceiptsAnswer {
    receipts: Vec<Receipt>,
    /// What to give as `cursor` for the next page; null on the last one.
    next: Option<String>,
}

/// `GET /v1/conversations/{id}/receipts`, of the members in order of joining.
#[utoipa::path(get, path = "/v1/conversations/{id}/receipts", security(("device" = [])),
    params(("id" = ConversationId, Path), ReceiptsParams),
    responses((status = 200, description = "A page.", body = ReceiptsAnswer)),
    extensions(("x-codes" = json!(["no_such_conversation"]))))]
pub(super) async fn receipts(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(conversation): PathId<ConversationId>,
    Params(params): Params<ReceiptsParams>,
) -> Result<Json<ReceiptsAnswer>, Problem> {
    let size = page_size(params.limit)?;
    let after = params.cursor.as_deref().map(|text| parse_member_cursor(text).ok_or_else(wrong_cursor)).transpose()?;
    let mut receipts = state.engine.receipts(&device.user, conversation, after, size + 1).await?;
    let more = receipts.len() > size as usize;
    receipts.truncate(size as usize);
    let next = receipts.last().filter(|_| more).map(|(joined, last)| format!("{joined}.{}", last.user));
    Ok(Json(ReceiptsAnswer { receipts: receipts.into_iter().map(|(_, receipt)| receipt).collect(), next }))
}

/// What the caller lets others hear.
#[derive(Serialize, ToSchema)]
pub(super) struct SettingsAnswer {
    receipts: ReceiptsSetting,
}

#[derive(Serialize, ToSchema)]
struct ReceiptsSetting {
    delivered: bool,
    read: bool,
}

impl From<ReceiptSettings> for SettingsAnswer {
    fn from(ReceiptSettings { delivered, read }: ReceiptSettings) -> Self {
        Self { receipts: ReceiptsSetting { delivered, read } }
    }
}

/// `GET /v1/profile/settings`: what the caller lets others hear.
#[utoipa::path(get, path = "/v1/profile/settings", security(("device" = [])),
    responses((status = 200, description = "The settings.", body = SettingsAnswer)),
    extensions(("x-codes" = json!(["no_such_user"]))))]
pub(super) async fn settings(
    State(state): State<GatewayState>,
    Caller(device): Caller,
) -> Result<Json<SettingsAnswer>, Problem> {
    Ok(Json(state.engine.receipt_settings(&device.user).await?.into()))
}

/// What is to change: what is absent stays.
#[derive(Deserialize, ToSchema)]
pub(super) struct SettingsRequest {
    #[serde(default, deserialize_with = "object")]
    receipts: ReceiptsChange,
}

#[derive(Deserialize, Default, ToSchema)]
struct ReceiptsChange {
    delivered: Option<bool>,
    read: Option<bool>,
}

/// `PATCH /v1/profile/settings`: what is absent stays.
#[utoipa::path(patch, path = "/v1/profile/settings", request_body = SettingsRequest, security(("device" = [])),
    responses((status = 200, description = "All of them.", body = SettingsAnswer)),
    extensions(("x-codes" = json!(["no_such_user"]))))]
pub(super) async fn change_settings(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    JsonBody(request): JsonBody<SettingsRequest>,
) -> Result<Json<SettingsAnswer>, Problem> {
    super::groups::admit(&state, &device)?;
    let ReceiptsChange { delivered, read } = request.receipts;
    let change = ReceiptSettingsChange { delivered, read };
    Ok(Json(state.engine.change_receipt_settings(&device.user, change).await?.into()))
}
