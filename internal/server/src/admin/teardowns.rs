//! What the admin socket answers about teardowns.

use super::api::AdminState;
use super::wire::{TeardownInfo, TeardownList};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use lockstep_gateway::{Params, Problem, bad_request};
use lockstep_model::{DeviceId, Teardown, TeardownState, UnixMs};
use serde::Deserialize;

/// Teardowns in one answer.
const PAGE_MAX: u32 = 500;

pub(super) fn routes() -> Router<AdminState> {
    Router::new().route("/v1/teardowns", get(list))
}

#[derive(Deserialize)]
struct ListParams {
    /// The `next` of the page before.
    after: Option<String>,
    /// Those that are done too.
    #[serde(default)]
    all: bool,
}

async fn list(
    State(state): State<AdminState>,
    Params(params): Params<ListParams>,
) -> Result<Json<TeardownList>, Problem> {
    let after = match params.after.as_deref() {
        None => None,
        Some(text) => Some(place(text).ok_or_else(|| bad_request("\"after\" must be the \"next\" of another page"))?),
    };
    let teardowns = state.engine.teardowns(after, !params.all, PAGE_MAX).await?;
    let last = teardowns.last().filter(|_| teardowns.len() == PAGE_MAX as usize);
    let next = last.map(|last| format!("{}-{}", last.requested_at, last.device));
    Ok(Json(TeardownList { teardowns: teardowns.into_iter().map(info).collect(), next }))
}

fn place(text: &str) -> Option<(UnixMs, DeviceId)> {
    let (at, device) = text.split_once('-')?;
    Some((UnixMs::new(at.parse().ok()?), device.parse().ok()?))
}

fn info(teardown: Teardown) -> TeardownInfo {
    let (next_try_at, done_at) = match teardown.state {
        TeardownState::Waiting(at) => (Some(at.get()), None),
        TeardownState::Done(at) => (None, Some(at.get())),
    };
    TeardownInfo {
        device: teardown.device.to_string(),
        user: teardown.user.to_string(),
        reason: teardown.reason.as_str().to_owned(),
        requested_at: teardown.requested_at.get(),
        attempts: teardown.attempts,
        last_error: teardown.last_error,
        pending: teardown.pending,
        next_try_at,
        done_at,
    }
}
