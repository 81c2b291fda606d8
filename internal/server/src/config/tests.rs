//! What wins, and what is refused in which words.

use super::*;
use lockstep_model::EventKind;

#[derive(Default)]
struct Sources<'a> {
    file: &'a str,
    environment: &'a [(&'a str, &'a str)],
    flags: Flags,
}

impl Sources<'_> {
    fn load(self) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.toml");
        std::fs::write(&path, self.file).unwrap();
        let environment = self.environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let flags = Flags { file: Some(path), ..self.flags };
        Config::from_sources(&flags, environment).map_err(|error| error.to_string())
    }
}

fn file(text: &str) -> Sources<'_> {
    Sources { file: text, ..Sources::default() }
}

fn environment<'a>(variables: &'a [(&'a str, &'a str)]) -> Sources<'a> {
    Sources { environment: variables, ..Sources::default() }
}

fn flags(flags: Flags) -> Sources<'static> {
    Sources { flags, ..Sources::default() }
}

#[test]
fn later_sources_win() {
    let ours = Flags { listen: Some("127.0.0.1:3".into()), ..Flags::default() };
    let variables = [
        ("LOCKSTEP_LISTEN", "127.0.0.1:2"),
        ("LOCKSTEP_LIMITS__HEARTBEAT_MS", "2000"),
        ("LOCKSTEP_TOKEN", "x"),
        ("OTHER", "x"),
    ];
    let text = "listen = '127.0.0.1:1'\ntoken_ttl_s = 60\n[limits]\nheartbeat_ms = 1000\nack_timeout_ms = 1000\n";
    let config = Sources { file: text, environment: &variables, flags: ours }.load().unwrap();
    let mut expected = Config { listen: "127.0.0.1:3".parse().unwrap(), token_ttl_s: 60, ..Config::default() };
    expected.limits.heartbeat_ms = 2_000;
    expected.limits.ack_timeout_ms = 1_000;
    assert_eq!(config, expected);
}

#[test]
fn unseen_devices_stay_unless_it_is_set() {
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    let devices = file("").load().unwrap().devices;
    assert_eq!((devices.unseen(), devices.teardowns_kept()), (None, days(7)));
    let devices = file("[devices]\nunseen_days = 90\nteardowns_kept_days = 1").load().unwrap().devices;
    assert_eq!((devices.unseen(), devices.teardowns_kept()), (Some(days(90)), days(1)));
}

#[test]
fn retention_is_set_for_each_kind() {
    let variables = [("LOCKSTEP_RETENTION__ROOM__AGE_MAX_S", "86400"), ("LOCKSTEP_RETENTION__DIRECT__COUNT_MAX", "7")];
    let config = Sources { file: "[retention.room]\ncount_max = 9", environment: &variables, ..Sources::default() };
    let rules = config.load().unwrap().retention.rules();
    let day = Some(Duration::from_secs(86_400));
    assert_eq!((rules.room.age_max, rules.room.count_max, rules.direct.count_max), (day, Some(9), Some(7)));
    assert!(file("").load().unwrap().retention.rules().is_none());
}

#[test]
fn the_printed_configuration_gives_the_same_again() {
    let mut config = Config { data: "a \"folder\"".into(), ..Config::default() };
    config.limits.stop_timeout_ms = 100;
    config.retention.period_s = 60;
    config.retention.room.count_max = Some(1_000);
    config.trace.records = 0;
    config.retention.direct.age_max_s = Some(60);
    assert_eq!(file(&config.to_toml()).load(), Ok(config));
    assert_eq!(file("").load(), Ok(Config::default()));
}

#[test]
fn when_services_publish_as_to_nsqd() {
    let address = |text: &str| text.parse().unwrap();
    let dev = || Flags { dev: true, ..Flags::default() };
    let set = "[nsq]\ntopic_prefix = 'chat-'\n[nsq_http]\nlisten = '127.0.0.1:4999'\nnames = ['queue', '[::2]']";
    let required = NsqHttpListen { address: address("127.0.0.1:4999"), required: true };
    let convenient = NsqHttpListen { address: address("127.0.0.1:4151"), required: false };
    let cases = [
        ("", Flags::default(), None),
        ("", dev(), Some(convenient)),
        (set, Flags::default(), Some(required)),
        (set, dev(), Some(required)),
    ];
    for (file, flags, expected) in cases {
        let config = Sources { file, flags, ..Sources::default() }.load().unwrap();
        assert_eq!(config.nsq_http_listen(), expected, "{file}");
    }
    let config = file(set).load().unwrap();
    assert_eq!((config.nsq.topic_prefix.as_str(), config.nsq_http.names.len()), ("chat-", 2));
    assert_eq!(file(&config.to_toml()).load(), Ok(config));
    let variables = [("LOCKSTEP_NSQ_HTTP__LISTEN", "127.0.0.1:4999"), ("LOCKSTEP_NSQ_HTTP__NAMES", "[queue]")];
    let config = environment(&variables).load().unwrap();
    assert_eq!((config.nsq_http_listen(), &*config.nsq_http.names), (Some(required), &["queue".to_owned()][..]));
}

