//! Requests in the name of a device: what all that it asks beside its connection has in common.

use crate::rest::{Rest, read};
use crate::{RestError, TokenError, TokenReason, TokenSource};
use hyper::Method;
use hyper::body::Bytes;
use lockstep_protocol::{Advice, Code};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// Rows of a page: as many as the server gives.
const PAGE: u32 = 200;
/// How often a page is asked for again after `rate_limited`. Then the list is given up with it.
const PAGE_WAITS_MAX: u32 = 8;
/// How long until then, if the server does not say, and at most.
const PAGE_WAIT: Duration = Duration::from_secs(1);
const PAGE_WAIT_MAX: Duration = Duration::from_secs(30);

/// A server's REST door, and the tokens that open it.
#[derive(Clone)]
pub(crate) struct Requests {
    rest: Rest,
    tokens: Arc<dyn TokenSource>,
}

impl Requests {
    pub(crate) fn new(url: impl Into<String>, tokens: Arc<dyn TokenSource>) -> Self {
        Self { rest: Rest::new(url), tokens }
    }

    /// Asks for something that is there.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RestError> {
        self.ask(Method::GET, path, &Value::Null).await
    }

    /// Asks, with no body at all if it is null, for something that the answer holds.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<T, RestError> {
        read(&self.exchange(method, path, body).await?)
    }

    /// Asks for something to be done.
    pub(crate) async fn tell(&self, method: Method, path: &str, body: &Value) -> Result<(), RestError> {
        self.exchange(method, path, body).await.map(drop)
    }

    /// What the answer holds under a name.
    pub(crate) async fn part<T: DeserializeOwned>(&self, path: &str, name: &str) -> Result<T, RestError> {
        let mut answer: Value = self.get(path).await?;
        taken(&mut answer, name)
    }

    /// All pages of a list, which each answer holds under a name.
    pub(crate) async fn pages<T: DeserializeOwned>(&self, path: &str, name: &str) -> Result<Vec<T>, RestError> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut url = format!("{path}?limit={PAGE}");
            if let Some(cursor) = &cursor {
                // A text takes whatever is written into it.
                let _ = write!(url, "&cursor={}", segment(cursor));
            }
            let mut page = self.page(&url).await?;
            all.extend(taken::<Vec<T>>(&mut page, name)?);
            let next = page["next"].as_str();
            match next {
                None => return Ok(all),
                // It would go on for ever.
                Some(_) if next == cursor.as_deref() => return Err(RestError::senseless()),
                Some(next) => cursor = Some(next.to_owned()),
            }
        }
    }

    /// A page of a list. A long list may be more than the server answers at a time: then it waits as long as the server says.
    async fn page(&self, url: &str) -> Result<Value, RestError> {
        let mut waits = 0;
        loop {
            let refused = match self.get(url).await {
                Err(refused) if refused.code() == Some(Code::RateLimited) && waits < PAGE_WAITS_MAX => refused,
                outcome => return outcome,
            };
            let RestError::Refused { retry_after, .. } = refused else { return Err(refused) };
            waits += 1;
            tokio::time::sleep(retry_after.unwrap_or(PAGE_WAIT).min(PAGE_WAIT_MAX)).await;
        }
    }

    /// Asks, and once more with another token if the server wants one: what it refuses so it has not begun.
    async fn exchange(&self, method: Method, path: &str, body: &Value) -> Result<Bytes, RestError> {
        let token = self.tokens.token(TokenReason::Connect).await?;
        let refused = match self.rest.exchange(method.clone(), path, Some(&token), body).await {
            Ok((_, answer)) => return Ok(answer),
            Err(refused) => refused,
        };
        let code = refused.code().filter(|code| code.spec().advice == Advice::NewToken).ok_or(refused.clone())?;
        let token = match self.tokens.token(TokenReason::Refused(code)).await {
            Ok(token) => token,
            // The code says more than that there is no other.
            Err(TokenError::Denied(_)) => return Err(refused),
            Err(error) => return Err(error.into()),
        };
        Ok(self.rest.exchange(method, path, Some(&token), body).await?.1)
    }
}

fn taken<T: DeserializeOwned>(answer: &mut Value, name: &str) -> Result<T, RestError> {
    let part = answer.get_mut(name).map(Value::take).unwrap_or_default();
    serde_json::from_value(part).map_err(|_| RestError::senseless())
}

/// A text as part of a URL (RFC 3986, section 2.3): all but unreserved characters are written as their bytes.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // A text takes whatever is written into it.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_user_fits_into_a_url() {
        for (text, expected) in [("ana-1.x_~", "ana-1.x_~"), ("a/b?c", "a%2Fb%3Fc"), ("é ", "%C3%A9%20")] {
            assert_eq!(segment(text), expected);
        }
    }
}
