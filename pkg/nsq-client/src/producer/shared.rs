//! What a producer's task shares with its handles.

use super::publishing::{Answer, Publishing};
use super::{ProducerSettings, PublishError};
use parking_lot::Mutex;
use std::task::{Context, Waker};
use tokio::sync::watch;
use tokio::time::Instant;

/// A buffer for commands that has grown beyond this is given back when it is empty.
const COMMANDS_BYTES_KEPT: usize = 256 * 1024;

/// A command that waits for its answer.
pub(super) struct Entry {
    /// The command's bytes.
    pub(super) bytes: usize,
    pub(super) deadline: Instant,
    /// Taken by the first who has something to tell.
    answer: Option<Answer>,
}

impl Entry {
    /// Tells whoever waits, unless he has gone or has been told already.
    pub(super) fn tell(&mut self, outcome: Result<(), PublishError>) {
        if let Some(answer) = self.answer.take() {
            let _ = answer.send(outcome);
        }
    }
}

/// Where the producer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Connected,
    Ended,
}

pub(super) struct Shared {
    settings: ProducerSettings,
    state: Mutex<State>,
    phase: watch::Sender<Phase>,
}

struct State {
    connected: bool,
    stopped: bool,
    /// Commands that the task has not taken yet, and who waits for their answers.
    commands: Vec<u8>,
    entries: Vec<Entry>,
    /// Everything that was accepted and has no answer yet, here and in the task.
    in_flight: usize,
    in_flight_bytes: usize,
    task: Option<Waker>,
}

impl Shared {
    pub(super) fn new(settings: ProducerSettings) -> Self {
        let state = State {
            connected: false,
            stopped: false,
            commands: Vec::new(),
            entries: Vec::new(),
            in_flight: 0,
            in_flight_bytes: 0,
            task: None,
        };
        Self { settings, state: Mutex::new(state), phase: watch::Sender::new(Phase::Connecting) }
    }

    pub(super) fn settings(&self) -> &ProducerSettings {
        &self.settings
    }

    /// Accepts a command, or refuses it at once.
    pub(super) fn accept(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<Publishing, PublishError> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut state = self.state.lock();
        if state.stopped {
            return Err(PublishError::Closed);
        }
        if !state.connected {
            return Err(PublishError::NotConnected);
        }
        if state.in_flight >= self.settings.in_flight_max {
            return Err(PublishError::Full);
        }
        let begin = state.commands.len();
        write(&mut state.commands);
        let bytes = state.commands.len() - begin;
        if state.in_flight_bytes + bytes > self.settings.in_flight_bytes_max {
            state.commands.truncate(begin);
            return Err(PublishError::Full);
        }
        let (answer, publishing) = Publishing::new();
        let first = state.entries.is_empty();
        state.entries.push(Entry { bytes, deadline, answer: Some(answer) });
        state.in_flight += 1;
        state.in_flight_bytes += bytes;
        // The task takes all commands at once: it is woken for the first.
        let task = if first { state.task.take() } else { None };
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
        Ok(publishing)
    }

    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state.lock().connected
    }

    pub(super) async fn connected(&self) -> bool {
        let mut phase = self.phase.subscribe();
        let reached = phase.wait_for(|phase| *phase != Phase::Connecting).await;
        reached.is_ok_and(|phase| *phase == Phase::Connected)
    }

    pub(super) async fn ended(&self) {
        // The sender lives as long as this.
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Ended).await;
    }

    // What follows is for the task.

    /// Takes what was accepted into `commands`, which must be empty, and `entries`. Says whether the owner wants an end.
    /// The task is woken when either changes.
    pub(super) fn take(&self, cx: &mut Context<'_>, commands: &mut Vec<u8>, entries: &mut Vec<Entry>) -> bool {
        let mut state = self.state.lock();
        if !state.task.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.task = Some(cx.waker().clone());
        }
        if commands.capacity() > COMMANDS_BYTES_KEPT {
            *commands = Vec::new();
        }
        std::mem::swap(&mut state.commands, commands);
        std::mem::swap(&mut state.entries, entries);
        state.stopped
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// So much has its answer, or will have none.
    pub(super) fn release(&self, count: usize, bytes: usize) {
        let mut state = self.state.lock();
        state.in_flight -= count;
        state.in_flight_bytes -= bytes;
    }

    /// From now on commands are accepted.
    pub(super) fn set_connected(&self) {
        self.state.lock().connected = true;
        self.phase.send_replace(Phase::Connected);
    }

    /// From now on commands are refused. Returns those that the task has not taken.
    pub(super) fn set_disconnected(&self) -> Vec<Entry> {
        let mut state = self.state.lock();
        state.connected = false;
        state.commands = Vec::new();
        let entries = std::mem::take(&mut state.entries);
        drop(state);
        self.phase.send_replace(Phase::Connecting);
        entries
    }

    /// The task has ended.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.connected = false;
        state.stopped = true;
        state.commands = Vec::new();
        state.task = None;
        // Whoever waits for an answer hears that there is none.
        let entries = std::mem::take(&mut state.entries);
        drop(state);
        drop(entries);
        self.phase.send_replace(Phase::Ended);
    }
}
