//! What users let others hear.

use super::job::Command;
use super::people::tell;
use super::work::Work;
use crate::row::Columns;
use crate::sql::{self, Values};
use lockstep_model::{PersonalChange, ReceiptSettings, ReceiptSettingsChange, UnixMs, UserId};
use lockstep_ports::Committed;

/// [`change_receipt_settings`](lockstep_ports::Reads::change_receipt_settings).
pub(crate) struct ChangeReceiptSettings {
    pub(crate) user: UserId,
    pub(crate) change: ReceiptSettingsChange,
    pub(crate) now: UnixMs,
}

impl Command for ChangeReceiptSettings {
    const OPERATION: &'static str = "change_receipt_settings";
    type Output = Option<Committed<ReceiptSettings>>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const FIND: &str = "SELECT tells_delivered, tells_read FROM users WHERE id = ?";
        let rows = sql::fetch(work.connection().await?, FIND, Values::new().text(self.user.as_str())).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let before = Columns::of(row).receipt_settings()?;
        let value = before.changed(self.change);
        if value == before {
            return Ok(Some(Committed { value, entries: vec![] }));
        }
        const PUT: &str = "UPDATE users SET tells_delivered = ?, tells_read = ? WHERE id = ?";
        let mut values = Values::new();
        values.int(value.delivered.into()).int(value.read.into()).text(self.user.as_str());
        sql::execute(work.connection().await?, PUT, &mut values).await?;
        let entries = tell(work, &self.user, &PersonalChange::Settings(value), self.now).await?;
        Ok(Some(Committed { value, entries }))
    }
}
