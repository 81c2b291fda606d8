//! Every code of the protocol's table is provoked by a test: by one of this program, over a real server, or by one elsewhere
//! that is named here and looked up. A code without a case fails.

mod closing;
mod refusals;
mod rest;

use anyhow::{Context, Result, ensure};
use lockstep_protocol::Code;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Codes that this program provokes, with the function that does.
const HERE: &[(&str, &str, &[Code])] = &[
    (
        "refusals.rs",
        "requests_that_are_refused_keep_the_connection",
        &[
            Code::BadJson,
            Code::BadFrame,
            Code::UnknownType,
            Code::HelloTwice,
            Code::ResumeTwice,
            Code::NoSuchConversation,
            Code::NoSuchUser,
            Code::DuplicateId,
            Code::BadBody,
            Code::BodyTooLarge,
            Code::AckBeyond,
            Code::ReadBeyond,
        ],
    ),
    ("refusals.rs", "what_is_about_a_message_is_checked", &[Code::NoSuchTarget, Code::NotYours, Code::Recalled]),
    ("refusals.rs", "more_than_the_server_takes_is_refused", &[Code::RateLimited, Code::TooManyConversations]),
    (
        "closing.rs",
        "what_a_device_does_wrong_ends_its_connection",
        &[
            Code::BinaryFrame,
            Code::BadUtf8,
            Code::BadWebSocket,
            Code::FrameTooLarge,
            Code::HelloExpected,
            Code::TokenInvalid,
        ],
    ),
    (
        "closing.rs",
        "what_comes_late_or_too_often_ends_a_connection",
        &[Code::HelloTimeout, Code::HeartbeatTimeout, Code::AckTimeout, Code::SessionAge, Code::Flood],
    ),
    ("closing.rs", "what_others_do_ends_a_connection", &[Code::Replaced, Code::DeviceRemoved, Code::ShuttingDown]),
    ("closing.rs", "what_administrators_do_ends_a_connection", &[Code::Disconnected, Code::UserDisabled]),
    (
        "rest.rs",
        "requests_are_answered_with_problems",
        &[
            Code::NoSuchRoute,
            Code::MethodNotAllowed,
            Code::BadRequest,
            Code::NoSuchDevice,
            Code::Forbidden,
            Code::LastMain,
        ],
    ),
    ("rest.rs", "what_a_services_token_is_not_good_for", &[Code::OutOfScope, Code::ServiceToken]),
];

/// Codes that tests elsewhere provoke, with file and function.
const ELSEWHERE: &[(Code, &str, &str)] = &[
    (Code::NotUnfilled, "internal/gateway/tests/ws/filling.rs", "a_laptop_is_filled_by_a_phone"),
    (Code::TooManyBootstraps, "internal/gateway/tests/ws/filling.rs", "wrong_chunks_are_refused"),
    (Code::ChunkTooLarge, "internal/gateway/tests/ws/filling.rs", "wrong_chunks_are_refused"),
    (Code::ChunkDigest, "internal/gateway/tests/ws/filling.rs", "wrong_chunks_are_refused"),
    (Code::ChunkOrder, "internal/gateway/tests/ws/filling.rs", "wrong_chunks_are_refused"),
    (Code::ChunkBeyond, "internal/gateway/tests/ws/filling.rs", "wrong_chunks_are_refused"),
    (Code::ChunkWindow, "internal/gateway/tests/ws/filling.rs", "wrong_chunks_are_refused"),
    (Code::NoSuchBootstrap, "internal/gateway/tests/ws/filling.rs", "wrong_chunks_are_refused"),
    (Code::MainOffline, "internal/gateway/tests/ws/filling.rs", "without_a_phone_it_is_told_to_come_later"),
    (Code::TokenExpired, "internal/gateway/tests/ws/tokens.rs", "tokens_of_every_wrong_kind"),
    (Code::TokenRevoked, "internal/gateway/tests/ws/tokens.rs", "tokens_of_an_older_generation_and_of_removed_devices"),
    (Code::Blocked, "internal/server/tests/people.rs", "a_block_stops_direct_messages_both_ways"),
    (Code::TooManyContacts, "internal/server/tests/people.rs", "more_contacts_than_a_user_may_have_are_refused"),
    (Code::NoSuchService, "internal/server/tests/admin.rs", "services_are_made_changed_and_revoked"),
    (Code::UnsupportedMediaType, "internal/server/tests/doors.rs", "bodies_are_plain_json"),
    (Code::OriginRefused, "internal/server/tests/doors.rs", "websockets_are_for_own_and_listed_pages_and_for_programs"),
    (Code::WrongCredentials, "internal/server/tests/accounts.rs", "nobody_learns_who_is_there_from_a_wrong_password"),
    (Code::UserTaken, "internal/server/tests/accounts.rs", "a_user_signs_up_once_and_in_with_several_devices"),
    (Code::SignUpClosed, "internal/server/tests/accounts.rs", "sign_up_is_closed_unless_it_is_opened"),
    (Code::NoSuchSignIn, "internal/server/tests/accounts.rs", "a_further_main_device_has_to_be_approved"),
    (Code::SignInRefused, "internal/server/tests/accounts.rs", "a_further_main_device_has_to_be_approved"),
    (Code::NoSuchLink, "internal/server/tests/links.rs", "no_difference_is_seen_between_links_that_are_not_there"),
    (Code::LinkRefused, "internal/server/tests/links.rs", "a_main_device_refuses"),
    (Code::TooManyDevices, "internal/engine/tests/accounts.rs", "who_cannot_sign_in"),
    (Code::RenewalRefused, "internal/gateway/tests/ws/tokens.rs", "a_fresh_token_on_an_open_connection"),
    (Code::TooManyMembers, "internal/server/tests/rest_groups.rs", "groups_and_rooms_have_a_largest_size"),
    (Code::NoSuchMember, "internal/server/tests/rest_groups.rs", "roles_say_who_may_do_what"),
    (Code::DirectConversation, "internal/server/tests/rest_groups.rs", "a_direct_conversation_stays_as_it_is"),
    (Code::RequestTimeout, "cmd/lockstep/tests/faults/network.rs", "bodies_that_come_byte_by_byte_are_not_waited_for"),
    (
        Code::SlowReader,
        "cmd/lockstep/tests/faults/network.rs",
        "a_device_that_reads_nothing_costs_no_memory_and_is_closed",
    ),
    (Code::Overloaded, "cmd/lockstep/tests/faults/flood.rs", "devices_beyond_the_bound_are_told_to_come_later"),
    (Code::TryAgain, "cmd/lockstep/tests/faults/disk.rs", "check"),
    (Code::Unavailable, "cmd/lockstep/tests/faults/disk.rs", "a_disk_that_takes_no_writes_lets_nobody_in"),
    // No input provokes it: it stands for mistakes of the server itself, of which one is made by hand.
    (Code::Internal, "internal/session/tests/handshake.rs", "a_device_that_is_not_let_in"),
];

