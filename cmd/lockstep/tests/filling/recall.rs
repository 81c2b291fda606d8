//! A message that is recalled while a chunk with its body is on the way.

use crate::scene::{Device, House};
use anyhow::{Context, Result, ensure};
use lockstep_client::protocol::{Body, ConversationId, Entry, Held, Seq};
use lockstep_client::{HistorySource, LocalStore, MemoryStore, StoreError, async_trait};
use std::sync::Arc;
use tokio::sync::Semaphore;

const SECRET: &str = "what nobody is to keep";

/// A history that has been read and is given late.
struct Late {
    store: Arc<MemoryStore>,
    read: Semaphore,
    let_go: Semaphore,
}

#[async_trait]
impl HistorySource for Late {
    async fn held(&self) -> Result<Vec<Held>, StoreError> {
        self.store.held().await
    }

    async fn latest(&self, conversation: ConversationId, entries: u32, to: Seq) -> Result<Option<Seq>, StoreError> {
        self.store.latest(conversation, entries, to).await
    }

    async fn stretch(
        &self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let stretch = self.store.stretch(conversation, from, to, bytes_max).await?;
        self.read.add_permits(1);
        self.let_go.acquire().await.map_err(|error| StoreError(error.to_string()))?.forget();
        Ok(stretch)
    }
}

#[tokio::test]
async fn what_is_recalled_while_it_is_given_does_not_stay() -> Result<()> {
    let house = House::start(None).await?;
    let store = Arc::new(MemoryStore::new());
    let late = Arc::new(Late { store: store.clone(), read: Semaphore::new(0), let_go: Semaphore::new(0) });
    let mut config = house.config("ana", "main", store.clone()).await?;
    config.gives_history = Some(late.clone());
    let mut phone = Device::new(config, store);
    phone.start();
    let group = house.group(&[&"ana".parse()?]).await?;
    let secret = house.ben.say(group, SECRET).await?;
    let edit = house.ben.client.edit(group, secret, &Body::text(SECRET)).await?.answer().await?.seq;
    let has = |seq: Seq| move |told: &crate::scene::Told| told.conversations.get(&group).is_some_and(|it| it.has(seq));
    phone.until("the message", has(edit)).await?;

    let store = Arc::new(MemoryStore::new());
    let mut laptop = Device::new(house.config("ana", "sub", store.clone()).await?, store);
    laptop.start();
    late.read.acquire().await?.forget();
    let recall = house.ben.client.recall(group, secret).await?.answer().await?.seq;
    late.let_go.add_permits(100);
    laptop.until("the recall", has(recall)).await?;
    let came = laptop.told.borrow().conversations[&group].entries.clone();
    ensure!(
        came.iter().filter(|entry| entry.body.as_json().contains(SECRET)).count() == 2,
        "the chunk had it: {came:?}"
    );
    for device in [&laptop, &phone] {
        device.until("the recall", has(recall)).await?;
        let kept = device.store.history(group, usize::MAX).await?;
        ensure!(!kept.iter().any(|entry| entry.body.as_json().contains(SECRET)), "{kept:?}");
        let stub = kept.iter().find(|entry| entry.seq == secret).context("its place is there")?;
        ensure!(stub.body.is_recalled(), "{stub:?}");
    }
    let places: Vec<u64> = came.iter().map(|entry| entry.seq.get()).collect();
    ensure!(places == (1..=recall.get()).collect::<Vec<_>>(), "{places:?}");
    Ok(())
}
