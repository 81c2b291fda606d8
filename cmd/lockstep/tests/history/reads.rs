//! Those who read by REST: what was recalled, while all talk, and whole logs in the end.

use crate::crowd::{Crowd, User};
use crate::run::PATIENCE;
use anyhow::{Context, Result, ensure};
use lockstep_protocol::{ConversationId, Entry, Seq};
use lockstep_testkit::{Dice, Record, ask};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A page is read after so many messages of devices.
const MESSAGES_PER_READ: usize = 10;
/// Entries of a page: enough for a message and its edits.
const PAGE: usize = 100;

/// Reads around recalled messages again and again while the devices send so many messages. Returns how many pages came.
pub(crate) async fn read_recalled(
    readers: BTreeMap<ConversationId, User>,
    server: SocketAddr,
    record: Record,
    messages: usize,
    mut dice: Dice,
) -> Result<usize> {
    let mut pages = 0;
    for number in 0..messages / MESSAGES_PER_READ {
        let (after, what) = (number * MESSAGES_PER_READ, format!("page {number} may be read"));
        record.until(&what, PATIENCE, |history| history.acknowledged_count() >= after).await?;
        let (began, recalled) = record.read(|history| (history.moment(), history.recalled_messages().to_vec()));
        let Some(latest) = recalled.last() else { continue };
        let (conversation, message) = if dice.below(2) == 0 { *latest } else { *dice.pick(&recalled) };
        let reader = readers.get(&conversation).context("every conversation has a reader")?;
        // No answer, or half of one: the server is being killed.
        if let Ok(page) = page(server, reader, conversation, message.previous()).await {
            ensure!(page.first().is_some_and(|entry| entry.seq == message), "{conversation}/{message} is gone");
            record.write(|history| history.read(began, &page));
            pages += 1;
        }
    }
    Ok(pages)
}

/// Reads the logs of all conversations whose members come and go, as their owners see them, into the history.
pub(crate) async fn read_logs(crowd: &Crowd) -> Result<()> {
    for place in &crowd.restless {
        let began = crowd.record.read(|history| history.moment());
        let mut log: Vec<Entry> = Vec::new();
        loop {
            let last = log.last().map(|entry| entry.seq).unwrap_or_default();
            let page = page(crowd.server.address(), &place.owner, place.id, last).await?;
            if page.is_empty() {
                break;
            }
            log.extend(page);
        }
        let whole = log.iter().zip(1..).all(|(entry, seq)| entry.seq == Seq::new(seq));
        ensure!(whole, "the log of {} has holes", place.id);
        crowd.record.write(|history| {
            history.read(began, &log);
            history.log(place.id, &log);
        });
    }
    Ok(())
}

async fn page(server: SocketAddr, reader: &User, conversation: ConversationId, after: Seq) -> Result<Vec<Entry>> {
    let path = format!("/v1/conversations/{conversation}/messages?after={after}&limit={PAGE}");
    let answer = ask(server, "GET", &path, &[&reader.authorization()], None).await?;
    ensure!(answer.status == 200, "GET {path}: {answer:?}");
    let page: Value = serde_json::from_str(&answer.text).context("a page is JSON")?;
    let entries = page["entries"].as_array().context("a page has entries")?;
    entries.iter().map(|entry| Ok(serde_json::from_str(&entry.to_string())?)).collect()
}
