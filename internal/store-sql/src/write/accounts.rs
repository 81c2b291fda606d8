//! Passwords, and the sessions of devices: how they begin and go on.

use super::devices::{self, FORGET_TOKENS};
use super::job::Command;
use super::links;
use super::people;
use super::sign_outs;
use super::users;
use super::work::Work;
use crate::row::Columns;
use crate::sql::{self, Values};
use lockstep_model::{
    ConnectionGeneration, Device, DeviceId, DeviceKind, Entry, FeedChange, RefreshHash, TokenGeneration, UnixMs, User,
    UserId,
};
use lockstep_ports::{
    AccountRefusal, Committed, NEXT_MAX, PasswordChange, PasswordHash, Proof, Rotated, Rotation, SignIn,
};

/// [`sign_up`](lockstep_ports::Accounts::sign_up).
pub(crate) struct SignUp {
    pub(crate) user: UserId,
    pub(crate) name: Option<String>,
    pub(crate) password: PasswordHash,
    pub(crate) now: UnixMs,
}

/// [`set_password`](lockstep_ports::Accounts::set_password).
pub(crate) struct SetPassword(pub(crate) PasswordChange);

/// [`renew_password`](lockstep_ports::Accounts::renew_password).
pub(crate) struct RenewPassword {
    pub(crate) user: UserId,
    pub(crate) old: PasswordHash,
    pub(crate) new: PasswordHash,
}

/// [`sign_in`](lockstep_ports::Accounts::sign_in).
pub(crate) struct SignInDevice(pub(crate) SignIn);

/// [`rotate`](lockstep_ports::Accounts::rotate).
pub(crate) struct Rotate(pub(crate) Rotation);

type Refusable<T> = Result<T, AccountRefusal>;

/// What a user's row and devices say to a sign-in.
struct Account {
    password: Option<PasswordHash>,
    devices: u64,
    /// Whether a main device could approve: one that has its tokens, and not one whose answer may have been lost.
    has_main: bool,
    is_disabled: bool,
}

impl Account {
    fn has(&self, proven: &PasswordHash) -> bool {
        self.password.as_ref().is_some_and(|password| password.is_same_password(proven))
    }
}

impl Command for SignUp {
    const OPERATION: &'static str = "sign_up";
    type Output = Refusable<User>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        if account(work, &self.user).await?.is_some() {
            return Ok(Err(AccountRefusal::Taken));
        }
        let user = users::create(work, &self.user, self.now).await?;
        store_password(work, &self.user, &self.password).await?;
        if let Some(name) = &self.name {
            people::give_name(work, &self.user, name, self.now).await?;
        }
        Ok(Ok(user))
    }
}

impl Command for SetPassword {
    const OPERATION: &'static str = "set_password";
    type Output = Refusable<Committed<Vec<Device>>>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let PasswordChange { user, old, new, keep, now } = &self.0;
        let Some(account) = account(work, user).await? else { return Ok(Err(AccountRefusal::NoSuchUser)) };
        if old.as_ref().is_some_and(|old| !account.has(old)) {
            return Ok(Err(AccountRefusal::PasswordChanged));
        }
        store_password(work, user, new).await?;
        // Nobody can have signed in by a password that was not there.
        if account.password.is_none() {
            return Ok(Ok(Committed { value: vec![], entries: vec![] }));
        }
        sign_outs::all_but(work, user, *keep, *now).await.map(Ok)
    }
}

impl Command for RenewPassword {
    const OPERATION: &'static str = "renew_password";
    type Output = bool;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const RENEW: &str = "UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?";
        let mut values = Values::new();
        values.text(&self.new.0).text(self.user.as_str()).text(&self.old.0);
        Ok(sql::execute(work.connection().await?, RENEW, &mut values).await? > 0)
    }
}

impl Command for SignInDevice {
    const OPERATION: &'static str = "sign_in";
    type Output = Refusable<Committed<Device>>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let new = &self.0;
        let account = match (account(work, &new.user).await?, &new.proof) {
            (Some(account), _) => account,
            (None, Proof::Issuer { create_user: true, .. }) => {
                users::create(work, &new.user, new.now).await?;
                Account { password: None, devices: 0, has_main: false, is_disabled: false }
            }
            (None, _) => return Ok(Err(AccountRefusal::NoSuchUser)),
        };
        if let Proof::Password(proven) = &new.proof
            && !account.has(proven)
        {
            return Ok(Err(AccountRefusal::PasswordChanged));
        }
        if account.is_disabled {
            return Ok(Err(AccountRefusal::UserDisabled));
        }
        if new.alone && account.has_main {
            return Ok(Err(AccountRefusal::NeedsApproval));
        }
        if let Some((approver, generation)) = new.approved_by
            && !links::may_answer(work, &new.user, approver, generation).await?
        {
            return Ok(Err(AccountRefusal::NeedsApproval));
        }
        match new.again {
            Some(generation) => again(work, new, generation).await,
            None => create(work, new, account.devices).await,
        }
    }
}

