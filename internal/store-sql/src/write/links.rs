//! Links: asked for, answered by a main device, claimed once.

use super::job::Command;
use super::work::Work;
use super::{accounts, devices};
use crate::row::{Columns, link_columns};
use crate::sql::{self, RowsSql, Values};
use lockstep_model::{
    ConnectionGeneration, Device, DeviceId, DeviceKind, Link, LinkId, SecretHash, TokenGeneration, UnixMs, UserId,
};
use lockstep_ports::{Committed, LinkAnswer, LinkClaim, LinkRefusal, LinkSecret, NewLink};
use std::sync::LazyLock;

/// Rows that have ended, of which adding one deletes so many: what is asked for pays for what has gone.
const PURGED_BY_ADDING: u64 = 8;

/// The links that devices have answered.
pub(super) static FORGET_LINKS: LazyLock<RowsSql> =
    LazyLock::new(|| RowsSql::new(1, "DELETE FROM links WHERE approver IN (VALUES {rows})"));

/// [`add_link`](lockstep_ports::Links::add_link).
pub(crate) struct AddLink(pub(crate) NewLink);

/// [`answer_link`](lockstep_ports::Links::answer_link).
pub(crate) struct AnswerLink(pub(crate) LinkAnswer);

/// [`claim_link`](lockstep_ports::Links::claim_link).
pub(crate) struct ClaimLink(pub(crate) LinkClaim);

/// A link as the commands see it.
struct Row {
    code: SecretHash,
    scan: SecretHash,
    secret: SecretHash,
    state: String,
    user: Option<UserId>,
    approver: Option<DeviceId>,
    approver_generation: Option<TokenGeneration>,
    device: Option<DeviceId>,
    link: Link,
}

impl Command for AddLink {
    const OPERATION: &'static str = "add_link";
    type Output = Result<(), LinkRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let NewLink { link, network, code, scan, secret, bounds } = &self.0;
        purge(work, link.created_at, PURGED_BY_ADDING).await?;
        // The command given again.
        if find(work, link.id, link.created_at).await?.is_some() {
            return Ok(Ok(()));
        }
        const IN_ALL: &str = "SELECT count(*), min(expires_at) FROM links \
             WHERE expires_at > ? AND state IN ('waiting', 'approved')";
        const OF_NETWORK: &str = "SELECT count(*), min(expires_at) FROM links \
             WHERE expires_at > ? AND state IN ('waiting', 'approved') AND network = ?";
        let mut all = Values::new();
        all.int(link.created_at.get());
        let mut of_network = Values::new();
        of_network.int(link.created_at.get()).text(network);
        for (count, mut values, max) in [(OF_NETWORK, of_network, bounds.per_network), (IN_ALL, all, bounds.all)] {
            let rows = sql::fetch(work.connection().await?, count, &mut values).await?;
            let mut columns = Columns::of(rows.first().ok_or(sqlx::Error::RowNotFound)?);
            if columns.int()? >= max {
                let until = columns.optional_int()?.map_or(link.expires_at, UnixMs::new);
                return Ok(Err(LinkRefusal::TooMany { until }));
            }
        }
        const INSERT: &str = "INSERT INTO links \
             (id, code, scan, secret, name, platform, address, network, public_key, created_at, expires_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let mut values = Values::new();
        values.blob(link.id.as_bytes()).blob(&code.0).blob(&scan.0).blob(&secret.0);
        values.optional_text(link.name.as_deref()).optional_text(link.platform.as_deref());
        values.text(&link.address).text(network).optional_text(link.public_key.as_deref());
        values.int(link.created_at.get()).int(link.expires_at.get());
        sql::execute(work.connection().await?, INSERT, &mut values).await?;
        Ok(Ok(()))
    }
}

