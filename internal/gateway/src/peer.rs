//! Whose address a request comes from.

use crate::GatewayState;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The other end of a connection, put into each request's extensions by whoever accepts connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// What attempts are counted by: an IPv4 address, or the network of an IPv6 one, of which one host has all 2^64 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl FromRequestParts<GatewayState> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &GatewayState) -> Result<Self, Infallible> {
        Ok(Self(address(&parts.extensions, &parts.headers, &state.config.accounts.proxies)))
    }
}

/// A proxy of ours names its client last in X-Forwarded-For; what stands before that is the client's own word.
fn address(extensions: &Extensions, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    // Where nobody knows the peers, all count as one.
    let peer = extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.to_canonical());
    let mut client = peer;
    if proxies.contains(&peer) {
        let lines = headers.get_all("x-forwarded-for").iter().rev().filter_map(|line| line.to_str().ok());
        let named = lines.flat_map(|line| line.rsplit(',')).map(|name| name.trim().parse::<IpAddr>());
        for address in named.map_while(Result::ok).map(|address| address.to_canonical()) {
            client = address;
            if !proxies.contains(&address) {
                break;
            }
        }
    }
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_address_counts() {
        let proxies = ["10.0.0.1", "10.0.0.2"];
        let cases: [(Option<&str>, &[&str], &str); 13] = [
            (None, &[], "0.0.0.0"),
            (Some("192.0.2.7"), &[], "192.0.2.7"),
            // Only a proxy's word counts, and of that only what no client can have written.
            (Some("192.0.2.7"), &["198.51.100.9"], "192.0.2.7"),
            (Some("10.0.0.1"), &["198.51.100.9"], "198.51.100.9"),
            (Some("10.0.0.1"), &["1.1.1.1, 198.51.100.9"], "198.51.100.9"),
            (Some("10.0.0.1"), &["1.1.1.1", "198.51.100.9"], "198.51.100.9"),
            (Some("10.0.0.1"), &["1.1.1.1, 198.51.100.9, 10.0.0.2"], "198.51.100.9"),
            (Some("10.0.0.1"), &["1.1.1.1, nonsense"], "10.0.0.1"),
            (Some("10.0.0.1"), &["nonsense, 10.0.0.2"], "10.0.0.2"),
            (Some("10.0.0.1"), &[], "10.0.0.1"),
            (Some("::ffff:10.0.0.1"), &["::ffff:198.51.100.9"], "198.51.100.9"),
            (Some("2001:db8:1:2:3:4:5:6"), &[], "2001:db8:1:2::"),
            (Some("10.0.0.1"), &["2001:db8:1:2:ffff::1"], "2001:db8:1:2::"),
        ];
        let proxies: Vec<IpAddr> = proxies.iter().map(|address| address.parse().unwrap()).collect();
        for (peer, named, expected) in cases {
            let mut extensions = Extensions::new();
            peer.and_then(|peer| extensions.insert(Peer(peer.parse().unwrap())));
            let headers = named.iter().map(|value| ("x-forwarded-for".parse().unwrap(), value.parse().unwrap()));
            let found = address(&extensions, &HeaderMap::from_iter(headers), &proxies);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer:?} {named:?}");
        }
    }
}
