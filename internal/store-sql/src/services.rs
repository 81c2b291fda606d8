//! The services' part of the directory.

use crate::row::service_columns;
use crate::sql::Values;
use crate::store::SqliteStore;
use crate::write::{PutService, RevokeService, RotateService};
use async_trait::async_trait;
use lockstep_model::{Scope, Service, ServiceName, UnixMs};
use lockstep_ports::{ServiceRefusal, Services, StoreError};

type Refusable = Result<Result<Service, ServiceRefusal>, StoreError>;

#[async_trait]
impl Services for SqliteStore {
    async fn put_service(&self, name: ServiceName, scopes: Vec<Scope>, now: UnixMs) -> Refusable {
        self.command(PutService { name, scopes, now }).await
    }

    async fn service(&self, name: ServiceName) -> Result<Option<Service>, StoreError> {
        const FIND: &str = concat!("SELECT ", service_columns!(), " FROM services WHERE name = ?");
        let found = self.ask("service", FIND, Values::new().text(name.as_str()), |columns| columns.service()).await?;
        Ok(found.into_iter().next())
    }

    async fn services(&self) -> Result<Vec<Service>, StoreError> {
        const LIST: &str = concat!("SELECT ", service_columns!(), " FROM services ORDER BY name");
        self.ask("services", LIST, &mut Values::new(), |columns| columns.service()).await
    }

    async fn rotate_service(&self, name: ServiceName, previous_until: UnixMs, now: UnixMs) -> Refusable {
        self.command(RotateService { name, previous_until, now }).await
    }

    async fn revoke_service(&self, name: ServiceName, now: UnixMs) -> Refusable {
        self.command(RevokeService { name, now }).await
    }
}
