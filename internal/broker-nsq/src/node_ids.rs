//! Whether two nsqds give their messages the same ids.

use lockstep_nsq_client::Address;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Which nsqd showed which node id. An nsqd's node id is in each of its messages' ids: of a 64-bit number, written as 16
/// hexadecimal digits, the ten bits above the lowest twelve (nsqd/guid.go).
#[derive(Default)]
pub(crate) struct NodeIds(Mutex<HashMap<u16, Seen>>);

struct Seen {
    nsqd: Address,
    warned: bool,
}

impl NodeIds {
    /// Takes note of a message, and warns once of two nsqds with one node id. Nothing is lost by it here, since messages
    /// are told apart by their nsqd too, but other consumers may confuse them. True if it warned.
    pub(crate) fn note(&self, nsqd: &Address, message: &[u8; 16]) -> bool {
        let Some(id) = node_id(message) else { return false };
        let mut seen = self.0.lock();
        let first = seen.entry(id).or_insert_with(|| Seen { nsqd: nsqd.clone(), warned: false });
        if first.nsqd == *nsqd || first.warned {
            return false;
        }
        first.warned = true;
        tracing::warn!(
            one = %first.nsqd, other = %nsqd, node_id = id,
            "two nsqds have the same node id, so ids of their messages collide: give each its own with --node-id"
        );
        true
    }
}

fn node_id(message: &[u8; 16]) -> Option<u16> {
    let text = std::str::from_utf8(message).ok()?;
    let guid = u64::from_str_radix(text, 16).ok()?;
    Some((guid >> 12 & 0x3ff) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nsqds_with_one_node_id_are_told_once() {
        let address = |port: u16| Address::from_parts("127.0.0.1", port).expect("an address");
        // Node ids 0x155 and 0x156.
        let (one, other) = (b"0f3a1b2c3d555001", b"0f3a1b2c3d556001");
        let ids = NodeIds::default();
        let steps = [(1, one, false), (2, other, false), (1, one, false), (2, one, true), (2, one, false)];
        for (port, message, warns) in steps {
            assert_eq!(ids.note(&address(port), message), warns, "port {port}");
        }
        assert!(!ids.note(&address(3), &[0xff; 16]), "no id of nsqd");
    }
}
