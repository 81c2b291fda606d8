//! What is believed of whom.

use super::*;
use proptest::prelude::*;

const PROXY: &str = "10.0.0.1";

fn proxies() -> TrustedProxies {
    TrustedProxies::parse(&["10.0.0.0/8".to_owned(), "fd00::/8".to_owned(), "192.0.2.1".to_owned()]).unwrap()
}

fn client(peer: &str, lines: &[(&str, &str)]) -> String {
    let pairs = lines.iter().map(|(name, value)| {
        (HeaderName::try_from(*name).unwrap(), axum::http::HeaderValue::from_bytes(value.as_bytes()).unwrap())
    });
    proxies().client(peer.parse().unwrap(), &HeaderMap::from_iter(pairs)).to_string()
}

#[test]
fn which_networks_are_taken() {
    for (text, right) in [
        ("10.0.0.0/8", true),
        ("10.0.0.1", true),
        ("::1", true),
        ("fd00::/8", true),
        ("10.0.0.0/33", false),
        ("10.0.0", false),
        ("proxy.example", false),
        ("", false),
        ("*", false),
    ] {
        assert_eq!(TrustedProxies::parse(&[text.to_owned()]).is_some(), right, "{text}");
    }
}

#[test]
fn lists_are_read_from_the_right_up_to_the_first_stranger() {
    // The list, as X-Forwarded-For writes it; the client.
    let cases = [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7,10.0.0.2 ,10.9.9.9", "203.0.113.7"),
        ("1.1.1.1,203.0.113.7,192.0.2.1", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711, fd00::9", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, ::ffff:10.0.0.2", "203.0.113.7"),
        // All are proxies: the leftmost is the nearest to the client that is known.
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        // What is no address is where the knowledge ends.
        ("1.1.1.1, unknown", PROXY),
        ("\u{e9}, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, \u{e9}", PROXY),
        ("1.1.1.1, garbage, 10.0.0.2", "10.0.0.2"),
        ("1.1.1.1, ", PROXY),
        ("", PROXY),
        ("1.1.1.1:", PROXY),
        ("1.1.1.1:99999", PROXY),
        ("[1.1.1.1", PROXY),
        ("1.1.1.1 2.2.2.2", PROXY),
        ("'; drop table users", PROXY),
    ];
    for (list, expected) in cases {
        assert_eq!(client(PROXY, &[("x-forwarded-for", list)]), expected, "{list}");
        assert_eq!(client("198.51.100.1", &[("x-forwarded-for", list)]), "198.51.100.1", "a stranger says {list}");
    }
    assert_eq!(client("::ffff:10.0.0.1", &[("x-forwarded-for", "1.1.1.1")]), "1.1.1.1");
    assert_eq!(client(PROXY, &[]), PROXY);
    let two = [("x-forwarded-for", "1.1.1.1, 203.0.113.7"), ("x-forwarded-for", "10.0.0.2")];
    assert_eq!(client(PROXY, &two), "203.0.113.7");
}

