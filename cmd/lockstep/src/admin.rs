//! The admin socket as the commands use it: what they ask, and what they say when no server runs there.

use anyhow::{Context, Result};
use lockstep_server::admin::{AdminClient, AdminError, TokenGrant, TokenRequest};
use std::path::Path;

/// A client of the server that runs on this data folder.
pub(crate) fn client(data: &Path) -> AdminClient {
    AdminClient::new(data)
}

/// A token for a user's device of this name and kind; user and device are made if need be.
///
/// # Errors
///
/// If no server runs on this data folder, or it refuses.
pub(crate) async fn user_token(data: &Path, user: &str, device_name: &str, kind: &str) -> Result<String> {
    let (user, device_name, kind) = (user.to_owned(), device_name.to_owned(), kind.to_owned());
    let request = TokenRequest { user, device_name, kind, unfilled: false, ttl_s: None };
    Ok(grant(data, request).await?.token)
}

/// A token, and what it was made for.
///
/// # Errors
///
/// As [`user_token`].
pub(crate) async fn grant(data: &Path, request: TokenRequest) -> Result<TokenGrant> {
    explain(data, client(data).token(&request).await)
}

/// Adds what a person can do about it to an error of the socket.
///
/// # Errors
///
/// The one that was passed in.
pub(crate) fn explain<T>(data: &Path, result: Result<T, AdminError>) -> Result<T> {
    match result {
        Err(error @ AdminError::Connect { .. }) => Err(error).with_context(|| {
            format!(
                "no server runs on the data folder {}: start one with `lockstep serve --data {0}`, or name another \
                 folder with --data",
                data.display()
            )
        }),
        other => Ok(other?),
    }
}
