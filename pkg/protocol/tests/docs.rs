//! `docs/protocol.md` and this crate say the same.

use lockstep_protocol::{
    Advice, BootstrapFrame, BootstrapNews, ClientFrame, Code, ConversationId, LinkClientFrame, LinkServerFrame,
    ServerFrame, UserId, decode_client, decode_link_client, decode_link_server, decode_server, encode_client,
    encode_link_client, encode_link_server, encode_server, limits,
};
use serde_json::Value;
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/protocol.md");
const LIMITS: &str = include_str!("../src/limits.rs");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    FromDevice,
    FromServer,
    /// Of a device that waits to be linked.
    FromNewDevice,
    ToNewDevice,
}

/// The JSON examples, each with the direction that the last line of text before it names.
fn examples() -> Vec<(Direction, String)> {
    let mut found = Vec::new();
    let mut last_text = "";
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        if line == "```json" {
            let direction = match last_text {
                "device → server" => Direction::FromDevice,
                "server → device" => Direction::FromServer,
                "new device → server" => Direction::FromNewDevice,
                "server → new device" => Direction::ToNewDevice,
                other => panic!("an example must say who sends it, not {other:?}"),
            };
            let json: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push((direction, json.join("\n")));
        }
        if !line.trim().is_empty() {
            last_text = line;
        }
    }
    found
}

#[test]
fn every_example_is_a_frame_and_is_written_back_the_same() {
    for (direction, json) in examples() {
        let encoded = match direction {
            Direction::FromDevice => encode_client(&decode_client(&json).unwrap_or_else(|e| panic!("{e} in {json}"))),
            Direction::FromServer => {
                let frame = decode_server(&json).unwrap_or_else(|e| panic!("{e} in {json}"));
                encode_server(&frame.unwrap_or_else(|| panic!("an unknown type in {json}")))
            }
            Direction::FromNewDevice => {
                encode_link_client(&decode_link_client(&json).unwrap_or_else(|e| panic!("{e} in {json}")))
            }
            Direction::ToNewDevice => {
                let frame = decode_link_server(&json).unwrap_or_else(|e| panic!("{e} in {json}"));
                encode_link_server(&frame.unwrap_or_else(|| panic!("an unknown type in {json}")))
            }
        };
        let (mut written, mut shown) = (value(&encoded), value(&json));
        for value in [&mut written, &mut shown] {
            // Zero is what an absent version means.
            if value["offsets_version"] == 0 {
                value.as_object_mut().expect("a frame").remove("offsets_version");
            }
        }
        assert_eq!(written, shown, "{json}");
    }
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {json}"))
}

/// Fails to compile when a frame is added, so that the list in the test below is kept whole.
fn client_type(frame: &ClientFrame) -> &'static str {
    match frame {
        ClientFrame::Hello(_) => "hello",
        ClientFrame::Resume(_) => "resume",
        ClientFrame::Send(_) => "send",
        ClientFrame::Ack(_) => "ack",
        ClientFrame::Read { .. } => "read",
        ClientFrame::Signal { .. } => "signal",
        ClientFrame::Watch { .. } => "watch",
        ClientFrame::State { .. } => "state",
        ClientFrame::Unread { .. } => "unread",
        ClientFrame::Renew(_) => "renew",
        ClientFrame::Bootstrap(BootstrapFrame::Start(_)) => "bootstrap",
        ClientFrame::Bootstrap(BootstrapFrame::Coverage(_)) => "coverage",
        ClientFrame::Bootstrap(BootstrapFrame::Chunk { .. }) => "chunk",
        ClientFrame::Bootstrap(BootstrapFrame::Ack(_)) => "chunk_ack",
        ClientFrame::Bootstrap(BootstrapFrame::Refuse(_)) => "fill_refuse",
        ClientFrame::Heartbeat => "heartbeat",
    }
}