#[test]
fn forwarded_is_read_as_rfc_7239_has_it() {
    let cases = [
        ("for=203.0.113.7", "203.0.113.7"),
        ("For=\"203.0.113.7:4711\";proto=https;by=10.0.0.9", "203.0.113.7"),
        ("proto=https ; for=203.0.113.7", "203.0.113.7"),
        ("for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=\"[2001:db8:cafe::17]\", for=10.0.0.2", "2001:db8:cafe::17"),
        ("for=\"[2001:db8::17]:_http\"", "2001:db8::17"),
        ("for=1.1.1.1, for=203.0.113.7;host=\"a,b;c\", for=10.0.0.2", "203.0.113.7"),
        ("for=1.1.1.1;x=\"\\\", for=2.2.2.2\", for=203.0.113.7", "203.0.113.7"),
        ("for=unknown", PROXY),
        ("for=_hidden", PROXY),
        ("proto=https", PROXY),
        ("for=1.1.1.1, proto=https", PROXY),
        // Quotes that a client left open do not swallow what a proxy adds.
        ("for=1.1.1.1;x=\", for=203.0.113.7", "203.0.113.7"),
        ("for=1.1.1.1;x=\", for=\"[2001:db8::7]\"", "2001:db8::7"),
        ("garbage, for=203.0.113.7", "203.0.113.7"),
        ("\u{e9}, for=203.0.113.7", "203.0.113.7"),
        ("garbage, for=10.0.0.2", "10.0.0.2"),
        // What a proxy quotes of a client is no further element.
        ("for=203.0.113.7;host=\"a, for=1.1.1.1\"", "203.0.113.7"),
        ("for=203.0.113.7;host=\"a\\\", for=1.1.1.1;x=\\\"\\\\\"", "203.0.113.7"),
        // Empty elements count for nothing (RFC 9110, section 5.6.1).
        ("for=203.0.113.7,", "203.0.113.7"),
        (", for=203.0.113.7 , ,", "203.0.113.7"),
        ("for=1.1.1.1;for=2.2.2.2", PROXY),
        ("for 1.1.1.1", PROXY),
        ("=1.1.1.1", PROXY),
        ("", PROXY),
    ];
    for (list, expected) in cases {
        assert_eq!(client(PROXY, &[("forwarded", list)]), expected, "{list}");
        assert_eq!(client("198.51.100.1", &[("forwarded", list)]), "198.51.100.1", "a stranger says {list}");
    }
    let own_line = [("forwarded", "for=1.1.1.1;x=\""), ("forwarded", "for=203.0.113.7")];
    assert_eq!(client(PROXY, &own_line), "203.0.113.7");
}

#[test]
fn headers_that_disagree_do_not_count() {
    let both = |one, other| client(PROXY, &[("forwarded", one), ("x-forwarded-for", other)]);
    assert_eq!(both("for=203.0.113.7", "1.1.1.1, 203.0.113.7"), "203.0.113.7");
    assert_eq!(both("for=1.1.1.1", "203.0.113.7"), PROXY);
    assert_eq!(both("garbage", "203.0.113.7"), PROXY);
}

#[test]
fn a_network_of_ipv6_counts_as_one_address() {
    let cases = [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
    ];
    for (address, expected) in cases {
        assert_eq!(ClientAddress(address.parse().unwrap()).network().to_string(), expected);
    }
}

fn header_value() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("for=".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just(", ".to_owned()),
        Just(";".to_owned()),
        Just("unknown".to_owned()),
        Just("\u{e9}".to_owned()),
        Just("[2001:db8::1]:80".to_owned()),
        any::<[u8; 4]>().prop_map(|address| Ipv4Addr::from(address).to_string()),
        "[ -~]{0,8}",
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    /// Whatever a client writes, the address that the nearest proxy adds is the one that counts.
    #[test]
    fn a_client_cannot_choose_its_address(said in header_value(), own_line in any::<bool>()) {
        let added = |name: &'static str, real: &str| match own_line {
            true => client(PROXY, &[(name, &said), (name, real)]),
            false => client(PROXY, &[(name, &format!("{said}, {real}"))]),
        };
        prop_assert_eq!(added("x-forwarded-for", "203.0.113.7"), "203.0.113.7");
        prop_assert_eq!(added("forwarded", "for=203.0.113.7"), "203.0.113.7");
        prop_assert_eq!(added("forwarded", "proto=https;for=\"203.0.113.7:80\""), "203.0.113.7");
    }

    /// A peer that is no proxy is the client, whatever it says.
    #[test]
    fn a_stranger_is_believed_nothing(said in header_value()) {
        let lines = [("forwarded", said.as_str()), ("x-forwarded-for", said.as_str())];
        prop_assert_eq!(client("198.51.100.1", &lines), "198.51.100.1");
    }
}
