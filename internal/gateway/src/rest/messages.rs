//! Sending a message, and reading back what was said.

use super::caller::{Caller, Sending};
use super::page_size;
use crate::http::{JsonBody, Params, PathId, bad_request};
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use lockstep_engine::{HistoryPage, Slice};
use lockstep_model::{
    Body, BodyError, ClientMsgId, Code, Content, ConversationId, Device, Entry, EntryId, Kind, Seq, Service,
    SharedEntry, Target, UnixMs,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

/// Bytes of entries in one page; the page then ends early, but never before its first entry.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// A message to send.
#[derive(Deserialize, ToSchema)]
pub(super) struct SendRequest {
    /// `message`, `edit`, `recall` or `reaction`; absent: a message.
    #[serde(default)]
    kind: Option<String>,
    #[schema(value_type = Body)]
    body: Box<RawValue>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct SentAnswer {
    conversation: ConversationId,
    seq: Seq,
    id: EntryId,
    sent_at: UnixMs,
    /// Whether it was there already.
    duplicate: bool,
}

/// `POST /v1/conversations/{id}/messages` with `Idempotency-Key`: 201 once the message is on disk, 200 if it already was.
/// A device sends as its user, a service as itself.
#[utoipa::path(post, path = "/v1/conversations/{id}/messages", request_body = SendRequest,
    security(("device" = []), ("service" = [])),
    params(
        ("id" = ConversationId, Path),
        ("Idempotency-Key" = ClientMsgId, Header, description = "A new id for each message; the same again.")),
    responses(
        (status = 200, description = "It was on disk already.", body = SentAnswer),
        (status = 201, description = "It is on disk.", body = SentAnswer)),
    extensions(("x-codes" = json!([
        "no_such_conversation", "out_of_scope", "duplicate_id", "bad_body", "blocked", "no_such_target", "not_yours",
        "recalled"]))))]
pub(super) async fn send(
    State(state): State<GatewayState>,
    sending: Sending,
    PathId(conversation): PathId<ConversationId>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<SendRequest>,
) -> Result<(StatusCode, Json<SentAnswer>), Problem> {
    if let Sending::Service(service) = &sending
        && !service.may_publish(conversation)
    {
        return Err(Code::OutOfScope.into());
    }
    let client_msg_id = idempotency_key(&headers)?;
    let body = Body::from_raw(request.body).map_err(|error| {
        let code = match error {
            BodyError::TooLarge { .. } => Code::BodyTooLarge,
            BodyError::TooDeep | BodyError::NoType => Code::BadBody,
        };
        Problem::new(code, format!("{error}."))
    })?;
    let kind = Kind::from_sender(request.kind.as_deref())
        .ok_or_else(|| bad_request("\"kind\" must be \"message\", \"edit\", \"recall\" or \"reaction\""))?;
    Content::of(&kind, &body).map_err(|error| Problem::new(Code::BadBody, error.to_string()))?;
    let (now, engine) = (std::time::Instant::now(), &state.engine);
    let too_fast = |wait| Problem::from(Code::RateLimited).retry_after(wait);
    let sent = match sending {
        Sending::Device(Device { id, user, .. }) => {
            state.device_rates().admit(&id, now).map_err(too_fast)?;
            engine.send_as(user, id, Target::Conversation(conversation), client_msg_id, kind, body).await?
        }
        Sending::Service(Service { name, .. }) => {
            state.service_rates().admit(&name, now).map_err(too_fast)?;
            engine.publish_as(name, conversation, client_msg_id, kind, body).await?
        }
    };
    let status = if sent.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    let answer = SentAnswer {
        conversation: sent.conversation,
        seq: sent.seq,
        id: sent.id,
        sent_at: sent.sent_at,
        duplicate: sent.duplicate,
    };
    Ok((status, Json(answer)))
}

/// The sender's name for the message. The header's draft writes it in quotes; both ways mean the same.
fn idempotency_key(headers: &HeaderMap) -> Result<ClientMsgId, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(bad_request(
            "Send one Idempotency-Key header: a new id of 1 to 64 characters for each message, the same when sending it again",
        ));
    };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| bad_request("The Idempotency-Key is not UTF-8"))?;
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    bare.parse()
        .map_err(|_| bad_request("The Idempotency-Key must have 1 to 64 characters, none of them a control character"))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryParams {
    /// The newest entries below this seq.
    before: Option<Seq>,
    /// The oldest entries above this seq; not with `before`.
    after: Option<Seq>,
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct HistoryAnswer {
    #[schema(value_type = Vec<Entry>)]
    entries: Vec<EntryAnswer>,
    floor: Seq,
    head: Seq,
}

/// An entry, serialized from where it is shared.
pub(super) struct EntryAnswer(SharedEntry);

impl Serialize for EntryAnswer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Entry::serialize(&self.0, serializer)
    }
}

