//! From facts to an answer.

use super::{Facts, Live};
use crate::trace::Record;
use lockstep_model::{
    Explanation, Interval, Intervals, LiveTopic, Seq, Stage, StageName, TopicMode, TopicState, UnixMs, Utc, Verdict,
    View,
};
use std::collections::HashSet;

/// So many of the last connects, disconnects and changes between log mode and live are told.
const LAST_MAX: usize = 8;

impl Facts {
    pub(super) fn explained(self) -> Explanation {
        let (verdict, sentence) = self.verdict();
        Explanation {
            device: self.device.id,
            user: self.device.user.clone(),
            conversation: Some(self.conversation),
            seq: Some(self.seq),
            id: self.entry.as_ref().map(|entry| entry.id),
            kind: self.entry.as_ref().map(|entry| entry.kind.clone()),
            verdict,
            sentence,
            stages: self.stages(),
            cursor: self.cursor,
            connection: match self.live {
                Live::At(topic) => Some(topic),
                Live::Away | Live::Busy => None,
            },
            traced_since: self.traced_since,
        }
    }

    fn verdict(&self) -> (Verdict, String) {
        let Self { seq, bounds, device, .. } = self;
        if self.entry.is_none() && *seq >= bounds.floor {
            let head = bounds.head;
            return (Verdict::NotFound, format!("The conversation's log ends at {head}: there is no {seq} yet."));
        }
        // What the trace has seen is so, whatever has become of device and conversation since.
        if let Some(ack) = self.ack() {
            let at = Utc(ack.at);
            return (Verdict::Acknowledged, format!("The device acknowledged it at {at}.{}", self.recalled_since()));
        }
        if let Some((verdict, why)) = self.out_of_sight() {
            return (verdict, why);
        }
        if let Some(at) = device.removed_at {
            return (Verdict::DeviceRemoved, format!("The device was removed at {}.", Utc(at)));
        }
        if *seq < bounds.floor {
            return (Verdict::BelowFloor, self.below_floor());
        }
        if self.acked() >= *seq {
            let (up_to, recalled) = (self.acked(), self.recalled_since());
            let when = self.later_ack().map_or_else(
                || "since when, the trace does not tell".to_owned(),
                |ack| format!("since {} at the latest", Utc(ack.at)),
            );
            return (
                Verdict::Acknowledged,
                format!("The device has said that it has all up to {up_to}, {when}.{recalled}"),
            );
        }
        let (verdict, sentence) = self.on_its_way();
        match self.recalled {
            Some(at) if verdict != Verdict::InFlight => {
                let at = at.map_or_else(String::new, |at| format!(" at {}", Utc(at)));
                (Verdict::Recalled, format!("It was recalled{at}: what the device gets is a stub. {sentence}"))
            }
            _ => (verdict, sentence),
        }
    }

    /// Why the user is not to see it, if so (I11).
    fn out_of_sight(&self) -> Option<(Verdict, String)> {
        let Self { seq, intervals, device, .. } = self;
        if matches!(intervals.view(*seq, Seq::ZERO), View::Visible { .. }) {
            return None;
        }
        let user = &device.user;
        let in_stay = |stay: &&Interval| stay.joined_seq < *seq && stay.left_seq.is_none_or(|left| *seq <= left);
        if let Some(stay) = intervals.0.iter().find(in_stay) {
            let up_to = stay.visible_from_seq.previous();
            return Some((Verdict::Hidden, format!("{user} has hidden the conversation up to {up_to}.")));
        }
        if intervals.0.is_empty() {
            return Some((Verdict::NotMember, format!("{user} never was a member of the conversation.")));
        }
        Some((Verdict::NotMember, format!("{user} was no member then, and sees {}.", stays(intervals))))
    }

    fn below_floor(&self) -> String {
        let floor = self.bounds.floor;
        match self.cursor {
            Some(cursor) if cursor >= self.seq => format!(
                "Retention has taken all below {floor}. The device is at {cursor}: it had the message before, or was told \
                 to leave it out."
            ),
            _ => format!("Retention took it, and all below {floor}, before the device had it."),
        }
    }

    /// Why a message that the device may have is not acknowledged.
    fn on_its_way(&self) -> (Verdict, String) {
        let seq = self.seq;
        let LiveTopic { generation, topic: TopicState { mode, next, in_flight, .. } } = match self.live {
            Live::Away => return (Verdict::Away, self.away()),
            Live::Busy => {
                let sentence = "The device is connected, but its connection did not answer: it does not take what is \
                                written to it.";
                return (Verdict::Busy, sentence.to_owned());
            }
            Live::At(live) => live,
        };
        if next > seq {
            let at = self.records.iter().rev().find(|record| self.delivers(record));
            let at = at.map_or_else(String::new, |record| format!(" at {}", Utc(record.at)));
            let sentence = format!(
                "It was written to connection {generation}{at} and is not acknowledged: {in_flight} of the conversation are \
                 in flight."
            );
            return (Verdict::InFlight, sentence);
        }
        match mode {
            TopicMode::Opening => {
                (Verdict::Opening, "The device is being let in: its conversations are not open yet.".to_owned())
            }
            TopicMode::NotFollowed => (
                Verdict::Waiting,
                "The device is connected and does not follow the conversation yet: its feed tells it to, or it \
                 is still to be filled."
                    .to_owned(),
            ),
            TopicMode::Live => (
                Verdict::Waiting,
                format!("The conversation is live and next delivers {next}: the message is on its way to the device."),
            ),
            TopicMode::Reading => {
                (Verdict::Reading, format!("The conversation is in log mode: it is read from {next} on."))
            }
            TopicMode::WindowFull => (
                Verdict::WindowFull,
                format!(
                    "The conversation is in log mode and waits for acknowledgements before it reads from {next} on: \
                     {in_flight} of it are in flight."
                ),
            ),
            TopicMode::Ended => (
                Verdict::Waiting,
                format!("The device has yet to acknowledge {in_flight} from before its user came back."),
            ),
        }
    }

