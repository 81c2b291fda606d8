//! How fast requests may come: from an address before anything is looked at, of a device and of a user once the token is
//! verified and before the store is asked.

use super::rates::{Rate, Rates};
use crate::client_address::ClientNetwork;
use crate::{GatewayState, Problem};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use lockstep_model::{Code, DeviceId, UserId};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How fast requests may come.
#[derive(Debug, Clone, Copy)]
pub struct RequestRates {
    /// From one address, or one network of IPv6 with 64 bits.
    pub address: Rate,
    /// Of one user's devices together.
    pub user: Rate,
    /// Of one device.
    pub device: Rate,
}

impl Default for RequestRates {
    fn default() -> Self {
        Self {
            address: Rate { per_second: 2_000, burst: 8_000 },
            user: Rate { per_second: 200, burst: 800 },
            device: Rate { per_second: 100, burst: 400 },
        }
    }
}

/// The requests that have come.
pub(crate) struct Requests {
    addresses: Rates<IpAddr>,
    users: Rates<UserId>,
    devices: Rates<DeviceId>,
}

impl Requests {
    pub(crate) fn new(rates: RequestRates) -> Self {
        let RequestRates { address, user, device } = rates;
        Self { addresses: Rates::new(address), users: Rates::new(user), devices: Rates::new(device) }
    }

    fn admit_address(&self, address: IpAddr) -> Result<(), Problem> {
        let admitted = self.addresses.admit(&address, Instant::now());
        admitted.map_err(|wait| refused("address", "Too many requests came from this address.", wait))
    }

    /// Lets a request of a verified token pass.
    pub(crate) fn admit_device(&self, user: &UserId, device: &DeviceId) -> Result<(), Problem> {
        let now = Instant::now();
        let device = self.devices.admit(device, now);
        device.map_err(|wait| refused("device", "Too many requests came from this device.", wait))?;
        let user = self.users.admit(user, now);
        user.map_err(|wait| refused("user", "Too many requests came from this user's devices.", wait))
    }
}

fn refused(by: &'static str, detail: &'static str, wait: Duration) -> Problem {
    metrics::counter!("lockstep_http_requests_limited_total", "by" => by).increment(1);
    Problem::new(Code::RateLimited, detail).retry_after(wait)
}

/// Lets a request pass if its address has not made too many.
pub(crate) async fn limit_address(
    State(state): State<GatewayState>,
    ClientNetwork(network): ClientNetwork,
    request: Request,
    next: Next,
) -> Response {
    match state.requests().admit_address(network) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