fn server_type(frame: &ServerFrame) -> &'static str {
    match frame {
        ServerFrame::Welcome(_) => "welcome",
        ServerFrame::Offsets { .. } => "offsets",
        ServerFrame::CaughtUp => "caught_up",
        ServerFrame::Entry(_) => "entry",
        ServerFrame::Entries { .. } => "entries",
        ServerFrame::Skip { .. } => "skip",
        ServerFrame::Reset { .. } => "reset",
        ServerFrame::Sent { .. } => "sent",
        ServerFrame::Done { .. } => "done",
        ServerFrame::Signal(_) => "signal",
        ServerFrame::Presence { .. } => "presence",
        ServerFrame::Devices { .. } => "devices",
        ServerFrame::Unread { .. } => "unread",
        ServerFrame::Receipts { .. } => "receipts",
        ServerFrame::Bootstrap(BootstrapNews::BootstrapStarted { .. }) => "bootstrap_started",
        ServerFrame::Bootstrap(BootstrapNews::BootstrapConversation(_)) => "bootstrap_conversation",
        ServerFrame::Bootstrap(BootstrapNews::Chunk(_)) => "chunk",
        ServerFrame::Bootstrap(BootstrapNews::Fill(_)) => "fill",
        ServerFrame::Bootstrap(BootstrapNews::ChunkAcked(_)) => "chunk_acked",
        ServerFrame::Bootstrap(BootstrapNews::BootstrapProgress(_)) => "bootstrap_progress",
        ServerFrame::Heartbeat => "heartbeat",
        ServerFrame::Error(_) => "error",
    }
}

fn link_client_type(frame: &LinkClientFrame) -> &'static str {
    match frame {
        LinkClientFrame::Wait { .. } => "wait",
        LinkClientFrame::Heartbeat => "heartbeat",
    }
}

fn link_server_type(frame: &LinkServerFrame) -> &'static str {
    match frame {
        LinkServerFrame::Approved(_) => "approved",
        LinkServerFrame::Refused { .. } => "refused",
        LinkServerFrame::Expired => "expired",
        LinkServerFrame::Heartbeat => "heartbeat",
        LinkServerFrame::Error(_) => "error",
    }
}

#[test]
fn every_frame_has_an_example() {
    let (mut client, mut server) = (BTreeSet::new(), BTreeSet::new());
    let (mut link_client, mut link_server) = (BTreeSet::new(), BTreeSet::new());
    for (direction, json) in examples() {
        match direction {
            Direction::FromDevice => client.insert(client_type(&decode_client(&json).expect("a frame"))),
            Direction::FromServer => {
                server.insert(server_type(&decode_server(&json).expect("a frame").expect("a known one")))
            }
            Direction::FromNewDevice => {
                link_client.insert(link_client_type(&decode_link_client(&json).expect("a frame")))
            }
            Direction::ToNewDevice => {
                let frame = decode_link_server(&json).expect("a frame").expect("a known one");
                link_server.insert(link_server_type(&frame))
            }
        };
    }
    assert_eq!(
        client,
        BTreeSet::from([
            "ack",
            "bootstrap",
            "chunk",
            "chunk_ack",
            "coverage",
            "fill_refuse",
            "heartbeat",
            "hello",
            "read",
            "renew",
            "resume",
            "send",
            "signal",
            "state",
            "unread",
            "watch",
        ])
    );
    let all = [
        "bootstrap_conversation",
        "bootstrap_progress",
        "bootstrap_started",
        "caught_up",
        "chunk",
        "chunk_acked",
        "devices",
        "done",
        "entries",
        "entry",
        "error",
        "fill",
        "heartbeat",
        "offsets",
        "presence",
        "receipts",
        "reset",
        "sent",
        "signal",
        "skip",
        "unread",
        "welcome",
    ];
    assert_eq!(server, BTreeSet::from(all));
    assert_eq!(link_client, BTreeSet::from(["heartbeat", "wait"]));
    assert_eq!(link_server, BTreeSet::from(["approved", "error", "expired", "heartbeat", "refused"]));
}

/// The lines between `<!-- name -->` and `<!-- end -->`.
fn block(name: &str) -> String {
    let (_, rest) = PAGE.split_once(&format!("<!-- {name} -->\n")).expect("the block is there");
    rest.split_once("<!-- end -->").expect("the block ends").0.to_owned()
}

fn check_block(name: &str, expected: &str) {
    assert!(block(name) == expected, "the block {name:?} of docs/protocol.md should be:\n{expected}");
}

