//! What comes over the wire: any bytes through both decoders. The check is that of `pkg/protocol`'s tests.
//!
//! `cargo +nightly fuzz run frames -- -dict=fuzz/frames.dict -max_len=2048`

#![no_main]

#[path = "../../pkg/protocol/tests/check/mod.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::frames(bytes));
