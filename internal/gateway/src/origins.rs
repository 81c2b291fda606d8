//! Which web pages may use this server: the origins of the `Origin` header (RFC 6454, section 7).
//!
//! REST answers pages of these origins as the Fetch standard's CORS protocol has it (section 3.3). The WebSocket, which
//! that protocol does not cover, takes browsers' connections from them and from pages of its own host. Nothing here is
//! ever sent by a browser on its own accord: there are no cookies, tokens are in headers and frames. So credentials are
//! never allowed, and programs that send no `Origin` are not concerned.

use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what it was allowed.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The origins whose pages may use this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// These.
    Listed(Vec<HeaderValue>),
    /// All.
    Any,
}

impl Default for Origins {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Origins {
    /// Reads exact origins such as `https://app.example`, or `*` alone; `None` if one is neither.
    pub fn parse(texts: &[String]) -> Option<Self> {
        match texts {
            [one] if one == "*" => Some(Self::Any),
            _ => {
                let origin = |text: &String| is_origin(text).then(|| HeaderValue::try_from(text).ok()).flatten();
                texts.iter().map(origin).collect::<Option<_>>().map(Self::Listed)
            }
        }
    }

    /// What tells browsers, if there is anything to tell.
    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        let origins = match self {
            Self::Listed(origins) if origins.is_empty() => return None,
            Self::Listed(origins) => AllowOrigin::list(origins.iter().cloned()),
            Self::Any => AllowOrigin::any(),
        };
        let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let taken = [header::AUTHORIZATION, header::CONTENT_TYPE, HeaderName::from_static("idempotency-key")];
        let shown = [header::RETRY_AFTER, header::WWW_AUTHENTICATE];
        let layer = CorsLayer::new().allow_origin(origins).allow_methods(methods).allow_headers(taken);
        Some(layer.expose_headers(shown).max_age(MAX_AGE))
    }

    /// Whether a page may open a WebSocket here. What is no page may.
    pub(crate) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut named = headers.get_all(header::ORIGIN).iter();
        match (named.next(), named.next(), self) {
            (None, ..) => true,
            (Some(_), Some(_), _) => false,
            (Some(_), None, Self::Any) => true,
            (Some(origin), None, Self::Listed(origins)) => {
                origins.contains(origin) || is_own(origin, uri, headers).unwrap_or(false)
            }
        }
    }
}

/// Whether a text is an origin as a browser writes it (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let right_scheme = scheme.parse::<Scheme>().is_ok_and(|parsed| parsed.as_str() == scheme);
    let usual = |text: &str| !text.bytes().any(|letter| letter.is_ascii_uppercase() || b"@*".contains(&letter));
    right_scheme
        && usual(text)
        && host.parse::<Authority>().is_ok_and(|parsed| without_default_port(scheme, &parsed) == host)
}

/// Whether an origin's host is the one that was asked for. The scheme does not count: a proxy may have ended TLS.
fn is_own(origin: &HeaderValue, uri: &Uri, headers: &HeaderMap) -> Option<bool> {
    let (scheme, host) = origin.to_str().ok()?.split_once("://")?;
    let origin = without_default_port(scheme, &host.parse().ok()?);
    // A target that names a host counts instead (RFC 9112, section 3.2.2).
    let asked: Authority = match uri.authority() {
        Some(target) => target.clone(),
        None => headers.get(header::HOST)?.to_str().ok()?.parse().ok()?,
    };
    Some(origin == without_default_port(scheme, &asked))
}

fn without_default_port(scheme: &str, authority: &Authority) -> String {
    let port = match (scheme, authority.port_u16()) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    authority.host().to_ascii_lowercase() + &port
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(texts: &[&str]) -> Option<Origins> {
        Origins::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn which_origins_are_taken() {
        let cases: [(&[&str], bool); 17] = [
            (&[], true),
            (&["*"], true),
            (&["https://app.example"], true),
            (&["https://app.example", "http://localhost:5173"], true),
            (&["http://[::1]:3000"], true),
            (&["capacitor://localhost"], true),
            (&["*", "https://app.example"], false),
            (&["https://*.example"], false),
            (&["null"], false),
            (&["app.example"], false),
            (&["https://app.example/"], false),
            (&["https://app.example/path"], false),
            (&["https://App.example"], false),
            (&["https://ana@app.example"], false),
            // Browsers leave the usual port out.
            (&["https://app.example:443"], false),
            (&["https://"], false),
            (&[""], false),
        ];
        for (texts, right) in cases {
            assert_eq!(origins(texts).is_some(), right, "{texts:?}");
        }
    }

    #[test]
    fn which_pages_may_open_a_websocket() {
        let (none, listed, any) =
            (Origins::default(), origins(&["https://app.example"]).unwrap(), origins(&["*"]).unwrap());
        // The headers; whether they pass with no origins, with one listed, with all.
        type Case = (&'static [(&'static str, &'static str)], [bool; 3]);
        let cases: [Case; 12] = [
            (&[("host", "chat.example")], [true, true, true]),
            (&[("host", "chat.example"), ("origin", "https://chat.example")], [true, true, true]),
            (&[("host", "chat.example:8080"), ("origin", "http://chat.example:8080")], [true, true, true]),
            (&[("host", "Chat.example:443"), ("origin", "https://chat.example")], [true, true, true]),
            (&[("host", "chat.example:80"), ("origin", "https://chat.example")], [false, false, true]),
            (&[("host", "chat.example:8080"), ("origin", "http://chat.example")], [false, false, true]),
            (&[("host", "chat.example"), ("origin", "https://app.example")], [false, true, true]),
            (&[("host", "chat.example"), ("origin", "http://app.example")], [false, false, true]),
            (&[("host", "chat.example"), ("origin", "https://chat.example.evil.example")], [false, false, true]),
            (&[("host", "chat.example"), ("origin", "null")], [false, false, true]),
            (&[("origin", "https://chat.example")], [false, false, true]),
            (
                &[("host", "chat.example"), ("origin", "https://app.example"), ("origin", "https://chat.example")],
                [false, false, false],
            ),
        ];
        for (pairs, expected) in cases {
            let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let headers = HeaderMap::from_iter(headers.collect::<Vec<_>>());
            let found = [&none, &listed, &any].map(|origins| origins.admit(&Uri::from_static("/v1/ws"), &headers));
            assert_eq!(found, expected, "{pairs:?}");
        }
        let headers = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static("https://chat.example"))]);
        assert!(none.admit(&Uri::from_static("https://chat.example/v1/ws"), &headers));
    }
}
