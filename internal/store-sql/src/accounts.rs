//! The accounts' part of the directory.

use crate::row::Columns;
use crate::sql::Values;
use crate::store::SqliteStore;
use crate::write::{RenewPassword, Rotate, SetPassword, SignInDevice, SignOut, SignOutAll, SignUp};
use async_trait::async_trait;
use lockstep_model::{Device, DeviceId, UnixMs, User, UserId};
use lockstep_ports::{
    AccountRefusal, Accounts, Committed, PasswordChange, PasswordHash, Rotated, Rotation, SignIn, StoreError,
};

type Refusable<T> = Result<Result<T, AccountRefusal>, StoreError>;

#[async_trait]
impl Accounts for SqliteStore {
    async fn sign_up(
        &self,
        user: UserId,
        name: Option<String>,
        password: PasswordHash,
        now: UnixMs,
    ) -> Refusable<User> {
        self.command(SignUp { user, name, password, now }).await
    }

    async fn password(&self, user: UserId) -> Result<Option<PasswordHash>, StoreError> {
        const FIND: &str = "SELECT password_hash FROM users WHERE id = ?";
        let hash = |columns: &mut Columns<'_>| columns.optional_text().map(|hash| hash.map(str::to_owned));
        let found = self.ask("password", FIND, Values::new().text(user.as_str()), hash).await?;
        Ok(found.into_iter().next().flatten().map(PasswordHash))
    }

    async fn set_password(&self, change: PasswordChange) -> Refusable<Committed<Vec<Device>>> {
        self.command(SetPassword(change)).await
    }

    async fn renew_password(&self, user: UserId, old: PasswordHash, new: PasswordHash) -> Result<bool, StoreError> {
        self.command(RenewPassword { user, old, new }).await
    }

    async fn sign_in(&self, sign_in: SignIn) -> Refusable<Committed<Device>> {
        self.command(SignInDevice(sign_in)).await
    }

    async fn rotate(&self, rotation: Rotation) -> Refusable<Rotated> {
        self.command(Rotate(rotation)).await
    }

    async fn sign_out(&self, device: DeviceId, now: UnixMs) -> Refusable<Committed<Device>> {
        self.command(SignOut { device, now }).await
    }

    async fn sign_out_all(
        &self,
        user: UserId,
        keep: Option<DeviceId>,
        now: UnixMs,
    ) -> Result<Committed<Vec<Device>>, StoreError> {
        self.command(SignOutAll { user, keep, now }).await
    }
}
