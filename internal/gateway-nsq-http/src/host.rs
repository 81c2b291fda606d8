//! Who is turned away before anything is read: whatever a web page may have made a browser send.
//!
//! A page's own requests carry an `Origin` (Fetch standard, section 3.2). A page whose name is made to point at this
//! machine after it was loaded (DNS rebinding) sends none with a plain GET, but its name stands in `Host`.

use crate::answer::Refusal;
use axum::extract::{Request, State};
use axum::http::header;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;

/// The names under which the door may be asked for.
#[derive(Debug, Clone)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// This machine's own names, the address that is listened on, and further names without ports.
    pub fn new(listen: IpAddr, names: &[String]) -> Self {
        let listen = match listen {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let own = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let given = names.iter().map(|name| name.to_ascii_lowercase());
        Self(own.into_iter().chain([listen]).chain(given).collect())
    }

    /// Whether a `Host`, with or without a port, is one of them.
    fn take(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        // Whatever stands before an @ is no part of a host (RFC 9110, section 7.2).
        !host.contains('@') && self.0.contains(&authority.host().to_ascii_lowercase())
    }
}

/// Lets a request pass that no page can have made.
pub(crate) async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    match refusal(&hosts, &request) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(hosts: &Hosts, request: &Request) -> Option<Refusal> {
    if request.headers().contains_key(header::ORIGIN) {
        return Some(Refusal(403, "FORBIDDEN: a request with an Origin comes from a web page"));
    }
    let mut named = request.headers().get_all(header::HOST).iter();
    let is_ours = match (named.next().map(|host| host.to_str()), named.next()) {
        (Some(Ok(host)), None) => hosts.take(host),
        _ => false,
    };
    // A target may name a host too, which then counts instead (RFC 9112, section 3.2.2).
    let target_is_ours = request.uri().authority().is_none_or(|target| hosts.take(target.as_str()));
    let foreign = Refusal(403, "FORBIDDEN: this Host is none of the listener's names (nsq_http.names)");
    (!is_ours || !target_is_ours).then_some(foreign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn which_requests_pass() {
        let hosts = Hosts::new([10, 0, 0, 7].into(), &["Queue.internal".to_owned()]);
        let v6 = Hosts::new(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]), &[]);
        assert!(v6.take("[fd00::1]:4151") && !v6.take("[fd00::2]:4151") && !v6.take("10.0.0.7"));
        type Case = (&'static str, Vec<(&'static str, &'static str)>, bool);
        // The target, the headers; whether it passes.
        let host = |host: &'static str| vec![("host", host)];
        let cases: [Case; 19] = [
            ("/pub", host("localhost:4151"), true),
            ("/pub", host("LOCALHOST"), true),
            ("/pub", host("127.0.0.1:4151"), true),
            ("/pub", host("[::1]:4151"), true),
            ("/pub", host("10.0.0.7"), true),
            ("/pub", host("queue.internal:4151"), true),
            ("http://localhost:4151/pub", host("localhost:4151"), true),
            ("http://evil.example/pub", host("localhost"), false),
            ("/pub", host("evil.example"), false),
            ("/pub", host("127.0.0.1.evil.example"), false),
            ("/pub", host("localhost.evil.example:4151"), false),
            ("/pub", host("localhost@evil.example"), false),
            ("/pub", host("evil.example@localhost"), false),
            ("/pub", host("10.0.0.8"), false),
            ("/pub", host(""), false),
            ("/pub", vec![], false),
            ("/pub", vec![("host", "localhost"), ("host", "localhost")], false),
            ("/pub", vec![("host", "localhost"), ("origin", "http://localhost:4151")], false),
            ("/pub", vec![("host", "localhost"), ("origin", "null")], false),
        ];
        for (target, headers, passes) in cases {
            let mut request = Request::builder().uri(target);
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Body::empty()).unwrap();
            assert_eq!(refusal(&hosts, &request).is_none(), passes, "{target} {headers:?}");
        }
    }
}
