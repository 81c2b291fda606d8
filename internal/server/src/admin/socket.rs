//! The admin socket itself: a file of mode 0600, whose peers must be this user or root.

use super::socket_path;
use std::fs::Permissions;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream, unix};

/// Longest path of a Unix socket: `sun_path` has 108 bytes with the closing zero (unix(7)).
const PATH_BYTES_MAX: usize = 107;

/// Why there is no admin socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The system cannot bind such a path.
    #[error(
        "the path of the admin socket {} has {} bytes, more than the {PATH_BYTES_MAX} that a socket's path may have: use \
         a data folder with a shorter path, or name it relative to the working folder",
        path.display(),
        path.as_os_str().len()
    )]
    PathTooLong {
        /// The socket.
        path: PathBuf,
    },
    /// Something else stands there.
    #[error("{} is not a socket: move it away", path.display())]
    Occupied {
        /// The socket.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error("the admin socket {} could not be made", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The socket's file. It is removed by [`remove`](Self::remove), not when this is dropped: by then another server may
/// have the folder.
#[derive(Debug)]
pub(crate) struct AdminSocket {
    path: PathBuf,
}

/// Accepts connections of the socket's owner.
pub(crate) struct AdminListener {
    inner: UnixListener,
    owner: u32,
}

impl AdminSocket {
    /// Makes the socket. One that a crash left behind is replaced: the store's lock proves that nobody listens there.
    pub(crate) fn bind(data: &Path) -> Result<(Self, AdminListener), SocketError> {
        let path = socket_path(data);
        if path.as_os_str().as_bytes().len() > PATH_BYTES_MAX {
            return Err(SocketError::PathTooLong { path });
        }
        match std::fs::symlink_metadata(&path) {
            Ok(found) if !found.file_type().is_socket() => return Err(SocketError::Occupied { path }),
            _ => {}
        }
        match Self::replace(&path) {
            Ok(listener) => Ok((Self { path }, listener)),
            Err(source) => Err(SocketError::Bind { path, source }),
        }
    }

    fn replace(path: &Path) -> io::Result<AdminListener> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let inner = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let owner = std::fs::symlink_metadata(path)?.uid();
        Ok(AdminListener { inner, owner })
    }

    pub(crate) fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "the admin socket could not be removed");
        }
    }
}

impl axum::serve::Listener for AdminListener {
    type Io = UnixStream;
    type Addr = unix::SocketAddr;

    /// Between the making of the file and the setting of its mode others may have connected: they are turned away here.
    async fn accept(&mut self) -> (UnixStream, unix::SocketAddr) {
        loop {
            let (stream, address) = axum::serve::Listener::accept(&mut self.inner).await;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == self.owner || peer.uid() == 0 => return (stream, address),
                Ok(_) => tracing::warn!("another user was turned away from the admin socket"),
                Err(error) => tracing::debug!(%error, "the peer of the admin socket is not known"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<unix::SocketAddr> {
        self.inner.local_addr()
    }
}

impl crate::http::Address for unix::SocketAddr {
    fn peer(&self) -> Option<lockstep_gateway::Peer> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(folder: &Path) -> String {
        match AdminSocket::bind(folder) {
            Ok(_) => "bound".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = socket_path(folder.path());
        for _ in 0..2 {
            let (_, listener) = AdminSocket::bind(folder.path()).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            drop(listener);
            assert!(path.exists(), "as after a crash");
        }
        let (socket, _listener) = AdminSocket::bind(folder.path()).unwrap();
        socket.remove();
        std::fs::write(&path, "somebody's file").unwrap();
        assert!(sentence(folder.path()).ends_with("is not a socket: move it away"));
        assert_eq!(std::fs::read(&path).unwrap(), b"somebody's file");
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = |length: usize| {
            let path = folder.path().join("d".repeat(length - folder.path().as_os_str().len() - "//admin.sock".len()));
            std::fs::create_dir(&path).unwrap();
            path
        };
        assert_eq!(sentence(&bytes(PATH_BYTES_MAX)), "bound");
        let refused = sentence(&bytes(PATH_BYTES_MAX + 1));
        assert!(refused.contains("has 108 bytes") && refused.contains("shorter path"), "{refused}");
    }
}
