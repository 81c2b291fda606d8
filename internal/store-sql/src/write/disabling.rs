//! Users whom an administrator lets in no more, and again.

use super::job::Command;
use super::sign_outs;
use super::work::Work;
use crate::sql::{self, Values};
use lockstep_model::{Device, UnixMs, UserId};

/// [`disable_user`](lockstep_ports::Admin::disable_user).
pub(crate) struct DisableUser {
    pub(crate) user: UserId,
    pub(crate) now: UnixMs,
}

/// [`enable_user`](lockstep_ports::Admin::enable_user).
pub(crate) struct EnableUser(pub(crate) UserId);

impl Command for DisableUser {
    const OPERATION: &'static str = "disable_user";
    type Output = Option<Vec<Device>>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const DISABLE: &str = "UPDATE users SET disabled_at = ? WHERE id = ? AND disabled_at IS NULL";
        let mut values = Values::new();
        values.int(self.now.get()).text(self.user.as_str());
        if sql::execute(work.connection().await?, DISABLE, &mut values).await? == 0 {
            // Its answer may have been lost, and with it who was to be sent away.
            let is_there = is_there(work, &self.user).await?;
            return Ok(if is_there { Some(sign_outs::devices_of(work, &self.user).await?) } else { None });
        }
        sign_outs::tokens_of_all(work, &self.user, self.now).await.map(Some)
    }
}

impl Command for EnableUser {
    const OPERATION: &'static str = "enable_user";
    type Output = bool;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const ENABLE: &str = "UPDATE users SET disabled_at = NULL WHERE id = ? AND disabled_at IS NOT NULL";
        let changed = sql::execute(work.connection().await?, ENABLE, Values::new().text(self.0.as_str())).await?;
        Ok(changed > 0 || is_there(work, &self.0).await?)
    }
}

async fn is_there(work: &mut Work<'_>, user: &UserId) -> Result<bool, sqlx::Error> {
    const FIND: &str = "SELECT 1 FROM users WHERE id = ?";
    Ok(!sql::fetch(work.connection().await?, FIND, Values::new().text(user.as_str())).await?.is_empty())
}