    fn away(&self) -> String {
        let ended = self.last(|record| record.stage == StageName::Disconnected).last().map(|record| record.at);
        let signed_out = self.device.signed_out_at.map(|at| format!(" It was signed out at {}.", Utc(at)));
        let since = match (ended, self.device.seen_at) {
            (Some(at), _) => format!("The device has had no connection since {}.", Utc(at)),
            (None, Some(at)) => {
                format!(
                    "The device has no connection. It last connected at {}; when it went, the trace does not tell.",
                    Utc(at)
                )
            }
            (None, None) => "The device has never connected.".to_owned(),
        };
        since + &signed_out.unwrap_or_default()
    }

    fn recalled_since(&self) -> String {
        match self.recalled {
            Some(Some(at)) => format!(" It was recalled at {}.", Utc(at)),
            Some(None) => " It has been recalled since.".to_owned(),
            None => String::new(),
        }
    }

    /// How far the device has acknowledged, by whatever knows most.
    fn acked(&self) -> Seq {
        let live = match self.live {
            Live::At(live) => live.topic.acked,
            Live::Away | Live::Busy => Seq::ZERO,
        };
        self.cursor.unwrap_or_default().max(live)
    }

    /// The first acknowledgement of it by a connection that it was delivered to. Others may be of a stretch that was left
    /// out.
    fn ack(&self) -> Option<&Record> {
        let delivered = self.records.iter().filter(|record| self.delivers(record));
        let by: HashSet<_> = delivered.map(|record| record.generation).collect();
        self.records.iter().find(|record| self.acknowledges(record) && by.contains(&record.generation))
    }

    /// The first that is known of those that say so, whenever it was delivered.
    fn later_ack(&self) -> Option<&Record> {
        self.records.iter().find(|record| self.acknowledges(record))
    }

    fn acknowledges(&self, record: &Record) -> bool {
        record.stage == StageName::Acknowledged && record.to >= self.seq
    }

    fn delivers(&self, record: &Record) -> bool {
        record.stage == StageName::Delivered && self.covers(record)
    }

    fn covers(&self, record: &Record) -> bool {
        (record.from..=record.to).contains(&self.seq)
    }

    /// The last of those records, oldest first.
    fn last(&self, is_one: impl Fn(&Record) -> bool) -> impl Iterator<Item = &Record> {
        let count = self.records.iter().filter(|record| is_one(record)).count();
        self.records.iter().filter(move |record| is_one(record)).skip(count.saturating_sub(LAST_MAX))
    }

    /// What is known to have happened, in the order of time.
    fn stages(&self) -> Vec<Stage> {
        use StageName::{Behind, Committed, Connected, Disconnected, Live, Published, Recalled, Removed};
        let bare = |stage, at: UnixMs| Stage { stage, at, generation: None, from: None, to: None };
        let mut stages: Vec<Stage> = Vec::new();
        stages.extend(self.entry.as_ref().map(|entry| bare(Committed, entry.sent_at)));
        stages.extend(self.last(|record| record.stage == Published && self.covers(record)).map(stage_of));
        let of_device = self
            .last(|record| matches!(record.stage, Connected | Disconnected))
            .chain(self.last(|record| matches!(record.stage, Behind | Live)))
            .chain(self.last(|record| self.delivers(record)))
            .chain(self.ack().or(self.later_ack()));
        let mut of_device: Vec<&Record> = of_device.collect();
        // What happened in one millisecond stays in the order in which it was noted.
        of_device.sort_by_key(|record| std::ptr::from_ref(*record));
        stages.extend(of_device.into_iter().map(stage_of));
        stages.extend(self.recalled.flatten().map(|at| bare(Recalled, at)));
        stages.extend(self.device.removed_at.map(|at| bare(Removed, at)));
        stages.sort_by_key(|stage| stage.at);
        stages
    }
}

fn stage_of(record: &Record) -> Stage {
    let concerns_entries = !matches!(record.stage, StageName::Connected | StageName::Disconnected);
    let (from, to) = (concerns_entries.then_some(record.from), concerns_entries.then_some(record.to));
    let generation = (record.stage != StageName::Published).then_some(record.generation.0);
    let from = from.filter(|_| record.stage != StageName::Acknowledged);
    Stage { stage: record.stage, at: record.at, generation, from, to }
}

/// What the stays show, as words.
fn stays(intervals: &Intervals) -> String {
    let shown = intervals.0.iter().map(|stay| match stay.left_seq {
        Some(left) if left < stay.visible_from_seq => format!("nothing up to {left}"),
        Some(left) => format!("{} to {left}", stay.visible_from_seq),
        None => format!("all from {} on", stay.visible_from_seq),
    });
    shown.collect::<Vec<_>>().join(" and ")
}
