//! The one table of error and close codes: what happened, what becomes of the connection, what to do next.

use std::fmt;
use std::str::FromStr;

/// What a device does after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The connection stays; the request had no effect.
    Keep,
    /// The connection closes. Connect again after this long, plus a random wait of up to the same.
    Reconnect {
        /// The wait in milliseconds.
        after_ms: u32,
    },
    /// The connection closes. Get a new token, then connect at once.
    NewToken,
    /// The connection closes. Do not connect again by yourself: a person has to act first.
    Stop,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// The code.
    pub code: Code,
    /// Its name on the wire; it never changes.
    pub name: &'static str,
    /// The WebSocket close code (RFC 6455, section 7.4.2: 4000 to 4999 are the application's), 0 where the connection
    /// stays.
    pub close: u16,
    /// The status of a REST answer (RFC 9110).
    pub http: u16,
    /// What to do.
    pub advice: Advice,
    /// What happened, as a sentence.
    pub sentence: &'static str,
}

/// Declares [`Code`] and its table together, so that no code lacks a row.
macro_rules! codes {
    ($($variant:ident $name:literal $close:literal $http:literal $advice:expr, $sentence:literal;)*) => {
        /// A stable code of an error. See [`Code::spec`] for what each means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $sentence] $variant,)*
        }
        impl Code {
            /// The whole table, in the order of the documentation.
            pub const TABLE: &[Spec] = &[
                $(Spec {
                    code: Code::$variant, name: $name, close: $close, http: $http, advice: $advice, sentence: $sentence,
                },)*
            ];
        }
    };
}

use Advice::{Keep, NewToken, Reconnect, Stop};

