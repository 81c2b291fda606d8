//! The protocol's bounds and their defaults, in one place. Each says what happens when it is reached.

/// Largest frame from a device, in bytes. A larger one closes the connection with `frame_too_large`.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Largest body, in bytes of JSON text. A larger one is answered with `body_too_large`; the connection stays.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Most levels of objects and arrays in a body. A deeper one is answered with `bad_body`; the connection stays.
pub const BODY_DEPTH_MAX: usize = 32;
/// Most cursors in one `resume` frame, and offsets in one `offsets` frame. More are answered with `bad_frame`.
pub const CURSORS_PER_FRAME_MAX: usize = 1_000;
/// Most entries in one batch frame. The server sends several.
pub const ENTRIES_PER_FRAME_MAX: usize = 128;
/// Most deliveries of one conversation that a device may leave unacknowledged. The server then waits.
pub const WINDOW_ENTRIES_MAX: u64 = 256;
/// Most bytes of bodies that a connection may leave unacknowledged. The server then waits.
pub const WINDOW_BYTES_MAX: usize = 1024 * 1024;
/// How long a connection may stay without its `hello`, and then without its last `resume`.
pub const HELLO_TIMEOUT_MS: u64 = 5_000;
/// How often the server sends a heartbeat. Two that stay without any answer close the connection.
pub const HEARTBEAT_MS: u64 = 25_000;
/// How long the oldest unacknowledged delivery may wait before the connection is closed with `ack_timeout`.
pub const ACK_TIMEOUT_MS: u64 = 45_000;
/// Sends per second that a device may keep up. Making a group or room, and inviting, count as one more for each user named. More are
/// answered with `rate_limited`.
pub const SENDS_PER_SECOND: u32 = 50;
/// Sends that a device may make at once before the rate counts.
pub const SENDS_BURST: u32 = 200;
/// Sends per second that a service may keep up by REST. More are answered with `rate_limited`.
pub const SERVICE_SENDS_PER_SECOND: u32 = 1_000;
/// Sends that a service may make at once before the rate counts.
pub const SERVICE_SENDS_BURST: u32 = 2_000;
/// Frames per second that a device may keep up. More close the connection with `flood`.
pub const FRAMES_PER_SECOND: u32 = 500;
/// Frames that a device may send at once before the rate counts: enough for the `resume` frames of 10,000
/// conversations and a full window of acknowledgements.
pub const FRAMES_BURST: u32 = 2_000;
/// Most conversations of one user. One more is refused with `too_many_conversations`.
pub const CONVERSATIONS_PER_USER_MAX: usize = 10_000;
/// Most members of a group, and most users named at once when a conversation is made or users are invited. More names are
/// refused with `bad_request`, more members with `too_many_members`.
pub const GROUP_MEMBERS_MAX: usize = 1_000;
/// Most users that a message mentions. More are answered with `bad_body`.
pub const MENTIONS_MAX: usize = 50;
/// Most characters of a reaction's key. More are answered with `bad_body`.
pub const REACTION_KEY_CHARS_MAX: usize = 32;
/// Most members of a room. One more is refused with `too_many_members`. A group has at most `group_members_max`.
pub const ROOM_MEMBERS_MAX: usize = 100_000;
/// Most bytes of the JSON text of a conversation's custom object. More are refused with `bad_request`.
pub const CUSTOM_BYTES_MAX: usize = 8_192;
/// Most bytes of an avatar's URL. More are refused with `bad_request`.
pub const AVATAR_BYTES_MAX: usize = 2_048;
/// Largest body of a signal, in bytes of JSON text. A larger one is answered with `body_too_large`; the connection stays.
pub const SIGNAL_BYTES_MAX: usize = 4 * 1024;
/// Signals per second that a device may keep up in one conversation. More are dropped without a word.
pub const SIGNALS_PER_SECOND: u32 = 1;
/// Signals that a device may make at once in one conversation before the rate counts.
pub const SIGNALS_BURST: u32 = 3;
/// Most users in one `watch` frame. More are answered with `bad_frame`.
pub const WATCHED_USERS_MAX: usize = 100;
/// Most characters of a title or of a device's name.
pub const NAME_CHARS_MAX: usize = 128;
/// Largest custom part of a profile, in bytes of JSON text. A larger one is refused with `bad_request`.
pub const PROFILE_CUSTOM_BYTES_MAX: usize = 4 * 1024;
/// Most contacts of one user, and most blocks. One more is refused with `too_many_contacts`.
pub const CONTACTS_MAX: usize = 10_000;
/// Most users asked for in one request. More are refused with `bad_request`.
pub const USERS_PER_REQUEST_MAX: usize = 100;
/// Most conversations in one `unread` frame, and in one request for reads. More are answered with `bad_frame`.
pub const UNREAD_CONVERSATIONS_MAX: usize = 100;
/// How far unread messages are counted. Where there are more, the answer says `more`.
pub const UNREAD_MAX: u64 = 999;
/// Most members of a conversation in which receipts are told to live devices. In larger ones they are asked for.
pub const RECEIPTS_MEMBERS_MAX: u64 = 32;
/// Entries per conversation with which a device is filled if it does not say how many.
pub const BOOTSTRAP_ENTRIES_DEFAULT: u32 = 100;
/// Most entries per conversation with which a device is filled. More are answered with `bad_frame`.
pub const BOOTSTRAP_ENTRIES_MAX: u32 = 1_000;
/// Most members that `bootstrap_conversation` names. The others are asked for by REST.
pub const BOOTSTRAP_MEMBERS_MAX: usize = 100;
/// Largest body of a chunk, in bytes. A larger one is answered with `chunk_too_large`.
pub const CHUNK_BYTES_MAX: usize = 128 * 1024;
/// Chunks of one filling that a main device may leave unacknowledged. One more is answered with `chunk_window`.
pub const CHUNKS_WINDOW: u32 = 8;
/// How long a main device that was asked may be silent before another one is asked.
pub const FILL_STALL_MS: u64 = 15_000;
/// How long a filling waits for the device, or for a main device, before it is given up.
pub const BOOTSTRAP_WAIT_MS: u64 = 600_000;
