//! Links: a new device asks, a main device looks at it and answers, the new device gets its tokens.

use super::caller::Caller;
use crate::accounts::SessionAnswer;
use crate::client_address::{ClientAddress, ClientNetwork};
use crate::http::{JsonBody, PathId, bad_request};
use crate::links::Guesser;
use crate::{GatewayState, Problem};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lockstep_auth::{hash_of_secret, new_secret};
use lockstep_engine::{LinkDraft, LinkPolled, LinkSecret, Refresh};
use lockstep_model::{Code, Device, Link, LinkId, SecretHash, UnixMs, limits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a device says of itself. People see it when they decide.
#[derive(Deserialize, ToSchema)]
pub(super) struct LinkRequest {
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    #[serde(default)]
    #[schema(max_length = 128)]
    platform: Option<String>,
    /// A key of the device's own, which is passed on as it is.
    #[serde(default)]
    #[schema(max_length = 256)]
    public_key: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct LinkAnswer {
    link: LinkId,
    /// For people who type.
    code: String,
    /// A secret: with it the device waits for the answer, and claims its tokens.
    secret: String,
    /// For cameras: a URL whose fragment has `link`, `scan` and the public key as `key`.
    qr: String,
    expires_at: UnixMs,
}

/// `POST /v1/links`: a new device asks to be linked. It shows the code and the QR code to people, and waits.
#[utoipa::path(post, path = "/v1/links", request_body = LinkRequest,
    responses((status = 201, description = "It may wait.", body = LinkAnswer)),
    extensions(("x-codes" = json!(["try_again"]))))]
pub(super) async fn ask(
    State(state): State<GatewayState>,
    ClientNetwork(network): ClientNetwork,
    address: Option<Extension<ClientAddress>>,
    JsonBody(request): JsonBody<LinkRequest>,
) -> Result<(StatusCode, Json<LinkAnswer>), Problem> {
    request.check()?;
    state.accounts.admit_address(&network)?;
    let LinkRequest { name, platform, public_key } = request;
    let ((code, of_code), (scan, of_scan), (secret, of_secret)) =
        (state.links.codes.make(), new_secret(), new_secret());
    let draft = LinkDraft {
        name,
        platform,
        public_key,
        address: address.map_or(network, |Extension(ClientAddress(address))| address).to_string(),
        network: network.to_string(),
        code: of_code,
        scan: SecretHash(of_scan),
        secret: SecretHash(of_secret),
    };
    let link = state.engine.ask_link(draft).await?.map_err(|wait| {
        let many = "Too many devices wait to be linked; wait as long as retry_after_ms says.";
        Problem::new(Code::RateLimited, many).retry_after(wait)
    })?;
    let qr = state.links.qr(link.id, &scan, link.public_key.as_deref());
    let answer = LinkAnswer { link: link.id, code, secret, qr, expires_at: link.expires_at };
    Ok((StatusCode::CREATED, Json(answer)))
}

impl LinkRequest {
    fn check(&self) -> Result<(), Problem> {
        let cases = [
            ("name", &self.name, 1, limits::NAME_CHARS_MAX),
            ("platform", &self.platform, 0, limits::NAME_CHARS_MAX),
            ("public_key", &self.public_key, 0, Link::PUBLIC_KEY_CHARS_MAX),
        ];
        for (field, text, min, max) in cases {
            let Some(text) = text else { continue };
            if !(min..=max).contains(&text.chars().count()) || text.chars().any(char::is_control) {
                return Err(bad_request(&format!(
                    "{field:?} must have {min} to {max} characters, none of them a control character"
                )));
            }
        }
        Ok(())
    }
}

/// The code as it was typed: in small or capital letters, with spaces or hyphens.
#[derive(Deserialize, ToSchema)]
#[schema(as = LinkCode, max_length = 32, examples("7KQM-4XRT"),
    pattern = "^[ -]*([34679AC-HJKMNP-RTWXYac-hjkmnp-rtwxy][ -]*){8}$")]
pub(super) struct LinkCodeSchema(#[expect(dead_code, reason = "only its schema is of use")] String);

/// What the new device shows: its code, or what its QR code holds.
#[derive(Deserialize, ToSchema)]
#[schema(as = LinkProof)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(super) enum ProofSchema {
    Code { code: LinkCodeSchema },
    Scan { scan: String },
}

