//! The shell around one session: it moves frames, notices and time, and decides nothing.

use super::socket::{Incoming, Socket, Stream, WriteError};
use super::translate;
use crate::GatewayState;
use lockstep_engine::{Connection, Mailbox, Origin, Tracer, Wakeup};
use lockstep_model::{Ask, Code, Epoch, Notice, OffsetsVersion, Ref, SharedEntry, TopicMode};
use lockstep_session::{Admitted, Effect, Event, Session};
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep_until};
use tokio_tungstenite::WebSocketStream;

/// Frames that are taken from one device before others get their turn.
const FRAMES_PER_TURN: usize = 64;

/// Why a connection ends.
enum End {
    /// The device is gone.
    Gone,
    /// The server closes, and says why.
    Close(Code),
}

impl From<WriteError> for End {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Gone => Self::Gone,
            WriteError::Closed(code) => Self::Close(code),
        }
    }
}

/// Serves one WebSocket from its first byte to its last. The future is what a connection costs: it is made around the
/// shell, and what is rarely under way is boxed.
pub(crate) fn run(
    socket: WebSocketStream<Stream>,
    state: GatewayState,
    place: OwnedSemaphorePermit,
    address: Option<Box<IpAddr>>,
) -> impl Future<Output = ()> {
    let mut shell = Shell {
        session: Session::new(Arc::clone(&state.session), Instant::now()),
        socket: Socket::new(socket, state.config.write_timeout),
        state,
        address,
        connection: None,
        inbox: Vec::new(),
    };
    async move {
        shell.state.meters.connections.increment(1.0);
        let end = shell.serve().await;
        Box::pin(shell.end(end)).await;
        drop(place);
    }
}

/// Gives up what the connection holds. Consumers may have been opened by an answer that nobody took any more.
async fn leave(
    mut session: Session,
    connection: Arc<Connection>,
    mut inbox: Vec<Notice>,
    state: &GatewayState,
    reason: Option<Code>,
) {
    connection.mailbox.close(Code::Internal);
    let _closed = poll_fn(|context| Poll::Ready(connection.mailbox.poll_take(context, &mut inbox))).await;
    session.close(Code::Internal);
    inbox.into_iter().for_each(|notice| session.handle_notice(notice, Instant::now()));
    while let Some(effect) = session.poll_effect() {
        if let Effect::Ask(ask) = effect {
            state.engine.ask(&connection, ask);
        }
    }
    state.engine.disconnect(&connection, session.conversations().collect(), reason).await;
}

/// What has to be waited for before a session's effects go on.
enum Pause {
    /// So much has gathered that it has to be written.
    Full,
    Hello(Box<Hello>),
    Renew(Option<Ref>, String),
    Close(Code),
    Settled,
}

/// A device that wants to be let in.
struct Hello {
    token: String,
    epoch: Option<Epoch>,
    offsets_version: OffsetsVersion,
}

/// What one turn told the device.
#[derive(Default)]
struct Told {
    frames: u64,
    deliveries: u64,
    writes: u64,
}

impl Told {
    fn note(&mut self, event: &Event, tracer: &mut Option<Tracer<'_>>) {
        self.frames += 1;
        let entries: &[SharedEntry] = match event {
            Event::Entry(entry) => std::slice::from_ref(entry),
            Event::Entries(entries) => entries,
            _ => return,
        };
        self.deliveries += entries.len() as u64;
        if let (Some(tracer), [first, ..]) = (tracer, entries) {
            tracer.delivered(first.conversation, first.seq, entries[entries.len() - 1].seq);
        }
    }
}

struct Shell {
    session: Session,
    socket: Socket,
    state: GatewayState,
    /// Where the connection comes from, until it is let in.
    address: Option<Box<IpAddr>>,
    connection: Option<Arc<Connection>>,
    inbox: Vec<Notice>,
}

