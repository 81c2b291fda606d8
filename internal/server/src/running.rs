//! A running server, and its ordered stop.

use crate::admin::AdminSocket;
use crate::http::Ending;
use crate::tasks::Tasks;
use lockstep_broker_nsq::{NsqBroker, NsqEvents};
use lockstep_engine::Engine;
use lockstep_store_sql::SqliteStore;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::TaskTracker;

/// A server that runs until it is stopped. Dropping it instead leaves its tasks running.
#[must_use = "a server is stopped by `stop` or `wait`"]
pub struct Running {
    pub(crate) local_addr: SocketAddr,
    pub(crate) nsq_http_addr: Option<SocketAddr>,
    pub(crate) data: PathBuf,
    pub(crate) stop_timeout: Duration,
    pub(crate) engine: Engine,
    pub(crate) store: SqliteStore,
    pub(crate) sockets: TaskTracker,
    pub(crate) ending: Ending,
    pub(crate) tasks: Tasks,
    pub(crate) admin_socket: AdminSocket,
    pub(crate) nsq: Option<NsqBroker>,
    pub(crate) events: Option<NsqEvents>,
}

/// Why a server did not end in order. The process should exit with code 1.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// It took too long.
    #[error("the server did not stop within {} ms and was ended: nothing that was answered is lost", timeout.as_millis())]
    Deadline {
        /// How long it was given.
        timeout: Duration,
    },
    /// Somebody could not wait.
    #[error("a second signal ended the server at once: nothing that was answered is lost")]
    SecondSignal,
    /// Something that it cannot do without has ended.
    #[error("a task that the server cannot do without has ended; the log says why")]
    TaskEnded,
}

impl Running {
    /// Where devices connect.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where services publish as to nsqd, if they may.
    pub fn nsq_http_addr(&self) -> Option<SocketAddr> {
        self.nsq_http_addr
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Runs until a signal asks for the end, then stops in order. A second signal ends the wait for that.
    ///
    /// # Errors
    ///
    /// [`StopError`] if the server did not end in order.
    pub async fn wait(self, mut signals: Signals) -> Result<(), StopError> {
        let asked = tokio::select! {
            () = signals.next() => true,
            () = self.tasks.vital_ended() => false,
        };
        tracing::info!(asked, "the server stops");
        tokio::select! {
            stopped = self.stop() => stopped?,
            () = signals.next() => return Err(StopError::SecondSignal),
        }
        if asked { Ok(()) } else { Err(StopError::TaskEnded) }
    }

    /// Stops in order: takes nothing new, says goodbye to devices, finishes what is under way, closes the store.
    ///
    /// # Errors
    ///
    /// [`StopError::Deadline`] if that took longer than configured. Nothing that was answered is lost then either.
    pub async fn stop(self) -> Result<(), StopError> {
        let timeout = self.stop_timeout;
        tokio::time::timeout(timeout, self.stop_in_order()).await.map_err(|_| StopError::Deadline { timeout })
    }

    async fn stop_in_order(self) {
        self.ending.stopping.cancel();
        self.sockets.close();
        let requests = async {
            // Half of the time for requests under way; devices and the store get the other half.
            if tokio::time::timeout(self.stop_timeout / 2, self.tasks.ended()).await.is_err() {
                self.ending.dropping.cancel();
                self.tasks.ended().await;
            }
        };
        let devices = async {
            self.engine.stop().await;
            self.sockets.wait().await;
        };
        tokio::join!(requests, devices);
        if let Some(nsq) = &self.nsq {
            nsq.stop().await;
        }
        // After the engine, which tells of everybody who leaves.
        if let Some(events) = &self.events {
            events.stop().await;
        }
        // Once the store's lock is gone, a socket at this path may be another server's.
        self.admin_socket.remove();
        self.store.close().await;
        tracing::info!("the server has stopped");
    }
}

/// The signals that ask for a stop: SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Listened to and never asked: by default it kills the process when a file reaches the system's limit
    /// (setrlimit(2), RLIMIT_FSIZE). Taken over, the write fails, like on a full disk.
    _file_size: Signal,
}

impl Signals {
    /// Takes the signals over from the system, which would end the process at once. Those that come before
    /// [`Running::wait`] are kept for it.
    ///
    /// # Errors
    ///
    /// If the system delivers none.
    pub fn listen() -> io::Result<Self> {
        let file_size = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(file_size)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
