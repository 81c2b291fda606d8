//! `lockstep demo` holds what it promises, on this machine, now.

use std::process::{Command, Stdio};

#[test]
fn the_demo_succeeds() {
    let output = Command::new(env!("CARGO_BIN_EXE_lockstep")).arg("demo").stdin(Stdio::null()).output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("ana/laptop has seq 1 2 3 4, each once, in order"), "{text}");
    assert!(text.contains("All of it held"), "{text}");
}
