//! `lockstep demo` holds what it promises, on this machine, now.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

#[test]
fn the_demo_succeeds() {
    let text = succeeded(&demo(&mut Command::new(env!("CARGO_BIN_EXE_lockstep")), &[]));
    assert!(text.contains("ana/laptop has seq 1 2 3 4, each once, in order"), "{text}");
    assert_eq!(timeless(&text), timeless(&sample()), "the sample in README.md is what the demo prints");
    assert!(!text.contains("nsqd"), "{text}");
}

#[test]
fn the_full_demo_succeeds() {
    let text = succeeded(&demo(&mut Command::new(env!("CARGO_BIN_EXE_lockstep")), &["--full"]));
    assert!(timeless(&text).len() > timeless(&sample()).len(), "{text}");
    for line in
        ["ana/web    is turned away with main_offline", "ana/web    signed out", "is closed with device_removed"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn the_demo_on_nsq_succeeds() {
    let text = succeeded(&demo(&mut Command::new(env!("CARGO_BIN_EXE_lockstep")), &["--nsq"]));
    assert!(text.contains("2 nsqds run"), "{text}");
    let curl = "curl -d 'server room: 41 C' 'http://127.0.0.1:";
    assert!(text.contains(curl) && text.contains("/pub?topic=lockstep."), "{text}");
    for device in ["ana/phone  ", "ana/laptop ", "ben/phone  "] {
        let got = format!("{device}got \"server room: 41 C\" as seq 310 from service:nsq");
        assert!(text.contains(&got), "{got}: {text}");
        assert!(text.contains(&format!("{device}has seq 1 to 314, each once, in order")), "{text}");
    }
}

/// Where there is no nsqd, it is said that one is built before that begins, and if it fails, why there is no demo.
#[test]
fn the_demo_on_nsq_says_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    // Beside the target folder nobody finds what tests have built. Another process copies: a program that is still open
    // for writing in one that a concurrent test has just started cannot be run.
    let program = folder.path().join("lockstep");
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_lockstep")).arg(&program).status().unwrap().success());
    let go = folder.path().join("go");
    let script =
        format!("printf '#!/bin/sh\\necho no such toolchain >&2; exit 1\\n' > {0} && chmod +x {0}", go.display());
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    assert!(fs::metadata(&go).unwrap().permissions().mode() & 0o100 != 0);
    let mut command = Command::new(&program);
    command.env("PATH", folder.path()).env("HOME", folder.path()).env_remove("XDG_CACHE_HOME");
    let output = demo(&mut command, &["--nsq"]);
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{text}\n{errors}");
    assert!(text.contains("There is no nsqd on this machine: it is built with Go now"), "{text}");
    assert!(errors.contains("the demo on NSQ has no nsqd to run") && errors.contains("no such toolchain"), "{errors}");
}

/// What README.md shows of the demo.
fn sample() -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let begin = readme.find("A server listens on ").unwrap();
    let length = readme[begin..].find("```").unwrap();
    readme[begin..begin + length].to_owned()
}

/// The lines without what differs from run to run: the port, the code, how much was on its way, and how long it took.
fn timeless(text: &str) -> Vec<String> {
    let differing = [
        "A server listens on",
        "  started anew after",
        "  ana/tablet shows the code",
        "  ana/desktop was killed (SIGKILL) when the tablet had the album up to seq",
        "  ana/tablet waits for a main device, with the album up to seq",
        "  ana/phone  is back, and goes on at seq",
        "  for ana/tablet, seq 29 is device_removed: The device was removed at",
        "  for ana/laptop, seq 29 is acknowledged: The device acknowledged it at",
        "  its way there, in ms: committed",
        "All of it held",
    ];
    let kept = |line| differing.into_iter().find(|beginning| str::starts_with(line, beginning)).unwrap_or(line);
    text.trim().lines().map(|line| kept(line).to_owned()).collect()
}

fn demo(command: &mut Command, args: &[&str]) -> Output {
    command.arg("demo").args(args).stdin(Stdio::null()).output().unwrap()
}

fn succeeded(output: &Output) -> String {
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("All of it held"), "{text}");
    text.into_owned()
}