impl Command for AnswerLink {
    const OPERATION: &'static str = "answer_link";
    type Output = Result<(), LinkRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let LinkAnswer { link, shown, user, device, token_generation, approve, now } = &self.0;
        if !may_answer(work, user, *device, *token_generation).await? {
            return Ok(Err(LinkRefusal::NotAllowed));
        }
        let is_shown = |row: &Row| match shown {
            LinkSecret::Code(shown) => *shown == row.code,
            LinkSecret::Scan(shown) => *shown == row.scan,
        };
        let Some(row) = find(work, *link, *now).await?.filter(is_shown) else {
            return Ok(Err(LinkRefusal::NoSuchLink));
        };
        match (&*row.state, approve) {
            ("waiting", _) => {}
            // Said again: the answer may have been lost.
            ("approved" | "claimed", true) | ("refused", false) if row.approver == Some(*device) => {
                return Ok(Ok(()));
            }
            _ => return Ok(Err(LinkRefusal::NoSuchLink)),
        }
        if *approve && count_of(work, user).await? >= Device::PER_USER_MAX as u64 {
            return Ok(Err(LinkRefusal::TooManyDevices));
        }
        const ANSWER: &str = "UPDATE links SET state = iif(?, 'approved', 'refused'), user = ?, approver = ?, \
             approver_generation = ? WHERE id = ?";
        let mut values = Values::new();
        values.int((*approve).into()).text(user.as_str()).blob(device.as_bytes()).int(token_generation.0);
        values.blob(link.as_bytes());
        sql::execute(work.connection().await?, ANSWER, &mut values).await?;
        Ok(Ok(()))
    }
}

impl Command for ClaimLink {
    const OPERATION: &'static str = "claim_link";
    type Output = Result<Committed<Device>, LinkRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let claim = &self.0;
        let row = find(work, claim.link, claim.now).await?.filter(|row| row.secret == claim.secret);
        let Some(Row { state, user, approver, approver_generation, device, link, .. }) = row else {
            return Ok(Err(LinkRefusal::NoSuchLink));
        };
        match &*state {
            "approved" => {}
            "waiting" => return Ok(Err(LinkRefusal::Waiting)),
            "refused" => return Ok(Err(LinkRefusal::Refused)),
            "claimed" if device == Some(claim.device) => return claim_again(work, claim).await,
            _ => return Ok(Err(LinkRefusal::NoSuchLink)),
        }
        let (Some(user), Some(approver), Some(generation)) = (user, approver, approver_generation) else {
            return Ok(Err(LinkRefusal::NoSuchLink));
        };
        if !may_answer(work, &user, approver, generation).await? {
            return Ok(Err(LinkRefusal::NoSuchLink));
        }
        if count_of(work, &user).await? >= Device::PER_USER_MAX as u64 {
            return Ok(Err(LinkRefusal::TooManyDevices));
        }
        const CLAIM: &str = "UPDATE links SET state = 'claimed', device = ? WHERE id = ?";
        let mut values = Values::new();
        values.blob(claim.device.as_bytes()).blob(claim.link.as_bytes());
        sql::execute(work.connection().await?, CLAIM, &mut values).await?;
        let device = Device {
            id: claim.device,
            user,
            name: link.name.or_else(|| link.platform.clone()).unwrap_or_else(|| claim.default_name.clone()),
            kind: DeviceKind::Sub,
            token_generation: TokenGeneration::default(),
            connection_generation: ConnectionGeneration::default(),
            created_at: claim.now,
            seen_at: None,
            removed_at: None,
            signed_out_at: None,
            platform: link.platform,
            unfilled: true,
            public_key: link.public_key,
        };
        let entries = accounts::insert(work, &device, claim.refresh, claim.refresh_expires_at).await?;
        Ok(Ok(Committed { value: device, entries }))
    }
}

