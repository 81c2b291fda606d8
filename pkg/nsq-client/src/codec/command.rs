//! Commands, appended to a buffer, so that many leave in one write.

use super::{Identify, MessageId};
use crate::{ChannelName, TopicName};
use std::time::Duration;

/// The longest FIN, REQ or TOUCH: the word, an id, and a number of up to 20 digits.
pub const ANSWER_BYTES_MAX: usize = 6 + 16 + 1 + 20 + 1;

/// `IDENTIFY`, with its JSON body.
pub fn identify(out: &mut Vec<u8>, identify: &Identify) {
    out.extend_from_slice(b"IDENTIFY\n");
    // Strings and numbers always have a JSON form.
    let body = serde_json::to_vec(identify).unwrap_or_default();
    sized(out, &body);
}

/// `SUB`: from now on this connection is a consumer of the channel. It makes topic and channel if they are absent.
pub fn sub(out: &mut Vec<u8>, topic: &TopicName, channel: &ChannelName) {
    line(out, &[b"SUB ", topic.as_str().as_bytes(), b" ", channel.as_str().as_bytes()]);
}

/// `RDY`: how many messages may be in flight to this connection.
pub fn rdy(out: &mut Vec<u8>, count: u32) {
    out.extend_from_slice(b"RDY ");
    decimal(out, u64::from(count));
    out.push(b'\n');
}

/// `FIN`: the message is done with.
pub fn fin(out: &mut Vec<u8>, id: &MessageId) {
    line(out, &[b"FIN ", id.as_bytes()]);
}

/// `REQ`: the message is to be delivered again after the delay, at once if that is zero. nsqd cuts delays to its
/// `--max-req-timeout` (1 hour by default).
pub fn req(out: &mut Vec<u8>, id: &MessageId, delay: Duration) {
    out.extend_from_slice(b"REQ ");
    out.extend_from_slice(id.as_bytes());
    out.push(b' ');
    decimal(out, millis(delay));
    out.push(b'\n');
}

/// `TOUCH`: the message is still being worked at; its timeout begins anew.
pub fn touch(out: &mut Vec<u8>, id: &MessageId) {
    line(out, &[b"TOUCH ", id.as_bytes()]);
}

/// `CLS`: no more messages, please. Answered with [`CLOSE_WAIT`](super::CLOSE_WAIT).
pub fn cls(out: &mut Vec<u8>) {
    out.extend_from_slice(b"CLS\n");
}

/// `NOP`: the answer to a heartbeat.
pub fn nop(out: &mut Vec<u8>) {
    out.extend_from_slice(b"NOP\n");
}

/// `PUB`: one message. nsqd refuses an empty body and closes the connection.
pub fn publish(out: &mut Vec<u8>, topic: &TopicName, body: &[u8]) {
    line(out, &[b"PUB ", topic.as_str().as_bytes()]);
    sized(out, body);
}

/// `DPUB`: one message that is delivered after the delay (up to nsqd's `--max-req-timeout`, beyond it is an error).
pub fn publish_deferred(out: &mut Vec<u8>, topic: &TopicName, delay: Duration, body: &[u8]) {
    out.extend_from_slice(b"DPUB ");
    out.extend_from_slice(topic.as_str().as_bytes());
    out.push(b' ');
    decimal(out, millis(delay));
    out.push(b'\n');
    sized(out, body);
}

/// `MPUB`: many messages, all or none.
pub fn publish_many<B: AsRef<[u8]>>(out: &mut Vec<u8>, topic: &TopicName, bodies: &[B]) {
    line(out, &[b"MPUB ", topic.as_str().as_bytes()]);
    many(out, bodies);
}

/// The body of MPUB: `u32 total, u32 count, (u32 length, body)*`, in which the total does not count itself.
fn many<B: AsRef<[u8]>>(out: &mut Vec<u8>, bodies: &[B]) {
    let begin = out.len();
    out.extend_from_slice(&[0; 4]);
    bodies_counted(out, bodies);
    let total = length(out.len() - begin - 4);
    out[begin..begin + 4].copy_from_slice(&total);
}

/// What HTTP's `/mpub?binary=true` takes: `u32 count, (u32 length, body)*`.
pub(crate) fn bodies_counted<B: AsRef<[u8]>>(out: &mut Vec<u8>, bodies: &[B]) {
    out.extend_from_slice(&length(bodies.len()));
    for body in bodies {
        sized(out, body.as_ref());
    }
}

fn line(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
    out.push(b'\n');
}

fn sized(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&length(body.len()));
    out.extend_from_slice(body);
}

/// A length field. Callers bound bodies far below what it holds; a larger one is refused by every server.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

/// Whole milliseconds, rounded up, so that a short delay is not none.
fn millis(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut begin = digits.len();
    let mut rest = number;
    loop {
        begin -= 1;
        // A remainder of ten fits.
        digits[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[begin..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl FnOnce(&mut Vec<u8>), expected: &[u8]) {
        let mut out = b"before".to_vec();
        write(&mut out);
        assert_eq!(out[6..].escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn commands_are_those_of_the_specification() {
        let (Ok(topic), Ok(channel)) = (TopicName::new("t"), ChannelName::new("c#ephemeral")) else { unreachable!() };
        let id = MessageId(*b"0123456789abcdef");
        check(|out| sub(out, &topic, &channel), b"SUB t c#ephemeral\n");
        check(|out| rdy(out, 0), b"RDY 0\n");
        check(|out| rdy(out, 2500), b"RDY 2500\n");
        check(|out| fin(out, &id), b"FIN 0123456789abcdef\n");
        check(|out| req(out, &id, Duration::from_micros(1500)), b"REQ 0123456789abcdef 2\n");
        check(|out| req(out, &id, Duration::ZERO), b"REQ 0123456789abcdef 0\n");
        check(|out| touch(out, &id), b"TOUCH 0123456789abcdef\n");
        check(cls, b"CLS\n");
        check(nop, b"NOP\n");
        check(|out| publish(out, &topic, b"ab"), b"PUB t\n\x00\x00\x00\x02ab");
        let delay = Duration::from_secs(1);
        check(|out| publish_deferred(out, &topic, delay, b"ab"), b"DPUB t 1000\n\x00\x00\x00\x02ab");
        let many = b"MPUB t\n\x00\x00\x00\x0f\x00\x00\x00\x02\x00\x00\x00\x02ab\x00\x00\x00\x01c";
        check(|out| publish_many(out, &topic, &["ab", "c"]), many);
    }

    #[test]
    fn no_answer_is_longer_than_its_bound() {
        let mut out = Vec::new();
        req(&mut out, &MessageId([b'x'; 16]), Duration::MAX);
        assert!(out.len() <= ANSWER_BYTES_MAX, "{}", out.len());
    }
}
