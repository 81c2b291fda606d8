//! What the admin socket answers about aliases.

use super::api::AdminState;
use super::wire::{AliasInfo, AliasKey, AliasRequest};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use lockstep_engine::PeopleRefusal;
use lockstep_gateway::{JsonBody, Problem, bad_request};
use lockstep_model::{Alias, AliasName, AliasTarget, Code, IdError};

pub(super) fn routes() -> Router<AdminState> {
    Router::new()
        .route("/v1/aliases", post(put))
        .route("/v1/aliases/find", post(find))
        .route("/v1/aliases/remove", post(remove))
}

async fn put(
    State(state): State<AdminState>,
    JsonBody(AliasRequest { key, target }): JsonBody<AliasRequest>,
) -> Result<StatusCode, Problem> {
    let wrong = |error: IdError| bad_request(&error.to_string());
    let target = match target {
        AliasInfo { user: Some(user), conversation: None } => AliasTarget::User(user.parse().map_err(wrong)?),
        AliasInfo { user: None, conversation: Some(id) } => AliasTarget::Conversation(id.parse().map_err(wrong)?),
        _ => return Err(bad_request("An alias stands for either \"user\" or \"conversation\"")),
    };
    match state.engine.put_alias(Alias { name: name(&key)?, target }).await? {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(PeopleRefusal::NoSuchUser) => Err(Code::NoSuchUser.into()),
        Err(PeopleRefusal::NoSuchConversation) => {
            Err(Problem::new(Code::NoSuchConversation, "There is no such conversation."))
        }
        Err(PeopleRefusal::AliasTaken | PeopleRefusal::TooMany) => {
            Err(bad_request("The alias stands for something else; remove it first"))
        }
    }
}

async fn find(State(state): State<AdminState>, JsonBody(key): JsonBody<AliasKey>) -> Result<Json<AliasInfo>, Problem> {
    let found = state.engine.aliases(vec![name(&key)?]).await?.pop().flatten();
    Ok(Json(match found {
        None => AliasInfo::default(),
        Some(AliasTarget::User(user)) => AliasInfo { user: Some(user.to_string()), conversation: None },
        Some(AliasTarget::Conversation(id)) => AliasInfo { user: None, conversation: Some(id.to_string()) },
    }))
}

async fn remove(State(state): State<AdminState>, JsonBody(key): JsonBody<AliasKey>) -> Result<StatusCode, Problem> {
    state.engine.remove_alias(name(&key)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn name(key: &AliasKey) -> Result<AliasName, Problem> {
    AliasName::new(&key.namespace, &key.external).map_err(|error| bad_request(&error.to_string()))
}
