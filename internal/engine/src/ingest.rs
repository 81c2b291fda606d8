//! What services publish: with a name of their own by REST, or as raw bytes into a conversation's topic.

use crate::Engine;
use crate::api::append;
use crate::lane::{Reply, Waiting};
use lockstep_model::{Body, ClientMsgId, Code, ConversationId, Kind, SendOutcome, Sent, ServiceName, body_of_raw};
use lockstep_ports::Author;
use tokio::sync::oneshot;

/// What became of a raw message, so that whoever took it from a broker knows what to do with it (I7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ingested {
    /// It is on disk: finish the message.
    Stored(Sent),
    /// It had been on disk before, and reaches nobody again: finish the message.
    Duplicate(Sent),
    /// It will never be stored, however often it comes: finish the message, and say in the log that it was dropped.
    Refused(Code),
    /// It could not be stored now: give the message back for later.
    TryAgain,
}

impl From<SendOutcome> for Ingested {
    fn from(outcome: SendOutcome) -> Self {
        match outcome {
            Ok(sent) if sent.duplicate => Self::Duplicate(sent),
            Ok(sent) => Self::Stored(sent),
            Err(Code::TryAgain) => Self::TryAgain,
            Err(code) => Self::Refused(code),
        }
    }
}

impl Engine {
    /// Publishes a service's message. Returns once it is on disk (I1). Whether the service may is decided before.
    pub async fn publish(
        &self,
        service: ServiceName,
        conversation: ConversationId,
        client_msg_id: ClientMsgId,
        body: Body,
    ) -> SendOutcome {
        self.publish_as(service, conversation, client_msg_id, Kind::Message, body).await
    }

    /// Publishes a service's entry of any kind that services may send, as [`publish`](Self::publish) does.
    pub async fn publish_as(
        &self,
        service: ServiceName,
        conversation: ConversationId,
        client_msg_id: ClientMsgId,
        kind: Kind,
        body: Body,
    ) -> SendOutcome {
        let (sender, outcome) = oneshot::channel();
        let append = append(Author::Service(service), conversation, client_msg_id, kind, body);
        self.0.lane.send(Waiting { append, peer: None, reply: Reply::Request(sender) });
        answered(outcome).await
    }

    /// Stores what came as raw bytes for a conversation, with the sender `service:nsq`. `key` names the message once
    /// (I2): the same key with the same bytes is stored once.
    pub async fn ingest(&self, conversation: ConversationId, raw: &[u8], key: ClientMsgId) -> Ingested {
        match body_of_raw(raw) {
            Ok(body) => self.publish(ServiceName::nsq(), conversation, key, body).await.into(),
            Err(error) => Ingested::Refused(error.code()),
        }
    }

    /// Stores what came as raw bytes, each for its conversation and under its key, in their order and as one batch. The
    /// answers stand in that order.
    pub async fn ingest_many<'r>(
        &self,
        raws: impl Iterator<Item = (ConversationId, &'r [u8], ClientMsgId)>,
    ) -> Vec<Ingested> {
        let queue = |(conversation, raw, key): (ConversationId, &[u8], ClientMsgId)| {
            let body = body_of_raw(raw).map_err(|error| error.code())?;
            let (sender, outcome) = oneshot::channel();
            let append = append(Author::Service(ServiceName::nsq()), conversation, key, Kind::Message, body);
            self.0.lane.send(Waiting { append, peer: None, reply: Reply::Request(sender) });
            Ok(outcome)
        };
        let queued: Vec<Result<oneshot::Receiver<SendOutcome>, Code>> = raws.map(queue).collect();
        let mut outcomes = Vec::with_capacity(queued.len());
        for outcome in queued {
            outcomes.push(match outcome {
                Ok(outcome) => answered(outcome).await.into(),
                Err(code) => Ingested::Refused(code),
            });
        }
        outcomes
    }

    /// Stores several bodies for a conversation in their order, with the sender `service:nsq`, each under a new name. None
    /// is taken if there is no room for all; a store that fails midway may have kept the first of them.
    ///
    /// # Errors
    ///
    /// The first code with which one was refused.
    pub async fn ingest_all(&self, conversation: ConversationId, bodies: Vec<Body>) -> Result<(), Code> {
        let (mut batch, mut outcomes) = (Vec::with_capacity(bodies.len()), Vec::with_capacity(bodies.len()));
        for body in bodies {
            let (sender, outcome) = oneshot::channel();
            let append =
                append(Author::Service(ServiceName::nsq()), conversation, ClientMsgId::random(), Kind::Message, body);
            batch.push(Waiting { append, peer: None, reply: Reply::Request(sender) });
            outcomes.push(outcome);
        }
        self.0.lane.send_all(batch);
        let mut all = Ok(());
        for outcome in outcomes {
            all = all.and(answered(outcome).await.map(drop));
        }
        all
    }
}

/// The lane answers everything that it takes; it goes away only with the whole engine.
pub(crate) async fn answered(outcome: oneshot::Receiver<SendOutcome>) -> SendOutcome {
    outcome.await.unwrap_or(Err(Code::TryAgain))
}
