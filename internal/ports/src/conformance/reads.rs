//! The part of the directory's suite about what is read and unread.

use super::Stores;
use super::world::{Member, at, message, message_of, seq};
use crate::{Append, Author, SCANNED_MAX};
use lockstep_model::{
    ConversationId, Kind, PersonalChange, Receipt, ReceiptSettings, ReceiptSettingsChange, Seq, ServiceName,
    StateChange, UnixMs, Unread, UnreadTotal, UserId,
};

pub(super) async fn reads(stores: &Stores) {
    what_counts_as_unread(stores).await;
    exact_up_to_the_bound(stores).await;
    only_so_many_entries_are_looked_at(stores).await;
    only_so_many_entries_of_all_that_is_asked(stores).await;
    the_total_leaves_out_what_is_put_away(stores).await;
    receipts_of_those_who_tell(stores).await;
    settings_change_in_parts(stores).await;
}

async fn unread(stores: &Stores, user: &UserId, conversations: &[ConversationId]) -> Vec<Unread> {
    stores.directory.unread(user.clone(), conversations.to_vec()).await.expect("unread")
}

async fn count(stores: &Stores, user: &UserId, conversation: ConversationId) -> (u64, bool) {
    let counted = unread(stores, user, &[conversation]).await;
    (counted[0].unread, counted[0].more)
}

async fn change(stores: &Stores, user: &UserId, conversation: ConversationId, change: StateChange) {
    let changed = stores.directory.change_state(user.clone(), conversation, change, at(1)).await;
    changed.expect("change_state").expect("a member");
}

fn of_kind(author: &Member, conversation: ConversationId, kind: &str) -> Append {
    let kind = Kind::from_text(kind);
    Append { kind, ..message(author, conversation, "not a message") }
}

async fn what_counts_as_unread(stores: &Stores) {
    let (ana, ben) = (stores.make_author().await, stores.make_author().await);
    let stranger = stores.make_user().await;
    let group = stores.make_group(&[&ana.user, &ben.user], at(0)).await.id;
    let quiet = stores.make_group(&[&ana.user], at(0)).await.id;
    let service = Author::Service(ServiceName::new("weather").expect("a name"));
    let batch = vec![
        message(&ben, group, "1"),
        message(&ana, group, "own"),
        of_kind(&ben, group, "some_later_kind"),
        message_of(service, group, "4"),
        message(&ben, group, "5"),
    ];
    let outcomes = stores.log.append(batch).await.expect("append");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let expected = |read, unread, marked| Unread {
        conversation: group,
        read: seq(read),
        head: seq(5),
        unread,
        more: false,
        mentions: 0,
        marked,
    };
    assert_eq!(unread(stores, &ana.user, &[group]).await, [expected(0, 3, false)]);
    for (read, left) in [(1, 2), (3, 2), (4, 1), (5, 0)] {
        stores.offsets.advance(ana.user.clone(), group, seq(read)).await.expect("advance");
        assert_eq!(unread(stores, &ana.user, &[group]).await, [expected(read, left, false)]);
    }
    change(stores, &ana.user, group, StateChange { marked_unread: Some(true), ..StateChange::default() }).await;
    assert_eq!(unread(stores, &ana.user, &[group]).await, [expected(5, 0, true)]);
    // In the order asked, as often as asked; the user never was in the others.
    let asked = [quiet, group, ConversationId::generate(), group];
    let answered: Vec<_> = unread(stores, &ana.user, &asked).await.iter().map(|one| one.conversation).collect();
    assert_eq!(answered, [quiet, group, group]);
    assert!(unread(stores, &stranger.id, &asked).await.is_empty() && unread(stores, &ana.user, &[]).await.is_empty());
    // What is hidden counts no more; what is gone neither.
    assert_eq!(count(stores, &ben.user, group).await, (2, false));
    change(stores, &ben.user, group, StateChange { delete_before: Some(seq(3)), ..StateChange::default() }).await;
    assert_eq!(count(stores, &ben.user, group).await, (1, false));
    stores.log.raise_floor(group, seq(5)).await.expect("raise_floor");
    assert_eq!(count(stores, &ben.user, group).await, (0, false));
}

