//! Frames of `lockstep.v1` to the session's requests, and its events to frames.

use lockstep_model::{Code, Entry, OffsetsVersion, Ref, Signal, UnixMs, limits};
use lockstep_protocol::{
    ClientFrame, ClientLimits, ErrorFrame, ServerFrame, SignalFrame, Welcome, decode_client, encode_server,
    push_entries, push_entry,
};
use lockstep_session::{Admitted, Event, Hello, Request};
use std::borrow::Cow;

/// What a text frame of a device asks.
pub(crate) fn request(text: &str) -> Request {
    match decode_client(text) {
        Ok(ClientFrame::Hello(hello)) => Request::Hello(Hello {
            reference: hello.reference,
            token: hello.token.into(),
            epoch: hello.epoch,
            feed: hello.feed,
            offsets_version: hello.offsets_version,
        }),
        Ok(ClientFrame::Resume(resume)) => Request::Resume { shown: resume.conversations, more: resume.more },
        Ok(ClientFrame::Send(send)) => Request::Send {
            reference: send.reference,
            target: send.target,
            client_msg_id: send.client_msg_id,
            kind: send.kind,
            body: send.body,
        },
        Ok(ClientFrame::Ack(ack)) => Request::Ack(ack.cursors),
        Ok(ClientFrame::Read { reference, conversation, seq }) => Request::Read { reference, conversation, seq },
        Ok(ClientFrame::Signal { reference, conversation, body }) => Request::Signal { reference, conversation, body },
        Ok(ClientFrame::Watch { reference, users }) => Request::Watch { reference, users },
        Ok(ClientFrame::State { reference, conversation, change }) => {
            Request::State { reference, conversation, change }
        }
        Ok(ClientFrame::Unread { reference, conversations }) => Request::Unread { reference, conversations },
        Ok(ClientFrame::Renew(renew)) => Request::Renew { reference: renew.reference, token: renew.token.into() },
        Ok(ClientFrame::Bootstrap(frame)) => Request::Bootstrap(Box::new(frame)),
        Ok(ClientFrame::Heartbeat) => Request::Heartbeat,
        Err(error) => Request::Malformed { reference: error.reference, code: error.code, detail: error.message },
    }
}

/// Writes an event as one or more frames.
pub(crate) fn frames(event: Event, limits: &ClientLimits, mut write: impl FnMut(&str)) {
    let frame = match event {
        Event::Entry(entry) => return write(entry.native_frame(encode_entry)),
        Event::Signal(signal) => return write(signal.native_frame(encode_signal)),
        Event::Devices(devices) => ServerFrame::Devices { devices: devices.into_vec() },
        Event::Presence { reference, users } => ServerFrame::Presence { reference, users },
        Event::Entries(entries) => {
            let mut text = String::new();
            push_entries(&mut text, entries.iter().map(|entry| &**entry));
            return write(&text);
        }
        Event::Welcome { reference, admitted } => return welcome(reference, *admitted, limits, write),
        Event::Offsets { version, offsets } => return write_offsets(version, &offsets, write),
        Event::CaughtUp => ServerFrame::CaughtUp,
        Event::Skip { conversation, skip } => {
            ServerFrame::Skip { conversation, from: skip.from, to: skip.to, reason: skip.reason }
        }
        Event::Reset { conversation, epoch, floor, head } => ServerFrame::Reset { conversation, epoch, floor, head },
        Event::Sent { reference, sent } => ServerFrame::Sent {
            reference,
            conversation: sent.conversation,
            seq: sent.seq,
            id: sent.id,
            sent_at: sent.sent_at,
            duplicate: sent.duplicate,
        },
        Event::Done { reference } => ServerFrame::Done { reference },
        Event::Unread { reference, conversations } => ServerFrame::Unread { reference, conversations },
        Event::Receipts(told) => ServerFrame::Receipts { conversation: told.conversation, receipts: told.receipts },
        Event::Bootstrap(news) => ServerFrame::Bootstrap(*news),
        Event::Heartbeat => ServerFrame::Heartbeat,
        Event::Failed { reference, code, detail, retry_after_ms } => {
            let mut frame = ErrorFrame::of(code, reference);
            frame.retry_after_ms = retry_after_ms.or(frame.retry_after_ms);
            frame.message = detail.map_or(frame.message, Cow::Owned);
            ServerFrame::Error(frame)
        }
    };
    write(&encode_server(&frame));
}

/// Encodes a signal: once, for all devices that get it.
fn encode_signal(signal: &Signal) -> Box<str> {
    let Signal { conversation, user, device, body } = signal.clone();
    encode_server(&ServerFrame::Signal(SignalFrame { conversation, user, device, body })).into()
}

/// Encodes a live entry: once, for all devices that get it.
fn encode_entry(entry: &Entry) -> Box<str> {
    let mut text = String::new();
    push_entry(&mut text, entry);
    text.into()
}

/// The last frame before a close: the code with its advice.
pub(crate) fn goodbye(code: Code) -> String {
    encode_server(&ServerFrame::Error(ErrorFrame::of(code, None)))
}

fn welcome(reference: Option<Ref>, admitted: Admitted, limits: &ClientLimits, mut write: impl FnMut(&str)) {
    let Admitted { user, device, epoch, feed, offsets, offsets_version, unfilled, .. } = admitted;
    let server_time = UnixMs::now();
    let frame = Welcome { reference, epoch, user, device, feed, unfilled, server_time, limits: *limits };
    write(&encode_server(&ServerFrame::Welcome(Box::new(frame))));
    if !offsets.is_empty() {
        write_offsets(offsets_version, &offsets, write);
    }
}

/// The device merges versions by maximum: only the last frame raises it, so that a cut in between loses nothing.
fn write_offsets(version: OffsetsVersion, offsets: &[lockstep_model::Offset], mut write: impl FnMut(&str)) {
    let mut chunks = offsets.chunks(limits::CURSORS_PER_FRAME_MAX).peekable();
    while let Some(chunk) = chunks.next() {
        let version = if chunks.peek().is_none() { version } else { OffsetsVersion::ZERO };
        write(&encode_server(&ServerFrame::Offsets { version, offsets: chunk.to_vec() }));
    }
}
