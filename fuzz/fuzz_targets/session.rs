//! The session machine: any sequence of inputs, in the world of `internal/session`'s tests, which checks each step.
//!
//! `cargo +nightly fuzz run session -- -max_len=512`

#![no_main]

#[path = "../../internal/session/tests/common/mod.rs"]
mod common;
#[path = "../../internal/session/tests/world/mod.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| world::bytes::run(bytes));
