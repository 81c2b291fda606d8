//! A device that is filled by another one (I8): its conversations wait until then.

use crate::session::Phase;
use crate::{Event, Session};
use lockstep_model::{Ask, BootstrapFrame, Code, FillNotice, Offset};
use std::time::Duration;

impl Session {
    pub(crate) fn handle_bootstrap(&mut self, frame: Box<BootstrapFrame>, now: Duration) {
        if !matches!(self.phase, Phase::Open) {
            let (reference, code) = (frame.reference(), Code::BadFrame);
            let detail = Some("What is about filling a device comes after the last resume is answered.".to_owned());
            return self.emit(Event::Failed { reference, code, detail, retry_after_ms: None });
        }
        // What is asked by it is read from the store; all else is bounded by what was asked.
        let may_go_on = match &*frame {
            BootstrapFrame::Start(start) => self.may_send(start.reference, now),
            _ => true,
        };
        if may_go_on {
            self.ask(Ask::Bootstrap(frame));
        }
    }

    pub(crate) fn handle_fill(&mut self, notice: FillNotice) {
        match notice {
            FillNotice::News(news) => self.emit(Event::Bootstrap(Box::new(news))),
            FillNotice::Skip { conversation, skip } => self.emit(Event::Skip { conversation, skip }),
            FillNotice::Filled(filled) => self.handle_filled(filled),
            FillNotice::Failed { reference, code } => self.fail(reference, code),
        }
    }

    /// From here on the log delivers: what was heard meanwhile says how far it reaches.
    fn handle_filled(&mut self, filled: Offset) {
        let Some(topic) = self.topics.get_mut(filled.conversation).filter(|topic| topic.marks.unfilled()) else {
            return;
        };
        topic.marks.set_unfilled(false);
        topic.advance_to(filled.seq.next().max(topic.next));
        topic.acked = topic.next.previous();
        // Looks at the log in any case: the user may have left meanwhile.
        topic.queued = true;
        self.read_queue.push_back(filled.conversation);
    }
}