#[test]
fn whose_pages_and_proxies_count() {
    let set = "[http]\norigins = ['https://app.example']\ntrusted_proxies = ['10.0.0.0/8', '::1']";
    let config = file(set).load().unwrap();
    assert_eq!(config.http.origins, ["https://app.example"]);
    assert_eq!(config.http.trusted_proxies, ["10.0.0.0/8", "::1"]);
    assert_eq!(file(&config.to_toml()).load(), Ok(config));
    let config = environment(&[("LOCKSTEP_HTTP__ORIGINS", "['*']")]).load().unwrap();
    assert_eq!(config.http.origins, ["*"]);
    assert_eq!(file("").load().unwrap().http, HttpConfig::default());
}

#[test]
fn which_events_services_are_told() {
    let set = "[nsq]\nevents = ['message', 'device']\nnsqds = [{ tcp = '127.0.0.1:4150', http = '127.0.0.1:4151' }]";
    let config = file(set).load().unwrap();
    assert_eq!(config.nsq.events, [EventKind::Message, EventKind::Device]);
    assert_eq!(file(&config.to_toml()).load(), Ok(config));
    assert_eq!(file("").load().unwrap().nsq.events, []);
}

#[test]
fn who_may_sign_up_and_whose_word_counts() {
    let dev = || Flags { dev: true, ..Flags::default() };
    let cases = [
        ("", Flags::default(), false),
        ("", dev(), true),
        ("[accounts]\nsign_up = 'open'", Flags::default(), true),
        ("[accounts]\nsign_up = 'closed'", dev(), false),
    ];
    for (file, flags, open) in cases {
        let config = Sources { file, flags, ..Sources::default() }.load().unwrap();
        assert_eq!(config.sign_up_is_open(), open, "{file}");
    }
    let set = "[accounts]\nnew_main = 'confirm'\n\
        [[accounts.issuers]]\nissuer = 'https://id.example'\naudience = 'chat'\nalgorithm = 'ES256'\njwks_file = 'keys.json'\n\
        [[accounts.issuers]]\nissuer = 'other'\naudience = 'chat'\nalgorithm = 'HS256'\nsecret_file = 'secret'\nleeway_s = 60\nname_claim = 'name'\n";
    let config = file(set).load().unwrap();
    let [first, second] = &config.accounts.issuers[..] else { panic!("there are two") };
    assert_eq!((first.algorithm, first.leeway_s, &*first.user_claim), (IssuerAlgorithm::ES256, 30, "sub"));
    assert_eq!((&first.name_claim, second.name_claim.as_deref()), (&None, Some("name")));
    assert_eq!((second.leeway_s, second.create_users, config.accounts.new_main), (60, true, NewMain::Confirm));
    assert_eq!(file(&config.to_toml()).load(), Ok(config));
    let issuer = |change: &str| {
        let base = "issuer = 'i'\naudience = 'a'\nalgorithm = 'HS256'\nsecret_file = 's'\n";
        format!("[[accounts.issuers]]\n{base}{change}")
    };
    let wrong = [
        issuer("leeway_s = 61"),
        issuer("user_claim = ''"),
        issuer("name_claim = ''"),
        issuer("jwks_file = 'both'"),
        issuer("").replace("HS256", "RS256"),
        issuer("").replace("HS256", "none"),
        issuer("").replace("audience = 'a'", ""),
        format!("{}\n{}", issuer(""), issuer("")),
    ];
    for text in wrong {
        let sentence = file(&text).load().unwrap_err();
        assert!(sentence.contains("accounts.issuers"), "{text}: {sentence}");
    }
}

#[test]
fn every_default_lies_within_its_bounds() {
    for (name, value, min, max) in Limits::default().table() {
        assert!((min..=max).contains(&value), "{name}");
    }
}

