//! Users who have been in more conversations than anybody may be in at once.

mod common;

use common::{NOW, author, count, execute, group, meddle, open};
use lockstep_model::{ConversationId, Seq};
use lockstep_ports::{Actor, CursorRow, Directory, ENDED_STAYS_MAX, Groups};

/// So many are looked at, whatever the device has acknowledged of them, and so many are kept.
#[tokio::test]
async fn so_many_ended_stays_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let ana = author(&store, "ana").await;
    let current = group(&store, &[&ana]).await;
    let mut meddler = meddle(folder.path()).await;
    // The higher the number, the later it was left.
    let left = "CREATE TEMP TABLE numbers AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10003) \
         SELECT i, unhex(format('%016x%016x', i, i)) AS id FROM n; \
         INSERT INTO conversations (id, kind, head, created_at, active_at) SELECT id, 'group', 9, 1, 1 FROM numbers; \
         INSERT INTO members (conversation, joined_seq, user, visible_from_seq, left_seq, left_at) \
           SELECT id, 0, 'ana', 1, 9, i FROM numbers";
    execute(&mut meddler, left).await;
    let number = |conversation: ConversationId| u128::from_be_bytes(*conversation.as_bytes()) as u64;
    let followed = async || {
        let followed = store.followed(ana.user.clone(), ana.device).await.expect("followed");
        assert!(followed[1..].iter().any(|row| row.conversation == current), "that of a member is always there");
        let ended = followed.iter().filter(|row| row.intervals.end().is_some()).map(|row| number(row.conversation));
        let mut ended: Vec<u64> = ended.collect();
        ended.sort_unstable();
        ended
    };
    assert_eq!(followed().await, (4..=10_003).collect::<Vec<_>>());
    assert_eq!(followed().await.len() as u64, ENDED_STAYS_MAX);
    let conversation = |number: u64| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id[8..].copy_from_slice(&number.to_be_bytes());
        ConversationId::from_bytes(id)
    };
    let cursor = |number, seq| CursorRow { device: ana.device, conversation: conversation(number), seq: Seq::new(seq) };
    // Acknowledged to its end, and not quite.
    store.store_cursors(vec![cursor(10_003, 9), cursor(10_002, 8)]).await.expect("store_cursors");
    assert_eq!(followed().await, (4..=10_002).collect::<Vec<_>>());
    store.store_cursors((5..=10_002).map(|number| cursor(number, 9)).collect()).await.expect("store_cursors");
    assert_eq!(followed().await, [4]);
    let actor = Actor { conversation: current, user: ana.user.clone(), now: NOW };
    store.leave(actor).await.expect("leave").expect("a member may leave");
    let ended = "SELECT count(*) FROM members WHERE user = 'ana' AND left_seq IS NOT NULL";
    assert_eq!(count(&mut meddler, ended).await as u64, ENDED_STAYS_MAX);
    assert_eq!(count(&mut meddler, "SELECT min(left_at) FROM members WHERE user = 'ana'").await, 5);
}
