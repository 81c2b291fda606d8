//! The program as its users run it: real processes, free ports, folders of their own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A command that sees nothing of the environment's settings, in a folder without a configuration file.
fn lockstep(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOCKSTEP_")) {
        command.env_remove(name);
    }
    command.args(args).current_dir(folder).stdin(Stdio::null()).env("LOCKSTEP_LOG__LEVEL", "error");
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    lockstep(folder, args).output().unwrap()
}

/// What a command printed, if it went well.
fn answer(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command said when it failed.
fn failure(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{args:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// `lockstep serve` on a folder of its own, killed when it is dropped.
struct Serving {
    folder: TempDir,
    child: Child,
    address: SocketAddr,
    output: BufReader<std::process::ChildStdout>,
}

impl Serving {
    fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = lockstep(folder.path(), args);
        let mut child = command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("lockstep: listening on http://").and_then(|text| text.parse().ok());
        let address = address.unwrap_or_else(|| panic!("the first line was {line:?}"));
        Self { folder, child, address, output }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> PathBuf {
        self.folder().join("lockstep-data")
    }

    fn signal(&self, name: &str) {
        // The standard library sends no signal but SIGKILL; every shell has `kill`.
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Sends a signal, and returns the exit code and the rest of the output.
    fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }

    /// The status of a GET with a token.
    fn get(&self, path: &str, token: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail only if it has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_serves_without_a_command_and_stops_in_order() {
    for (args, signal) in [(&[][..], "TERM"), (&["serve"], "INT")] {
        let server = Serving::start(args);
        let (data, key) = (server.data(), server.data().join("token-key.pem"));
        assert_eq!(server.get("/readyz", ""), 200);
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        let folder = data.display().to_string();
        let (code, said) = server.stop(signal);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&folder) && said.contains("lockstep token user --user ana"), "{said}");
    }
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let server = Serving::start(&[]);
    let said = failure(server.folder(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(said.contains("another running server uses the data folder") && said.contains("name another"), "{said}");
    let taken = server.address.to_string();
    let said = failure(server.folder(), &["--listen", &taken, "--data", "other"]);
    assert!(said.contains(&taken) && said.contains("Name another address with --listen"), "{said}");
    assert_eq!(server.stop("TERM").0, Some(0));
}

#[test]
fn the_configuration_is_checked_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let shown = answer(folder.path(), &["serve", "--check-config", "--listen", "127.0.0.1:1"]);
    assert!(shown.contains("listen = \"127.0.0.1:1\"") && shown.contains("heartbeat_ms = 25000"), "{shown}");
    std::fs::write(folder.path().join("lockstep.toml"), &shown).unwrap();
    assert_eq!(answer(folder.path(), &["--check-config"]), shown);

    std::fs::write(folder.path().join("other.toml"), "[limits]\nheartbeat_ms = 5\n").unwrap();
    let cases: [(&[&str], &str); 4] = [
        (&["serve", "--listen", "here"], "the command line sets listen to \"here\": it must be an address and a port"),
        (
            &["--config", "other.toml"],
            "other.toml sets limits.heartbeat_ms to 5: it must be a whole number from 100 to",
        ),
        (&["--config", "missing.toml"], "missing.toml cannot be read"),
        (&["token", "user", "ana", "--device-name", "phone", "--config", "other.toml"], "limits.heartbeat_ms"),
    ];
    for (args, words) in cases {
        let said = failure(folder.path(), args);
        assert!(said.starts_with("lockstep: ") && said.contains(words), "{args:?}: {said}");
    }
    assert!(!folder.path().join("lockstep-data").exists(), "nothing is made before the configuration is right");
}

#[test]
fn a_second_signal_ends_a_stop_that_waits() {
    let server = Serving::start(&[]);
    let token = answer(server.folder(), &["token", "user", "ana", "--device", "phone"]);
    let mut slow = TcpStream::connect(server.address).unwrap();
    let head = "POST /v1/conversations HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n";
    let rest = format!("Content-Type: application/json\r\nAuthorization: Bearer {}\r\n\r\n", token.trim());
    slow.write_all(format!("{head}{rest}").as_bytes()).unwrap();
    let mut start = [0; 12];
    slow.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 100", "the stop will wait for the body");
    server.signal("TERM");
    while TcpStream::connect(server.address).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(server.stop("TERM").0, Some(1));
}

#[test]
fn an_exposed_key_is_refused() {
    let server = Serving::start(&[]);
    let key = server.data().join("token-key.pem");
    let keep = tempfile::tempdir().unwrap();
    let data = keep.path().join("lockstep-data");
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(&key, data.join("token-key.pem")).unwrap();
    std::fs::set_permissions(data.join("token-key.pem"), PermissionsExt::from_mode(0o644)).unwrap();
    let said = failure(keep.path(), &["--listen", "127.0.0.1:0"]);
    assert!(said.contains("others can read the signing key") && said.contains("chmod 600"), "{said}");
    assert_eq!(server.stop("TERM").0, Some(0));
}

#[test]
fn tokens_and_devices_are_administered() {
    let server = Serving::start(&[]);
    let here = server.folder();
    let token = answer(here, &["token", "user", "--user", "ana", "--device-name", "phone", "--kind", "main"]);
    assert_eq!((token.lines().count(), server.get("/v1/devices", token.trim())), (1, 200));
    let short = answer(here, &["token", "user", "ana", "--device", "phone", "--ttl", "60"]);
    assert_eq!(server.get("/v1/devices", short.trim()), 200);
    answer(here, &["token", "user", "ben", "--device", "tablet", "--kind", "sub"]);

    let listed = answer(here, &["device", "list", "--user", "ana"]);
    let fields: Vec<&str> = listed.trim_end().split('\t').collect();
    assert_eq!((fields.len(), &fields[1..3]), (4, &["main", "phone"][..]), "{listed}");
    let group = answer(here, &["conversation", "create", "--title", "Team", "--members", "ana,ben"]);
    assert_eq!(server.get(&format!("/v1/conversations/{}/members", group.trim()), token.trim()), 200);

    answer(here, &["token", "user", "ana", "--device", "pad"]);
    assert_eq!(answer(here, &["device", "remove", fields[0]]), "");
    assert_eq!(server.get("/v1/devices", token.trim()), 401);
    let pad = answer(here, &["device", "list", "--user", "ana"]);
    assert!(pad.contains("\tmain\tpad\t") && pad.lines().count() == 1, "{pad}");
    assert_eq!(answer(here, &["device", "teardowns"]), "", "nothing waits");
    let done = answer(here, &["device", "teardowns", "--all"]);
    let job: Vec<&str> = done.trim_end_matches('\n').split('\t').collect();
    assert_eq!(
        (job[0], job[1], job[2], &job[4..]),
        (fields[0], "ana", "administrator", &["1", "done", "", ""][..]),
        "{done}"
    );

    let last = pad.split('\t').next().unwrap();
    let cases: [(&[&str], &str); 4] = [
        (&["device", "remove", last], "the user's last main device"),
        (&["device", "remove", "x"], "a device id must be a UUID"),
        (&["token", "user", "service:x", "--device", "d"], "must not begin with \"service:\""),
        (&["conversation", "create", "--members", "nobody"], "no such user"),
    ];
    for (args, words) in cases {
        let said = failure(here, args);
        assert!(said.contains(words), "{args:?}: {said}");
    }
    assert_eq!(server.stop("TERM").0, Some(0));
}

#[test]
fn without_a_server_commands_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["token", "user", "ana", "--device", "d"][..], &["device", "list", "--user", "ana"]] {
        let said = failure(folder.path(), args);
        assert!(
            said.contains("no server runs on the data folder lockstep-data: start one with `lockstep serve"),
            "{said}"
        );
    }
    let wrong = run(folder.path(), &["token", "user", "ana", "--device", "d", "--kind", "third"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}

#[test]
fn dev_makes_sample_users_and_says_how_to_chat() {
    let mut server = Serving::start(&["serve", "--dev"]);
    let mut said = String::new();
    while said.matches(" chat --as").count() < 3 {
        assert_ne!(server.output.read_line(&mut said).unwrap(), 0, "{said}");
    }
    for (user, count) in [("ana", 2), ("ben", 1)] {
        let listed = answer(server.folder(), &["device", "list", "--user", user]);
        assert_eq!(listed.lines().count(), count, "{listed}");
    }
    assert!(said.contains(&format!("ws://{}/v1/ws", server.address)), "{said}");
    assert_eq!(server.stop("TERM").0, Some(0));
}