impl Shell {
    async fn serve(&mut self) -> End {
        let mut timer = Box::pin(sleep_until(Instant::now().into()));
        loop {
            if let Err(end) = self.settle().await {
                return end;
            }
            self.arm(timer.as_mut());
            let wants_requests = self.session.wants_requests();
            let happened = tokio::select! {
                wakeup = wakeup(&self.connection, &mut self.inbox) => self.take_notices(wakeup),
                incoming = self.socket.next(), if wants_requests => self.take_frames(incoming),
                // The engine says goodbye to those that it knows.
                () = self.state.stopping.cancelled(), if self.connection.is_none() => {
                    Err(End::Close(Code::ShuttingDown))
                }
                () = timer.as_mut() => {
                    self.session.handle_timeout(Instant::now());
                    Ok(())
                }
            };
            if let Err(end) = happened {
                return end;
            }
        }
    }

    /// Sets the timer only when it would ring too late: most deadlines move away before they are reached.
    fn arm(&self, timer: std::pin::Pin<&mut Sleep>) {
        if let Some(at) = self.session.poll_timeout() {
            let at = tokio::time::Instant::from_std(at);
            if timer.is_elapsed() || at < timer.deadline() {
                timer.reset(at);
            }
        }
    }

    fn take_notices(&mut self, wakeup: Wakeup) -> Result<(), End> {
        if let Wakeup::Closed(code) = wakeup {
            return Err(End::Close(code));
        }
        let now = Instant::now();
        for notice in std::mem::take(&mut self.inbox) {
            let read = if let Notice::Page(page) = &notice { Some(page.conversation) } else { None };
            self.session.handle_notice(notice, now);
            // Seldom beside the entries themselves.
            if let (Some(conversation), Some(connection)) = (read, &self.connection) {
                let topic = self.session.topic_state(conversation);
                if topic.mode == TopicMode::Live {
                    self.state.engine.tracer(connection).live(conversation, topic.next);
                }
            }
        }
        Ok(())
    }

    fn take_frames(&mut self, first: Incoming) -> Result<(), End> {
        let now = Instant::now();
        let mut next = Some(first);
        // The last one of a turn is not followed by a look for another: what is taken has to be dealt with.
        for left in (0..FRAMES_PER_TURN).rev() {
            match next {
                None => break,
                Some(Incoming::Gone) => return Err(End::Gone),
                Some(Incoming::Wrong(code)) => return Err(End::Close(code)),
                Some(Incoming::Control) => self.session.handle_control(now),
                Some(Incoming::Text(text)) => {
                    self.state.meters.frames_in.increment(1);
                    self.session.handle_request(translate::request(&text), now);
                }
            }
            next = if left > 0 && self.session.wants_requests() { self.socket.ready() } else { None };
        }
        Ok(())
    }

    /// Carries out all that the session wants, then writes what has gathered for the device.
    async fn settle(&mut self) -> Result<(), End> {
        let mut told = Told::default();
        loop {
            match self.carry_out(&mut told) {
                Pause::Full => told.writes += u64::from(self.flush().await?),
                Pause::Hello(hello) => Box::pin(self.authenticate(*hello)).await,
                Pause::Renew(reference, token) => Box::pin(self.renew(reference, token)).await,
                Pause::Close(code) => return Err(End::Close(code)),
                Pause::Settled => break,
            }
        }
        told.writes += u64::from(self.flush().await?);
        if told.writes > 0 {
            self.state.meters.writes.increment(told.writes);
            self.state.meters.frames_out.increment(told.frames);
            self.state.meters.deliveries.increment(told.deliveries);
        }
        Ok(())
    }