/// What the new device shows: its code, or what its QR code holds.
#[derive(Deserialize, ToSchema)]
#[schema(as = LinkSearch)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(super) enum SearchSchema {
    Code { code: LinkCodeSchema },
    Scan { link: LinkId, scan: String },
}

#[derive(Deserialize)]
pub(super) struct ProofRequest {
    #[serde(default)]
    link: Option<LinkId>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    scan: Option<String>,
}

impl ProofRequest {
    fn shown(&self, state: &GatewayState) -> Result<LinkSecret, Problem> {
        match (&self.code, &self.scan) {
            (Some(code), None) => state.links.codes.read(code).map(LinkSecret::Code).ok_or_else(|| {
                bad_request("\"code\" must be the 8 letters and digits that the new device shows; it shows no 0, 1, 2, 5, 8, B, I, L, O, S, U, V or Z")
            }),
            (None, Some(scan)) => Ok(LinkSecret::Scan(SecretHash(hash_of_secret(scan)))),
            _ => Err(bad_request("Show either the \"code\", or the \"scan\" of the QR code")),
        }
    }
}

/// A device that asks to be linked.
#[derive(Serialize, ToSchema)]
pub(super) struct FoundLink {
    link: LinkId,
    name: Option<String>,
    platform: Option<String>,
    /// Where it asks from.
    address: String,
    public_key: Option<String>,
    created_at: UnixMs,
    expires_at: UnixMs,
}

/// `POST /v1/links/find`: a main device looks who asks, by the code or by what the QR code holds.
#[utoipa::path(post, path = "/v1/links/find", request_body = SearchSchema, security(("device" = [])),
    responses((status = 200, description = "It waits for an answer.", body = FoundLink)),
    extensions(("x-codes" = json!(["forbidden", "no_such_link"]))))]
pub(super) async fn find(
    State(state): State<GatewayState>,
    Caller(caller): Caller,
    ClientNetwork(network): ClientNetwork,
    JsonBody(request): JsonBody<ProofRequest>,
) -> Result<Json<FoundLink>, Problem> {
    let shown = request.shown(&state)?;
    // The code alone is enough to find a link.
    let link = request.link.filter(|_| matches!(shown, LinkSecret::Scan(_)));
    if link.is_none() && request.scan.is_some() {
        return Err(bad_request("\"scan\" needs the \"link\" that stands beside it in the QR code"));
    }
    let guesser = Guesser { user: Some(&caller.user), network };
    let found = guessed(&state, guesser, state.engine.find_link(&caller, link, shown)).await?;
    let Link { id, name, platform, address, public_key, created_at, expires_at } = found;
    Ok(Json(FoundLink { link: id, name, platform, address, public_key, created_at, expires_at }))
}

/// `POST /v1/links/{id}/approve`: a main device lets the new one in, as a sub device of its user.
#[utoipa::path(post, path = "/v1/links/{id}/approve", request_body = ProofSchema, params(("id" = LinkId, Path)),
    security(("device" = [])), responses((status = 204, description = "It gets its tokens.")),
    extensions(("x-codes" = json!(["forbidden", "no_such_link", "too_many_devices"]))))]
pub(super) async fn approve(
    State(state): State<GatewayState>,
    Caller(caller): Caller,
    ClientNetwork(network): ClientNetwork,
    PathId(id): PathId<LinkId>,
    JsonBody(request): JsonBody<ProofRequest>,
) -> Result<StatusCode, Problem> {
    let guesser = Guesser { user: Some(&caller.user), network };
    answer(&state, &caller, guesser, id, request.shown(&state)?, true).await
}

/// `POST /v1/links/{id}/refuse`: a main device turns the new one away.
#[utoipa::path(post, path = "/v1/links/{id}/refuse", request_body = ProofSchema, params(("id" = LinkId, Path)),
    security(("device" = [])), responses((status = 204, description = "It hears that it was refused.")),
    extensions(("x-codes" = json!(["forbidden", "no_such_link"]))))]
