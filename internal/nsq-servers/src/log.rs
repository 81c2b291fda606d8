//! What a server writes to its log: the last lines, and the addresses that it says it listens on.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many lines are kept; older ones are forgotten.
const LINES_MAX: usize = 200;
/// A longer line is cut into several.
const LINE_BYTES_MAX: u64 = 4_096;

/// A server's log, filled by the thread that reads it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<String>,
    tcp: Option<SocketAddr>,
    http: Option<SocketAddr>,
    ended: bool,
}

impl Log {
    /// Reads to the end, which comes when the server's process is gone.
    pub(crate) fn fill(&self, output: impl Read) {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        // An output that cannot be read has ended.
        while reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            self.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
        self.lock().ended = true;
        self.0.changed.notify_all();
    }

    fn push(&self, line: String) {
        let mut state = self.lock();
        let listening = |door| line.split_once(door).and_then(|(_, address)| address.parse().ok());
        state.tcp = state.tcp.or_else(|| listening(" TCP: listening on "));
        state.http = state.http.or_else(|| listening(" HTTP: listening on "));
        if state.lines.len() == LINES_MAX {
            state.lines.pop_front();
        }
        state.lines.push_back(line);
        self.0.changed.notify_all();
    }

    /// Waits for the TCP and the HTTP address. None if the server has ended or the time is over.
    pub(crate) fn wait_for_addresses(&self, patience: Duration) -> Option<(SocketAddr, SocketAddr)> {
        let waiting = |state: &mut State| !state.ended && (state.tcp.is_none() || state.http.is_none());
        let waited = self.0.changed.wait_timeout_while(self.lock(), patience, waiting);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.tcp.zip(state.http)
    }

    /// Waits for a line with this text. False if the server has ended or the time is over.
    pub(crate) fn wait_for_text(&self, text: &str, patience: Duration) -> bool {
        let found = |state: &State| state.lines.iter().any(|line| line.contains(text));
        let waited = self.0.changed.wait_timeout_while(self.lock(), patience, |state| !state.ended && !found(state));
        found(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Waits until the server's process is gone. False if the time is over.
    pub(crate) fn wait_for_end(&self, patience: Duration) -> bool {
        let waited = self.0.changed.wait_timeout_while(self.lock(), patience, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> String {
        self.lock().lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_the_log() {
        let log = Log::default();
        let text = "[nsqd] 2026/11/21 12:00:00.000001 INFO: HTTP: listening on 127.0.0.1:36069\n\
                    [nsqd] 2026/11/21 12:00:00.000002 INFO: HTTPS: listening on 127.0.0.1:2\n\
                    [nsqd] 2026/11/21 12:00:00.000003 INFO: TCP: listening on 127.0.0.1:46447\n";
        log.fill(text.as_bytes());
        let addresses = ([127, 0, 0, 1], 46447).into();
        assert_eq!(log.wait_for_addresses(Duration::ZERO), Some((addresses, ([127, 0, 0, 1], 36069).into())));
    }

    #[test]
    fn a_log_that_ends_early_has_no_address() {
        let log = Log::default();
        assert!(!log.wait_for_end(Duration::ZERO));
        log.fill(&b"FATAL: listen tcp 127.0.0.1:1: bind: address already in use"[..]);
        assert_eq!(log.wait_for_addresses(Duration::MAX), None);
        assert!(log.wait_for_end(Duration::ZERO));
        assert!(log.tail().contains("already in use"));
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let log = Log::default();
        let text: String = (1..=LINES_MAX + 1).map(|number| format!("line {number}\n")).collect();
        log.fill(text.as_bytes());
        let tail = log.tail();
        assert_eq!((tail.lines().count(), tail.lines().next()), (LINES_MAX, Some("line 2")));
        let log = Log::default();
        log.fill(&[b'x'; 10_000][..]);
        assert!(log.tail().lines().all(|line| line.len() <= 4_096));
        assert_eq!(log.tail().lines().count(), 3);
    }
}