async fn exact_up_to_the_bound(stores: &Stores) {
    let (ana, ben) = (stores.make_author().await, stores.make_author().await);
    let group = stores.make_group(&[&ana.user, &ben.user], at(0)).await.id;
    stores.fill(&ben, group, 999).await;
    assert_eq!(count(stores, &ana.user, group).await, (999, false));
    stores.fill(&ben, group, 1).await;
    assert_eq!(count(stores, &ana.user, group).await, (999, true));
    stores.offsets.advance(ana.user.clone(), group, seq(1)).await.expect("advance");
    assert_eq!(count(stores, &ana.user, group).await, (999, false));
    stores.offsets.advance(ana.user.clone(), group, seq(998)).await.expect("advance");
    assert_eq!(count(stores, &ana.user, group).await, (2, false));
}

async fn only_so_many_entries_are_looked_at(stores: &Stores) {
    let (ana, ben) = (stores.make_author().await, stores.make_author().await);
    let group = stores.make_group(&[&ana.user, &ben.user], at(0)).await.id;
    stores.fill(&ben, group, 1).await;
    stores.fill(&ana, group, SCANNED_MAX - 1).await;
    assert_eq!(count(stores, &ana.user, group).await, (1, false));
    stores.fill(&ben, group, 1).await;
    assert_eq!(count(stores, &ana.user, group).await, (1, true));
    let total = stores.directory.unread_total(ana.user.clone(), at(0)).await.expect("unread_total");
    assert_eq!(total, UnreadTotal { unread: 1, more: true, mentions: 0, marked: 0 });
}

/// Whoever asks about many conversations costs no more than who asks about one.
async fn only_so_many_entries_of_all_that_is_asked(stores: &Stores) {
    let (ana, ben) = (stores.make_author().await, stores.make_author().await);
    let mut groups = Vec::new();
    // Of both long ones the last entry counts, so that it shows whether it was looked at.
    for own in [SCANNED_MAX / 2, 0, SCANNED_MAX / 2] {
        let group = stores.make_group(&[&ana.user, &ben.user], at(0)).await.id;
        stores.fill(&ana, group, own).await;
        stores.fill(&ben, group, 1).await;
        groups.push(group);
    }
    let [long, short, other] = groups[..] else { unreachable!() };
    let counts = async |asked: &[ConversationId]| {
        let counted = unread(stores, &ana.user, asked).await;
        counted.iter().map(|one| (one.unread, one.more)).collect::<Vec<_>>()
    };
    assert_eq!(counts(&[long, short]).await, [(1, false), (1, false)]);
    assert_eq!(counts(&[long, short, other]).await, [(0, true), (1, false), (0, true)]);
    // What is left of the share of a shorter one goes to the others.
    stores.offsets.advance(ana.user.clone(), other, seq(10)).await.expect("advance");
    assert_eq!(counts(&[long, short, other]).await, [(1, false), (1, false), (1, false)]);
}

async fn the_total_leaves_out_what_is_put_away(stores: &Stores) {
    let (ana, ben) = (stores.make_author().await, stores.make_author().await);
    let mut groups = Vec::new();
    for messages in 1..=4 {
        let group = stores.make_group(&[&ana.user, &ben.user], at(0)).await.id;
        stores.fill(&ben, group, messages).await;
        groups.push(group);
    }
    let total = async |now: u64| {
        let total = stores.directory.unread_total(ana.user.clone(), UnixMs::new(now)).await.expect("unread_total");
        assert!(!total.more && total.mentions == 0);
        (total.unread, total.marked)
    };
    assert_eq!(total(50).await, (10, 0));
    let none = StateChange::default();
    let steps = [
        (StateChange { archived: Some(true), ..none }, 0, (9, 0)),
        (StateChange { muted_until: Some(UnixMs::new(51)), ..none }, 1, (7, 0)),
        (StateChange { muted_until: Some(UnixMs::new(50)), ..none }, 1, (9, 0)),
        (StateChange { marked_unread: Some(true), ..none }, 0, (9, 0)),
        (StateChange { marked_unread: Some(true), ..none }, 3, (9, 1)),
        (StateChange { delete_before: Some(seq(4)), ..none }, 3, (6, 1)),
        (StateChange { archived: Some(false), ..none }, 0, (7, 2)),
    ];
    for (step, group, expected) in steps {
        change(stores, &ana.user, groups[group], step).await;
        assert_eq!(total(50).await, expected, "{step:?} of {group}");
    }
    stores.offsets.advance(ana.user.clone(), groups[2], seq(2)).await.expect("advance");
    assert_eq!(total(50).await, (5, 2));
    assert_eq!(
        stores.directory.unread_total(super::world::nobody(), at(0)).await.expect("unread_total"),
        UnreadTotal::default()
    );
}