pub(super) async fn refuse(
    State(state): State<GatewayState>,
    Caller(caller): Caller,
    ClientNetwork(network): ClientNetwork,
    PathId(id): PathId<LinkId>,
    JsonBody(request): JsonBody<ProofRequest>,
) -> Result<StatusCode, Problem> {
    let guesser = Guesser { user: Some(&caller.user), network };
    answer(&state, &caller, guesser, id, request.shown(&state)?, false).await
}

async fn answer(
    state: &GatewayState,
    caller: &Device,
    guesser: Guesser<'_>,
    link: LinkId,
    shown: LinkSecret,
    approve: bool,
) -> Result<StatusCode, Problem> {
    guessed(state, guesser, state.engine.answer_link(caller, link, shown, approve)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
pub(super) struct ClaimRequest {
    secret: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct WaitingLink {
    link: LinkId,
    expires_at: UnixMs,
}

/// `POST /v1/links/{id}/claim`: 202 while nobody has said anything, 201 with the tokens, once, when it was approved. For
/// devices that cannot wait on a WebSocket.
#[utoipa::path(post, path = "/v1/links/{id}/claim", request_body = ClaimRequest, params(("id" = LinkId, Path)),
    responses(
        (status = 201, description = "The device is linked.", body = SessionAnswer),
        (status = 202, description = "Nobody has answered yet.", body = WaitingLink)),
    extensions(("x-codes" = json!(["no_such_link", "link_refused", "too_many_devices", "try_again"]))))]
pub(super) async fn claim(
    State(state): State<GatewayState>,
    ClientNetwork(network): ClientNetwork,
    PathId(id): PathId<LinkId>,
    JsonBody(request): JsonBody<ClaimRequest>,
) -> Result<Response, Problem> {
    let guesser = Guesser { user: None, network };
    let secret = SecretHash(hash_of_secret(&request.secret));
    match guessed(&state, guesser, poll_link(&state, id, secret)).await? {
        LinkOutcome::Waiting(expires_at) => {
            Ok((StatusCode::ACCEPTED, Json(WaitingLink { link: id, expires_at })).into_response())
        }
        LinkOutcome::Linked(session) => Ok((StatusCode::CREATED, Json(session)).into_response()),
    }
}

/// What has become of a link, as its device hears it.
pub(crate) enum LinkOutcome {
    Waiting(UnixMs),
    Linked(Box<SessionAnswer>),
}

/// Looks what has become of a link, and gives an approved one its tokens.
pub(crate) async fn poll_link(state: &GatewayState, link: LinkId, secret: SecretHash) -> Result<LinkOutcome, Code> {
    let mut made = None;
    let polled = state.engine.poll_link(link, secret, |device, generation| {
        let token = state.accounts.refresh_token(device, generation);
        let refresh = Refresh { hash: token.hash, expires_at: token.expires_at };
        made = Some(token);
        refresh
    });
    match (polled.await?, made) {
        (LinkPolled::Waiting(until), _) => Ok(LinkOutcome::Waiting(until)),
        (LinkPolled::Linked(device), Some(token)) => {
            Ok(LinkOutcome::Linked(Box::new(state.accounts.session(device, token))))
        }
        (LinkPolled::Linked(_), None) => Err(Code::Internal),
    }
}

/// Does what somebody asks who shows a code or a secret. Only what was wrong counts as a guess.
pub(crate) async fn guessed<T>(
    state: &GatewayState,
    guesser: Guesser<'_>,
    doing: impl Future<Output = Result<T, Code>>,
) -> Result<T, Problem> {
    if guesser.user.is_none() {
        // A device's own secret cannot be guessed: the right one always passes, and only wrong ones are counted.
        let done = doing.await;
        if matches!(done, Err(Code::NoSuchLink)) {
            state.links.admit(guesser)?;
        }
        return done.map_err(Problem::from);
    }
    state.links.admit(guesser)?;
    let done = doing.await;
    if !matches!(done, Err(Code::NoSuchLink)) {
        state.links.forgive(guesser);
    }
    done.map_err(|code| match code {
        Code::Forbidden => Problem::new(code, "Only a main device may see and answer devices that ask to be linked."),
        code => code.into(),
    })
}
