//! The directory of queue servers.

use crate::server::Server;
use crate::servers::Servers;
use anyhow::Result;
use std::ops::{Deref, DerefMut};

/// A running nsqlookupd. What it knows is in its memory alone: after a restart nsqds have to register again.
#[derive(Debug)]
pub struct NsqLookupd(Server);

impl NsqLookupd {
    /// Starts one on free ports and waits until it listens. It may have to be built first.
    ///
    /// # Errors
    ///
    /// If it is not found and cannot be built, or does not start.
    pub fn start() -> Result<Self> {
        let servers = Servers::find_or_build()?;
        let arguments = vec!["--broadcast-address=127.0.0.1".to_owned()];
        Ok(Self(Server::start(&servers.nsqlookupd, arguments, 0, 0)?))
    }
}

impl Deref for NsqLookupd {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl DerefMut for NsqLookupd {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.0
    }
}
