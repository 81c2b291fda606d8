//! A removal of a device that a main device fills, before the first chunk, between two, or at the last acknowledgement.

use crate::linking::linked;
use crate::races::fenced;
use crate::scene::{AFTER, Ben, House, allowed};
use anyhow::{Context, Result, bail, ensure};
use lockstep_client::protocol::{BootstrapId, BootstrapState, Code};
use lockstep_client::{Client, ClientConfig, Event, Events, Filling, FixedToken, MemoryStore};
use lockstep_testkit::{Crumbs, Dice, Heard, Wire};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(30);
const GROUPS: usize = 3;
const WORDS: usize = 3;
/// More steps than there are before the last acknowledgement.
const LAST: usize = 1_000;

/// The main device: the SDK, which gives one entry at a time.
struct Phone {
    _client: Client,
    events: Events,
    /// The fillings that it is asked for.
    open: BTreeSet<BootstrapId>,
    /// How many it was asked for.
    asked: usize,
    /// How often it heard what came after the return.
    words: usize,
}

impl Phone {
    async fn start(house: &House, token: &str) -> Result<Self> {
        let store = Arc::new(MemoryStore::new());
        let tokens = Arc::new(FixedToken::new(token.to_owned()));
        let mut config = ClientConfig::new(house.server.door(), tokens, store.clone());
        config.gives_history = Some(Arc::new(Crumbs(store)));
        let (client, mut events) = Client::start(config);
        while events.next().await.context("it goes on")? != Event::CaughtUp {}
        Ok(Self { _client: client, events, open: BTreeSet::new(), asked: 0, words: 0 })
    }

    /// Goes on until it has heard so much, and all that it was asked for is over.
    async fn until_over(&mut self, asked: usize, words: usize) -> Result<()> {
        let hearing = async {
            while self.asked < asked || self.words < words || !self.open.is_empty() {
                match self.events.next().await.context("the phone is out too")? {
                    Event::Filling(Filling::Asked { bootstrap, .. }) => {
                        self.asked += 1;
                        self.open.insert(bootstrap);
                    }
                    Event::Filling(Filling::Progress(progress)) if is_end(progress.state) => {
                        self.open.remove(&progress.bootstrap);
                    }
                    Event::Entry(entry) => self.words += usize::from(entry.body.as_json().contains(AFTER)),
                    _ => {}
                }
            }
            anyhow::Ok(())
        };
        let heard = tokio::time::timeout(PATIENCE, hearing).await;
        heard.with_context(|| format!("asked {}, open {:?}, {} words", self.asked, self.open, self.words))?
    }
}

fn is_end(state: BootstrapState) -> bool {
    matches!(state, BootstrapState::Stopped | BootstrapState::Done)
}

/// Is filled until it is out. Counts its steps: the request and each acknowledgement, of which the last one is the [`LAST`].
async fn be_filled(mut wire: Wire, steps: &watch::Sender<usize>) -> Result<()> {
    wire.send(&json!({"type": "bootstrap", "ref": 2})).await?;
    steps.send_replace(1);
    let mut left = 0;
    loop {
        match wire.next().await? {
            Heard::Frame(frame) => {
                allowed(&frame)?;
                match frame["type"].as_str().unwrap_or_default() {
                    "bootstrap_conversation" => left += frame["unread"]["head"].as_u64().context("a head")?,
                    "chunk" => {
                        left -= 1;
                        steps.send_modify(|count| *count = if left == 0 { LAST } else { *count + 1 });
                        let ack = json!({"type": "chunk_ack", "bootstrap": frame["bootstrap"],
                            "conversation": frame["conversation"], "seq": frame["to_seq"]});
                        // It may be out by now.
                        let _sent = wire.send(&ack).await;
                    }
                    "error" => ensure!(frame["code"] != "too_many_bootstraps", "a filling is left over"),
                    _ => {}
                }
            }
            Heard::Closed(close, _) if close == Code::DeviceRemoved.spec().close => return Ok(()),
            Heard::Gone => return Ok(()),
            other => bail!("{other:?}"),
        }
    }
}

pub(crate) async fn against_a_filling(house: &House, mut ben: Ben, dice: &mut Dice) -> Result<()> {
    let mut groups = vec![ben.group.clone()];
    while groups.len() < GROUPS {
        groups.push(house.group(&ben.user).await?);
    }
    for group in &groups {
        for _ in 0..WORDS {
            house.say(group, "before").await?;
        }
    }
    let mut phone = Phone::start(house, ben.phone.token()).await?;
    ben.device = linked(house, ben.phone.token()).await?;
    let wire = Wire::live(&house.server.door(), ben.device.token()).await?;
    let (steps, mut stepped) = watch::channel(0);
    let chunks = 2 + dice.below(GROUPS * WORDS);
    let moment = *dice.pick(&[0, 1, chunks, LAST]);
    // Signed out or removed: to a sub device that is the same.
    let itself = dice.below(3) == 0;
    let removing = async {
        stepped.wait_for(|step| *step >= moment).await?;
        let token = if itself { ben.device.token() } else { ben.phone.token() };
        house.remove(token, &ben.device.id).await
    };
    let (answer, ()) = tokio::try_join!(removing, be_filled(wire, &steps))?;
    fenced(house, &ben, &answer, &groups).await?;
    let was_asked = *steps.borrow() > 1;
    phone.until_over(usize::from(was_asked), GROUPS).await.with_context(|| format!("removed at step {moment}"))?;

    // There is room for one filling in all.
    let next = linked(house, ben.phone.token()).await?;
    let mut wire = Wire::live(&house.server.door(), next.token()).await?;
    wire.send(&json!({"type": "bootstrap", "ref": 2})).await?;
    let answer = wire.until_any(&["bootstrap_started", "error"]).await?;
    ensure!(answer["type"] == "bootstrap_started", "removed at step {moment}: {answer}");
    let removed = house.remove(ben.phone.token(), &next.id).await?;
    ensure!(removed.status == 200, "{removed:?}");
    house.is_out(&next).await
}
