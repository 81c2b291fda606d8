//! The servers that are found or built here, doing what tests will ask of them.

use lockstep_nsq_servers::{NsqLookupd, Nsqd, NsqdOptions};
use rustix::process::{Pid, test_kill_process};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What nsqd says of its only topic.
fn topic(nsqd: &Nsqd) -> Value {
    let stats = nsqd.http("GET", "/stats?format=json", b"").unwrap();
    let stats: Value = serde_json::from_slice(&stats).unwrap();
    stats["topics"][0].clone()
}

fn publish(nsqd: &Nsqd, bodies: &[&str]) {
    for body in bodies {
        assert_eq!(nsqd.http("POST", "/pub?topic=orders", body.as_bytes()).unwrap(), b"OK");
    }
}

#[test]
fn a_stopped_nsqd_has_its_messages_when_it_comes_back() {
    let mut nsqd = Nsqd::start(&NsqdOptions::default()).unwrap();
    let (tcp, http, pid) = (nsqd.tcp_address(), nsqd.http_address(), nsqd.pid());
    publish(&nsqd, &["one", "two", "three"]);
    assert_eq!((&topic(&nsqd)["depth"], &topic(&nsqd)["backend_depth"]), (&3.into(), &0.into()), "all in memory");
    assert!(nsqd.stop().unwrap().success());
    assert!(!nsqd.is_running() && nsqd.log_tail().contains("bye"));
    nsqd.restart().unwrap();
    assert_eq!((nsqd.tcp_address(), nsqd.http_address()), (tcp, http));
    assert!(nsqd.is_running() && nsqd.pid() != pid);
    assert_eq!(topic(&nsqd)["depth"], 3);
}

/// They listen a moment before they obey. It is short: many tries at once make it likely to be met.
#[test]
fn servers_obey_as_soon_as_they_are_started() {
    let tries: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(|| {
                for _ in 0..3 {
                    let mut nsqd = Nsqd::start(&NsqdOptions::default()).unwrap();
                    let status = nsqd.stop().unwrap();
                    assert!(status.success(), "nsqd: {status}");
                    let mut lookupd = NsqLookupd::start().unwrap();
                    let status = lookupd.stop().unwrap();
                    assert!(status.success(), "nsqlookupd: {status}");
                }
            })
        })
        .collect();
    tries.into_iter().for_each(|one| one.join().unwrap());
}

#[test]
fn a_killed_nsqd_has_what_was_on_its_disk() {
    // One message fits into memory. What is on the disk is counted there at once, instead of every two seconds.
    let extra = vec!["--sync-every=1".to_owned()];
    let mut nsqd = Nsqd::start(&NsqdOptions { mem_queue_size: 1, extra, ..NsqdOptions::default() }).unwrap();
    publish(&nsqd, &["in memory", "on disk", "on disk too"]);
    assert_eq!((&topic(&nsqd)["depth"], &topic(&nsqd)["backend_depth"]), (&3.into(), &2.into()));
    nsqd.kill();
    assert!(!nsqd.is_running() && nsqd.http("GET", "/ping", b"").is_err());
    nsqd.restart().unwrap();
    // It may have been killed before it wrote down that there is this topic.
    nsqd.http("POST", "/topic/create?topic=orders", b"").unwrap();
    assert_eq!((&topic(&nsqd)["depth"], &topic(&nsqd)["backend_depth"]), (&2.into(), &2.into()));
}

#[test]
fn a_crashed_nsqd_starts_again() {
    let mut nsqd = Nsqd::start(&NsqdOptions::default()).unwrap();
    publish(&nsqd, &["one"]);
    let tcp = nsqd.tcp_address();
    // No kill before: restart does it.
    nsqd.restart().unwrap();
    assert_eq!(nsqd.tcp_address(), tcp);
    assert_eq!(nsqd.http("GET", "/ping", b"").unwrap(), b"OK");
}

