//! Error frames, told apart by their first word.

use std::fmt;

/// An error frame's text is cut to this when it is kept.
const TEXT_BYTES_MAX: usize = 256;

/// The first word of an error frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// `E_INVALID`: a command that is unknown, malformed, or not allowed in this state.
    Invalid,
    /// `E_BAD_PROTOCOL`: the connection did not begin with a magic that the server knows.
    BadProtocol,
    /// `E_BAD_BODY`: the body of IDENTIFY, AUTH or MPUB.
    BadBody,
    /// `E_BAD_TOPIC`: a topic's name.
    BadTopic,
    /// `E_BAD_CHANNEL`: a channel's name.
    BadChannel,
    /// `E_BAD_MESSAGE`: an empty or too large message.
    BadMessage,
    /// `E_IDENTIFY_FAILED`.
    IdentifyFailed,
    /// `E_SUB_FAILED`: a deleted channel, or one with too many consumers.
    SubFailed,
    /// `E_PUB_FAILED`.
    PubFailed,
    /// `E_MPUB_FAILED`.
    MpubFailed,
    /// `E_DPUB_FAILED`.
    DpubFailed,
    /// `E_FIN_FAILED`: the message is no longer in flight to this connection. The connection lives on.
    FinFailed,
    /// `E_REQ_FAILED`: as with FIN.
    ReqFailed,
    /// `E_TOUCH_FAILED`: as with FIN.
    TouchFailed,
    /// `E_AUTH_FIRST`: the server wants AUTH before this command.
    AuthFirst,
    /// `E_AUTH_FAILED`, `E_AUTH_ERROR` or `E_AUTH_DISABLED`.
    AuthFailed,
    /// `E_UNAUTHORIZED`: this client may not do this with this topic or channel.
    Unauthorized,
    /// A word that this client does not know.
    Other,
}

impl ErrorCode {
    /// The code in the first word of an error's text. What follows the word is for people, and differs between versions.
    pub fn of(text: &[u8]) -> Self {
        let end = text.iter().position(|byte| byte.is_ascii_whitespace()).unwrap_or(text.len());
        match &text[..end] {
            b"E_INVALID" => Self::Invalid,
            b"E_BAD_PROTOCOL" => Self::BadProtocol,
            b"E_BAD_BODY" => Self::BadBody,
            b"E_BAD_TOPIC" => Self::BadTopic,
            b"E_BAD_CHANNEL" => Self::BadChannel,
            b"E_BAD_MESSAGE" => Self::BadMessage,
            b"E_IDENTIFY_FAILED" => Self::IdentifyFailed,
            b"E_SUB_FAILED" => Self::SubFailed,
            b"E_PUB_FAILED" => Self::PubFailed,
            b"E_MPUB_FAILED" => Self::MpubFailed,
            b"E_DPUB_FAILED" => Self::DpubFailed,
            b"E_FIN_FAILED" => Self::FinFailed,
            b"E_REQ_FAILED" => Self::ReqFailed,
            b"E_TOUCH_FAILED" => Self::TouchFailed,
            b"E_AUTH_FIRST" => Self::AuthFirst,
            b"E_AUTH_FAILED" | b"E_AUTH_ERROR" | b"E_AUTH_DISABLED" => Self::AuthFailed,
            b"E_UNAUTHORIZED" => Self::Unauthorized,
            _ => Self::Other,
        }
    }

    /// Whether the server closes the connection after it. Three codes leave it alive.
    pub fn is_fatal(self) -> bool {
        !matches!(self, Self::FinFailed | Self::ReqFailed | Self::TouchFailed)
    }
}

/// An error frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// What its first word says.
    pub code: ErrorCode,
    text: Box<str>,
}

impl ServerError {
    /// From an error frame's data, whatever it holds.
    pub fn new(data: &[u8]) -> Self {
        let kept = &data[..data.len().min(TEXT_BYTES_MAX)];
        let text: String = String::from_utf8_lossy(kept).chars().filter(|c| !c.is_control()).collect();
        Self { code: ErrorCode::of(data), text: text.into() }
    }

    /// The server's words, without control characters, cut to 256 bytes.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_decides() {
        let cases: [(&[u8], ErrorCode, bool); 10] = [
            (b"E_FIN_FAILED FIN 0123456789abcdef failed ID not in flight", ErrorCode::FinFailed, false),
            (b"E_FIN_FAILED", ErrorCode::FinFailed, false),
            (b"E_REQ_FAILED x", ErrorCode::ReqFailed, false),
            (b"E_TOUCH_FAILED\tx", ErrorCode::TouchFailed, false),
            (b"E_FIN_FAILEDX", ErrorCode::Other, true),
            (b"E_INVALID cannot SUB in current state", ErrorCode::Invalid, true),
            (b"E_AUTH_ERROR x", ErrorCode::AuthFailed, true),
            (b" E_FIN_FAILED", ErrorCode::Other, true),
            (b"", ErrorCode::Other, true),
            (b"\xff\xfe", ErrorCode::Other, true),
        ];
        for (text, code, fatal) in cases {
            assert_eq!(ErrorCode::of(text), code, "{text:?}");
            assert_eq!(code.is_fatal(), fatal, "{text:?}");
        }
    }

    #[test]
    fn a_text_is_cleaned_and_cut() {
        assert_eq!(ServerError::new(b"E_INVALID a\nb\x1b[0m").text(), "E_INVALID ab[0m");
        assert_eq!(ServerError::new(&[b'x'; 5000]).text().len(), 256);
    }
}
