//! The two forms of an `/mpub` body, taken apart into messages.

use crate::answer::Refusal;
use lockstep_model::limits;

/// Largest body of `/mpub`: nsqd's `--max-body-size`. A larger one is refused with `BODY_TOO_BIG`.
pub(crate) const BODY_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Largest message, before it becomes a body. A larger one is refused with `MSG_TOO_BIG`.
pub(crate) const MESSAGE_BYTES_MAX: usize = limits::BODY_BYTES_MAX;
/// Most messages of one `/mpub`: what the store takes in one commit. More are refused as a body that is too large is.
pub(crate) const MESSAGES_MAX: usize = 1_000;

/// Messages with a line feed between two; empty ones do not count.
pub(crate) fn lines(body: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    let mut messages = Vec::new();
    for line in body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        if line.len() > MESSAGE_BYTES_MAX {
            return Err(Refusal(413, "MSG_TOO_BIG"));
        }
        if messages.len() == MESSAGES_MAX {
            return Err(Refusal(413, "BODY_TOO_BIG"));
        }
        messages.push(line);
    }
    Ok(messages)
}

/// `u32 count, (u32 size, size bytes)*`, in network order. What follows the last message is ignored, as nsqd does.
pub(crate) fn binary(body: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    let (bad_body, bad_message) = (Refusal(413, "BAD_BODY"), Refusal(413, "BAD_MESSAGE"));
    let (count, mut rest) = number(body).ok_or(bad_body)?;
    if count == 0 || count > MESSAGES_MAX {
        return Err(bad_body);
    }
    let mut messages = Vec::with_capacity(count);
    for _ in 0..count {
        let (size, after) = number(rest).ok_or(bad_message)?;
        if size == 0 || size > MESSAGE_BYTES_MAX {
            return Err(bad_message);
        }
        let (message, after) = after.split_at_checked(size).ok_or(bad_message)?;
        messages.push(message);
        rest = after;
    }
    Ok(messages)
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number) as usize, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(messages: Result<Vec<&[u8]>, Refusal>) -> Result<Vec<String>, &'static str> {
        let text = |message: &[u8]| String::from_utf8_lossy(message).into_owned();
        messages.map(|messages| messages.into_iter().map(text).collect()).map_err(|Refusal(_, message)| message)
    }

    #[test]
    fn lines_are_messages() {
        let cases: [(&[u8], &[&str]); 6] = [
            (b"one\ntwo\nthree", &["one", "two", "three"]),
            (b"one\ntwo\n", &["one", "two"]),
            (b"\n\none\n\n\ntwo\n\n", &["one", "two"]),
            (b"one\r\ntwo", &["one\r", "two"]),
            (b"\n", &[]),
            (b"", &[]),
        ];
        for (body, expected) in cases {
            assert_eq!(texts(lines(body)).unwrap(), expected);
        }
        let long = |length: usize| [vec![b'x'; length], b"\nshort".to_vec()].concat();
        assert_eq!(lines(&long(MESSAGE_BYTES_MAX)).unwrap().len(), 2);
        assert_eq!(texts(lines(&long(MESSAGE_BYTES_MAX + 1))), Err("MSG_TOO_BIG"));
        assert_eq!(lines("x\n".repeat(MESSAGES_MAX).as_bytes()).unwrap().len(), MESSAGES_MAX);
        assert_eq!(texts(lines("x\n".repeat(MESSAGES_MAX + 1).as_bytes())), Err("BODY_TOO_BIG"));
    }

    #[test]
    fn binary_bodies_say_their_sizes() {
        let body = |count: u32, messages: &[&[u8]]| {
            let one = |message: &&[u8]| [&(message.len() as u32).to_be_bytes(), *message].concat();
            [&count.to_be_bytes()[..], &messages.iter().map(one).collect::<Vec<_>>().concat()].concat()
        };
        let (too_long, longest) = (vec![b'x'; MESSAGE_BYTES_MAX + 1], vec![b'x'; MESSAGE_BYTES_MAX]);
        let cases: [(Vec<u8>, Result<usize, &str>); 13] = [
            (body(2, &[b"a\nb", b"\xff"]), Ok(2)),
            (body(1, &[b"a", b"ignored"]), Ok(1)),
            (body(1, &[&longest]), Ok(1)),
            (body(MESSAGES_MAX as u32, &[b"x".as_slice(); MESSAGES_MAX]), Ok(MESSAGES_MAX)),
            (body(MESSAGES_MAX as u32 + 1, &[b"x".as_slice(); MESSAGES_MAX + 1]), Err("BAD_BODY")),
            (body(1, &[&too_long]), Err("BAD_MESSAGE")),
            (body(2, &[b"a"]), Err("BAD_MESSAGE")),
            (body(1, &[b""]), Err("BAD_MESSAGE")),
            (body(1, &[b"abc"])[..9].to_vec(), Err("BAD_MESSAGE")),
            (body(1, &[b"abc"])[..6].to_vec(), Err("BAD_MESSAGE")),
            (body(0, &[]), Err("BAD_BODY")),
            (body(u32::MAX, &[b"a"]), Err("BAD_BODY")),
            (vec![0, 0, 1], Err("BAD_BODY")),
        ];
        for (body, expected) in cases {
            assert_eq!(texts(binary(&body)).map(|messages| messages.len()), expected, "{} bytes", body.len());
        }
        assert_eq!(binary(&body(2, &[b"a\nb", b"\xff"])).unwrap(), [b"a\nb".as_slice(), b"\xff"]);
    }
}
