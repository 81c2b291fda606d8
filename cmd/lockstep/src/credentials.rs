//! What a linked device keeps in a file: who it is, and its refresh token.

use anyhow::{Context, Result};
use lockstep_client::protocol::{DeviceId, UserId};
use lockstep_client::{Accounts, RefreshedTokens, TokenKeeper, TokenSource, async_trait};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The content of the file.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The server's WebSocket door.
    pub(crate) server: String,
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) refresh_token: String,
}

/// Keeps each new refresh token in the file.
struct Keeper {
    path: PathBuf,
    credentials: Credentials,
}

impl Credentials {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it is not there, or holds something else.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let what = || format!("the credentials in {}; `lockstep device link` makes them", path.display());
        let text = fs::read_to_string(path).with_context(what)?;
        serde_json::from_str(&text).with_context(what)
    }

    /// Writes the file anew, which only its owner may read: there is a whole one at any time.
    ///
    /// # Errors
    ///
    /// If the folder or the disk does not allow it.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(serde_json::to_string(self)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    }

    /// Access tokens of the device, from the server's REST door at `url`.
    pub(crate) fn tokens(self, path: &Path, url: &str) -> Arc<dyn TokenSource> {
        let refresh_token = self.refresh_token.clone();
        let keeper = Keeper { path: path.to_owned(), credentials: self };
        Arc::new(RefreshedTokens::from_kept(Accounts::new(url), refresh_token, keeper))
    }
}

#[async_trait]
impl TokenKeeper for Keeper {
    async fn keep(&self, refresh_token: &str) -> Result<(), String> {
        let newest = Credentials { refresh_token: refresh_token.to_owned(), ..self.credentials.clone() };
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || newest.write(&path)).await;
        written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_the_owner_reads_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("device.json");
        let mut credentials = Credentials {
            server: "ws://127.0.0.1:8080/v1/ws".to_owned(),
            user: UserId::new("ana").expect("an id"),
            device: DeviceId::generate(),
            refresh_token: "one".to_owned(),
        };
        for token in ["one", "two"] {
            credentials.refresh_token = token.to_owned();
            credentials.write(&path).expect("write");
            assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
            let read = Credentials::read(&path).expect("read");
            assert_eq!((read.device, read.refresh_token), (credentials.device, token.to_owned()));
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left beside it");
        assert!(Credentials::read(&folder.path().join("other")).is_err());
    }
}
