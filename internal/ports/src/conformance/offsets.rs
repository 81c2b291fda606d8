//! The suite of [`Offsets`](crate::Offsets).

use super::Stores;
use super::world::{at, nobody, seq};
use crate::{Advanced, OffsetsChange};
use lockstep_model::{ConversationId, Offset, OffsetsVersion, UserId};
use tokio::task::JoinSet;

/// Checks a store of read offsets against its contract.
pub async fn offsets(stores: &Stores) {
    the_maximum_wins(stores).await;
    concurrent_advances(stores).await;
    changes_in_order_of_version(stores).await;
    offsets_of_many(stores).await;
}

fn version(number: u64) -> OffsetsVersion {
    OffsetsVersion::new(number)
}

fn offset(conversation: ConversationId, to: u64) -> Offset {
    Offset { conversation, seq: seq(to) }
}

async fn advance(stores: &Stores, user: &UserId, conversation: ConversationId, to: u64) -> Advanced {
    stores.offsets.advance(user.clone(), conversation, seq(to)).await.expect("advance")
}

async fn changes(stores: &Stores, user: &UserId, since: u64, count: u32) -> OffsetsChange {
    stores.offsets.changed_since(user.clone(), version(since), count).await.expect("changed_since")
}

async fn the_maximum_wins(stores: &Stores) {
    let (user, other) = (stores.make_user().await.id, stores.make_user().await.id);
    let group = stores.make_group(&[&user, &other], at(0)).await.id;
    // (to, the offset then, the version then, moved)
    for (to, at, at_version, moved) in
        [(0, 0, 0, false), (5, 5, 1, true), (5, 5, 1, false), (3, 5, 1, false), (6, 6, 2, true)]
    {
        let expected = Advanced { seq: seq(at), version: version(at_version), moved };
        assert_eq!(advance(stores, &user, group, to).await, expected, "to {to}");
        assert_eq!(changes(stores, &user, 0, 10).await.version, version(at_version));
    }
    // Another user's offset is another offset.
    assert_eq!(advance(stores, &other, group, 2).await, Advanced { seq: seq(2), version: version(1), moved: true });
}

async fn concurrent_advances(stores: &Stores) {
    let user = stores.make_user().await.id;
    let groups = [stores.make_group(&[&user], at(0)).await.id, stores.make_group(&[&user], at(0)).await.id];
    let mut tasks = JoinSet::new();
    for number in 0..60 {
        let (stores, user, group) = (stores.clone(), user.clone(), groups[number % 2]);
        // An order that is neither rising nor falling.
        let to = (number as u64 * 17) % 60 + 1;
        tasks.spawn(async move { (to, advance(&stores, &user, group, to).await) });
    }
    let advanced = tasks.join_all().await;
    assert!(advanced.iter().all(|(to, advanced)| advanced.seq >= seq(*to)));
    let mut versions: Vec<u64> =
        advanced.iter().filter(|(_, advanced)| advanced.moved).map(|(_, advanced)| advanced.version.get()).collect();
    versions.sort_unstable();
    assert!(versions.is_sorted_by(|one, next| one < next), "every move has a version of its own: {versions:?}");
    let change = changes(stores, &user, 0, 10).await;
    assert_eq!(Some(&change.version.get()), versions.last());
    let mut seqs: Vec<u64> = change.offsets.iter().map(|offset| offset.seq.get()).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, [59, 60], "the largest that each conversation was given");
}

async fn changes_in_order_of_version(stores: &Stores) {
    let user = stores.make_user().await.id;
    let mut groups = Vec::new();
    for _ in 0..5 {
        groups.push(stores.make_group(&[&user], at(0)).await.id);
    }
    for (number, group) in groups.iter().enumerate() {
        advance(stores, &user, *group, number as u64 + 1).await;
    }
    // The first one moves again: it is the newest now, and named once.
    advance(stores, &user, groups[0], 9).await;
    let all = [(1, 2), (2, 3), (3, 4), (4, 5), (0, 9)].map(|(group, to): (usize, u64)| offset(groups[group], to));
    let change =
        |at_version, offsets: &[Offset]| OffsetsChange { version: version(at_version), offsets: offsets.to_vec() };
    let cases: [(u64, u32, OffsetsChange); 8] = [
        (0, 100, change(6, &all)),
        (0, 2, change(3, &all[..2])),
        (3, 2, change(5, &all[2..4])),
        (5, 2, change(6, &all[4..])),
        (5, 1, change(6, &all[4..])),
        (6, 100, change(6, &[])),
        (2, 100, change(6, &all[1..])),
        // A version of another epoch: the user's newest is the answer.
        (600, 100, change(6, &[])),
    ];
    for (since, count, expected) in cases {
        assert_eq!(changes(stores, &user, since, count).await, expected, "{count} since {since}");
    }
    let untouched = stores.make_user().await.id;
    assert_eq!(changes(stores, &untouched, 0, 5).await, OffsetsChange::default());
    assert_eq!(changes(stores, &nobody(), 0, 5).await, OffsetsChange::default());
}

async fn offsets_of_many(stores: &Stores) {
    let user = stores.make_user().await.id;
    let read = stores.make_group(&[&user], at(0)).await.id;
    let unread = stores.make_group(&[&user], at(0)).await.id;
    advance(stores, &user, read, 4).await;
    let unknown = ConversationId::generate();
    let mut question = vec![unread, read, unknown, read];
    question.resize(300, unread);
    let answers = stores.offsets.offsets(user.clone(), question.clone()).await.expect("offsets");
    assert_eq!(answers[..4], [offset(unread, 0), offset(read, 4), offset(unknown, 0), offset(read, 4)]);
    assert_eq!(answers.iter().map(|answer| answer.conversation).collect::<Vec<_>>(), question);
    assert!(stores.offsets.offsets(user, vec![]).await.expect("offsets").is_empty());
}