/// The command given again, or the answer to it was lost: then the device gets another refresh token, if it has used none.
async fn claim_again(
    work: &mut Work<'_>,
    claim: &LinkClaim,
) -> Result<Result<Committed<Device>, LinkRefusal>, sqlx::Error> {
    let device = devices::find(work, claim.device).await?.ok_or(sqlx::Error::RowNotFound)?;
    const IS_STORED: &str = "SELECT 1 FROM refresh_tokens WHERE hash = ? AND device = ?";
    let mut values = Values::new();
    values.blob(&claim.refresh.0).blob(device.id.as_bytes());
    if sql::fetch(work.connection().await?, IS_STORED, &mut values).await?.is_empty() {
        const IS_UNUSED: &str = "SELECT 1 FROM devices WHERE id = ? AND tokens_unused = 1 AND removed_at IS NULL \
             AND signed_out_at IS NULL";
        let mut values = Values::new();
        if sql::fetch(work.connection().await?, IS_UNUSED, values.blob(device.id.as_bytes())).await?.is_empty() {
            return Ok(Err(LinkRefusal::NoSuchLink));
        }
        accounts::replace_token(work, device.id, claim.refresh, claim.refresh_expires_at).await?;
    }
    Ok(Ok(Committed { value: device, entries: vec![] }))
}

/// Whether it is a main device of the user that is signed in and has this generation.
pub(super) async fn may_answer(
    work: &mut Work<'_>,
    user: &UserId,
    device: DeviceId,
    generation: TokenGeneration,
) -> Result<bool, sqlx::Error> {
    let found = devices::find(work, device).await?;
    Ok(found.is_some_and(|device| {
        device.user == *user
            && device.kind == DeviceKind::Main
            && device.token_generation == generation
            && device.removed_at.is_none()
            && device.signed_out_at.is_none()
    }))
}

/// How many devices a user has.
async fn count_of(work: &mut Work<'_>, user: &UserId) -> Result<u64, sqlx::Error> {
    const COUNT: &str = "SELECT count(*) FROM devices WHERE user = ? AND removed_at IS NULL";
    let rows = sql::fetch(work.connection().await?, COUNT, Values::new().text(user.as_str())).await?;
    rows.first().map(|row| Columns::of(row).int()).ok_or(sqlx::Error::RowNotFound)?
}

/// A link that has not ended.
async fn find(work: &mut Work<'_>, link: LinkId, now: UnixMs) -> Result<Option<Row>, sqlx::Error> {
    const FIND: &str = concat!(
        "SELECT code, scan, secret, state, user, approver, approver_generation, device, ",
        link_columns!(),
        " FROM links WHERE id = ? AND expires_at > ?"
    );
    let mut values = Values::new();
    values.blob(link.as_bytes()).int(now.get());
    let rows = sql::fetch(work.connection().await?, FIND, &mut values).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut columns = Columns::of(row);
    Ok(Some(Row {
        code: columns.secret_hash()?,
        scan: columns.secret_hash()?,
        secret: columns.secret_hash()?,
        state: columns.text()?.to_owned(),
        user: columns.optional_user_id()?,
        approver: columns.optional_device_id()?,
        approver_generation: columns.optional_int()?.map(TokenGeneration),
        device: columns.optional_device_id()?,
        link: columns.link()?,
    }))
}

/// Deletes links that have ended, at most so many, and says how many.
pub(super) async fn purge(work: &mut Work<'_>, now: UnixMs, rows_max: u64) -> Result<u64, sqlx::Error> {
    const PURGE: &str = "DELETE FROM links WHERE id IN \
         (SELECT id FROM links WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)";
    sql::execute(work.connection().await?, PURGE, Values::new().int(now.get()).int(rows_max)).await
}

/// Ends the links that a user's devices have answered.
pub(super) async fn forget_of_user(work: &mut Work<'_>, user: &UserId) -> Result<(), sqlx::Error> {
    const FORGET: &str = "DELETE FROM links WHERE user = ?";
    sql::execute(work.connection().await?, FORGET, Values::new().text(user.as_str())).await.map(drop)
}
