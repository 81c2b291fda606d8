//! What the caller has not read, and how far others have got.

use super::caller::Caller;
use super::conversations::{parse_member_cursor, wrong_cursor};
use super::page_size;
use super::people::comma_separated;
use crate::http::{JsonBody, Params, PathId};
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lockstep_model::{ConversationId, Receipt, ReceiptSettings, ReceiptSettingsChange, Seq, Unread, limits};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub(super) struct UnreadParams {
    conversations: String,
}

#[derive(Serialize)]
pub(super) struct UnreadAnswer {
    conversations: Vec<Unread>,
}

/// `GET /v1/reads?conversations=...`: without those that the caller never was in.
pub(super) async fn unread(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    Params(params): Params<UnreadParams>,
) -> Result<Json<UnreadAnswer>, Problem> {
    let asked = comma_separated("conversations", &params.conversations, limits::UNREAD_CONVERSATIONS_MAX)?;
    Ok(Json(UnreadAnswer { conversations: state.engine.unread(&device.user, asked).await? }))
}

#[derive(Serialize)]
pub(super) struct TotalAnswer {
    unread: u64,
    more: bool,
    mentions: u64,
    marked: u64,
}

/// `GET /v1/reads/total`: over all conversations that are neither archived nor muted.
pub(super) async fn total(
    State(state): State<GatewayState>,
    Caller(device): Caller,
) -> Result<Json<TotalAnswer>, Problem> {
    let total = state.engine.unread_total(&device.user).await?;
    let answer = TotalAnswer { unread: total.unread, more: total.more, mentions: total.mentions, marked: total.marked };
    Ok(Json(answer))
}

#[derive(Deserialize)]
pub(super) struct ReadRequest {
    seq: Seq,
}

/// `PUT /v1/conversations/{id}/read`: a lower seq than before changes nothing.
pub(super) async fn read(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(conversation): PathId<ConversationId>,
    JsonBody(request): JsonBody<ReadRequest>,
) -> Result<StatusCode, Problem> {
    state.engine.read_up_to(&device.user, conversation, request.seq).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(super) struct ReceiptsParams {
    cursor: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct ReceiptsAnswer {
    receipts: Vec<Receipt>,
    /// What to give as `cursor` for the next page; null on the last one.
    next: Option<String>,
}

/// `GET /v1/conversations/{id}/receipts`, of the members in order of joining.
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
#[derive(Serialize)]
pub(super) struct SettingsAnswer {
    receipts: ReceiptsSetting,
}

#[derive(Serialize)]
struct ReceiptsSetting {
    delivered: bool,
    read: bool,
}

impl From<ReceiptSettings> for SettingsAnswer {
    fn from(ReceiptSettings { delivered, read }: ReceiptSettings) -> Self {
        Self { receipts: ReceiptsSetting { delivered, read } }
    }
}

/// `GET /v1/profile/settings`.
pub(super) async fn settings(
    State(state): State<GatewayState>,
    Caller(device): Caller,
) -> Result<Json<SettingsAnswer>, Problem> {
    Ok(Json(state.engine.receipt_settings(&device.user).await?.into()))
}

/// What is to change: what is absent stays.
#[derive(Deserialize)]
pub(super) struct SettingsRequest {
    #[serde(default)]
    receipts: ReceiptsChange,
}

#[derive(Deserialize, Default)]
struct ReceiptsChange {
    delivered: Option<bool>,
    read: Option<bool>,
}

/// `PATCH /v1/profile/settings`.
pub(super) async fn change_settings(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    JsonBody(request): JsonBody<SettingsRequest>,
) -> Result<Json<SettingsAnswer>, Problem> {
    let ReceiptsChange { delivered, read } = request.receipts;
    let change = ReceiptSettingsChange { delivered, read };
    Ok(Json(state.engine.change_receipt_settings(&device.user, change).await?.into()))
}
