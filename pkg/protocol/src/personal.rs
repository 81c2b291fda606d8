//! What a user keeps and hears about conversations: own state, unread messages, the others' receipts.

use crate::{ConversationId, Seq, UnixMs, UserId};
use serde::{Deserialize, Serialize};

/// What is to change of a user's state of a conversation. What is absent stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StateChange {
    /// Whether it stands above the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// Whether it is put away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// Until when its messages make no noise; 0 ends that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<UnixMs>,
    /// Whether the user wants it to look unread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked_unread: Option<bool>,
    /// What lies below is hidden from the user. It only ever rises.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_before: Option<Seq>,
}

/// How much of a conversation a user has not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Unread {
    /// The conversation.
    pub conversation: ConversationId,
    /// The user's read offset.
    pub read: Seq,
    /// The log's head.
    pub head: Seq,
    /// Messages of others after the offset that the user may see and that were not recalled: exact up to
    /// [`crate::limits::UNREAD_MAX`].
    pub unread: u64,
    /// Whether there are more than that.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// How many of them mention the user: exact up to the same bound.
    pub mentions: u64,
    /// Whether the user wants the conversation to look unread.
    pub marked: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// How far another member has got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// Who.
    pub user: UserId,
    /// Everything up to here has arrived on one of the user's devices; absent if that is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Seq>,
    /// The user has read up to here; absent if that is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Seq>,
}
