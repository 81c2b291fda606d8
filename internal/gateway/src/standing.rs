//! Whoever asks is asked about twice: when the headers are there, and again once the body is, for which one may have
//! waited long. Whoever was removed, disabled or revoked meanwhile does nothing any more.

use crate::Problem;
use lockstep_engine::{Claim, Engine};
use lockstep_model::{Code, Service, TokenGeneration};

/// Whose token a request carries. It goes with the request until the body is read.
#[derive(Clone)]
pub(crate) struct Standing {
    engine: Engine,
    bearer: Standee,
}

#[derive(Clone)]
enum Standee {
    Device(Claim),
    Service(Box<Service>, TokenGeneration),
}

impl Standing {
    pub(crate) fn of_device(engine: &Engine, claim: Claim) -> Self {
        Self { engine: engine.clone(), bearer: Standee::Device(claim) }
    }

    /// Of a service as it was found, by a token of this generation.
    pub(crate) fn of_service(engine: &Engine, service: Service, generation: TokenGeneration) -> Self {
        Self { engine: engine.clone(), bearer: Standee::Service(Box::new(service), generation) }
    }

    /// Asks again. A service that has lost a scope may not use it either.
    pub(crate) async fn confirm(&self) -> Result<(), Problem> {
        match &self.bearer {
            Standee::Device(claim) => drop(self.engine.authorize(claim).await?),
            Standee::Service(found, generation) => {
                let now = self.engine.authorize_service(&found.name, *generation).await?;
                if !found.scopes.iter().all(|scope| now.scopes.contains(scope)) {
                    return Err(Code::OutOfScope.into());
                }
            }
        }
        Ok(())
    }
}
