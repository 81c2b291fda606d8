//! What the device asks besides entries, and inputs that have no place.

use super::World;
use super::op::Stray;
use crate::common::{FEED, admitted, conversation, entry, offset};
use lockstep_model::{Body, ClientMsgId, Code, Cursor, Kind, Notice, OffsetsVersion, Page, Seq, Target};
use lockstep_session::{Hello, Request};

impl World {
    pub(super) fn send(&mut self) {
        if self.driver.session.wants_requests() {
            let reference = Some(self.device.new_ref());
            let client_msg_id = ClientMsgId::new("m").expect("an id");
            let (target, body) = (Target::Conversation(FEED), Body::text("hi"));
            self.request(Request::Send { reference, target, client_msg_id, kind: Kind::Message, body });
        }
    }

    pub(super) fn mark_read(&mut self, log: usize, beyond: bool) {
        let conversation = self.logs[log].conversation;
        let next = self.device.next(conversation).unwrap_or(1);
        if self.driver.session.wants_requests() {
            let (reference, seq) = (Some(self.device.new_ref()), Seq::new(if beyond { next } else { next - 1 }));
            self.request(Request::Read { reference, conversation, seq });
        }
    }

    pub(super) fn stray(&mut self, stray: Stray) {
        let wants_requests = self.driver.session.wants_requests();
        match stray {
            Stray::Hello if wants_requests => {
                let feed = Some(Cursor { seq: Seq::ZERO, entry: None });
                let (reference, offsets_version) = (Some(self.device.new_ref()), OffsetsVersion::ZERO);
                let hello = Hello { reference, token: "t".into(), epoch: None, feed, offsets_version };
                self.request(Request::Hello(hello));
            }
            Stray::Resume if wants_requests => self.request(Request::Resume { shown: Vec::new(), more: true }),
            Stray::Malformed if wants_requests => {
                let reference = Some(self.device.new_ref());
                self.request(Request::Malformed { reference, code: Code::BadFrame, detail: "wrong".into() });
            }
            Stray::AckOfNothing if wants_requests => {
                self.request(Request::Ack(vec![offset(conversation('z'), 1), offset(FEED, 0)]));
            }
            Stray::Hello | Stray::Resume | Stray::Malformed | Stray::AckOfNothing => {}
            Stray::Admitted => {
                self.driver.session.handle_admitted(admitted(), self.driver.now);
                self.absorb();
            }
            Stray::Refused => {
                self.driver.session.handle_refused(Code::TokenInvalid);
                self.absorb();
            }
            Stray::Resumed => {
                let points = self.logs.iter().filter_map(|log| self.point(log, &[], false, Seq::ZERO)).collect();
                self.notice(Notice::Resumed(points));
            }
            Stray::Followed { log } => self.stray_followed(log % self.logs.len()),
            Stray::Page { log } => self.stray_page(log % self.logs.len()),
            Stray::Entry { seq } => self.notice(Notice::Entry(entry(conversation('z'), seq, 0))),
            Stray::Timeout => {
                self.driver.session.handle_timeout(self.driver.now);
                self.absorb();
            }
        }
    }

    /// A conversation that is followed already.
    fn stray_followed(&mut self, log: usize) {
        let log = &self.logs[log];
        let follows = log.stays.is_member() && self.driver.session.conversations().any(|it| it == log.conversation);
        if let Some(point) = self.point(log, &[], false, Seq::ZERO).filter(|_| follows) {
            self.notice(Notice::Followed(Box::new(point)));
        }
    }

    fn stray_page(&mut self, log: usize) {
        let log = &self.logs[log];
        if !self.device.reading.contains(&log.conversation) {
            let page: Page = log.page(1, 9, log.head() + 1, &mut log.stays.clone());
            self.notice(Notice::Page(Box::new(page)));
        }
    }
}
