//! How many sockets this process may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are not connections: the database, the listeners, the runtime's own.
const RESERVED: u64 = 64;

/// Asks the system for as many descriptors as it may give, and says so if they are fewer than connections are allowed:
/// the usual limit of 1,024 is there for programs that still use select(2).
pub(crate) fn raise_limit(connections: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
    let wanted = connections.saturating_add(RESERVED);
    match getrlimit(Resource::Nofile).current {
        Some(allowed) if allowed < wanted => {
            tracing::info!(allowed, wanted, "fewer open files are allowed than connections: raise `ulimit -n`");
        }
        _ => {}
    }
}
