//! Who chats, where, and with what.

use super::{Args, DOOR, Secret, rest_url};
use crate::credentials::Credentials;
use anyhow::{Context, Result};
use lockstep_client::protocol::UserId;
use lockstep_client::{FixedToken, TokenError, TokenReason, TokenSource};
use lockstep_server::admin::TokenRequest;
use std::path::PathBuf;
use std::sync::Arc;

/// The kind of a device that is not a main one.
const SUB: &str = "sub";

/// Who chats, where, and with what.
pub(super) struct Identity {
    pub(super) user: UserId,
    pub(super) server: String,
    /// The file that keeps what the device has.
    pub(super) store: PathBuf,
    pub(super) tokens: Arc<dyn TokenSource>,
    /// Whether others are filled from it.
    pub(super) gives_history: bool,
}

impl Identity {
    /// What the options say.
    ///
    /// # Errors
    ///
    /// If they name nobody, or the credentials cannot be read.
    pub(super) fn of(args: &Args) -> Result<Self> {
        if let Some(path) = &args.credentials {
            let kept = Credentials::read(path)?;
            let (user, server) = (kept.user.clone(), args.server.clone().unwrap_or_else(|| kept.server.clone()));
            let store = args.store.clone().unwrap_or_else(|| path.with_extension("db"));
            let tokens = kept.tokens(path, &rest_url(&server));
            // A device that was linked is a sub one.
            return Ok(Self { user, server, store, tokens, gives_history: false });
        }
        let name = args.user.clone().context("--as says who to be")?;
        let user: UserId = name.parse().context("--as")?;
        let server = args.server.clone().unwrap_or_else(|| DOOR.to_owned());
        let file = || format!("{}-{}.db", file_part(&name), file_part(&args.device_name));
        let store = args.store.clone().unwrap_or_else(|| args.data.join("chat").join(file()));
        let tokens: Arc<dyn TokenSource> = match &args.token {
            Some(Secret(token)) => Arc::new(FixedToken::new(token.as_str())),
            None => Arc::new(AdminTokens {
                data: args.data.clone(),
                user: name,
                device_name: args.device_name.clone(),
                kind: args.kind.clone(),
            }),
        };
        Ok(Self { user, server, store, tokens, gives_history: args.kind != SUB })
    }
}

/// Asks the running server for a token whenever one is wanted.
struct AdminTokens {
    data: PathBuf,
    user: String,
    device_name: String,
    kind: String,
}

#[lockstep_client::async_trait]
impl TokenSource for AdminTokens {
    async fn token(&self, _reason: TokenReason) -> Result<String, TokenError> {
        let request = TokenRequest {
            user: self.user.clone(),
            device_name: self.device_name.clone(),
            kind: self.kind.clone(),
            unfilled: self.kind == SUB,
            ttl_s: None,
        };
        let grant = crate::admin::grant(&self.data, request).await;
        grant.map(|grant| grant.token).map_err(|error| TokenError::Unavailable(format!("{error:#}")))
    }
}

/// A name as part of a file name: what could mean something to a file system is written as its code.
fn file_part(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    name.chars().map(|c| if plain(c) { c.to_string() } else { format!("%{:x}", c as u32) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_file_names() {
        let cases = [("ana", "ana"), ("a/b", "a%2fb"), ("a-b", "a%2db"), ("../x", "..%2fx"), ("é", "%e9")];
        for (name, expected) in cases {
            assert_eq!(file_part(name), expected);
        }
    }
}