impl Command for Rotate {
    const OPERATION: &'static str = "rotate";
    type Output = Refusable<Rotated>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let Rotation { device, token_generation, presented, next, next_expires_at, now } = self.0;
        let device = match devices::find(work, device).await? {
            None => return Ok(Err(AccountRefusal::NoSuchDevice)),
            Some(device) if device.removed_at.is_some() => return Ok(Err(AccountRefusal::DeviceRemoved)),
            Some(device) if users::is_disabled(work, &device.user).await? => {
                return Ok(Err(AccountRefusal::UserDisabled));
            }
            Some(device) if device.token_generation != token_generation => {
                return Ok(Err(AccountRefusal::OldGeneration));
            }
            Some(device) => device,
        };
        const FIND: &str = "SELECT used FROM refresh_tokens WHERE hash = ? AND device = ?";
        let mut values = Values::new();
        values.blob(&presented.0).blob(device.id.as_bytes());
        let rows = sql::fetch(work.connection().await?, FIND, &mut values).await?;
        match rows.first().map(|row| Columns::of(row).flag()).transpose()? {
            None => return Ok(Ok(Rotated::Reused(sign_outs::tokens_of(work, device, now).await?))),
            Some(true) => {}
            Some(false) => {
                const FORGET_OTHERS: &str = "DELETE FROM refresh_tokens WHERE device = ? AND hash <> ?";
                let mut values = Values::new();
                values.blob(device.id.as_bytes()).blob(&presented.0);
                sql::execute(work.connection().await?, FORGET_OTHERS, &mut values).await?;
                const USE: &str = "UPDATE refresh_tokens SET used = 1 WHERE hash = ?";
                sql::execute(work.connection().await?, USE, Values::new().blob(&presented.0)).await?;
                const IN_USE: &str = "UPDATE devices SET tokens_unused = 0 WHERE id = ? AND tokens_unused = 1";
                sql::execute(work.connection().await?, IN_USE, Values::new().blob(device.id.as_bytes())).await?;
            }
        }
        store_token(work, device.id, next, next_expires_at).await?;
        const FORGET_UNUSED: &str = "DELETE FROM refresh_tokens WHERE device = ?1 AND used = 0 AND hash <> ?2 \
             AND hash NOT IN (SELECT hash FROM refresh_tokens WHERE device = ?1 AND used = 0 AND hash <> ?2 \
               ORDER BY expires_at DESC LIMIT ?3)";
        let mut values = Values::new();
        values.blob(device.id.as_bytes()).blob(&next.0).int(NEXT_MAX as u64 - 1);
        sql::execute(work.connection().await?, FORGET_UNUSED, &mut values).await?;
        const SEEN: &str = "UPDATE devices SET seen_at = ? WHERE id = ? AND ifnull(seen_at, 0) < ?";
        let mut values = Values::new();
        values.int(now.get()).blob(device.id.as_bytes()).int(now.get());
        sql::execute(work.connection().await?, SEEN, &mut values).await?;
        let seen_at = device.seen_at.max(Some(now));
        Ok(Ok(Rotated::Next(Device { seen_at, ..device })))
    }
}

/// Signs in a device that is there.
async fn again(
    work: &mut Work<'_>,
    new: &SignIn,
    generation: TokenGeneration,
) -> Result<Refusable<Committed<Device>>, sqlx::Error> {
    let device = match devices::find(work, new.device).await? {
        Some(device) if device.user == new.user => device,
        _ => return Ok(Err(AccountRefusal::NoSuchDevice)),
    };
    if device.removed_at.is_some() {
        return Ok(Err(AccountRefusal::DeviceRemoved));
    }
    if device.token_generation != generation {
        return Ok(Err(AccountRefusal::OldGeneration));
    }
    const AGAIN: &str = "UPDATE devices SET token_generation = token_generation + 1, signed_out_at = NULL, name = ?, \
         platform = ?, tokens_unused = 1 WHERE id = ?";
    let mut values = Values::new();
    values.text(&new.name).optional_text(new.platform.as_deref()).blob(device.id.as_bytes());
    sql::execute(work.connection().await?, AGAIN, &mut values).await?;
    replace_token(work, device.id, new.refresh, new.refresh_expires_at).await?;
    let value = Device {
        token_generation: TokenGeneration(device.token_generation.0 + 1),
        signed_out_at: None,
        name: new.name.clone(),
        platform: new.platform.clone(),
        ..device
    };
    Ok(Ok(Committed { value, entries: vec![] }))
}

