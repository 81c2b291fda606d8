//! What must hold for any bytes that come over the wire. Shared with the fuzz target `frames`.

use lockstep_protocol::{
    ClientFrame, DecodeError, Renew, ServerFrame, decode_client, decode_server, encode_client, encode_server,
};

/// All words that sentences of the codec and of serde_json have. A new sentence adds its own.
const OURS: &str = "\
    0190c5a1 3f1d5c1f0a11 7cc3 7d2e 9f0e A a ack Ack ack_timeout_ms allowed an and any are array as at be begin \
    body body_bytes_max boolean borrowed byte bytes caught_up character characters client_msg_id ClientLimits \
    close code column comma CompactString contain content control conversation conversations cursor Cursor \
    cursors deep device does done duplicate edit either element elements end entries Entries Entry entry enum \
    EOF epoch error ErrorFrame escape exceeded expected f64 feed field finite FlatShown float floor found frame \
    frame_bytes_max frames from got has have head heartbeat heartbeat_ms hello Hello hex i64 id ident in inf \
    integer internally invalid is items JSON key keys kind know leading length levels limit limits line list \
    lone map MAX message missing more most must names NaN nested new_token newtype no not null number object of \
    Offset offsets offsets_version Option or out parsing point quotes range reaction read ReadWire reason recall \
    reconnect recursion ref Ref renew Renew reset resume Resume retry_after_ms send sender sender_device SendWire sent \
    sent_at seq sequence server server_time ServerFrame service Shown size skip SkipReason str string struct \
    such surrogate system tagged target text than The the this time to token trailing tuple type u0000 u001F u16 \
    u32 u64 unexpected unicode unit unknown user usize UUID valid value values variant version welcome Welcome \
    while whole window_entries with";

/// Checks both decoders: no panic, what is taken means the same when it is written and read again, and what is refused
/// is refused in a sentence that repeats nothing of it.
pub(crate) fn frames(bytes: &[u8]) {
    // The transport hands on UTF-8 only.
    let text = String::from_utf8_lossy(bytes);
    match decode_client(&text) {
        Ok(frame) => client(&frame),
        Err(error) => refused(&error),
    }
    match decode_server(&text) {
        Ok(Some(frame)) => server(&frame),
        Ok(None) => {}
        Err(error) => refused(&error),
    }
}

fn client(frame: &ClientFrame) {
    let text = encode_client(frame);
    let again = decode_client(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(&again, frame, "{text}");
    assert_eq!(encode_client(&again), text);
    // Frames are logged, and tokens never are.
    if let ClientFrame::Hello(hello) = frame {
        let mut other = hello.clone();
        other.token = "another".into();
        assert_eq!(format!("{hello:?}"), format!("{other:?}"), "the log tells one token from another");
    }
    if let ClientFrame::Renew(renew) = frame {
        let other = Renew { token: "another".into(), ..renew.clone() };
        assert_eq!(format!("{renew:?}"), format!("{other:?}"), "the log tells one token from another");
    }
}

fn server(frame: &ServerFrame) {
    let text = encode_server(frame);
    let again = decode_server(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(again.as_ref(), Some(frame), "{text}");
    assert_eq!(encode_server(frame), text);
}

/// The sentence is put together from words that stand in the code, and numbers.
fn refused(error: &DecodeError) {
    let DecodeError { code, message, .. } = error;
    assert!(!code.closes() && message.len() < 300, "{code}: {message}");
    let parts = message.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let words = parts.filter(|part| part.chars().any(|letter| !letter.is_ascii_digit()));
    for word in words {
        assert!(OURS.split(' ').any(|ours| ours == word), "{word:?} may be the sender's: {message}");
    }
}