codes! {
    // The frame.
    BadJson "bad_json" 0 400 Keep, "The text is not JSON.";
    BadFrame "bad_frame" 0 400 Keep, "A field is missing or has the wrong type or value.";
    UnknownType "unknown_type" 0 400 Keep, "The server does not know this type of frame.";
    BinaryFrame "binary_frame" 4400 400 Stop, "Frames of lockstep.v1 are text; a binary one came.";
    BadUtf8 "bad_utf8" 4406 400 Stop, "A text frame was not UTF-8.";
    BadWebSocket "bad_websocket" 4407 400 Reconnect { after_ms: 1_000 }, "The bytes were no WebSocket frames (RFC 6455), or asked for an extension.";
    FrameTooLarge "frame_too_large" 4413 413 Reconnect { after_ms: 1_000 }, "The frame is larger than the server takes.";
    Flood "flood" 4429 429 Reconnect { after_ms: 10_000 }, "Frames came faster than the server takes them.";
    // The beginning of a connection.
    HelloExpected "hello_expected" 4402 400 Stop, "The first frame must be hello.";
    HelloTimeout "hello_timeout" 4408 408 Reconnect { after_ms: 1_000 }, "The hello, or the last resume after it, did not come in time.";
    HelloTwice "hello_twice" 0 400 Keep, "This connection has already said hello.";
    ResumeTwice "resume_twice" 0 400 Keep, "This connection has already sent its last resume.";
    // Who is there.
    TokenInvalid "token_invalid" 4401 401 NewToken, "The token is not one of this server's, or is not whole.";
    TokenExpired "token_expired" 4403 401 NewToken, "The token has expired.";
    TokenRevoked "token_revoked" 4404 401 NewToken, "The token is of an older generation: it has been revoked or replaced since.";
    ServiceToken "service_token" 4416 403 Stop, "The token is a service's: it opens no device, and is good for what its scopes say, by REST alone.";
    DeviceRemoved "device_removed" 4410 401 Stop, "The device has been removed.";
    UserDisabled "user_disabled" 4420 403 Stop, "The user has been disabled by an administrator.";
    Replaced "replaced" 4409 409 Stop, "A newer connection of the same device has taken over.";
    // Requests.
    NoSuchConversation "no_such_conversation" 0 404 Keep, "There is no such conversation, or the caller is not a member of it.";
    NoSuchUser "no_such_user" 0 404 Keep, "There is no such user.";
    NoSuchDevice "no_such_device" 0 404 Keep, "There is no such device, or it is not the caller's.";
    NoSuchService "no_such_service" 0 404 Keep, "There is no such service.";
    Forbidden "forbidden" 0 403 Keep, "The caller may not do this.";
    OutOfScope "out_of_scope" 0 403 Keep, "The service's scopes do not cover this.";
    NoSuchTarget "no_such_target" 0 404 Keep, "There is no such message in this conversation that the caller may see.";
    NotYours "not_yours" 0 403 Keep, "The message is another one's: its sender may do this, and recall it an admin or the owner too.";
    Recalled "recalled" 0 409 Keep, "The message has been recalled.";
    DuplicateId "duplicate_id" 0 409 Keep, "The sender has used this client_msg_id for another body or conversation.";
    BadBody "bad_body" 0 400 Keep, "The body must be a JSON object with a type, nested at most 32 levels deep.";
    BodyTooLarge "body_too_large" 0 413 Keep, "The body is larger than the server takes.";
    AckBeyond "ack_beyond" 0 400 Keep, "The acknowledgement is for something that was not delivered on this connection.";
    ReadBeyond "read_beyond" 0 400 Keep, "The read offset lies beyond the conversation's head.";
    RateLimited "rate_limited" 0 429 Keep, "Too many requests of this kind; wait as long as retry_after_ms says.";
    TooManyConversations "too_many_conversations" 0 409 Keep, "The user is in as many conversations as the server allows.";
    // Accounts.
    WrongCredentials "wrong_credentials" 0 401 Keep, "There is no such user with this password.";
    UserTaken "user_taken" 0 409 Keep, "There is a user of this id already.";
    SignUpClosed "sign_up_closed" 0 403 Keep, "Users are made by the server's operator.";
    NoSuchSignIn "no_such_sign_in" 0 404 Keep, "There is no such sign-in waiting: it has ended, was not answered in time, or the secret is wrong.";
    SignInRefused "sign_in_refused" 0 403 Keep, "A main device of the user has refused the sign-in.";
    NoSuchLink "no_such_link" 0 404 Keep, "There is no such link: it has ended, was used or answered already, or what was shown for it is wrong.";
    LinkRefused "link_refused" 0 403 Keep, "A main device has refused to link this device.";
    TooManyDevices "too_many_devices" 0 409 Keep, "The user has as many devices as the server allows.";
    LastMain "last_main" 0 409 Keep, "It is the user's last main device: it goes only with the account.";
    RenewalRefused "renewal_refused" 0 401 Keep, "The token is no good one of this device; the connection goes on as it was.";
    TooManyMembers "too_many_members" 0 409 Keep, "The conversation has as many members as the server allows.";
    NoSuchMember "no_such_member" 0 404 Keep, "The user is not a member of the conversation.";
    DirectConversation "direct_conversation" 0 409 Keep, "A direct conversation has its two members, and nothing of it can be changed.";
    Blocked "blocked" 0 403 Keep, "One of the two users has blocked the other.";
    TooManyContacts "too_many_contacts" 0 409 Keep, "The user has as many contacts or blocks as the server allows.";
    // Filling a device.
    MainOffline "main_offline" 4417 503 Reconnect { after_ms: 30_000 }, "The device has to be filled by a main device of its user, and none is connected.";
    NotUnfilled "not_unfilled" 0 409 Keep, "The device has been filled: it goes on from the log.";
    NoSuchBootstrap "no_such_bootstrap" 0 404 Keep, "There is no such filling, it is over, or this device is not asked for that now.";
    TooManyBootstraps "too_many_bootstraps" 0 503 Keep, "So many devices are being filled that this one has to wait.";
    ChunkTooLarge "chunk_too_large" 0 413 Keep, "The chunk's body is larger than the server takes.";
    ChunkDigest "chunk_digest" 0 400 Keep, "The chunk's digest is not that of its body.";
    ChunkOrder "chunk_order" 0 409 Keep, "The chunk is not the next one: chunks of a conversation follow each other without gap and overlap.";
    ChunkBeyond "chunk_beyond" 0 409 Keep, "The chunk goes beyond what the user may see of the conversation.";
    ChunkWindow "chunk_window" 0 429 Keep, "More chunks are without an acknowledgement than may be.";
    // REST only.
    BadRequest "bad_request" 0 400 Keep, "The request is malformed, or a value in it is not allowed.";
    NoSuchRoute "no_such_route" 0 404 Keep, "There is nothing at this path.";
    MethodNotAllowed "method_not_allowed" 0 405 Keep, "The path does not take this method.";
    UnsupportedMediaType "unsupported_media_type" 0 415 Keep, "The body is of another type, or in another coding, than the server takes.";
    OriginRefused "origin_refused" 0 403 Keep, "Pages of this origin may not open a connection here.";
    RequestTimeout "request_timeout" 0 408 Keep, "The request did not arrive in time.";
    // The life of a connection.
    HeartbeatTimeout "heartbeat_timeout" 4411 408 Reconnect { after_ms: 0 }, "Two heartbeats in a row had no answer.";
    AckTimeout "ack_timeout" 4412 408 Reconnect { after_ms: 1_000 }, "A delivery stayed unacknowledged for too long.";
    SlowReader "slow_reader" 4414 408 Reconnect { after_ms: 1_000 }, "The connection did not take what was written to it.";
    SessionAge "session_age" 4415 408 Reconnect { after_ms: 0 }, "The connection has been open as long as the server allows.";
    Disconnected "disconnected" 4421 409 Reconnect { after_ms: 1_000 }, "An administrator has closed the connection; the device may come again.";
    ShuttingDown "shutting_down" 4503 503 Reconnect { after_ms: 1_000 }, "The server is going down or is being restarted.";
    Overloaded "overloaded" 4504 503 Reconnect { after_ms: 5_000 }, "The server has as many connections as it takes, or this device connects too often.";
    // The server's own trouble.
    TryAgain "try_again" 0 503 Keep, "The server could not store this now. Send the same again: it cannot be stored twice.";
    Unavailable "unavailable" 4505 503 Reconnect { after_ms: 2_000 }, "The server cannot read its store now.";
    Internal "internal" 4500 500 Reconnect { after_ms: 5_000 }, "The server made a mistake; it has been logged.";
}