#[test]
fn the_environment_may_name_the_file() {
    let load = |flags: &Flags, path: &str| {
        let environment = [("LOCKSTEP_CONFIG".to_owned(), path.to_owned())];
        Config::from_sources(flags, environment.into_iter()).map_err(|error| error.to_string())
    };
    let sentence = load(&Flags::default(), "missing/test.toml").unwrap_err();
    assert!(sentence.starts_with("the configuration file missing/test.toml cannot be read"), "{sentence}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flag.toml");
    std::fs::write(&path, "token_ttl_s = 5").unwrap();
    let flags = Flags { file: Some(path), ..Flags::default() };
    assert_eq!(load(&flags, "missing/test.toml").unwrap().token_ttl_s, 5);
}

#[test]
fn wrong_configurations_name_key_value_and_fix() {
    let log = |format: Option<&str>, level: Option<&str>| {
        let log = LogFlags { format: format.map(str::to_owned), level: level.map(str::to_owned) };
        flags(Flags { log, ..Flags::default() })
    };
    let cases = [
        (file("listen = "), "test.toml is not TOML: "),
        (file("listen = 'localhost'"), "test.toml sets listen to \"localhost\": it must be an address and a port"),
        (file("listen = 8080"), "test.toml sets listen to 8080: it must be an address and a port"),
        (file("lisen = '127.0.0.1:1'"), "test.toml sets lisen, which is no setting: did you mean listen?"),
        (file("colour = 'red'"), "test.toml sets colour, which is no setting: known here are listen, data, "),
        (
            file("[limits]\nheart_beat_ms = 1"),
            "test.toml sets limits.heart_beat_ms, which is no setting: did you mean heartbeat_ms?",
        ),
        (
            file("[limits]\nheartbeat_ms = 99"),
            "test.toml sets limits.heartbeat_ms to 99: it must be a whole number from 100 to 600000",
        ),
        (
            file("[limits]\nheartbeat_ms = -1"),
            "test.toml sets limits.heartbeat_ms to -1: it must be a whole number from 100 to 600000",
        ),
        (
            file("[limits]\nheartbeat_ms = '25s'"),
            "test.toml sets limits.heartbeat_ms to \"25s\": it must be a whole number from 100 to 600000",
        ),
        (
            file("[retention.group]\nage_max_s = 59"),
            "test.toml sets retention.group.age_max_s to 59: it must be a whole number from 60 to 3153600000",
        ),
        (
            file("[devices]\nunseen_days = 3651"),
            "test.toml sets devices.unseen_days to 3651: it must be a whole number from 0 to 3650; 0 removes none",
        ),
        (
            file("[devices]\nteardowns_kept_days = 0"),
            "test.toml sets devices.teardowns_kept_days to 0: it must be a whole number from 1 to 365",
        ),
        (
            file("[retention]\nperiod_s = 0"),
            "test.toml sets retention.period_s to 0: it must be a whole number from 1 to 86400",
        ),
        (
            file("[limits]\nreceipts_members_max = 257"),
            "test.toml sets limits.receipts_members_max to 257: it must be a whole number from 0 to 256",
        ),
        (
            file("[limits]\nreceipts_gather_ms = 9"),
            "test.toml sets limits.receipts_gather_ms to 9: it must be a whole number from 10 to 60000",
        ),
        (
            file("[retention.chat]\ncount_max = 9"),
            "test.toml sets retention.chat, which is no setting: known here are period_s, direct, group, room, feed",
        ),
        (
            environment(&[("LOCKSTEP_RETENTION__FEED__COUNT_MAX", "0")]),
            "the environment variable LOCKSTEP_RETENTION__FEED__COUNT_MAX sets retention.feed.count_max to 0: it must be a",
        ),
        (
            file("[trace]\nrecords = 4194305"),
            "test.toml sets trace.records to 4194305: it must be a whole number from 0 to 4194304",
        ),
        (
            file("[bootstrap]\nwait_s = 0"),
            "test.toml sets bootstrap.wait_s to 0: it must be a whole number from 1 to 86400",
        ),
        (
            file("[bootstrap]\nfallback = 'main'"),
            "test.toml sets bootstrap.fallback to \"main\": it must be \"none\" or \"log\"",
        ),
        (file("limits = 5"), "test.toml sets limits to 5: it must be a table"),
        (file("token_ttl_s = 0"), "test.toml sets token_ttl_s to 0: it must be a whole number from 1 to 2592000"),
        (
            file("[nsq]\ntopic_prefix = 'a b'"),
            "test.toml sets nsq.topic_prefix to \"a b\": it must be 1 to 28 of the characters a-z",
        ),
        (
            file("[nsq]\nevents = ['message', 'typing']"),
            "test.toml sets nsq.events.1 to \"typing\": it must be a list of \"connect\", \"disconnect\", \"message\", ",
        ),
        (
            file("[nsq]\nevents = ['message']"),
            "test.toml sets nsq.events to a list: it must be a list of \"connect\", ",
        ),
        (
            file("[http]\norigins = ['https://app.example/']"),
            "test.toml sets http.origins to a list: it must be a list of at most 256 origins such as \"https://app.example\"",
        ),
        (
            file("[http]\norigins = ['*', 'https://app.example']"),
            "test.toml sets http.origins to a list: it must be a list of at most 256 origins",
        ),
        (
            file("[http]\ntrusted_proxies = ['proxy.example']"),
            "test.toml sets http.trusted_proxies to a list: it must be a list of at most 256 addresses and networks",
        ),
        (
            file("[nsq]\nseqs_max = 0"),
            "test.toml sets nsq.seqs_max to 0: it must be a whole number from 1 to 1000000, and not less than",
        ),
        (
            file(
                "[nsq]\nseqs_max = 1\npinned = ['b07e0b16-c06a-8310-ad6d-62bfa14d9be7', '018f0000-0000-7000-8000-000000000001']",
            ),
            "test.toml sets nsq.seqs_max to 1: it must be a whole number from 1 to 1000000, and not less than",
        ),
        (
            file("[nsq_http]\nlisten = '4151'"),
            "test.toml sets nsq_http.listen to \"4151\": it must be an address and a port, such as 127.0.0.1:4151",
        ),
        (
            file("[nsq_http]\nnames = ['queue:4151']"),
            "test.toml sets nsq_http.names to a list: it must be a list of at most 64 host names or addresses",
        ),
        (
            file("[accounts]\npassword_memory_kib = 1024"),
            "test.toml sets accounts.password_memory_kib to 1024: it must be a whole number from 7168 to 1048576",
        ),
        (file("[links]\nttl_s = 10"), "test.toml sets links.ttl_s to 10: it must be a whole number from 30 to 600"),
        (
            file("[links]\nwaiting_max = 10001"),
            "test.toml sets links.waiting_max to 10001: it must be a whole number from 1 to 10000",
        ),
        (
            file("[links]\nqr_base = 'no scheme'"),
            "test.toml sets links.qr_base to \"no scheme\": it must be a URL such as \"https://chat.example/link\", without a fragment and of at most 512 bytes",
        ),
        (
            file("[accounts]\nsign_up = 'yes'"),
            "test.toml sets accounts.sign_up to \"yes\": it must be \"open\" or \"closed\"",
        ),
        (file("data = ''"), "test.toml sets data to \"\": it must be a folder"),
        (file("[log]\nformat = 'xml'"), "test.toml sets log.format to \"xml\": it must be \"text\" or \"json\""),
        (environment(&[("LOCKSTEP_LISTEN", "x")]), "the environment variable LOCKSTEP_LISTEN sets listen to \"x\": "),
        (
            environment(&[("LOCKSTEP_NAME", "x")]),
            "the environment variable LOCKSTEP_NAME sets name, which is no setting",
        ),
        (
            environment(&[("LOCKSTEP_LIMITS__WINDOW_ENTRIES", "0")]),
            "the environment variable LOCKSTEP_LIMITS__WINDOW_ENTRIES sets limits.window_entries to 0: it must be a whole number from 1 to",
        ),
        (flags(Flags { listen: Some("1".into()), ..Flags::default() }), "the command line sets listen to \"1\": "),
        (log(Some("XML"), None), "the command line sets log.format to \"XML\": it must be \"text\" or \"json\""),
        (
            log(None, Some("loud=loud")),
            "the command line sets log.level to \"loud=loud\": it must be a level such as \"info\"",
        ),
    ];
    for (sources, expected) in cases {
        let text = sources.file.to_owned();
        let sentence = sources.load().unwrap_err();
        // Which folder the file is in does not matter here.
        let from_name = sentence.find("test.toml").map_or(sentence.as_str(), |at| &sentence[at..]);
        assert!(from_name.starts_with(expected), "{text}\n found {sentence}\n wanted {expected}");
    }
}
