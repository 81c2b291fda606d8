//! Whose request it is as far as addresses tell: the peer's, or what a trusted proxy says.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The address at the other end of the connection, put into each request by whoever accepts connections.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// The client's address, in each request that [`found`] has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    /// What is counted by: an IPv4 address, or the network of an IPv6 one, of which one machine has all 2^64 addresses
    /// (RFC 4291, section 2.5.1).
    pub(crate) fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK_MASK).into(),
        }
    }
}

/// The network of the client's address, for handlers that count by it.
pub(crate) struct ClientNetwork(pub(crate) IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for ClientNetwork {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Where nobody knows the peers, all count as one.
        let address = parts.extensions.get().copied().unwrap_or(ClientAddress(UNKNOWN));
        Ok(Self(address.network()))
    }
}

/// Networks whose machines tell truly whose requests they pass on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// The address of a client of whom nothing is known.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// The bits of an address of IPv6 that tell one network from another.
const NETWORK_MASK: u128 = !0 << 64;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl TrustedProxies {
    /// Reads addresses, and networks such as `10.0.0.0/8`; `None` if one is neither.
    pub fn parse(texts: &[String]) -> Option<Self> {
        let network = |text: &String| text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)));
        texts.iter().map(network).collect::<Option<_>>().map(Self)
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address.
    ///
    /// Each proxy adds at the right whom it got the request from, so what the client itself wrote stands at the left: the
    /// lists are read from the right up to the first address that is not a proxy's, or up to what is no address. Where
    /// both headers are there and disagree, one of them was passed on from a client, nobody knows which: then neither
    /// counts.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trust(peer) {
            return peer;
        }
        let mut found = LISTS.into_iter().filter(|list| headers.contains_key(&list.name));
        let mut read = || found.next().map(|list| self.last_stranger(peer, headers, &list));
        match (read(), read()) {
            (None, _) => peer,
            (Some(only), None) => only,
            (Some(one), Some(other)) if one == other => one,
            (Some(_), Some(_)) => peer,
        }
    }

    fn last_stranger(&self, peer: IpAddr, headers: &HeaderMap, list: &List) -> IpAddr {
        let mut nearest = peer;
        for line in headers.get_all(&list.name).iter().rev() {
            let mut rest = Some(line.as_bytes());
            while let Some(line) = rest {
                let comma = (list.last_comma)(line);
                rest = comma.map(|at| &line[..at]);
                let item = line[comma.map_or(0, |at| at + 1)..].trim_ascii();
                if item.is_empty() && list.skips_empty {
                    continue;
                }
                let Some(hop) = std::str::from_utf8(item).ok().and_then(list.hop) else { return nearest };
                nearest = hop.to_canonical();
                if !self.trust(nearest) {
                    return nearest;
                }
            }
        }
        nearest
    }
}

/// How a header is read, item by item from the right: what stands left of an item cannot change how the item is read.
struct List {
    name: HeaderName,
    /// Where the last item begins, less one.
    last_comma: fn(&[u8]) -> Option<usize>,
    /// The address that an item names; `None` if it is malformed or names none.
    hop: fn(&str) -> Option<IpAddr>,
    skips_empty: bool,
}

/// `Forwarded: for=203.0.113.7;proto=https, for="[2001:db8::1]:4711"` (RFC 7239, section 4; empty elements: RFC 9110, section
/// 5.6.1). `X-Forwarded-For: 203.0.113.7, 10.0.0.1`, of which there is no standard: with or without ports and brackets.
const LISTS: [List; 2] = [
    List { name: header::FORWARDED, last_comma: last_comma_unquoted, hop: forwarded, skips_empty: true },
    List { name: X_FORWARDED_FOR, last_comma, hop: node, skips_empty: false },
];

fn last_comma(line: &[u8]) -> Option<usize> {
    line.iter().rposition(|byte| *byte == b',')
}

/// The last comma that is not within a quoted string. The end of a line is outside of all, so quotes are counted from there:
/// those that a client left open stand further left.
fn last_comma_unquoted(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in line.iter().enumerate().rev() {
        match byte {
            b',' if !quoted => return Some(at),
            b'"' if !(quoted && is_escaped(line, at)) => quoted = !quoted,
            _ => {}
        }
    }
    None
}

fn is_escaped(line: &[u8], at: usize) -> bool {
    line[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The address that one element names.
fn forwarded(element: &str) -> Option<IpAddr> {
    let (hop, rest) = forwarded_element(element)?;
    hop.filter(|_| rest.is_empty())
}

/// One element up to its comma or the end, with its `for`; and what follows it.
fn forwarded_element(text: &str) -> Option<(Option<IpAddr>, &str)> {
    let (mut found, mut named, mut rest) = (None, false, text);
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let (name, after) = rest.split_once('=')?;
        let is_token = |letter: u8| letter.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&letter);
        if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        let (value, after) = value(after)?;
        if name.eq_ignore_ascii_case("for") {
            // Each parameter stands at most once (section 4).
            if std::mem::replace(&mut named, true) {
                return None;
            }
            found = node(&value);
        }
        rest = after.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(';') {
            Some(after) => rest = after,
            None => return Some((found, rest)),
        }
    }
}

/// A token, or a quoted string without its quotes (RFC 9110, section 5.6.4); and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', ' ', '\t', '"']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

/// An address with or without a port and, if it is of IPv6, brackets. Other names of a hop (RFC 7239, section 6) say nothing.
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    // Without a port, or with a hidden one such as `_http`.
    let bare = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').filter(|(_, port)| port.is_empty() || port.starts_with(":_"))?.0,
        None => text.split_once(":_")?.0,
    };
    bare.parse().ok()
}

/// Puts the [`ClientAddress`] into a request.
pub(crate) async fn found(State(proxies): State<TrustedProxies>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get().map_or(UNKNOWN, |Peer(address)| *address);
    let address = ClientAddress(proxies.client(peer, request.headers()));
    request.extensions_mut().insert(address);
    next.run(request).await
}

#[cfg(test)]
mod tests;