#[test]
fn an_nsqd_registers_with_its_lookupd() {
    let lookupd = NsqLookupd::start().unwrap();
    let lookupds = vec![lookupd.tcp_address()];
    let nsqd = Nsqd::start(&NsqdOptions { lookupds, ..NsqdOptions::default() }).unwrap();
    publish(&nsqd, &["one"]);
    lookupd.wait_for_log("REGISTER category:topic key:orders").unwrap();
    let answer = lookupd.http("GET", "/lookup?topic=orders", b"").unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let producer = &answer["producers"][0];
    assert_eq!(producer["broadcast_address"], "127.0.0.1");
    assert_eq!(producer["tcp_port"], nsqd.tcp_address().port());
    assert_eq!(producer["http_port"], nsqd.http_address().port());
}

#[test]
fn options_reach_nsqd() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let options = NsqdOptions {
        node_id: Some(77),
        message_bytes_max: Some(10),
        msg_timeout: Some(Duration::from_millis(1_500)),
        data: Some(data.clone()),
        extra: vec!["--max-rdy-count=99".to_owned()],
        ..NsqdOptions::default()
    };
    let mut nsqd = Nsqd::start(&options).unwrap();
    assert!(nsqd.log_tail().contains("ID: 77"));
    let error = nsqd.http("POST", "/pub?topic=orders", b"eleven byte").unwrap_err();
    assert!(error.to_string().contains("413"), "{error}");
    let mut stream = TcpStream::connect(nsqd.tcp_address()).unwrap();
    stream.write_all(b"  V2IDENTIFY\n\0\0\0\x1c{\"feature_negotiation\":true}").unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut frame).unwrap();
    let answer: Value = serde_json::from_slice(&frame[4..]).unwrap();
    assert_eq!((&answer["max_rdy_count"], &answer["msg_timeout"]), (&99.into(), &1_500.into()));
    drop(stream);
    // The same ports and folder for another one.
    nsqd.stop().unwrap();
    let (tcp_port, http_port) = (nsqd.tcp_address().port(), nsqd.http_address().port());
    let other = Nsqd::start(&NsqdOptions { tcp_port, http_port, ..options }).unwrap();
    assert_eq!(other.tcp_address(), nsqd.tcp_address());
    drop((nsqd, other));
    assert!(data.join("nsqd.dat").exists(), "a folder that was given stays");
}

#[test]
fn many_at_once_have_their_own_ports_and_leave_nothing() {
    let starts: Vec<_> = (0..4).map(|_| std::thread::spawn(|| Nsqd::start(&NsqdOptions::default()).unwrap())).collect();
    // The threads that started them are gone, and they run.
    let nsqds: Vec<Nsqd> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    let mut ports: Vec<u16> =
        nsqds.iter().flat_map(|nsqd| [nsqd.tcp_address().port(), nsqd.http_address().port()]).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 8);
    for nsqd in nsqds {
        assert_eq!(nsqd.http("GET", "/ping", b"").unwrap(), b"OK");
        let (pid, data) = (Pid::from_raw(nsqd.pid() as i32).unwrap(), nsqd.data().to_owned());
        assert!(test_kill_process(pid).is_ok() && data.exists());
        drop(nsqd);
        assert!(test_kill_process(pid).is_err() && !data.exists());
    }
}

#[test]
fn a_paused_nsqd_answers_when_it_goes_on() {
    let mut nsqd = Nsqd::start(&NsqdOptions::default()).unwrap();
    let mut stream = TcpStream::connect(nsqd.http_address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    nsqd.pause().unwrap();
    nsqd.pause().unwrap();
    stream.write_all(b"GET /ping HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    let error = stream.read_exact(&mut answer).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    assert!(nsqd.is_running());
    nsqd.resume().unwrap();
    stream.set_read_timeout(None).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.0 200");
    nsqd.pause().unwrap();
    let status = nsqd.stop().unwrap();
    assert!(status.success(), "a paused one stops too: {status}\n{}", nsqd.log_tail());
}

#[test]
fn a_start_that_fails_says_why() {
    let nsqd = Nsqd::start(&NsqdOptions::default()).unwrap();
    let options = NsqdOptions { tcp_port: nsqd.tcp_address().port(), ..NsqdOptions::default() };
    let error = Nsqd::start(&options).unwrap_err().to_string();
    assert!(error.contains("stopped before it listened") && error.contains("address already in use"), "{error}");
}
