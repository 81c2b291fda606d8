//! What the admin socket answers about services.

use super::api::AdminState;
use super::wire::{RotateRequest, ServiceInfo, ServiceList, ServiceTokenGrant, ServiceTokenRequest};
use axum::extract::State;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use lockstep_auth::ServiceClaim;
use lockstep_engine::ServiceRefusal;
use lockstep_gateway::{JsonBody, PathId, Problem, bad_request};
use lockstep_model::{Code, Scope, Service, ServiceName, UnixMs};
use std::time::Duration;

const DAY_S: u64 = 24 * 60 * 60;
/// How long a service's token is good for if nothing else is said, and at most.
const TTL_S: u64 = 365 * DAY_S;
const TTL_S_MAX: u64 = 10 * TTL_S;
/// How long the tokens before a rotation are still good if nothing else is said, and at most.
const GRACE_S: u64 = DAY_S;
const GRACE_S_MAX: u64 = 30 * DAY_S;

pub(super) fn routes() -> Router<AdminState> {
    Router::new()
        .route("/v1/service-tokens", post(issue_token))
        .route("/v1/services", get(list))
        .route("/v1/services/{name}/rotate", post(rotate))
        .route("/v1/services/{name}", delete(revoke))
}

async fn issue_token(
    State(state): State<AdminState>,
    JsonBody(request): JsonBody<ServiceTokenRequest>,
) -> Result<Json<ServiceTokenGrant>, Problem> {
    let name: ServiceName =
        request.name.parse().map_err(|error: lockstep_model::IdError| bad_request(&error.to_string()))?;
    let ttl = token_ttl(request.ttl_s)?;
    let mut scopes = Vec::with_capacity(request.scopes.len());
    for text in &request.scopes {
        let scope: Scope = text.parse().map_err(|error: lockstep_model::ScopeError| bad_request(&error.to_string()))?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() {
        return Err(bad_request("\"scopes\" must name at least one scope, such as publish:*"));
    }
    let service = state.engine.put_service(name, scopes).await?.map_err(refused)?;
    Ok(Json(grant(&state, service, ttl)))
}

async fn list(State(state): State<AdminState>) -> Result<Json<ServiceList>, Problem> {
    let services = state.engine.services().await?;
    Ok(Json(ServiceList { services: services.into_iter().map(info).collect() }))
}

async fn rotate(
    State(state): State<AdminState>,
    PathId(name): PathId<ServiceName>,
    JsonBody(request): JsonBody<RotateRequest>,
) -> Result<Json<ServiceTokenGrant>, Problem> {
    let ttl = token_ttl(request.ttl_s)?;
    let grace = match request.grace_s.unwrap_or(GRACE_S) {
        grace_s @ 0..=GRACE_S_MAX => Duration::from_secs(grace_s),
        _ => return Err(bad_request(&format!("\"grace_s\" must be from 0 to {GRACE_S_MAX}"))),
    };
    let service = state.engine.rotate_service(name, grace).await?.map_err(refused)?;
    Ok(Json(grant(&state, service, ttl)))
}

async fn revoke(
    State(state): State<AdminState>,
    PathId(name): PathId<ServiceName>,
) -> Result<Json<ServiceInfo>, Problem> {
    let service = state.engine.revoke_service(name).await?.map_err(refused)?;
    Ok(Json(info(service)))
}

fn token_ttl(ttl_s: Option<u64>) -> Result<Duration, Problem> {
    match ttl_s.unwrap_or(TTL_S) {
        ttl_s @ 1..=TTL_S_MAX => Ok(Duration::from_secs(ttl_s)),
        _ => Err(bad_request(&format!("\"ttl_s\" must be from 1 to {TTL_S_MAX}"))),
    }
}

fn grant(state: &AdminState, service: Service, ttl: Duration) -> ServiceTokenGrant {
    let claim = ServiceClaim { service: service.name.clone(), token_generation: service.generation };
    let issued = state.tokens.issue_service(&claim, ttl, UnixMs::now());
    ServiceTokenGrant { token: issued.token, expires_at: issued.expires_at.get(), service: info(service) }
}

fn info(service: Service) -> ServiceInfo {
    ServiceInfo {
        name: service.name.to_string(),
        scopes: service.scopes.iter().map(Scope::to_string).collect(),
        generation: service.generation.0,
        previous_until: service.previous_until.get(),
        created_at: service.created_at.get(),
        rotated_at: service.rotated_at.map(UnixMs::get),
        revoked_at: service.revoked_at.map(UnixMs::get),
    }
}

fn refused(refusal: ServiceRefusal) -> Problem {
    match refusal {
        ServiceRefusal::NoSuchService => Code::NoSuchService.into(),
        ServiceRefusal::Revoked => {
            bad_request("The service has been revoked; a new token with its scopes brings it back")
        }
        ServiceRefusal::TooMany => bad_request(&format!(
            "There may be {} services, each with {} scopes",
            Service::COUNT_MAX,
            Service::SCOPES_MAX
        )),
    }
}