impl Code {
    /// The code's row of the table.
    pub fn spec(self) -> &'static Spec {
        // The table is declared in the order of the variants.
        &Self::TABLE[self as usize]
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// Whether the connection ends with it.
    pub fn closes(self) -> bool {
        self.spec().close != 0
    }

    /// The row whose WebSocket close code this is.
    pub fn from_close(close: u16) -> Option<Self> {
        Self::TABLE.iter().find(|spec| spec.close == close && close != 0).map(|spec| spec.code)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Code {
    type Err = ();
    fn from_str(name: &str) -> Result<Self, ()> {
        Self::TABLE.iter().find(|spec| spec.name == name).map(|spec| spec.code).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_table_is_consistent() {
        let mut names = HashSet::new();
        let mut closes = HashSet::new();
        for (index, spec) in Code::TABLE.iter().enumerate() {
            assert_eq!(spec.code as usize, index, "{}", spec.name);
            assert!(names.insert(spec.name), "{} stands twice", spec.name);
            assert_eq!(spec.name.parse(), Ok(spec.code));
            assert_eq!(spec.close == 0, spec.advice == Keep, "{}", spec.name);
            if spec.close != 0 {
                assert!((4000..5000).contains(&spec.close) && closes.insert(spec.close), "{}", spec.name);
                assert_eq!(Code::from_close(spec.close), Some(spec.code));
            }
            assert!((400..600).contains(&spec.http) && spec.sentence.ends_with('.'), "{}", spec.name);
        }
        assert_eq!(Code::from_close(0), None);
    }
}
