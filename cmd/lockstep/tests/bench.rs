//! `lockstep bench` at a tiny size: every scenario gives its fields and finds nothing wrong. No time is judged.

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

fn bench(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.arg("bench").args(options).stdin(Stdio::null());
    command
}

fn run(options: &[&str]) -> Output {
    bench(options).output().expect("the program starts")
}

/// Runs a scenario and checks its object: what every one has, and these fields, as numbers or as objects of numbers.
fn check(options: &[&str], fields: &[(&str, &[&str])]) -> Value {
    check_on("embedded", options, fields)
}

/// The same on a target.
fn check_on(target: &str, options: &[&str], fields: &[(&str, &[&str])]) -> Value {
    let on = ["--target", target];
    // The others know no other target.
    let on = if target == "embedded" { &on[..0] } else { &on[..] };
    let output = run(&[options, on, &["--json"]].concat());
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{options:?}: {told}");
    let last = said.lines().last().expect("an object on standard output");
    let object: Value = serde_json::from_str(last).expect("the last line is JSON");
    assert_eq!((&object["scenario"], &object["target"]), (&Value::from(options[0]), &Value::from(target)));
    for fault in ["lost", "duplicated", "reordered"] {
        assert_eq!(object[fault], 0, "{fault}: {last}");
    }
    for pair in options[1..].chunks(2) {
        let option = pair[0].trim_start_matches('-').replace('-', "_");
        let value: f64 = pair[1].parse().expect("the options here are numbers");
        assert_eq!(object["options"][&option].as_f64(), Some(value), "{option}: {last}");
    }
    for (field, parts) in fields {
        let number = |value: &Value| assert!(value.is_number(), "{field}: {last}");
        if parts.is_empty() {
            number(&object[field]);
        }
        parts.iter().for_each(|part| number(&object[field][part]));
        assert!(told.contains(field), "the table has no {field}: {told}");
    }
    object
}

#[test]
fn fanout() {
    check(
        &["fanout", "--devices", "12", "--window", "4", "--seconds", "0.5", "--body-bytes", "100"],
        &[
            ("deliveries_per_s", &[]),
            ("reference_per_s", &[]),
            ("ratio", &[]),
            ("latency_ms", &["p50", "p99", "max"]),
            ("server_cpu_us_per_delivery", &[]),
        ],
    );
}

#[test]
fn direct() {
    check(
        &["direct", "--conversations", "3", "--rate", "40", "--seconds", "0.5"],
        &[("latency_ms", &["mean", "p50", "p99", "max"]), ("reference_ms", &["mean", "p50"])],
    );
}

#[test]
fn group() {
    let object = check(
        &["group", "--members", "5", "--rate", "40", "--seconds", "0.5"],
        &[
            ("latency_ms", &["mean", "p50", "p99", "max"]),
            ("reference_ms", &["mean", "p50"]),
            ("creation_ms", &[]),
            ("rows_written_per_send", &[]),
        ],
    );
    assert!(object["rows_written_per_send"].as_f64().is_some_and(|rows| rows >= 3.0), "{object}");
}

/// Nothing of a sound run comes from anywhere but nsqd.
fn comes_from_nsqd(object: &Value, field: &str) {
    assert_eq!(object[field].as_f64(), Some(1.0), "{field}: {object}");
}

#[test]
fn fanout_on_nsq() {
    let options = ["fanout", "--devices", "5", "--window", "4", "--seconds", "0.5"];
    let object = check_on("nsq", &options, &[("deliveries_per_s", &[]), ("ratio", &[]), ("log_reads", &[])]);
    comes_from_nsqd(&object, "from_nsqd_share");
}

#[test]
fn direct_on_nsq() {
    let options = ["direct", "--conversations", "2", "--rate", "40", "--seconds", "0.5"];
    let object = check_on("nsq", &options, &[("latency_ms", &["mean", "p50", "p99", "max"])]);
    comes_from_nsqd(&object, "from_nsqd_share");
}

#[test]
fn nsq() {
    let options =
        ["nsq", "--devices", "4", "--window", "4", "--crowd", "10", "--conversations", "4", "--seconds", "0.5"];
    let object = check_on(
        "nsq",
        &options,
        &[
            ("deliveries_per_s", &[]),
            ("raw_nsqd_per_s", &[]),
            ("ratio", &[]),
            ("consumers_per_s", &[]),
            ("raw_consumers_per_s", &[]),
            ("bytes_per_consumer", &[]),
            ("latency_ms", &["p50", "p99"]),
            ("raw_latency_ms", &["p50", "p99"]),
            ("embedded_latency_ms", &["p50", "p99"]),
            ("cpu_us_per_delivery", &["server", "nsqd", "devices", "raw_nsqd", "raw_clients"]),
        ],
    );
    comes_from_nsqd(&object, "from_nsqd_share");
    comes_from_nsqd(&object, "latency_from_nsqd_share");
    // Ten devices, each with four conversations and the feed.
    assert_eq!(object["consumers"], 50.0);
    // What an envelope adds to the body of 64 bytes: a MAC, an epoch, who sent it.
    assert!(object["envelope_bytes"].as_f64() > Some(164.0), "{object}");
}