    /// Carries out effects up to one that has to be waited for, or until so much has gathered that it has to be written:
    /// effects are not kept in the task while it waits.
    fn carry_out(&mut self, told: &mut Told) -> Pause {
        let Self { session, socket, state, connection, .. } = self;
        let connection = connection.as_ref();
        let mut tracer = connection.map(|connection| state.engine.tracer(connection));
        while let Some(effect) = session.poll_effect() {
            match effect {
                Effect::Emit(event) => {
                    told.note(&event, &mut tracer);
                    let mut full = false;
                    translate::frames(event, &state.client_limits, |text| full = socket.push(text));
                    if full {
                        return Pause::Full;
                    }
                }
                Effect::Ask(ask) => {
                    if let Some(connection) = connection {
                        if matches!(ask, Ask::Acked { .. }) {
                            state.meters.acks.increment(1);
                        }
                        state.engine.ask(connection, ask);
                    }
                }
                Effect::Authenticate { token, epoch, offsets_version } => {
                    return Pause::Hello(Box::new(Hello { token, epoch, offsets_version }));
                }
                Effect::Renew { reference, token } => return Pause::Renew(reference, token),
                Effect::Close(code) => return Pause::Close(code),
            }
        }
        Pause::Settled
    }

    async fn flush(&mut self) -> Result<bool, End> {
        let mailbox = self.connection.as_ref().map(|connection| &*connection.mailbox);
        Ok(self.socket.flush(mailbox).await?)
    }

    /// Leaves the engine, then says goodbye.
    async fn end(self, end: End) {
        let Self { session, socket, state, connection, inbox, .. } = self;
        if let Some(connection) = connection {
            let reason = match end {
                End::Gone => None,
                End::Close(code) => Some(code),
            };
            leave(session, connection, inbox, &state, reason).await;
        }
        let code = match end {
            End::Gone => {
                socket.finish().await;
                None
            }
            End::Close(code) => {
                socket.close(code).await;
                Some(code)
            }
        };
        state.meters.connections.decrement(1.0);
        state.meters.closed(code);
    }

    /// Looks at a fresh token: it has to be a good one of the same device.
    async fn renew(&mut self, reference: Option<Ref>, token: String) {
        let Some(connection) = &self.connection else { return };
        let outcome = match self.state.verify(&token) {
            Ok(claim) if claim.device != connection.device => Err(Code::RenewalRefused),
            Ok(claim) => self.state.engine.authorize(&claim).await.map(drop),
            Err(code) => Err(code),
        };
        self.session.handle_renewed(reference, outcome, Instant::now());
    }

    /// Verifies the token and lets the device in, or not.
    async fn authenticate(&mut self, hello: Hello) {
        let Hello { token, epoch, offsets_version } = hello;
        let claim = self.state.verify(&token).and_then(|claim| {
            // Letting a device in is a write to the store: it counts like a request of REST, and may come again later.
            let counted = self.state.requests().admit_device(&claim.user, &claim.device);
            counted.map(|()| claim).map_err(|_| Code::Overloaded)
        });
        let admission = match claim {
            Ok(claim) => {
                let origin = Origin { door: "websocket", address: self.address.take().map(|address| *address) };
                self.state.engine.connect(claim, epoch, offsets_version, origin).await
            }
            Err(code) => Err(code),
        };
        match admission {
            Ok(admission) => {
                let admitted = Admitted {
                    user: admission.connection.user.clone(),
                    device: admission.connection.device,
                    epoch: admission.epoch,
                    feed: admission.feed,
                    offsets: admission.offsets.offsets,
                    offsets_version: admission.offsets.version,
                    receipts: admission.receipts,
                    unfilled: admission.unfilled,
                };
                let sends = self.state.device_rates().of(&admitted.device, Instant::now());
                self.session.share_sends(sends);
                self.connection = Some(admission.connection);
                self.session.handle_admitted(admitted, Instant::now());
            }
            Err(code) => self.session.handle_refused(code),
        }
    }
}

/// Waits for notices. Before the device is let in there is nowhere that they could come from.
async fn wakeup(connection: &Option<Arc<Connection>>, inbox: &mut Vec<Notice>) -> Wakeup {
    match connection {
        Some(connection) => {
            let mailbox: &Mailbox = &connection.mailbox;
            poll_fn(|context| mailbox.poll_take(context, inbox)).await
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<F: Future>(
        _: fn(WebSocketStream<Stream>, GatewayState, OwnedSemaphorePermit, Option<Box<IpAddr>>) -> F,
    ) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_is_small() {
        let bytes = size_of_future(run);
        assert!(bytes <= 1_128, "{bytes} bytes");
    }
}
