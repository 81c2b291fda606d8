//! What has to go: old sends, and entries below their floor; in small steps, so that nobody waits long.

use super::job::Command;
use super::work::Work;
use crate::row::Columns;
use crate::sql::{self, Values};
use crate::store::Maintained;
use lockstep_model::{ConversationId, Seq, UnixMs};

/// How long a send is remembered (I2).
const SENDS_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Rows of each sort that one step deletes at most.
const STEP_ROWS: u64 = 500;

/// [`raise_floor`](lockstep_ports::MessageLog::raise_floor). From its commit on nobody sees what lies below the floor;
/// what one step does not delete is left to [`Maintain`].
pub(crate) struct RaiseFloor {
    pub(crate) conversation: ConversationId,
    pub(crate) floor: Seq,
}

/// One step of [`maintain`](crate::SqliteStore::maintain).
pub(crate) struct Maintain {
    pub(crate) now: UnixMs,
}

impl Command for RaiseFloor {
    const OPERATION: &'static str = "raise_floor";
    type Output = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), sqlx::Error> {
        const RAISE: &str =
            "UPDATE conversations SET floor = min(?2, head + 1) WHERE id = ?1 AND floor < min(?2, head + 1)";
        let id = self.conversation.as_bytes();
        if sql::execute(work.connection().await?, RAISE, Values::new().blob(id).int(self.floor.get())).await? > 0 {
            const LEAVE: &str = "INSERT OR IGNORE INTO sweeps (conversation) VALUES (?)";
            sql::execute(work.connection().await?, LEAVE, Values::new().blob(id)).await?;
            sweep(work, self.conversation).await?;
        }
        Ok(())
    }
}

impl Command for Maintain {
    const OPERATION: &'static str = "maintain";
    type Output = Maintained;

    async fn run(&self, work: &mut Work<'_>) -> Result<Maintained, sqlx::Error> {
        // Looks at no more than the oldest rows. One that a wrong clock dated into the future is passed over.
        const PURGE: &str = "DELETE FROM sends WHERE sent_at < ? AND rowid IN \
             (SELECT rowid FROM sends ORDER BY rowid LIMIT ?)";
        let oldest = self.now.get().saturating_sub(SENDS_KEPT_MS);
        let sends_forgotten =
            sql::execute(work.connection().await?, PURGE, Values::new().int(oldest).int(STEP_ROWS)).await?;
        const NEXT: &str = "SELECT conversation FROM sweeps LIMIT 1";
        let rows = sql::fetch(work.connection().await?, NEXT, &mut Values::new()).await?;
        let entries_deleted = match rows.first() {
            Some(row) => sweep(work, Columns::of(row).conversation_id()?).await?,
            None => 0,
        };
        let tokens_forgotten = purge_tokens(work, self.now).await?;
        let links_forgotten = super::links::purge(work, self.now, STEP_ROWS).await?;
        let more = sends_forgotten > 0 || !rows.is_empty() || tokens_forgotten > 0 || links_forgotten > 0;
        Ok(Maintained { sends_forgotten, entries_deleted, more })
    }
}

/// Deletes refresh tokens that have expired, and says how many. A device that has none left is signed out.
async fn purge_tokens(work: &mut Work<'_>, now: UnixMs) -> Result<u64, sqlx::Error> {
    const SIGN_OUT: &str = "UPDATE devices SET signed_out_at = ?1 WHERE signed_out_at IS NULL \
         AND id IN (SELECT device FROM refresh_tokens WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2) \
         AND NOT EXISTS (SELECT 1 FROM refresh_tokens t WHERE t.device = devices.id AND t.expires_at > ?1)";
    const PURGE: &str = "DELETE FROM refresh_tokens WHERE hash IN \
         (SELECT hash FROM refresh_tokens WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";
    sql::execute(work.connection().await?, SIGN_OUT, Values::new().int(now.get()).int(STEP_ROWS)).await?;
    sql::execute(work.connection().await?, PURGE, Values::new().int(now.get()).int(STEP_ROWS)).await
}

/// Deletes the oldest entries below a conversation's floor and says how many.
async fn sweep(work: &mut Work<'_>, conversation: ConversationId) -> Result<u64, sqlx::Error> {
    // Seqs have no gaps, so the first one says where a step ends.
    const END: &str = "SELECT min(floor, (SELECT min(seq) FROM entries WHERE conversation = ?1) + ?2) \
         FROM conversations WHERE id = ?1";
    let id = conversation.as_bytes();
    let rows = sql::fetch(work.connection().await?, END, Values::new().blob(id).int(STEP_ROWS)).await?;
    let end = rows.first().map(|row| Columns::of(row).optional_int()).transpose()?.flatten();
    // What belongs to an entry goes before it, so that nothing is left of one that is gone. An edit is known for as long as it
    // stands itself, though its message, which is below it, may be gone: a recall has to find it. It goes by its own place:
    // any number of edits may be left of one message.
    const DELETE: [&str; 3] = [
        "DELETE FROM mentions WHERE conversation = ?1 AND seq < ?2",
        "DELETE FROM edits INDEXED BY edits_by_place WHERE conversation = ?1 AND seq < ?2",
        "DELETE FROM entries WHERE conversation = ?1 AND seq < ?2",
    ];
    let mut deleted = 0;
    for delete in DELETE.into_iter().filter(|_| end.is_some()) {
        let mut values = Values::new();
        values.blob(id).int(end.unwrap_or_default());
        deleted = sql::execute(work.connection().await?, delete, &mut values).await?;
    }
    if deleted < STEP_ROWS {
        const DONE: &str = "DELETE FROM sweeps WHERE conversation = ?";
        sql::execute(work.connection().await?, DONE, Values::new().blob(id)).await?;
    }
    Ok(deleted)
}
