//! The services that may publish.

use crate::StoreError;
use async_trait::async_trait;
use lockstep_model::{Scope, Service, ServiceName, UnixMs};

/// Which services there are, and which of their tokens are good.
///
/// Every command is one commit, durable on return. **Cancellation**: a dropped future may or may not have taken effect;
/// [`put_service`](Self::put_service) and [`revoke_service`](Self::revoke_service) may be given again, and so may
/// [`rotate_service`](Self::rotate_service) if it does not matter that tokens of the first time end early.
#[async_trait]
pub trait Services: Send + Sync + 'static {
    /// Makes a service, or gives one that is there these scopes instead of its own. A revoked one comes back with that;
    /// its old tokens do not.
    async fn put_service(
        &self,
        name: ServiceName,
        scopes: Vec<Scope>,
        now: UnixMs,
    ) -> Result<Result<Service, ServiceRefusal>, StoreError>;

    /// Finds a service, revoked ones too.
    async fn service(&self, name: ServiceName) -> Result<Option<Service>, StoreError>;

    /// All services, revoked ones too, in the order of their names.
    async fn services(&self) -> Result<Vec<Service>, StoreError>;

    /// Raises the generation. Tokens of the generation before are good until `previous_until`, older ones no longer.
    async fn rotate_service(
        &self,
        name: ServiceName,
        previous_until: UnixMs,
        now: UnixMs,
    ) -> Result<Result<Service, ServiceRefusal>, StoreError>;

    /// Raises the generation and marks the service revoked: no token is good any more. Revoking it again changes nothing.
    async fn revoke_service(
        &self,
        name: ServiceName,
        now: UnixMs,
    ) -> Result<Result<Service, ServiceRefusal>, StoreError>;
}

/// Why a command about a service was refused. Nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServiceRefusal {
    /// There is none of this name.
    #[error("there is no such service")]
    NoSuchService,
    /// It has been revoked.
    #[error("the service has been revoked")]
    Revoked,
    /// There are as many services, or scopes were named, as are allowed.
    #[error("there are too many services, or too many scopes of one")]
    TooMany,
}
