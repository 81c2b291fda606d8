//! `/pub` and `/mpub`: the checks in nsqd's order, then the engine.

use crate::NsqHttp;
use crate::answer::{Refusal, ok};
use crate::mpub::{BODY_BYTES_MAX, MESSAGE_BYTES_MAX, binary, lines};
use axum::body::{Body, HttpBody};
use axum::extract::{Query, State};
use axum::http::Uri;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use lockstep_engine::Ingested;
use lockstep_model::{ClientMsgId, Code, ConversationId, RawBodyError, body_of_raw, is_topic_name};
use std::collections::HashMap;

const MSG_TOO_BIG: Refusal = Refusal(413, "MSG_TOO_BIG");
const BODY_TOO_BIG: Refusal = Refusal(413, "BODY_TOO_BIG");
/// There is no conversation of this topic. nsqd would make the topic, and nobody would ever read it.
const TOPIC_NOT_FOUND: Refusal = Refusal(404, "TOPIC_NOT_FOUND");
const NO_DEFER: Refusal =
    Refusal(400, "DEFER_NOT_SUPPORTED: messages are stored at once here; leave \"defer\" out, or publish to an nsqd");

/// `POST /pub?topic=...`: the body is one message. `OK` once it is on disk.
pub(crate) async fn publish(State(door): State<NsqHttp>, uri: Uri, body: Body) -> Result<Response, Refusal> {
    let raw = read(&door, body, MESSAGE_BYTES_MAX, MSG_TOO_BIG).await?;
    if raw.is_empty() {
        return Err(Refusal(400, "MSG_EMPTY"));
    }
    let params = params(&uri)?;
    let conversation = conversation(&door, &params)?;
    if params.contains_key("defer") {
        return Err(NO_DEFER);
    }
    match door.engine.ingest(conversation, &raw, ClientMsgId::random()).await {
        Ingested::Stored(_) | Ingested::Duplicate(_) => Ok(ok()),
        Ingested::Refused(code) => Err(refused(code)),
        Ingested::TryAgain => Err(refused(Code::TryAgain)),
    }
}

/// `POST /mpub?topic=...`: the body is several messages, one a line, or with `binary=true` each after its size. One that is
/// wrong refuses all. `OK` once all are on disk.
pub(crate) async fn publish_many(State(door): State<NsqHttp>, uri: Uri, body: Body) -> Result<Response, Refusal> {
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(BODY_TOO_BIG);
    }
    let params = params(&uri)?;
    let conversation = conversation(&door, &params)?;
    // Nobody closes the semaphore; without a place nothing is read.
    let _place = door.large_bodies.acquire().await.map_err(|_| Refusal(503, "EXITING"))?;
    let whole = read(&door, body, BODY_BYTES_MAX, BODY_TOO_BIG).await?;
    let messages = if is_binary(&params) { binary(&whole)? } else { lines(&whole)? };
    let bodies = messages.into_iter().map(body_of_raw).collect::<Result<Vec<_>, RawBodyError>>();
    let bodies = bodies.map_err(|error| refused(error.code()))?;
    door.engine.ingest_all(conversation, bodies).await.map_err(refused)?;
    Ok(ok())
}

/// Reads a body to its end. One that says that it is too large is not read at all.
async fn read(door: &NsqHttp, body: Body, bytes_max: usize, too_large: Refusal) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large);
    }
    let reading = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(door.body_timeout, reading).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large),
        Ok(Err(_)) => Err(Refusal(500, "INTERNAL_ERROR")),
        Err(_) => Err(Refusal(408, "REQUEST_TIMEOUT")),
    }
}

/// The query's parameters; of one that stands there twice, the first.
fn params(uri: &Uri) -> Result<HashMap<String, String>, Refusal> {
    let invalid = Refusal(400, "INVALID_REQUEST");
    if !is_query(uri.query().unwrap_or_default()) {
        return Err(invalid);
    }
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| invalid)?;
    Ok(pairs.into_iter().rev().collect())
}

/// Whether it is a query as nsqd takes one: every % begins an escape, and no semicolon parts two parameters.
fn is_query(text: &str) -> bool {
    let escape = |rest: &str| rest.get(..2).is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    !text.contains(';') && text.split('%').skip(1).all(escape)
}

fn conversation(door: &NsqHttp, params: &HashMap<String, String>) -> Result<ConversationId, Refusal> {
    let topic = params.get("topic").ok_or(Refusal(400, "MISSING_ARG_TOPIC"))?;
    if !is_topic_name(topic) {
        return Err(Refusal(400, "INVALID_TOPIC"));
    }
    door.topics.conversation(topic).ok_or(TOPIC_NOT_FOUND)
}

/// nsqd takes every value but these for true.
fn is_binary(params: &HashMap<String, String>) -> bool {
    params.get("binary").is_some_and(|value| value != "false" && value != "0")
}

fn refused(code: Code) -> Refusal {
    match code {
        Code::NoSuchConversation => TOPIC_NOT_FOUND,
        Code::BodyTooLarge => MSG_TOO_BIG,
        Code::BadBody => Refusal(400, "BAD_MESSAGE"),
        // Which may have been stored: the next one may be there twice then.
        Code::TryAgain => Refusal(503, "TRY_AGAIN"),
        _ => Refusal(500, "INTERNAL_ERROR"),
    }
}
