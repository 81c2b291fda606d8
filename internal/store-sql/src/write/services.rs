//! Services and the generations of their tokens.

use super::job::Command;
use super::work::Work;
use crate::row::{Columns, service_columns};
use crate::sql::{self, Values};
use lockstep_model::{Scope, Service, ServiceName, UnixMs};
use lockstep_ports::ServiceRefusal;
use sqlx::sqlite::SqliteRow;

/// [`put_service`](lockstep_ports::Services::put_service).
pub(crate) struct PutService {
    pub(crate) name: ServiceName,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) now: UnixMs,
}

/// [`rotate_service`](lockstep_ports::Services::rotate_service).
pub(crate) struct RotateService {
    pub(crate) name: ServiceName,
    pub(crate) previous_until: UnixMs,
    pub(crate) now: UnixMs,
}

/// [`revoke_service`](lockstep_ports::Services::revoke_service).
pub(crate) struct RevokeService {
    pub(crate) name: ServiceName,
    pub(crate) now: UnixMs,
}

impl Command for PutService {
    const OPERATION: &'static str = "put_service";
    type Output = Result<Service, ServiceRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const COUNT_OF_OTHERS: &str = "SELECT count(*) FROM services WHERE name <> ?";
        let rows =
            sql::fetch(work.connection().await?, COUNT_OF_OTHERS, Values::new().text(self.name.as_str())).await?;
        let others = rows.first().map(|row| Columns::of(row).int()).transpose()?.unwrap_or_default();
        if self.scopes.len() > Service::SCOPES_MAX || others >= Service::COUNT_MAX as u64 {
            return Ok(Err(ServiceRefusal::TooMany));
        }
        const PUT: &str = concat!(
            "INSERT INTO services (name, scopes, created_at) VALUES (?, ?, ?) \
             ON CONFLICT DO UPDATE SET scopes = excluded.scopes, revoked_at = NULL RETURNING ",
            service_columns!()
        );
        let scopes: Vec<String> = self.scopes.iter().map(Scope::to_string).collect();
        let mut values = Values::new();
        values.text(self.name.as_str()).text(&scopes.join(" ")).int(self.now.get());
        let rows = sql::fetch(work.connection().await?, PUT, &mut values).await?;
        taken(&rows)?.ok_or(sqlx::Error::RowNotFound).map(Ok)
    }
}

impl Command for RotateService {
    const OPERATION: &'static str = "rotate_service";
    type Output = Result<Service, ServiceRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const ROTATE: &str = concat!(
            "UPDATE services SET generation = generation + 1, previous_until = ?, rotated_at = ? \
             WHERE name = ? AND revoked_at IS NULL RETURNING ",
            service_columns!()
        );
        let mut values = Values::new();
        values.int(self.previous_until.get()).int(self.now.get()).text(self.name.as_str());
        let rows = sql::fetch(work.connection().await?, ROTATE, &mut values).await?;
        match taken(&rows)? {
            Some(service) => Ok(Ok(service)),
            None => Ok(Err(match find(work, &self.name).await? {
                Some(_) => ServiceRefusal::Revoked,
                None => ServiceRefusal::NoSuchService,
            })),
        }
    }
}

impl Command for RevokeService {
    const OPERATION: &'static str = "revoke_service";
    type Output = Result<Service, ServiceRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const REVOKE: &str = concat!(
            "UPDATE services SET generation = generation + 1, previous_until = 0, revoked_at = ? \
             WHERE name = ? AND revoked_at IS NULL RETURNING ",
            service_columns!()
        );
        let mut values = Values::new();
        values.int(self.now.get()).text(self.name.as_str());
        let rows = sql::fetch(work.connection().await?, REVOKE, &mut values).await?;
        let revoked = match taken(&rows)? {
            Some(service) => Some(service),
            None => find(work, &self.name).await?,
        };
        Ok(revoked.ok_or(ServiceRefusal::NoSuchService))
    }
}

async fn find(work: &mut Work<'_>, name: &ServiceName) -> Result<Option<Service>, sqlx::Error> {
    const FIND: &str = concat!("SELECT ", service_columns!(), " FROM services WHERE name = ?");
    taken(&sql::fetch(work.connection().await?, FIND, Values::new().text(name.as_str())).await?)
}

fn taken(rows: &[SqliteRow]) -> Result<Option<Service>, sqlx::Error> {
    rows.first().map(|row| Columns::of(row).service()).transpose()
}
