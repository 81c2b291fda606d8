//! A device that is filled while others send, edit, recall, react, come and go, and its user reads.

use crate::deeds::Groups;
use crate::scene::{Device, House, Story};
use anyhow::{Context, Result, ensure};
use lockstep_client::protocol::{ConversationId, Entry, Seq};
use lockstep_client::{ClientConfig, LocalStore, MemoryStore};
use lockstep_testkit::{Crumbs, Dice, Nsqds};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// How often the race is run if nobody says otherwise.
const SEEDS: u64 = 10;
/// So much is in the groups before.
const DEEDS_BEFORE: usize = 40;

async fn run(house: &House, seed: u64) -> Result<()> {
    let mut dice = Dice::new(seed);
    let ana = format!("ana-{seed}");
    let store = Arc::new(MemoryStore::with_history(10_000));
    let mut config = house.config(&ana, "main", store.clone()).await?;
    config.gives_history = Some(Arc::new(Crumbs(store.clone())));
    let mut phone = Device::new(config, store);
    phone.start();
    let groups = Groups { house, ana: ana.parse()?, all: Mutex::default() };
    for _ in 0..3 {
        groups.make().await?;
    }
    let mut said = Vec::new();
    for _ in 0..dice.below(DEEDS_BEFORE) {
        groups.deed(&house.ben, &mut said, &mut dice).await?;
    }
    let before = last_words(&groups, &phone).await?;
    // Its answer comes after the server has heard what the phone can give.
    phone.client()?.unread(before.keys().copied().collect()).await?;

    let entries = 1 + dice.below(40) as u32;
    let store = Arc::new(MemoryStore::with_history(10_000));
    let config = ClientConfig { fill_entries: Some(entries), ..house.config(&ana, "sub", store.clone()).await? };
    let mut laptop = Device::new(config, store);
    let (over, is_over) = watch::channel(false);
    let reading = groups.read(phone.client()?, dice.split(), is_over.clone());
    let ben = groups.go_on(&house.ben, dice.split(), is_over.clone());
    let cleo = groups.go_on(&house.cleo, dice.split(), is_over);
    let filling = async {
        let outcome = fill(&mut phone, &mut laptop, &before, entries, &mut dice).await;
        over.send_replace(true);
        outcome
    };
    tokio::try_join!(reading, ben, cleo, filling)?;

    let after = last_words(&groups, &phone).await?;
    for (group, seq) in &after {
        phone.client()?.read(*group, *seq).await?;
        laptop.until("the last word", |told| told.conversations.get(group).is_some_and(|it| it.has(*seq))).await?;
        laptop.until("the offset", |told| told.conversations[group].read == *seq).await?;
    }
    phone.stop().await?;
    laptop.stop().await?;
    let state = laptop.store.load().await?;
    ensure!(state.partial.is_empty(), "{:?} is left", state.partial);
    for (group, last) in &after {
        let story = laptop.told.borrow().conversations[group].clone();
        // Of those that are made meanwhile, the first ones may be filled too.
        let before = before.get(group).map_or(0, |seq| seq.get());
        check(&phone, &laptop, *group, &story, before, entries.into())
            .await
            .with_context(|| format!("{group} up to {last}"))?;
        ensure!(state.offsets.get(group) == Some(last), "{:?} is read", state.offsets);
    }
    Ok(())
}

/// Ben says something in each group, and the phone hears it.
async fn last_words(groups: &Groups<'_>, phone: &Device) -> Result<BTreeMap<ConversationId, Seq>> {
    let mut words = BTreeMap::new();
    for group in groups.all.lock().await.iter() {
        let seq = groups.house.ben.say(*group, "a last word").await?;
        phone.until("what ben said", |told| told.conversations.get(group).is_some_and(|it| it.has(seq))).await?;
        words.insert(*group, seq);
    }
    Ok(words)
}

/// The laptop is filled with these; one of the two may be started anew midway.
async fn fill(
    phone: &mut Device,
    laptop: &mut Device,
    groups: &BTreeMap<ConversationId, Seq>,
    entries: u32,
    dice: &mut Dice,
) -> Result<()> {
    laptop.start();
    // Each entry is a chunk.
    let least: u64 = groups.values().map(|seq| seq.get().min(entries.into())).sum();
    let chunks = 1 + dice.below(least as usize);
    laptop.until("a chunk", |told| told.chunks >= chunks).await?;
    match dice.below(3) {
        0 => {
            laptop.stop().await?;
            laptop.start();
        }
        1 => {
            phone.stop().await?;
            phone.start();
        }
        _ => {}
    }
    laptop.until_filled(groups.keys()).await
}

/// The laptop has what the phone has, from where it was filled on; each place once, in one way or the other. `before` is
/// what was there before it asked to be filled with so many entries.
async fn check(
    phone: &Device,
    laptop: &Device,
    group: ConversationId,
    story: &Story,
    before: u64,
    entries: u64,
) -> Result<()> {
    let (theirs, own) = (phone.store.history(group, usize::MAX).await?, laptop.store.history(group, usize::MAX).await?);
    let seqs = |of: &[Entry]| of.iter().map(|entry| entry.seq.get()).collect::<Vec<_>>();
    let first = own.first().context("it has something")?.seq.get();
    ensure!(seqs(&theirs) == (1..=theirs.len() as u64).collect::<Vec<_>>(), "the phone lacks something");
    ensure!(seqs(&own) == (first..=theirs.len() as u64).collect::<Vec<_>>(), "a hole in {:?}: {story:?}", seqs(&own));
    for (theirs, own) in theirs.iter().skip(first as usize - 1).zip(&own) {
        ensure!(theirs == own, "{own:?} instead of {theirs:?}");
    }
    let mut places: Vec<u64> = story.entries.iter().map(|entry| entry.seq.get()).collect();
    places.extend(story.skips.iter().flat_map(|(from, to)| *from..=*to));
    places.sort_unstable();
    ensure!(places == (1..=theirs.len() as u64).collect::<Vec<_>>(), "chunks, skips and log are {places:?}");
    match story.filled {
        Some(to) => {
            // The phone had at least what was there before, and may have gone on meanwhile.
            let to = to.get();
            let begin = |to: u64| (to + 1).saturating_sub(entries).max(1);
            let window = begin(before)..=begin(to);
            ensure!(window.contains(&first), "it begins with {first} instead of {window:?}");
        }
        // It was made meanwhile, and the phone had not said yet that it has it.
        None => ensure!(before == 0, "no chunk came"),
    }
    Ok(())
}

async fn race(house: House) -> Result<()> {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is a number")),
        Err(_) => Ok(default),
    };
    let (first, seeds): (u64, u64) = (number("FILL_SEED", 1)?, number("FILL_SEEDS", SEEDS)?);
    for seed in first..first + seeds {
        let outcome = run(&house, seed).await;
        outcome.with_context(|| format!("with FILL_SEED={seed}\n{}", house.server.log_tail()))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_everything_inside_the_server() -> Result<()> {
    race(House::start(None).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn on_nsqds() -> Result<()> {
    race(House::start(Some(Nsqds::start_registered(2)?)).await?).await
}