/// A program that stands outside of every target folder, and may not fetch anything to build.
#[test]
fn without_an_nsqd_it_says_what_to_install() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("lockstep");
    fs::copy(env!("CARGO_BIN_EXE_lockstep"), &program).expect("the program is copied");
    let mut bench = Command::new(&program);
    bench.args(["bench", "nsq", "--devices", "2", "--crowd", "2", "--seconds", "0.5"]).stdin(Stdio::null());
    bench.env("PATH", folder.path()).env("HOME", folder.path()).env_remove("XDG_CACHE_HOME");
    bench.env("GOPROXY", "off").env("GOFLAGS", "-modcacherw").env("GOMODCACHE", folder.path().join("modules"));
    let output = bench.output().expect("the program starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let says = told.contains("install NSQ") || told.contains("building NSQ's servers with");
    assert!(told.contains("no nsqd could be started") && says && output.stdout.is_empty(), "{told}");
}

#[test]
fn sends() {
    check(
        &["sends", "--devices", "3", "--conversations", "7", "--members", "3", "--window", "2", "--seconds", "0.5"],
        &[("sends_per_s", &[]), ("reference_per_s", &[]), ("latency_ms", &["p50", "p99"])],
    );
}

#[test]
fn idle() {
    check(
        &["idle", "--devices", "20", "--conversations", "4", "--members", "5", "--seconds", "0.5"],
        &[("bytes_per_device", &[]), ("bytes_per_consumer", &[]), ("idle_cpu_percent", &[])],
    );
}

#[test]
fn storm() {
    check(
        &["storm", "--devices", "20", "--conversations", "3", "--members", "6", "--messages", "2"],
        &[("seconds_to_all_live", &[]), ("seconds_to_all_caught_up", &[])],
    );
}

#[test]
fn catchup() {
    check(&["catchup", "--messages", "1200", "--conversations", "3"], &[("messages_per_s", &[])]);
}

#[test]
fn bootstrap() {
    check(
        &["bootstrap", "--conversations", "6", "--messages", "5"],
        &[("first_screen_ms", &[]), ("total_ms", &[]), ("reference_ms", &[]), ("server_cpu_us_per_entry", &[])],
    );
}

#[test]
fn bad_options_are_refused_with_a_sentence() {
    let cases: &[(&[&str], &str)] = &[
        (&["fanout", "--devices", "0"], "it must be a number from 1 to"),
        (&["fanout", "--devices", "many"], "it must be a number from 1 to"),
        (&["fanout", "--window", "-1"], "unexpected argument '-1'"),
        (&["fanout", "--rate", "60"], "unexpected argument '--rate'"),
        (&["direct", "--rate", "0"], "it must be a number from 0.1 to"),
        (&["direct", "--seconds", "0"], "it must be a number from 0.1 to"),
        (&["sends", "--body-bytes", "3"], "it must be a number from 26 to 65536"),
        (&["sends", "--devices", "5", "--conversations", "2"], "each device of --devices needs a conversation"),
        (&["catchup", "--messages", "10", "--conversations", "3"], "--messages must be a multiple"),
        (&["bootstrap", "--messages", "1001"], "--messages must be at most 1000"),
        (&["sprint"], "unrecognized subcommand 'sprint'"),
        (&["nsq", "--target", "embedded"], "this scenario is about nsqd"),
        (&["nsq", "--conversations", "1"], "--conversations must be at least 2"),
        (&["direct", "--target", "carrier-pigeon"], "invalid value"),
        (&[], "Usage: lockstep bench"),
    ];
    for (options, sentence) in cases {
        let output = run(options);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {told}");
        assert!(told.contains(sentence) && output.stdout.is_empty(), "{options:?}: {told}");
    }
}

/// The process ids of a process's children.
fn children(parent: u32) -> Vec<u32> {
    let numbers =
        fs::read_dir("/proc").expect("/proc is there").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let of_parent = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name in brackets come the state and the parent; a zombie is no process any more.
        let mut fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
        fields.next() != Some("Z") && fields.next().and_then(|field| field.parse().ok()) == Some(parent)
    };
    numbers.filter_map(|number| number.parse().ok()).filter(of_parent).collect()
}

fn kill(signal: &str, pid: u32) {
    let killed = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status().expect("sh is there");
    assert!(killed.success(), "process {pid} is not there");
}

/// Starts a long run and, once the server is being measured, kills the server or the bench itself.
fn cut_short(signal: &str, whom: impl Fn(u32, u32) -> u32, sentence: &str) {
    let options = ["fanout", "--devices", "4", "--seconds", "60", "--json"];
    let mut bench = bench(&options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut told = BufReader::new(bench.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
    assert!(told.any(|line| line.contains("measuring the server")), "it got so far");
    let servers = children(bench.id());
    let [server] = servers[..] else { panic!("one server, not {servers:?}") };
    kill(signal, whom(bench.id(), server));
    let output = bench.wait_with_output().expect("it ends");
    let told: Vec<String> = told.collect();
    assert_eq!(output.status.code(), Some(1), "{told:?}");
    assert!(told.iter().any(|line| line.contains(sentence)) && output.stdout.is_empty(), "{told:?}");
    let left = fs::read_to_string(format!("/proc/{server}/cmdline")).unwrap_or_default();
    assert!(!left.contains("serve"), "the server is still there: {left:?}");
}

#[test]
fn a_server_that_dies_midway_ends_the_run() {
    cut_short("KILL", |_, server| server, "the server ended midway");
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    cut_short("TERM", |bench, _| bench, "interrupted");
}
