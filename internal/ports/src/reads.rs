//! What is unread, and how far others have got.

use crate::{Committed, StoreError};
use async_trait::async_trait;
use lockstep_model::{
    ConversationId, Receipt, ReceiptSettings, ReceiptSettingsChange, Seq, UnixMs, Unread, UnreadTotal, UserId,
};

/// Unread messages (I6) and receipts. Both are computed from the log, the offsets and the cursors whenever they are asked
/// for.
#[async_trait]
pub trait Reads: Send + Sync + 'static {
    /// How much of these conversations a user has not read: messages after the read offset that the user may see, that
    /// others wrote and that were not recalled. In the order asked, without those that the user never was in. Exact up to
    /// 999 as long as no more than [`SCANNED_MAX`] entries follow the offsets of all conversations asked for together. Else
    /// those of the longest ones are counted as far as equal shares reach, and it says that there are more.
    async fn unread(&self, user: UserId, conversations: Vec<ConversationId>) -> Result<Vec<Unread>, StoreError>;

    /// The sum over the user's conversations that are neither archived nor muted at `now`: over the most recently active
    /// [`TOTALLED_MAX`] of those in which something follows the read offset, and as far as [`SCANNED_MAX`] entries in all.
    async fn unread_total(&self, user: UserId, now: UnixMs) -> Result<UnreadTotal, StoreError>;

    /// How far the members of a conversation have got, as far as each tells: at most `count` in order of joining, those
    /// after `after`, each with where the member's stay began. Delivered is the highest stored cursor of any device.
    /// Across a block nobody tells anything.
    async fn receipts(
        &self,
        conversation: ConversationId,
        after: Option<(Seq, UserId)>,
        count: u32,
    ) -> Result<Vec<(Seq, Receipt)>, StoreError>;

    /// Whether receipts are told to live devices in a conversation: it has few members, is no feed, and no block stands in
    /// it.
    async fn tells_receipts(&self, conversation: ConversationId) -> Result<bool, StoreError>;

    /// What a user lets others hear; absent if there is no such user.
    async fn receipt_settings(&self, user: UserId) -> Result<Option<ReceiptSettings>, StoreError>;

    /// Changes that, as one commit; absent if there is no such user. Feed: `settings_changed`. The same again writes
    /// nothing.
    async fn change_receipt_settings(
        &self,
        user: UserId,
        change: ReceiptSettingsChange,
        now: UnixMs,
    ) -> Result<Option<Committed<ReceiptSettings>>, StoreError>;
}

/// Entries that are looked at to count what is unread. A user who never reads cannot make a question cost more.
pub const SCANNED_MAX: u64 = 10_000;
/// Conversations that the total is made over.
pub const TOTALLED_MAX: u64 = 1_000;
