//! What an nsqd says: any bytes through the decoder of frames. The check is that of `pkg/nsq-client`'s tests.
//!
//! `cargo +nightly fuzz run nsq_codec -- -max_len=2048`

#![no_main]

#[path = "../../pkg/nsq-client/tests/check/mod.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::bytes(bytes));
