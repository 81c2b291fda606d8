//! Rows that a query packs into one value.
//!
//! sqlx-sqlite hands every row over to another thread, with an allocation for each column and often a wake-up: for small
//! rows that costs several times what reading them does. So the queries of a message's way that have many rows
//! answer with one value per question. A record is text and bytes behind one another, made with SQLite's `concat`, which
//! leaves out what is NULL: numbers are decimal and end with a space, texts have their length in bytes before them, ids
//! and hashes are bytes of a known length. The value is cast to a blob at the end, as it is no text.

use lockstep_model::{Body, ClientMsgId, ConversationId, DeviceId, Entry, EntryId, Kind, Sender, Seq, UnixMs};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// The record that [`Packed::entry`] takes, of a table named `e`.
macro_rules! packed_entry {
    () => {
        "concat(e.seq, ' ', e.sent_at, ' ', octet_length(e.kind), ' ', octet_length(e.sender), ' ', \
           octet_length(e.sender_device), ' ', octet_length(e.client_msg_id), ' ', octet_length(e.body), ' ', \
           e.id, e.kind, e.sender, e.sender_device, e.client_msg_id, e.body)"
    };
}
pub(crate) use packed_entry;

/// What is left of packed records.
pub(crate) struct Packed<'b>(&'b [u8]);

impl<'b> Packed<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number, or nothing where it was NULL.
    pub(crate) fn optional_int(&mut self) -> Result<Option<u64>> {
        let end = self.0.iter().position(|&byte| byte == b' ').ok_or_else(invalid)?;
        let digits = &self.0[..end];
        self.0 = &self.0[end + 1..];
        if digits.is_empty() {
            return Ok(None);
        }
        // Stored numbers are below 2^63, which has 19 digits.
        let is_number = digits.len() <= 19 && digits.iter().all(u8::is_ascii_digit);
        let number = digits.iter().fold(0, |number: u64, digit| number.wrapping_mul(10) + u64::from(digit & 0x0f));
        if is_number { Ok(Some(number)) } else { Err(invalid()) }
    }

    pub(crate) fn int(&mut self) -> Result<u64> {
        self.optional_int()?.ok_or_else(invalid)
    }

    fn length(&mut self) -> Result<usize> {
        usize::try_from(self.int()?).map_err(|_| invalid())
    }

    fn optional_length(&mut self) -> Result<Option<usize>> {
        self.optional_int()?.map(|length| usize::try_from(length).map_err(|_| invalid())).transpose()
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(invalid)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn text(&mut self, length: usize) -> Result<&'b str> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(invalid)?;
        self.0 = rest;
        std::str::from_utf8(bytes).map_err(|error| sqlx::Error::Decode(error.into()))
    }

    /// See [`packed_entry`].
    pub(crate) fn entry(&mut self, conversation: ConversationId) -> Result<Entry> {
        let seq = Seq::new(self.int()?);
        let sent_at = UnixMs::new(self.int()?);
        let (kind, sender) = (self.length()?, self.length()?);
        let (device, client_msg_id) = (self.optional_length()?, self.optional_length()?);
        let body = self.length()?;
        Ok(Entry {
            conversation,
            seq,
            id: EntryId::from_bytes(self.bytes()?),
            kind: Kind::from_text(self.text(kind)?),
            sender: Sender::from_stored(self.text(sender)?),
            sender_device: device.map(|length| self.device_id(length)).transpose()?,
            client_msg_id: client_msg_id.map(|length| self.client_msg_id(length)).transpose()?,
            body: Body::from_stored(self.text(body)?.to_owned()).map_err(|error| sqlx::Error::Decode(error.into()))?,
            sent_at,
        })
    }

    fn device_id(&mut self, length: usize) -> Result<DeviceId> {
        let bytes = self.bytes()?;
        if length == bytes.len() { Ok(DeviceId::from_bytes(bytes)) } else { Err(invalid()) }
    }

    fn client_msg_id(&mut self, length: usize) -> Result<ClientMsgId> {
        ClientMsgId::new(self.text(length)?).map_err(|error| sqlx::Error::Decode(error.into()))
    }
}

fn invalid() -> sqlx::Error {
    sqlx::Error::Decode("the database holds a row that makes no sense".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_with_a_space() {
        // The packed value; the number, nothing for NULL, or an error.
        let cases = [
            ("0 ", Ok(Some(0))),
            (" ", Ok(None)),
            ("1234567890123 x", Ok(Some(1_234_567_890_123))),
            ("9223372036854775807 ", Ok(Some(i64::MAX as u64))),
            ("99999999999999999999 ", Err(())),
            ("-1 ", Err(())),
            ("12", Err(())),
            ("", Err(())),
        ];
        for (packed, number) in cases {
            assert_eq!(Packed::new(packed.as_bytes()).optional_int().map_err(drop), number, "{packed:?}");
        }
    }

    #[test]
    fn a_record_that_ends_too_early_is_an_error() {
        let record = b"7 1760000000000 7 5 16 1 15 0123456789abcdefmessagealice0123456789abcdefm{\"type\":\"text\"}";
        let conversation = ConversationId::from_bytes([1; 16]);
        let entry = Packed::new(record).entry(conversation).expect("a whole record");
        assert_eq!(
            (entry.seq, entry.sender.as_str(), entry.body.as_json()),
            (Seq::new(7), "alice", "{\"type\":\"text\"}")
        );
        for end in 0..record.len() {
            assert!(Packed::new(&record[..end]).entry(conversation).is_err(), "{end} bytes");
        }
    }
}