async fn receipts_of_those_who_tell(stores: &Stores) {
    let (ana, ben) = (stores.make_author().await, stores.make_author().await);
    let laptop = stores.make_device(&ben.user).await;
    let group = stores.make_group(&[&ana.user, &ben.user], at(0)).await.id;
    let feed = stores.make_user().await.feed;
    for (conversation, tells) in [(group, true), (feed, false), (ConversationId::generate(), false)] {
        assert_eq!(stores.directory.tells_receipts(conversation).await.expect("tells_receipts"), tells);
    }
    stores.store_cursor(ben.device, group, 4).await;
    stores.store_cursor(laptop.id, group, 6).await;
    stores.offsets.advance(ben.user.clone(), group, seq(3)).await.expect("advance");
    let receipts = async |after: Option<(Seq, UserId)>, count| {
        let found = stores.directory.receipts(group, after, count).await.expect("receipts");
        let mut found: Vec<Receipt> = found.into_iter().map(|(_, receipt)| receipt).collect();
        found.sort_by_key(|receipt| receipt.user != ben.user);
        found
    };
    let receipt = |member: &Member, delivered: Option<u64>, read: Option<u64>| Receipt {
        user: member.user.clone(),
        delivered: delivered.map(seq),
        read: read.map(seq),
    };
    let anas = receipt(&ana, Some(0), Some(0));
    assert_eq!(receipts(None, 10).await, [receipt(&ben, Some(6), Some(3)), anas.clone()]);
    let first = stores.directory.receipts(group, None, 1).await.expect("receipts");
    let rest = receipts(Some((first[0].0, first[0].1.user.clone())), 10).await;
    assert_eq!((first.len(), rest.len()), (1, 1));
    for (delivered, read) in [(true, false), (false, true), (false, false)] {
        let change = ReceiptSettingsChange { delivered: Some(delivered), read: Some(read) };
        stores.directory.change_receipt_settings(ben.user.clone(), change, at(1)).await.expect("change").expect("ben");
        let expected = receipt(&ben, delivered.then_some(6), read.then_some(3));
        assert_eq!(receipts(None, 10).await, [expected, anas.clone()]);
    }
}

async fn settings_change_in_parts(stores: &Stores) {
    let user = stores.make_user().await;
    let settings = async || stores.directory.receipt_settings(user.id.clone()).await.expect("receipt_settings");
    let change = async |delivered, read| {
        let change = ReceiptSettingsChange { delivered, read };
        let changed = stores.directory.change_receipt_settings(user.id.clone(), change, at(1)).await;
        changed.expect("change_receipt_settings").expect("the user exists")
    };
    assert_eq!(settings().await, Some(ReceiptSettings { delivered: true, read: true }));
    let steps = [
        ((None, Some(false)), (true, false), 1),
        ((None, Some(false)), (true, false), 0),
        ((Some(false), None), (false, false), 1),
        ((Some(true), Some(true)), (true, true), 1),
        ((None, None), (true, true), 0),
    ];
    for ((delivered, read), expected, told) in steps {
        let changed = change(delivered, read).await;
        let expected = ReceiptSettings { delivered: expected.0, read: expected.1 };
        assert_eq!((changed.value, settings().await, changed.entries.len()), (expected, Some(expected), told));
        if let Some(entry) = changed.entries.first() {
            assert_eq!((entry.conversation, &entry.body), (user.feed, &PersonalChange::Settings(expected).to_body()));
            assert_eq!(stores.range(user.feed, entry.seq.get(), 1).await, changed.entries);
        }
    }
    let nobody = super::world::nobody();
    let change =
        stores.directory.change_receipt_settings(nobody.clone(), ReceiptSettingsChange::default(), at(1)).await;
    assert_eq!(change.expect("change_receipt_settings"), None);
    assert_eq!(stores.directory.receipt_settings(nobody).await.expect("receipt_settings"), None);
}
