//! Where a server listens.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

/// A text is no `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address: write host:port, with IPv6 addresses in brackets")]
pub struct AddressError(String);

/// `host:port` of an nsqd or nsqlookupd. A host name is resolved anew with each connection. Clones share their text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(Arc<str>);

impl Address {
    /// From a host (a name, an IPv4 address or an IPv6 address without brackets) and a port.
    pub fn from_parts(host: &str, port: u16) -> Result<Self, AddressError> {
        if host.contains(':') { format!("[{host}]:{port}").parse() } else { format!("{host}:{port}").parse() }
    }

    /// The address as text: what an HTTP request names as its host, too.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError(text.chars().take(100).collect());
        if text.parse::<SocketAddr>().is_ok() {
            return Ok(Self(text.into()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let named = (1..=253).contains(&host.len()) && host.bytes().all(is_allowed);
        match port.parse::<u16>() {
            Ok(1..) if named => Ok(Self(text.into())),
            _ => Err(error()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string().into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for good in ["127.0.0.1:4150", "[::1]:4150", "nsqd-1.example_x:1"] {
            assert_eq!(good.parse::<Address>().map(|address| address.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "nsqd", ":4150", "nsqd:", "nsqd:0", "nsqd:65536", "::1:4150", "a b:1", "a\r\nb:1", "http://a:1"]
        {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
        assert_eq!(Address::from_parts("::1", 4150).map(|address| address.to_string()).as_deref(), Ok("[::1]:4150"));
        assert_eq!(Address::from_parts("a", 1).map(|address| address.to_string()).as_deref(), Ok("a:1"));
    }
}
