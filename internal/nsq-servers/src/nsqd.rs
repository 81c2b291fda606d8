//! The queue server.

use crate::server::Server;
use crate::servers::Servers;
use anyhow::{Context, Result};
use std::fs;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// What a caller wants of an nsqd.
#[derive(Debug, Clone)]
pub struct NsqdOptions {
    /// So many messages of a topic or channel are in memory, and lost by a crash; more go to the disk. nsqd's own default
    /// of 10,000 costs hundreds of kilobytes per channel.
    pub mem_queue_size: u32,
    /// The part of message ids that tells nsqds apart, below 1,024. Absent: nsqd makes it from the host's name, so all
    /// on this machine have the same.
    pub node_id: Option<u16>,
    /// The TCP addresses of the nsqlookupds to register with.
    pub lookupds: Vec<SocketAddr>,
    /// The address that nsqlookupds tell others.
    pub broadcast_address: String,
    /// The largest message in bytes. Absent: 1 MiB.
    pub message_bytes_max: Option<u32>,
    /// How long a consumer may take for a message before it is sent again. Absent: 60 s.
    pub msg_timeout: Option<Duration>,
    /// The TCP port; 0: any free one.
    pub tcp_port: u16,
    /// The HTTP port; 0: any free one.
    pub http_port: u16,
    /// The data folder, made if it is not there. Absent: one of its own among the temporary files, removed when it is
    /// dropped (and left there if this process is killed).
    pub data: Option<PathBuf>,
    /// More arguments, such as `--max-rdy-count=100`. The last one counts.
    pub extra: Vec<String>,
}

impl Default for NsqdOptions {
    fn default() -> Self {
        Self {
            mem_queue_size: 100,
            node_id: None,
            lookupds: Vec::new(),
            broadcast_address: "127.0.0.1".to_owned(),
            message_bytes_max: None,
            msg_timeout: None,
            tcp_port: 0,
            http_port: 0,
            data: None,
            extra: Vec::new(),
        }
    }
}

impl NsqdOptions {
    fn arguments(&self, data: &Path) -> Vec<String> {
        let mut arguments = vec![
            format!("--mem-queue-size={}", self.mem_queue_size),
            format!("--broadcast-address={}", self.broadcast_address),
            format!("--data-path={}", data.display()),
            // Only with a certificate does it listen there. The default is one port for all nsqds, open to the network.
            "--https-address=127.0.0.1:0".to_owned(),
        ];
        arguments.extend(self.node_id.map(|id| format!("--node-id={id}")));
        arguments.extend(self.lookupds.iter().map(|lookupd| format!("--lookupd-tcp-address={lookupd}")));
        arguments.extend(self.message_bytes_max.map(|bytes| format!("--max-msg-size={bytes}")));
        arguments.extend(self.msg_timeout.map(|timeout| format!("--msg-timeout={}ms", timeout.as_millis())));
        arguments.extend(self.extra.iter().cloned());
        arguments
    }
}

/// A running nsqd.
#[derive(Debug)]
pub struct Nsqd {
    // Dropped first: the folder goes when nobody writes in it any more.
    server: Server,
    data: PathBuf,
    _folder: Option<TempDir>,
}

impl Nsqd {
    /// Starts one and waits until it listens. It may have to be built first.
    ///
    /// # Errors
    ///
    /// If it is not found and cannot be built, or does not start.
    pub fn start(options: &NsqdOptions) -> Result<Self> {
        let servers = Servers::find_or_build()?;
        let (data, folder) = match &options.data {
            Some(data) => {
                fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
                (data.clone(), None)
            }
            None => {
                let folder = tempfile::Builder::new().prefix("nsqd-").tempdir().context("cannot make a data folder")?;
                (folder.path().to_path_buf(), Some(folder))
            }
        };
        let server = Server::start(&servers.nsqd, options.arguments(&data), options.tcp_port, options.http_port)?;
        Ok(Self { server, data, _folder: folder })
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }
}

impl Deref for Nsqd {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Nsqd {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
