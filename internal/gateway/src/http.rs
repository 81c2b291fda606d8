//! What requests are read with: path ids, query parameters and JSON bodies, each with an error that a person can act on.

use crate::Problem;
use crate::standing::Standing;
use axum::body::{Body, Bytes};
use axum::extract::{FromRef, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use lockstep_model::{Code, IdError};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

/// The one id in the path.
#[derive(Debug)]
pub struct PathId<T>(pub T);

impl<S: Send + Sync, T: FromStr<Err = IdError>> FromRequestParts<S> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(Problem::new(Code::BadRequest, "The id in the path is not UTF-8."));
        };
        let id = text.parse().map_err(|error: IdError| bad_request(&format!("In the path, {error}")))?;
        Ok(Self(id))
    }
}

/// The query's parameters. Unknown ones are ignored.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(bad_request(&rejection.body_text())),
        }
    }
}

/// How large a request's body may be, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// A larger one is refused with `body_too_large`.
    pub bytes_max: usize,
    /// A slower one is refused with `request_timeout`.
    pub timeout: Duration,
}

/// A JSON object as body, whole, within the [`BodyLimits`]. Whoever sent it must still be let in when its end has come.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T>
where
    BodyLimits: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let BodyLimits { bytes_max, timeout } = BodyLimits::from_ref(state);
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            let fix = "Send the header \"Content-Type: application/json\".";
            return Err(Problem::new(Code::UnsupportedMediaType, fix));
        }
        if !is_plain(&parts.headers) {
            let fix = "Send the body as it is, without a Content-Encoding.";
            return Err(Problem::new(Code::UnsupportedMediaType, fix).with_accepted_codings());
        }
        let reading = read_whole(body, declared_length(&parts.headers), bytes_max);
        let bytes = match tokio::time::timeout(timeout, reading).await {
            Ok(bytes) => bytes?,
            Err(_) => return Err(Code::RequestTimeout.into()),
        };
        if let Some(standing) = parts.extensions.get::<Standing>() {
            standing.confirm().await?;
        }
        // serde would fill a struct's fields from a list, by position.
        if bytes.trim_ascii_start().starts_with(b"[") {
            return Err(bad_request("The body must be a JSON object"));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let code = if error.is_data() { Code::BadRequest } else { Code::BadJson };
            Problem::new(code, without_values(&error))
        })
    }
}

/// Reads a struct inside a body from an object alone: serde would fill its fields from a list too, by position.
pub(crate) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_map(Object(PhantomData))
}

/// A `bad_request` with a sentence, which gets its full stop here.
pub fn bad_request(detail: &str) -> Problem {
    Problem::new(Code::BadRequest, format!("{}.", detail.trim_end_matches('.')))
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Whether no coding has to be undone (RFC 9110, section 8.4): a small body could become a large one.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings.all(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

fn declared_length(headers: &HeaderMap) -> usize {
    headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// Reads a body. One that says that it is too large is not read at all.
async fn read_whole(body: Body, declared_bytes: usize, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(Code::BodyTooLarge, format!("The request has more than {bytes_max} bytes, the most it may have."))
    };
    if declared_bytes > bytes_max {
        return Err(too_large());
    }
    let mut whole = Vec::with_capacity(declared_bytes);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| bad_request("The request's body broke off"))?;
        if whole.len() + chunk.len() > bytes_max {
            return Err(too_large());
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into())
}

/// serde_json's sentence without the value that it found: that is the caller's and stays out of answers and logs.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = match error.line() {
        0 => String::new(),
        line => format!(" at line {line} column {}", error.column()),
    };
    let what = text.strip_suffix(&place).unwrap_or(&text);
    let what = match (what.split_once(": "), what.rsplit_once(", expected ")) {
        (Some((kind, _)), Some((_, expected))) if kind.starts_with("invalid ") => {
            format!("{kind}, expected {expected}")
        }
        _ => what.to_owned(),
    };
    let what = match what.split_once('`') {
        Some((kind, rest)) if kind.starts_with("unknown variant") => match rest.rsplit_once(", expected ") {
            Some((_, expected)) => format!("unknown value, expected {expected}"),
            None => "unknown value".to_owned(),
        },
        _ => what,
    };
    format!("The JSON is not as expected: {what}{place}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_model::UserId;

    #[test]
    fn sentences_do_not_repeat_values() {
        #[derive(Debug, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        #[expect(dead_code, reason = "only errors are of interest")]
        enum Wanted {
            Direct { user: UserId },
            Group { members: Vec<u8> },
        }
        let cases = [
            (r#"{"kind":"direct","user":""}"#, "a user id must have 1 to 64 characters"),
            (r#"{"kind":"direct","user":5}"#, "invalid type, expected a string"),
            (r#"{"kind":"direct"}"#, "missing field `user`"),
            (r#"{"kind":"secret"}"#, "unknown value, expected `direct` or `group`"),
            (r#"{"kind":"secret, expected secret"}"#, "unknown value, expected `direct` or `group`"),
            (r#"{"kind":"group","members":["secret: secret, expected secret"]}"#, "invalid type, expected u8"),
            (r#"{"kind":"group","members":"secret"}"#, "invalid type, expected a sequence"),
            (r#""secret""#, "invalid type, expected internally tagged enum Wanted"),
            ("{", "EOF while parsing"),
            ("", "EOF while parsing a value at line 1 column 0."),
        ];
        for (json, expected) in cases {
            let sentence = without_values(&serde_json::from_str::<Wanted>(json).unwrap_err());
            assert!(sentence.contains(expected) && !sentence.contains("secret"), "{json}: {sentence}");
        }
    }

    #[test]
    fn a_list_is_no_object() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Outer {
            #[serde(deserialize_with = "object")]
            inner: Inner,
        }
        #[derive(Debug, PartialEq, Deserialize)]
        struct Inner {
            one: Option<u8>,
        }
        let cases = [
            (r#"{"inner":{"one":1}}"#, Some(Some(1))),
            (r#"{"inner":{"other":1}}"#, Some(None)),
            (r#"{"inner":[1]}"#, None),
            (r#"{"inner":null}"#, None),
            (r#"{"inner":{"one":"x"}}"#, None),
        ];
        for (json, expected) in cases {
            let found = serde_json::from_str::<Outer>(json).ok().map(|outer| outer.inner.one);
            assert_eq!(found, expected, "{json}");
        }
    }

    #[test]
    fn which_content_types_are_json() {
        let cases = [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/jsonp", false),
            ("text/plain", false),
            ("", false),
        ];
        for (value, expected) in cases {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(is_json(&headers), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn which_codings_are_plain() {
        let cases: [(&[&str], bool); 8] = [
            (&[], true),
            (&["identity"], true),
            (&[" Identity "], true),
            (&["gzip"], false),
            (&["identity", "gzip"], false),
            (&["identity, br"], false),
            (&["x-unknown"], false),
            (&[""], false),
        ];
        for (values, expected) in cases {
            let headers = values.iter().map(|value| (header::CONTENT_ENCODING, value.parse().unwrap()));
            assert_eq!(is_plain(&HeaderMap::from_iter(headers)), expected, "{values:?}");
        }
    }
}
