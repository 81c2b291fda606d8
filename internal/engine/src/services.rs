//! Services: let in by operators, asked about by every request that carries a service's token.

use crate::Engine;
use crate::api::store_failed;
use lockstep_model::{Code, Scope, Service, ServiceName, TokenGeneration, UnixMs};
use lockstep_ports::{ServiceRefusal, StoreError};
use std::time::Duration;

impl Engine {
    /// Makes a service, or gives one that is there these scopes instead of its own.
    ///
    /// # Errors
    ///
    /// `try_again`. The inner refusal is for operators; so for the others.
    pub async fn put_service(
        &self,
        name: ServiceName,
        scopes: Vec<Scope>,
    ) -> Result<Result<Service, ServiceRefusal>, Code> {
        self.0.ports.directory.put_service(name, scopes, UnixMs::now()).await.map_err(failed)
    }

    /// All services, revoked ones too, in the order of their names.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn services(&self) -> Result<Vec<Service>, Code> {
        self.0.ports.directory.services().await.map_err(failed)
    }

    /// Begins a new generation of a service's tokens. Those of the one before are good for `grace` from now on.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn rotate_service(
        &self,
        name: ServiceName,
        grace: Duration,
    ) -> Result<Result<Service, ServiceRefusal>, Code> {
        let now = UnixMs::now();
        let previous_until = UnixMs::new(now.get().saturating_add(grace.as_millis() as u64));
        self.0.ports.directory.rotate_service(name, previous_until, now).await.map_err(failed)
    }

    /// Revokes a service: the next request with any of its tokens is refused.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn revoke_service(&self, name: ServiceName) -> Result<Result<Service, ServiceRefusal>, Code> {
        self.0.ports.directory.revoke_service(name, UnixMs::now()).await.map_err(failed)
    }

    /// Checks for a request that a service's token of this generation is good.
    ///
    /// # Errors
    ///
    /// `token_revoked`, `try_again`.
    pub async fn authorize_service(&self, name: &ServiceName, generation: TokenGeneration) -> Result<Service, Code> {
        let found = self.0.ports.directory.service(name.clone()).await.map_err(failed)?;
        found.filter(|service| service.takes(generation, UnixMs::now())).ok_or(Code::TokenRevoked)
    }
}

fn failed(error: StoreError) -> Code {
    store_failed(&error)
}
