//! The ids that stand on the wire, each a type of its own: parsed once at the edge, never a bare string inside.

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Why a text is no id. The sentence is fit for an error answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty or has too many characters.
    #[error("{what} must have 1 to {max} characters")]
    Length {
        /// Which id was read.
        what: &'static str,
        /// The most characters it may have.
        max: usize,
    },
    /// The text has a character that is not allowed.
    #[error("{what} must not contain control characters")]
    Character {
        /// Which id was read.
        what: &'static str,
    },
    /// A user id may not look like a service.
    #[error("a user id must not begin with \"service:\"")]
    Reserved,
    /// The text is no name of a service.
    #[error(
        "a service's name must have 1 to 48 of the characters a-z, 0-9, -, _ and ., and begin with a letter or a digit"
    )]
    Service,
    /// The name of a service that the server itself is.
    #[error("the names \"lockstep\" and \"nsq\" are the server's own")]
    OwnService,
    /// The text is not a UUID.
    #[error("{what} must be a UUID such as 0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11")]
    Uuid {
        /// Which id was read.
        what: &'static str,
    },
}

fn checked(what: &'static str, max: usize, text: &str) -> Result<CompactString, IdError> {
    let length = text.chars().count();
    if length == 0 || length > max {
        return Err(IdError::Length { what, max });
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::Character { what });
    }
    Ok(CompactString::new(text))
}

/// Implements what every textual id shares: display, parsing and serde as its text.
macro_rules! text_traits {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = CompactString::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

/// An account: an opaque text of 1 to 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(CompactString);

impl UserId {
    /// The most characters of a user id.
    pub const CHARS_MAX: usize = 64;

    /// Checks length, characters, and that the id does not pose as a service.
    pub fn new(text: &str) -> Result<Self, IdError> {
        if text.starts_with(crate::service::PREFIX) {
            return Err(IdError::Reserved);
        }
        checked("a user id", Self::CHARS_MAX, text).map(Self)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
text_traits!(UserId);

/// A name that a device or service gives to one of its sends: 1 to 64 characters. With the sender it names a message once (I2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientMsgId(CompactString);

impl ClientMsgId {
    /// The most characters of a client message id.
    pub const CHARS_MAX: usize = 64;

    /// Checks length and characters.
    pub fn new(text: &str) -> Result<Self, IdError> {
        checked("a client_msg_id", Self::CHARS_MAX, text).map(Self)
    }

    /// A new random id (UUID v7).
    pub fn random() -> Self {
        Self(CompactString::from(Uuid::now_v7().to_string()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
text_traits!(ClientMsgId);

/// Declares an id that is a UUID, written in the hyphenated lower-case form of RFC 9562.
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id: UUID v7, so ids made later sort later.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id with these 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The id as 16 bytes, for storage.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                // Only the hyphenated form: one id has one spelling.
                match Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == 36 => Ok(Self(uuid)),
                    _ => Err(IdError::Uuid { what: $what }),
                }
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut buffer = Uuid::encode_buffer();
                serializer.serialize_str(self.0.hyphenated().encode_lower(&mut buffer))
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!($what, ", a UUID"))
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

uuid_id!(
    /// A sign-in that waits for the word of a main device.
    SignInId,
    "a sign-in id"
);
uuid_id!(
    /// A device that asks to be linked to a user.
    LinkId,
    "a link id"
);
uuid_id!(
    /// One filling of one device.
    BootstrapId,
    "a bootstrap id"
);
uuid_id!(
    /// A device: made by the server, unique across users. Its text is 36 characters, valid in an NSQ channel name.
    DeviceId,
    "a device id"
);
uuid_id!(
    /// A conversation: UUID v7, or v8 for direct conversations ([`ConversationId::direct`]).
    ConversationId,
    "a conversation id"
);
uuid_id!(
    /// An entry of a conversation's log.
    EntryId,
    "an entry id"
);
uuid_id!(
    /// The identity of a store: it changes when a store is made anew or restored.
    Epoch,
    "an epoch"
);

impl ConversationId {
    /// The one direct conversation of two users: UUID v8 (RFC 9562, section 5.8) from SHA-256 over the two ids in
    /// order, each preceded by its length in bytes as a big-endian `u32`. Both users and every node compute the same.
    pub fn direct(one: &UserId, other: &UserId) -> Self {
        let (first, second) = if one <= other { (one, other) } else { (other, one) };
        let mut hash = Sha256::new();
        for user in [first, second] {
            let text = user.as_str().as_bytes();
            hash.update((text.len() as u32).to_be_bytes());
            hash.update(text);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

/// Declares a number that JSON can carry exactly: 0 to 2^53 - 1 (RFC 8259, section 6).
macro_rules! wire_number {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Zero: before the first.
            pub const ZERO: Self = Self(0);
            /// The largest value that JSON numbers carry exactly.
            pub const MAX: Self = Self((1 << 53) - 1);

            /// The value, cut to [`Self::MAX`].
            pub const fn new(value: u64) -> Self {
                if value > Self::MAX.0 { Self::MAX } else { Self(value) }
            }

            /// The plain number.
            pub const fn get(self) -> u64 {
                self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match u64::deserialize(deserializer)? {
                    value if value <= Self::MAX.0 => Ok(Self(value)),
                    _ => Err(serde::de::Error::custom(concat!($what, " must be at most 2^53 - 1"))),
                }
            }
        }
    };
}

wire_number!(
    /// A place in a conversation's log: 1, 2, 3, ... without gaps. As a cursor or offset, 0 means "nothing yet".
    Seq,
    "a seq"
);
wire_number!(
    /// A moment in milliseconds since 1970-01-01T00:00:00Z.
    UnixMs,
    "a time"
);
wire_number!(
    /// A version of one user's read offsets: it rises with each change.
    OffsetsVersion,
    "an offsets version"
);

impl Seq {
    /// The seq after this one.
    pub const fn next(self) -> Self {
        Self::new(self.0 + 1)
    }

    /// The seq before this one; zero stays zero.
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl UnixMs {
    /// The clock of this machine.
    pub fn now() -> Self {
        let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::new(elapsed.as_millis() as u64)
    }
}