#[test]
fn every_code_of_the_table_is_provoked_by_a_test() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let here = HERE.iter().flat_map(|(file, function, codes)| {
        codes.iter().map(move |code| (*code, format!("cmd/lockstep/tests/codes/{file}"), *function))
    });
    let elsewhere = ELSEWHERE.iter().map(|(code, file, function)| (*code, (*file).to_owned(), *function));
    let mut cases: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (code, file, function) in here.chain(elsewhere) {
        let text = fs::read_to_string(root.join(&file)).with_context(|| format!("cannot read {file}"))?;
        let body = body_of(&text, function).with_context(|| format!("{file} has no function {function}"))?;
        ensure!(mentions(body, code), "{function} in {file} does not mention {code}");
        cases.entry(code.name()).or_default().push(format!("{file}: {function}"));
    }
    for spec in Code::TABLE {
        let found = cases.get(spec.name).map_or(0, Vec::len);
        ensure!(found == 1, "{} has {found} cases instead of one: {:?}", spec.name, cases.get(spec.name));
    }
    Ok(())
}

/// What stands between a function's name and its end, which rustfmt puts at the beginning of a line.
fn body_of<'a>(text: &'a str, function: &str) -> Option<&'a str> {
    let (_, rest) =
        text.split_once(&format!("\nfn {function}(")).or_else(|| text.split_once(&format!("async fn {function}(")))?;
    Some(rest.split_once("\n}\n").map_or(rest, |(body, _)| body))
}

/// Whether a function names a code: as a variant, as a word of a script, or in quotes of any kind.
fn mentions(body: &str, code: Code) -> bool {
    let (name, variant) = (code.name(), format!("Code::{code:?}"));
    let is_of_a_word = |character: char| character.is_alphanumeric() || character == '_';
    let as_word = |text: &str, word: &str| {
        text.match_indices(word).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + word.len()..].chars().next();
            !before.is_some_and(is_of_a_word) && !after.is_some_and(is_of_a_word)
        })
    };
    // In a script, a line's end is written as \n and stands right before the word.
    as_word(&body.replace("\\n", "\n"), name) || as_word(body, &variant)
}

#[test]
fn a_case_that_is_gone_is_noticed() {
    let text = "//! x\nfn one() {\n    \"bad_json\"\n}\n\nasync fn two() {\n    Code::BadFrame\n}\n";
    let cases = [
        ("one", Code::BadJson, true),
        ("two", Code::BadFrame, true),
        ("one", Code::BadFrame, false),
        ("two", Code::BadJson, false),
        ("three", Code::BadJson, false),
    ];
    for (function, code, expected) in cases {
        let found = body_of(text, function).is_some_and(|body| mentions(body, code));
        assert_eq!(found, expected, "{function} {code}");
    }
    assert!(mentions("\\nclose internal\")", Code::Internal) && !mentions("internally", Code::Internal));
}
