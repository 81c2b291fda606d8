//! What the codec takes, refuses and says, and that nothing that comes over the wire makes it panic.

use lockstep_protocol::{
    Ack, Body, ClientFrame, ClientMsgId, Code, ConversationId, Cursor, Entry, EntryId, Epoch, ErrorFrame, Hello, Kind,
    Offset, OffsetsVersion, Ref, Renew, Resume, Send, Sender, Seq, ServerFrame, Shown, SkipReason, Target, UnixMs,
    UserId, Welcome, decode_client, decode_server, encode_client, encode_server, limits,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const ID: &str = "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11";
/// Stands where a token or a body would stand; no error may repeat it.
const SECRET: &str = "s3cr3t, expected";

/// A frame, what it is answered with, and a part of the sentence.
fn refusals() -> Vec<(String, Code, &'static str)> {
    let ack = |cursors: &str| format!(r#"{{"type":"ack","cursors":{cursors}}}"#);
    let send = |fields: &str| format!(r#"{{"type":"send","client_msg_id":"x",{fields}}}"#);
    let text = |json: &str| json.replace("ID", ID).replace("SECRET", SECRET);
    let cursor = format!(r#"{{"conversation":"{ID}","seq":1}}"#);
    let deep = "[".repeat(200) + &"]".repeat(200);
    let large = "x".repeat(limits::BODY_BYTES_MAX);
    let cases = vec![
        // The text.
        (String::new(), Code::BadJson, "EOF"),
        ("SECRET".to_owned(), Code::BadJson, "expected value"),
        (r#"{"type":"heartbeat"#.to_owned(), Code::BadJson, "EOF"),
        (r#"{"type":"heartbeat"} {}"#.to_owned(), Code::BadJson, "trailing"),
        ("\u{feff}{\"type\":\"heartbeat\"}".to_owned(), Code::BadJson, "expected value"),
        ("[".repeat(100_000), Code::BadJson, ""),
        // The frame.
        (r#"["heartbeat"]"#.to_owned(), Code::BadFrame, "JSON object"),
        (r#""SECRET""#.to_owned(), Code::BadFrame, "JSON object"),
        ("null".to_owned(), Code::BadFrame, "JSON object"),
        ("{}".to_owned(), Code::BadFrame, "missing field `type`"),
        (r#"{"type":7}"#.to_owned(), Code::BadFrame, "invalid type"),
        (r#"{"type":"ack","type":"ack"}"#.to_owned(), Code::BadFrame, "duplicate field"),
        (r#"{"type":"SECRET"}"#.to_owned(), Code::UnknownType, "does not know"),
        (r#"{"type":"welcome"}"#.to_owned(), Code::UnknownType, "does not know"),
        // The ref.
        (r#"{"type":"read","ref":-1}"#.to_owned(), Code::BadFrame, "\"ref\""),
        (r#"{"type":"read","ref":"SECRET"}"#.to_owned(), Code::BadFrame, "\"ref\""),
        (r#"{"type":"read","ref":9007199254740992}"#.to_owned(), Code::BadFrame, "\"ref\""),
        (r#"{"type":"read","ref":1.0}"#.to_owned(), Code::BadFrame, "\"ref\""),
        // Fields.
        (r#"{"type":"hello"}"#.to_owned(), Code::BadFrame, "missing field `token`"),
        (r#"{"type":"hello","token":["SECRET"]}"#.to_owned(), Code::BadFrame, "invalid type"),
        (r#"{"type":"hello","token":"SECRET","epoch":"SECRET"}"#.to_owned(), Code::BadFrame, "must be a UUID"),
        (r#"{"type":"hello","token":"SECRET","epoch":{"SECRET":1}}"#.to_owned(), Code::BadFrame, "an epoch"),
        (r#"{"type":"hello","token":"SECRET","feed":[1,"ID"]}"#.to_owned(), Code::BadFrame, "an object"),
        (
            r#"{"type":"resume","conversations":[{"conversation":"ID"}]}"#.to_owned(),
            Code::BadFrame,
            "missing field `seq`",
        ),
        (r#"{"type":"resume","conversations":[["ID",1]]}"#.to_owned(), Code::BadFrame, "an object"),
        (r#"{"type":"resume","more":"SECRET"}"#.to_owned(), Code::BadFrame, "expected a boolean"),
        (r#"{"type":"read","conversation":"ID"}"#.to_owned(), Code::BadFrame, "missing field `seq`"),
        (r#"{"type":"read","conversation":"ID","seq":-1}"#.to_owned(), Code::BadFrame, "expected u64"),
        (r#"{"type":"read","conversation":"ID","seq":1.5}"#.to_owned(), Code::BadFrame, "expected u64"),
        (r#"{"type":"read","conversation":"ID","seq":"SECRET"}"#.to_owned(), Code::BadFrame, "expected u64"),
        (r#"{"type":"read","conversation":"ID","seq":9007199254740992}"#.to_owned(), Code::BadFrame, "2^53 - 1"),
        (format!(r#"{{"type":"read","conversation":"{}","seq":1}}"#, ID.replace('-', "")), Code::BadFrame, "UUID"),
        (r#"{"type":"ack"}"#.to_owned(), Code::BadFrame, "missing field `cursors`"),
        (ack(r#"{"SECRET":1}"#), Code::BadFrame, "a sequence"),
        (ack(r#"["SECRET"]"#), Code::BadFrame, "an object"),
        (ack(r#"[["ID",1]]"#), Code::BadFrame, "an object"),
        (ack(&deep), Code::BadFrame, ""),
        (ack(&format!("[{}{cursor}]", format!("{cursor},").repeat(1_000))), Code::BadFrame, "at most 1000"),
        // Messages.
        (send(r#""body":{"type":"text"}"#), Code::BadFrame, "either"),
        (send(r#""conversation":"ID","user":"ben","body":{"type":"text"}"#), Code::BadFrame, "either"),
        (send(r#""conversation":"ID""#), Code::BadFrame, "missing field `body`"),
        (send(r#""user":"service:SECRET","body":{"type":"text"}"#), Code::BadFrame, "service:"),
        (send(r#""user":"","body":{"type":"text"}"#), Code::BadFrame, "1 to 64"),
        (send(r#""user":"ben","body":["SECRET"]"#), Code::BadBody, "\"type\""),
        (send(r#""user":"ben","body":"SECRET""#), Code::BadBody, "\"type\""),
        (send(r#""user":"ben","body":{"text":"SECRET"}"#), Code::BadBody, "\"type\""),
        (send(&format!(r#""user":"ben","body":{{"type":"x","v":{deep}}}"#)), Code::BadBody, "levels deep"),
        (send(&format!(r#""user":"ben","body":{{"type":"x","v":"{large}"}}"#)), Code::BodyTooLarge, "bytes"),
    ];
    cases.into_iter().map(|(json, code, part)| (text(&json), code, part)).collect()
}

#[test]
fn what_is_refused_and_how() {
    for (json, code, part) in refusals() {
        let shown: String = json.chars().take(120).collect();
        let error = decode_client(&json).expect_err(&shown);
        assert_eq!(error.code, code, "{shown}: {error}");
        assert!(error.message.contains(part), "{shown}: {error}");
        assert!(!error.message.contains("s3cr3t"), "the sentence repeats what was sent: {error}");
        assert!(!code.closes() && error.message.len() < 300, "{error}");
    }
}

#[test]
fn the_ref_is_known_even_if_the_rest_is_wrong() {
    let cases = [
        (r#"{"type":"read","ref":7}"#, Some(7)),
        (r#"{"ref":7,"type":"nothing"}"#, Some(7)),
        (r#"{"type":"send","ref":7,"user":"ben","client_msg_id":"x","body":[]}"#, Some(7)),
        (r#"{"type":"read","ref":null}"#, None),
        (r#"{"type":"read"}"#, None),
    ];
    for (json, reference) in cases {
        assert_eq!(decode_client(json).expect_err(json).reference, reference.map(Ref::new), "{json}");
    }
}

#[test]
fn what_is_taken() {
    let conversation: ConversationId = ID.parse().expect("an id");
    let (seq, reference) = (Seq::new(3), None);
    let read = ClientFrame::Read { reference, conversation, seq };
    let cases = [
        (r#" {"type":"heartbeat"} "#.to_owned(), ClientFrame::Heartbeat),
        (r#"{"type":"heart\u0062eat","later":{"a":[1]}}"#.to_owned(), ClientFrame::Heartbeat),
        (format!(r#"{{"seq":3,"conversation":"{ID}","type":"read","x":1}}"#), read.clone()),
        (format!(r#"{{"type":"\u0072ead","conversation":"{}","seq":3}}"#, ID.to_uppercase()), read),
        (r#"{"type":"resume"}"#.to_owned(), ClientFrame::Resume(Resume::default())),
        (r#"{"type":"ack","cursors":[]}"#.to_owned(), ClientFrame::Ack(Ack::default())),
    ];
    for (json, frame) in cases {
        assert_eq!(decode_client(&json), Ok(frame), "{json}");
    }
    let cursors = vec![Offset { conversation, seq: Seq::MAX }; limits::CURSORS_PER_FRAME_MAX];
    let full = ClientFrame::Ack(Ack { cursors });
    assert_eq!(decode_client(&encode_client(&full)), Ok(full));
}

#[test]
fn a_body_is_passed_on_as_it_was_written() {
    let body = "{ \"type\" : \"text\",\n \"v\": 1.50e1 , \"big\": 123456789012345678901234567890, \"s\": \"\\u00e9\" }";
    let json = format!(r#"{{"type":"send","user":"ben","client_msg_id":"x","body": {body} }}"#);
    let Ok(ClientFrame::Send(send)) = decode_client(&json) else { panic!("a send") };
    assert_eq!(send.body.as_json(), body);
    assert!(encode_client(&ClientFrame::Send(send)).contains(body));
}

#[test]
fn what_a_device_makes_of_a_server() {
    let cases = [
        (r#"{"type":"of_a_later_version","x":1}"#, Ok(None)),
        (r#"{"type":"caught_up","x":1}"#, Ok(Some(ServerFrame::CaughtUp))),
        (r#"{"type":"sent"}"#, Err(Code::BadFrame)),
        (r#"{"type":7}"#, Err(Code::BadFrame)),
        (r#"["caught_up"]"#, Err(Code::BadFrame)),
        ("<html>", Err(Code::BadJson)),
    ];
    for (json, expected) in cases {
        assert_eq!(decode_server(json).map_err(|error| error.code), expected, "{json}");
    }
    let later = format!(r#"{{"type":"skip","conversation":"{ID}","from":1,"to":2,"reason":"of_a_later_version"}}"#);
    let Ok(Some(ServerFrame::Skip { reason, .. })) = decode_server(&later) else { panic!("a skip") };
    assert_eq!(reason, SkipReason::Other);
}

#[test]
fn a_hello_is_logged_without_its_token() {
    let hello = r#"{"type":"hello","token":"s3cr3t"}"#;
    let frame = decode_client(hello).expect("a hello");
    assert!(!format!("{frame:?}").contains("s3cr3t"));
}

fn seq() -> impl Strategy<Value = Seq> {
    prop_oneof![0..1_000u64, Just(Seq::MAX.get())].prop_map(Seq::new)
}

fn conversation() -> impl Strategy<Value = ConversationId> {
    any::<[u8; 16]>().prop_map(ConversationId::from_bytes)
}

fn offset() -> impl Strategy<Value = Offset> {
    (conversation(), seq()).prop_map(|(conversation, seq)| Offset { conversation, seq })
}

fn cursor() -> impl Strategy<Value = Cursor> {
    (seq(), option::of(any::<[u8; 16]>().prop_map(EntryId::from_bytes))).prop_map(|(seq, entry)| Cursor { seq, entry })
}

/// Texts with quotes, backslashes and characters of all lengths, but without control characters.
fn name() -> impl Strategy<Value = String> {
    "[a-z\"\\\\é🦀 ]{1,64}"
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        any::<String>().prop_map(|text| Body::text(&text)),
        Just(Body::parse(" {\"v\" :[1, {}],\n\"type\":\"x\"}").expect("a body")),
    ]
}

fn client_frame() -> impl Strategy<Value = ClientFrame> {
    let shown = (conversation(), cursor()).prop_map(|(conversation, cursor)| Shown { conversation, cursor });
    let target = prop_oneof![
        conversation().prop_map(Target::Conversation),
        name().prop_map(|name| Target::User(UserId::new(&name).expect("a user"))),
    ];
    let hello = (option::of(seq()), any::<String>(), option::of(any::<[u8; 16]>()), option::of(cursor()), any::<u32>());
    prop_oneof![
        Just(ClientFrame::Heartbeat),
        hello.prop_map(|(reference, token, epoch, feed, version)| ClientFrame::Hello(Hello {
            reference,
            token: token.into(),
            epoch: epoch.map(Epoch::from_bytes),
            feed,
            offsets_version: OffsetsVersion::new(version.into()),
        })),
        (option::of(seq()), any::<String>())
            .prop_map(|(reference, token)| ClientFrame::Renew(Renew { reference, token: token.into() })),
        (vec(shown, 0..5), any::<bool>())
            .prop_map(|(conversations, more)| ClientFrame::Resume(Resume { conversations, more })),
        vec(offset(), 0..5).prop_map(|cursors| ClientFrame::Ack(Ack { cursors })),
        (option::of(seq()), offset()).prop_map(|(reference, Offset { conversation, seq })| ClientFrame::Read {
            reference,
            conversation,
            seq
        }),
        (option::of(seq()), target, name(), body()).prop_map(|(reference, target, id, body)| ClientFrame::Send(Send {
            reference,
            target,
            client_msg_id: ClientMsgId::new(&id).expect("an id"),
            kind: Kind::Message,
            body,
        })),
        (conversation(), seq(), name(), any::<bool>()).prop_map(|(conversation, target, key, on)| {
            let key: String = key.chars().take(32).collect();
            ClientFrame::Send(Send {
                reference: None,
                target: Target::Conversation(conversation),
                client_msg_id: ClientMsgId::random(),
                kind: Kind::Reaction,
                body: Body::reaction(target, &key, on),
            })
        }),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    (offset(), any::<[u8; 16]>(), any::<String>(), name(), option::of(name()), body(), seq()).prop_map(
        |(Offset { conversation, seq }, id, kind, sender, client_msg_id, body, at)| Entry {
            conversation,
            seq,
            id: EntryId::from_bytes(id),
            kind: Kind::from_text(&kind),
            sender: Sender::from_stored(&sender),
            sender_device: client_msg_id.is_some().then(|| lockstep_protocol::DeviceId::from_bytes(id)),
            client_msg_id: client_msg_id.map(|id| ClientMsgId::new(&id).expect("an id")),
            body,
            sent_at: UnixMs::new(at.get()),
        },
    )
}

fn server_frame() -> impl Strategy<Value = ServerFrame> {
    let code = (0..Code::TABLE.len()).prop_map(|index| Code::TABLE[index].code);
    let welcome = |(reference, conversation, bytes, user): (Option<Ref>, ConversationId, [u8; 16], String)| {
        ServerFrame::Welcome(Box::new(Welcome {
            reference,
            epoch: Epoch::from_bytes(bytes),
            user: UserId::new(&user).expect("a user"),
            device: lockstep_protocol::DeviceId::from_bytes(bytes),
            feed: conversation,
            unfilled: true,
            server_time: UnixMs::MAX,
            limits: lockstep_protocol::ClientLimits {
                heartbeat_ms: 1,
                ack_timeout_ms: 2,
                frame_bytes_max: 3,
                body_bytes_max: 4,
                window_entries: 5,
            },
        }))
    };
    let reason = prop_oneof![Just(SkipReason::Retention), Just(SkipReason::Membership), Just(SkipReason::Other)];
    prop_oneof![
        Just(ServerFrame::CaughtUp),
        Just(ServerFrame::Heartbeat),
        (option::of(seq()), conversation(), any::<[u8; 16]>(), name()).prop_map(welcome),
        (any::<u32>(), vec(offset(), 0..4)).prop_map(|(version, offsets)| ServerFrame::Offsets {
            version: OffsetsVersion::new(version.into()),
            offsets
        }),
        entry().prop_map(ServerFrame::Entry),
        vec(entry(), 0..4).prop_map(|entries| ServerFrame::Entries { entries }),
        (conversation(), seq(), seq(), reason).prop_map(|(conversation, from, to, reason)| ServerFrame::Skip {
            conversation,
            from,
            to,
            reason
        }),
        (offset(), seq(), any::<[u8; 16]>()).prop_map(|(offset, head, epoch)| ServerFrame::Reset {
            conversation: offset.conversation,
            epoch: Epoch::from_bytes(epoch),
            floor: offset.seq,
            head,
        }),
        (option::of(seq()), offset(), any::<[u8; 16]>(), any::<bool>()).prop_map(
            |(reference, offset, id, duplicate)| {
                ServerFrame::Sent {
                    reference,
                    conversation: offset.conversation,
                    seq: offset.seq,
                    id: EntryId::from_bytes(id),
                    sent_at: UnixMs::ZERO,
                    duplicate,
                }
            }
        ),
        option::of(seq()).prop_map(|reference| ServerFrame::Done { reference }),
        (code, option::of(seq())).prop_map(|(code, reference)| ServerFrame::Error(ErrorFrame::of(code, reference))),
    ]
}

/// Texts that get far into the decoder: frames with a few characters changed.
fn almost_a_frame() -> impl Strategy<Value = String> {
    let frame = prop_oneof![
        client_frame().prop_map(|frame| encode_client(&frame)),
        server_frame().prop_map(|frame| encode_server(&frame)),
    ];
    let change = (any::<prop::sample::Index>(), prop_oneof![Just(None), "[\"{}\\[\\],:0-9e\\\\-]".prop_map(Some)]);
    (frame, vec(change, 0..4)).prop_map(|(frame, changes)| {
        let mut chars: Vec<char> = frame.chars().collect();
        for (index, with) in changes {
            let index = index.index(chars.len());
            chars.splice(index..=index, with.unwrap_or_default().chars());
            if chars.is_empty() {
                break;
            }
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_of_devices_come_back(frame in client_frame()) {
        prop_assert_eq!(decode_client(&encode_client(&frame)), Ok(frame));
    }

    #[test]
    fn frames_of_the_server_come_back(frame in server_frame()) {
        prop_assert_eq!(decode_server(&encode_server(&frame)), Ok(Some(frame)));
    }

    #[test]
    fn no_text_makes_the_decoder_panic(text in prop_oneof![any::<String>(), almost_a_frame()]) {
        let _ = decode_client(&text);
        let _ = decode_server(&text);
        let _ = Body::parse(&text);
    }

    #[test]
    fn no_error_repeats_a_token(token in "[A-Z]{24}", at in any::<prop::sample::Index>(), with in "[\"{}\\[\\],:0-9]") {
        let mut json = format!(r#"{{"type":"hello","token":"{token}","epoch":"{token}","feed":"{token}","ref":"{token}"}}"#);
        let at = at.index(json.len());
        json.replace_range(at..=at, &with);
        if let Err(error) = decode_client(&json) {
            let leaked = (0..=token.len() - 4).any(|start| error.message.contains(&token[start..start + 4]));
            prop_assert!(!leaked, "{}", error);
        }
    }
}