/// Makes a device.
async fn create(
    work: &mut Work<'_>,
    new: &SignIn,
    devices_there: u64,
) -> Result<Refusable<Committed<Device>>, sqlx::Error> {
    // The command given again.
    if let Some(value) = devices::find(work, new.device).await? {
        return Ok(Ok(Committed { value, entries: vec![] }));
    }
    if devices_there >= Device::PER_USER_MAX as u64 {
        return Ok(Err(AccountRefusal::TooManyDevices));
    }
    // Before the device is there: whoever has had one has had the time to choose.
    let mut entries = match &new.proof {
        Proof::Issuer { name: Some(name), .. } => people::give_name(work, &new.user, name, new.now).await?,
        _ => vec![],
    };
    let device = Device {
        id: new.device,
        user: new.user.clone(),
        name: new.name.clone(),
        kind: DeviceKind::Main,
        token_generation: TokenGeneration::default(),
        connection_generation: ConnectionGeneration::default(),
        created_at: new.now,
        seen_at: None,
        removed_at: None,
        signed_out_at: None,
        platform: new.platform.clone(),
        unfilled: new.unfilled,
        public_key: None,
    };
    entries.extend(insert(work, &device, new.refresh, new.refresh_expires_at).await?);
    Ok(Ok(Committed { value: device, entries }))
}

/// Stores a new device with its first refresh token, and tells the feed.
pub(super) async fn insert(
    work: &mut Work<'_>,
    device: &Device,
    refresh: RefreshHash,
    refresh_expires_at: UnixMs,
) -> Result<Vec<Entry>, sqlx::Error> {
    const INSERT: &str = "INSERT INTO devices \
         (id, user, name, kind, created_at, platform, unfilled, public_key, tokens_unused) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)";
    let mut values = Values::new();
    values.blob(device.id.as_bytes()).text(device.user.as_str()).text(&device.name).text(device.kind.as_str());
    values.int(device.created_at.get()).optional_text(device.platform.as_deref()).int(device.unfilled.into());
    values.optional_text(device.public_key.as_deref());
    sql::execute(work.connection().await?, INSERT, &mut values).await?;
    store_token(work, device.id, refresh, refresh_expires_at).await?;
    let change = FeedChange::DeviceLinked { device: device.id };
    devices::tell(work, &device.user, &[change], device.created_at).await
}

async fn account(work: &mut Work<'_>, user: &UserId) -> Result<Option<Account>, sqlx::Error> {
    const FIND: &str = "SELECT password_hash, \
         (SELECT count(*) FROM devices d WHERE d.user = u.id AND d.removed_at IS NULL), \
         EXISTS (SELECT 1 FROM devices d WHERE d.user = u.id AND d.removed_at IS NULL AND d.kind = 'main' \
           AND d.signed_out_at IS NULL AND d.tokens_unused = 0), u.disabled_at IS NOT NULL FROM users u WHERE u.id = ?";
    let rows = sql::fetch(work.connection().await?, FIND, Values::new().text(user.as_str())).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut columns = Columns::of(row);
    let password = columns.optional_text()?.map(|hash| PasswordHash(hash.to_owned()));
    Ok(Some(Account { password, devices: columns.int()?, has_main: columns.flag()?, is_disabled: columns.flag()? }))
}

async fn store_password(work: &mut Work<'_>, user: &UserId, password: &PasswordHash) -> Result<(), sqlx::Error> {
    const STORE: &str = "UPDATE users SET password_hash = ? WHERE id = ?";
    let mut values = Values::new();
    values.text(&password.0).text(user.as_str());
    sql::execute(work.connection().await?, STORE, &mut values).await.map(drop)
}

/// Stores a device's refresh token instead of all that it had.
pub(super) async fn replace_token(
    work: &mut Work<'_>,
    device: DeviceId,
    hash: RefreshHash,
    expires_at: UnixMs,
) -> Result<(), sqlx::Error> {
    FORGET_TOKENS
        .execute(work.connection().await?, &[device], |values, device| {
            values.blob(device.as_bytes());
        })
        .await?;
    store_token(work, device, hash, expires_at).await
}

async fn store_token(
    work: &mut Work<'_>,
    device: DeviceId,
    hash: RefreshHash,
    expires_at: UnixMs,
) -> Result<(), sqlx::Error> {
    // It may be there: the command given again.
    const STORE: &str = "INSERT OR IGNORE INTO refresh_tokens (hash, device, expires_at) VALUES (?, ?, ?)";
    let mut values = Values::new();
    values.blob(&hash.0).blob(device.as_bytes()).int(expires_at.get());
    sql::execute(work.connection().await?, STORE, &mut values).await.map(drop)
}
