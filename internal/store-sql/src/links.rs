//! The links' part of the directory.

use crate::row::{Columns, link_columns};
use crate::sql::Values;
use crate::store::SqliteStore;
use crate::write::{AddLink, AnswerLink, ClaimLink};
use async_trait::async_trait;
use lockstep_model::{Device, Link, LinkId, SecretHash, UnixMs};
use lockstep_ports::{
    Committed, LinkAnswer, LinkClaim, LinkRefusal, LinkSecret, LinkState, Links, NewLink, StoreError,
};

type Refusable<T> = Result<Result<T, LinkRefusal>, StoreError>;

#[async_trait]
impl Links for SqliteStore {
    async fn add_link(&self, link: NewLink) -> Refusable<()> {
        self.command(AddLink(link)).await
    }

    async fn find_link(
        &self,
        link: Option<LinkId>,
        shown: LinkSecret,
        now: UnixMs,
    ) -> Result<Option<Link>, StoreError> {
        const BY_ID: &str = concat!(
            "SELECT code, scan, ",
            link_columns!(),
            " FROM links WHERE id = ? AND state = 'waiting' AND expires_at > ?"
        );
        const BY_CODE: &str = concat!(
            "SELECT code, scan, ",
            link_columns!(),
            " FROM links WHERE code = ? AND state = 'waiting' AND expires_at > ?"
        );
        let take = |columns: &mut Columns<'_>| {
            let (code, scan) = (columns.secret_hash()?, columns.secret_hash()?);
            Ok((code, scan, columns.link()?))
        };
        let mut values = Values::new();
        let found = match (link, shown) {
            (Some(id), _) => self.ask("find_link", BY_ID, values.blob(id.as_bytes()).int(now.get()), take).await?,
            // What is looked up is a MAC: how long that takes says nothing about the code.
            (None, LinkSecret::Code(code)) => {
                self.ask("find_link", BY_CODE, values.blob(&code.0).int(now.get()), take).await?
            }
            (None, LinkSecret::Scan(_)) => return Ok(None),
        };
        let is_shown = |code, scan| match shown {
            LinkSecret::Code(shown) => shown == code,
            LinkSecret::Scan(shown) => shown == scan,
        };
        Ok(found.into_iter().next().and_then(|(code, scan, link)| is_shown(code, scan).then_some(link)))
    }

    async fn link_state(&self, link: LinkId, secret: SecretHash, now: UnixMs) -> Result<Option<LinkState>, StoreError> {
        const FIND: &str = "SELECT l.secret, l.state, l.expires_at, d.id FROM links l LEFT JOIN devices d \
             ON l.state = 'claimed' AND d.id = l.device AND d.tokens_unused = 1 AND d.removed_at IS NULL \
               AND d.signed_out_at IS NULL \
             WHERE l.id = ? AND l.expires_at > ?";
        let take = |columns: &mut Columns<'_>| {
            let (secret, state) = (columns.secret_hash()?, columns.text()?.to_owned());
            Ok((secret, state, columns.time()?, columns.optional_device_id()?))
        };
        let mut values = Values::new();
        values.blob(link.as_bytes()).int(now.get());
        let found = self.ask("link_state", FIND, &mut values, take).await?.into_iter().next();
        Ok(found.filter(|(its, ..)| *its == secret).and_then(|(_, state, expires_at, unused)| match &*state {
            "waiting" => Some(LinkState::Waiting(expires_at)),
            "approved" => Some(LinkState::Approved),
            "refused" => Some(LinkState::Refused),
            "claimed" => unused.map(LinkState::Unused),
            _ => None,
        }))
    }

    async fn answer_link(&self, answer: LinkAnswer) -> Refusable<()> {
        self.command(AnswerLink(answer)).await
    }

    async fn claim_link(&self, claim: LinkClaim) -> Refusable<Committed<Device>> {
        self.command(ClaimLink(claim)).await
    }
}