/// `GET /v1/conversations/{id}/messages`: the newest, or the newest below `before`, or the oldest above `after`; in the
/// order of the log.
#[utoipa::path(get, path = "/v1/conversations/{id}/messages", security(("device" = [])),
    params(("id" = ConversationId, Path), HistoryParams),
    responses((status = 200, description = "A page, cut short if it has many bytes.", body = HistoryAnswer)),
    extensions(("x-codes" = json!(["no_such_conversation"]))))]
pub(super) async fn history(
    State(state): State<GatewayState>,
    Caller(device): Caller,
    PathId(conversation): PathId<ConversationId>,
    Params(params): Params<HistoryParams>,
) -> Result<Json<HistoryAnswer>, Problem> {
    let count = page_size(params.limit)?;
    let slice = match (params.before, params.after) {
        (None, None) => Slice::Latest,
        (Some(before), None) => Slice::Before(before),
        (None, Some(after)) => Slice::After(after),
        (Some(_), Some(_)) => return Err(bad_request("Give \"before\" or \"after\", not both")),
    };
    let page = state.engine.history(&device.user, conversation, slice, count).await?;
    let HistoryPage { entries, floor, head } = page;
    let entries = within_bytes(entries, slice, PAGE_BYTES_MAX).into_iter().map(EntryAnswer).collect();
    Ok(Json(HistoryAnswer { entries, floor, head }))
}

/// Cuts a page to so many bytes, at the end where the caller goes on reading.
fn within_bytes(mut entries: Vec<SharedEntry>, slice: Slice, bytes_max: usize) -> Vec<SharedEntry> {
    let fits = |entries: &mut dyn Iterator<Item = &SharedEntry>| {
        let mut bytes = 0;
        let count = entries.take_while(|entry| {
            bytes += entry.cost_bytes();
            bytes <= bytes_max
        });
        count.count().max(1)
    };
    match slice {
        Slice::After(_) => {
            let kept = fits(&mut entries.iter());
            entries.truncate(kept);
        }
        Slice::Latest | Slice::Before(_) => {
            let kept = fits(&mut entries.iter().rev());
            entries.drain(..entries.len().saturating_sub(kept));
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_model::Sender;

    fn entry(seq: u64) -> SharedEntry {
        SharedEntry::new(Entry {
            conversation: ConversationId::from_bytes([1; 16]),
            seq: Seq::new(seq),
            id: EntryId::generate(),
            kind: Kind::Message,
            sender: Sender::server(),
            sender_device: None,
            client_msg_id: None,
            body: Body::text("hi"),
            sent_at: UnixMs::ZERO,
        })
    }

    #[test]
    fn a_page_ends_where_its_bytes_do() {
        let cost = entry(1).cost_bytes();
        let (after, before) = (Slice::After(Seq::ZERO), Slice::Before(Seq::MAX));
        let cases: [(Slice, usize, &[u64]); 7] = [
            (after, 5 * cost, &[1, 2, 3, 4, 5]),
            (after, 5 * cost - 1, &[1, 2, 3, 4]),
            (after, 0, &[1]),
            (before, 5 * cost, &[1, 2, 3, 4, 5]),
            (before, 5 * cost - 1, &[2, 3, 4, 5]),
            (Slice::Latest, 2 * cost, &[4, 5]),
            (Slice::Latest, 0, &[5]),
        ];
        for (slice, bytes_max, expected) in cases {
            let kept = within_bytes((1..=5).map(entry).collect(), slice, bytes_max);
            assert_eq!(kept.iter().map(|e| e.seq.get()).collect::<Vec<_>>(), expected, "{slice:?} {bytes_max}");
            assert!(within_bytes(vec![], slice, bytes_max).is_empty());
        }
    }

    #[test]
    fn which_idempotency_keys_are_taken() {
        let long = "k".repeat(65);
        let cases: [(&[&str], Option<&str>); 8] = [
            (&["key-1"], Some("key-1")),
            (&["\"key-1\""], Some("key-1")),
            (&["\"key"], Some("\"key")),
            (&[&long[..64]], Some(&long[..64])),
            (&[&long], None),
            (&["\"\""], None),
            (&[], None),
            (&["one", "two"], None),
        ];
        for (values, expected) in cases {
            let headers = values.iter().map(|value| ("idempotency-key".parse().unwrap(), value.parse().unwrap()));
            let found = idempotency_key(&HeaderMap::from_iter(headers)).ok();
            assert_eq!(found.as_ref().map(ClientMsgId::as_str), expected, "{values:?}");
        }
    }
}
