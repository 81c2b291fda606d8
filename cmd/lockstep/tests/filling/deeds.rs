//! What people do in their groups, as chance wants.

use crate::scene::{House, Speaker};
use anyhow::{Result, bail};
use lockstep_client::protocol::{Body, ConversationId, Seq, UserId};
use lockstep_client::{Client, Pending, SendError};
use lockstep_testkit::Dice;
use tokio::sync::{Mutex, watch};

/// What one does at most while a device is filled.
const DEEDS_MAX: usize = 300;

/// The groups of a user, some of which are made only while a device is filled.
pub(crate) struct Groups<'a> {
    pub(crate) house: &'a House,
    pub(crate) ana: UserId,
    pub(crate) all: Mutex<Vec<ConversationId>>,
}

impl Groups<'_> {
    pub(crate) async fn make(&self) -> Result<()> {
        let group = self.house.group(&[&self.ana, &self.house.cleo.user]).await?;
        self.all.lock().await.push(group);
        Ok(())
    }

    /// Ben or cleo goes on until it is over.
    pub(crate) async fn go_on(&self, who: &Speaker, mut dice: Dice, over: watch::Receiver<bool>) -> Result<()> {
        let mut said = Vec::new();
        for _ in 0..DEEDS_MAX {
            if *over.borrow() {
                break;
            }
            self.deed(who, &mut said, &mut dice).await?;
        }
        Ok(())
    }

    /// One thing. `said` is what this one may edit and recall.
    pub(crate) async fn deed(
        &self,
        who: &Speaker,
        said: &mut Vec<(ConversationId, Seq)>,
        dice: &mut Dice,
    ) -> Result<()> {
        let group = *dice.pick(&self.all.lock().await);
        let old = (!said.is_empty()).then(|| dice.below(said.len()));
        match (dice.below(20), old) {
            (0..=2, Some(index)) => {
                let (group, seq) = said[index];
                taken(who.client.edit(group, seq, &Body::text("edited")).await).await?;
            }
            (3..=6, Some(index)) => {
                let (group, seq) = said.swap_remove(index);
                taken(who.client.recall(group, seq).await).await?;
            }
            (7..=8, Some(index)) => {
                let (group, seq) = said[index];
                taken(who.client.react(group, seq, "+1", dice.below(2) == 0).await).await?;
            }
            (9, _) if who.user == self.house.cleo.user => {
                // She may be out already.
                let _refused = who.rest.leave(group).await;
            }
            (9, _) => {
                self.house.ben.rest.invite(group, std::slice::from_ref(&self.house.cleo.user)).await?;
            }
            (10, _) if who.user == self.house.ben.user && self.all.lock().await.len() < 6 => self.make().await?,
            _ => {
                let text = "x".repeat(1 + dice.below(40));
                let sent =
                    who.client.enqueue(lockstep_client::protocol::Target::Conversation(group), Body::text(&text));
                if let Some(seq) = taken(sent.await).await? {
                    said.push((group, seq));
                }
            }
        }
        Ok(())
    }

    /// Ana reads on a device of hers, here and there.
    pub(crate) async fn read(&self, client: Client, mut dice: Dice, over: watch::Receiver<bool>) -> Result<()> {
        for seq in 1..=DEEDS_MAX as u64 {
            if *over.borrow() {
                break;
            }
            let group = *dice.pick(&self.all.lock().await);
            match client.read(group, Seq::new(seq)).await {
                // Nobody has written so much there, or the device is started anew.
                Ok(()) | Err(SendError::Refused { .. } | SendError::Stopped) => {}
                Err(error) => bail!(error),
            }
        }
        Ok(())
    }
}

/// Where it stands, if the server took it: of cleo, who comes and goes, it does not take everything.
async fn taken(pending: Result<Pending, SendError>) -> Result<Option<Seq>> {
    match pending?.answer().await {
        Ok(sent) => Ok(Some(sent.seq)),
        Err(SendError::Refused { .. }) => Ok(None),
        Err(error) => bail!(error),
    }
}
