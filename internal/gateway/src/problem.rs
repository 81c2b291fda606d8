//! Errors of REST: problem details for HTTP APIs (RFC 9457), one problem type per code of the protocol's table.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lockstep_model::Code;
use lockstep_protocol::Advice;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;
use utoipa::ToSchema;

/// An error answer: `application/problem+json` with `type`, `title`, `status`, `detail` and `code`.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
    tells_codings: bool,
}

/// Problem details (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Wire<'a> {
    /// `/problems/` and the code: a relative reference (RFC 9457, section 3.1.1) that never changes.
    #[serde(rename = "type")]
    kind: String,
    /// What the code means, the same each time.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What is wrong with this request.
    detail: &'a str,
    /// What programs act on; it never changes.
    code: &'static str,
    /// After how long the same request may succeed, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Problem {
    /// A problem with a sentence about this request in particular. It must not repeat what may be secret.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry_after = match code.spec().advice {
            Advice::Reconnect { after_ms } if after_ms > 0 => Some(Duration::from_millis(u64::from(after_ms))),
            _ => None,
        };
        // RFC 6750, section 3.1. RFC 9110, section 11.6.1: a 401 without a challenge is malformed.
        let challenge = (code.spec().http == 401).then_some(r#"Bearer realm="lockstep", error="invalid_token""#);
        Self { code, detail: detail.into(), retry_after, challenge, tells_codings: false }
    }

    /// Says when the same request may succeed.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The body's coding was the reason (RFC 9110, section 15.5.16).
    pub(crate) fn with_accepted_codings(mut self) -> Self {
        self.tells_codings = true;
        self
    }

    /// The request had no credentials at all: the challenge then names no error (RFC 6750, section 3.1).
    pub(crate) fn without_credentials(mut self) -> Self {
        self.challenge = Some(r#"Bearer realm="lockstep""#);
        self
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code, code.spec().sentence)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let spec = self.code.spec();
        let retry_after_ms = self.retry_after.map(|wait| wait.as_nanos().div_ceil(1_000_000) as u64);
        let wire = Wire {
            kind: format!("/problems/{}", spec.name),
            title: spec.sentence,
            status: spec.http,
            detail: &self.detail,
            code: spec.name,
            retry_after_ms,
        };
        let status = StatusCode::from_u16(spec.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(wire)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self.tells_codings {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if let Some(wait_ms) = retry_after_ms {
            // Whole seconds (RFC 9110, section 10.2.3), never too few.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1_000)));
        }
        response
    }
}