#[test]
fn the_codes_are_those_of_the_table() {
    let mut expected =
        String::from("| code | connection | then | close | HTTP | what happened |\n|---|---|---|---|---|---|\n");
    for spec in Code::TABLE {
        let (connection, then) = match spec.advice {
            Advice::Keep => ("stays", "-".to_owned()),
            Advice::Reconnect { after_ms: 0 } => ("closes", "reconnect".to_owned()),
            Advice::Reconnect { after_ms } => ("closes", format!("reconnect after {after_ms} ms")),
            Advice::NewToken => ("closes", "new token, reconnect".to_owned()),
            Advice::Stop => ("closes", "stop".to_owned()),
        };
        let close = if spec.close == 0 { "-".to_owned() } else { spec.close.to_string() };
        let (name, http, sentence) = (spec.name, spec.http, spec.sentence);
        expected += &format!("| `{name}` | {connection} | {then} | {close} | {http} | {sentence} |\n");
    }
    check_block("codes", &expected);
}

#[test]
fn the_limits_are_those_of_the_crate() {
    macro_rules! values {
        ($($name:ident)*) => { [$((stringify!($name), limits::$name as u64)),*] };
    }
    let values = values!(
        FRAME_BYTES_MAX BODY_BYTES_MAX BODY_DEPTH_MAX CURSORS_PER_FRAME_MAX ENTRIES_PER_FRAME_MAX WINDOW_ENTRIES_MAX
        WINDOW_BYTES_MAX HELLO_TIMEOUT_MS HEARTBEAT_MS ACK_TIMEOUT_MS SENDS_PER_SECOND SENDS_BURST
        SERVICE_SENDS_PER_SECOND SERVICE_SENDS_BURST FRAMES_PER_SECOND FRAMES_BURST CONVERSATIONS_PER_USER_MAX GROUP_MEMBERS_MAX
        MENTIONS_MAX REACTION_KEY_CHARS_MAX ROOM_MEMBERS_MAX CUSTOM_BYTES_MAX AVATAR_BYTES_MAX SIGNAL_BYTES_MAX SIGNALS_PER_SECOND
        SIGNALS_BURST WATCHED_USERS_MAX NAME_CHARS_MAX PROFILE_CUSTOM_BYTES_MAX CONTACTS_MAX USERS_PER_REQUEST_MAX
        UNREAD_CONVERSATIONS_MAX UNREAD_MAX RECEIPTS_MEMBERS_MAX BOOTSTRAP_ENTRIES_DEFAULT BOOTSTRAP_ENTRIES_MAX
        BOOTSTRAP_MEMBERS_MAX CHUNK_BYTES_MAX CHUNKS_WINDOW FILL_STALL_MS BOOTSTRAP_WAIT_MS
    );
    let mut expected = String::from("| limit | value | |\n|---|---|---|\n");
    let mut comment = String::new();
    let mut names = Vec::new();
    for line in LIMITS.lines() {
        if let Some(text) = line.strip_prefix("/// ") {
            comment += if comment.is_empty() { "" } else { " " };
            comment += text;
        } else if let Some(name) = line.strip_prefix("pub const ").and_then(|rest| rest.split(':').next()) {
            let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
            let value = value.unwrap_or_else(|| panic!("{name} is missing in this test"));
            expected += &format!("| `{}` | {value} | {comment} |\n", name.to_lowercase());
            names.push(name);
            comment.clear();
        }
    }
    assert_eq!(names.len(), values.len());
    check_block("limits", &expected);
}

#[test]
fn direct_conversations_are_those_of_the_page() {
    let user = |text: &str| UserId::new(text).expect("a user");
    let mut seen = 0;
    for line in PAGE.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, users, id, _] = cells[..] else { continue };
        let Some((one, other)) = users.split_once(", ") else { continue };
        let id: ConversationId = match id.trim_matches('`').parse() {
            Ok(id) => id,
            Err(_) => continue,
        };
        let (one, other) = (user(one.trim_matches('`')), user(other.trim_matches('`')));
        assert_eq!(ConversationId::direct(&one, &other), id, "{one} and {other}");
        assert_eq!(ConversationId::direct(&other, &one), id, "{other} and {one}");
        seen += 1;
    }
    assert_eq!(seen, 2);
}
