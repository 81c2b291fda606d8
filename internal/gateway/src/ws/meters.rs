//! What the door counts. The handles are made once: looking one up costs more than a delivery.

use lockstep_model::Code;
use metrics::{Counter, Gauge, counter, gauge};

pub(crate) struct Meters {
    pub(crate) connections: Gauge,
    pub(crate) deliveries: Counter,
    pub(crate) acks: Counter,
    pub(crate) frames_in: Counter,
    pub(crate) frames_out: Counter,
    pub(crate) writes: Counter,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self {
            connections: gauge!("lockstep_connections"),
            deliveries: counter!("lockstep_deliveries_total"),
            acks: counter!("lockstep_acks_total"),
            frames_in: counter!("lockstep_frames_in_total"),
            frames_out: counter!("lockstep_frames_out_total"),
            writes: counter!("lockstep_socket_writes_total"),
        }
    }

    /// Counts an end. The label is one of the codes, or `gone` where the device went by itself.
    pub(crate) fn closed(&self, code: Option<Code>) {
        counter!("lockstep_closes_total", "code" => code.map_or("gone", Code::name)).increment(1);
    }
}
