//! The suite of [`MessageLog`](crate::MessageLog).

use super::Stores;
use super::services::new_service;
use super::world::{Member, at, message, message_of, new_entry, nobody, seq};
use crate::{Append, AppendRefusal, Appended, Author, HeadMark, Range};
use lockstep_model::{Body, Bounds, ConversationId, Entry, EntryId, Kind, Offset, Sender, Sent};
use tokio::task::JoinSet;

/// Checks a log against its contract.
pub async fn message_log(stores: &Stores) {
    what_is_appended_is_read_back(stores).await;
    concurrent_batches_leave_no_gaps(stores).await;
    a_resend_gets_the_first_answer(stores).await;
    one_batch_is_as_if_one_came_after_the_other(stores).await;
    a_refusal_leaves_others_untouched(stores).await;
    a_large_batch_is_one_batch(stores).await;
    services_write_without_being_members(stores).await;
    ranges_at_the_edges(stores).await;
    the_floor_rises_and_hides(stores).await;
    bounds_of_many(stores).await;
    moved_heads(stores).await;
}

async fn what_is_appended_is_read_back(stores: &Stores) {
    let author = stores.make_author().await;
    let group = stores.make_group(&[&author.user], at(0)).await.id;
    let bodies =
        [r#"{"type":"text","text":"hi"}"#, r#"{ "n": 1.50,"type":"poll" , "u":"\u00e9ü🦀"}"#, r#"{"type":"x"}"#];
    for (number, (json, kind)) in
        bodies.into_iter().zip([Kind::Message, Kind::from_text("poll"), Kind::System]).enumerate()
    {
        let body = Body::parse(json).expect("a body");
        let append = Append { kind: kind.clone(), body, sent_at: at(number as u64), ..message(&author, group, "") };
        let expected = Entry {
            conversation: group,
            seq: seq(number as u64 + 1),
            id: append.id,
            kind,
            sender: Sender::user(&author.user),
            sender_device: Some(author.device),
            client_msg_id: Some(append.client_msg_id.clone()),
            body: append.body.clone(),
            sent_at: append.sent_at,
        };
        assert_eq!(stores.append_one(append).await, Ok(Appended::New(expected.clone())));
        let read = stores.range(group, number as u64 + 1, 10).await;
        assert_eq!(read, [expected]);
        assert_eq!(read[0].body.as_json(), json, "the body's text is kept as it came");
    }
    assert_eq!(stores.log.append(vec![]).await.expect("append"), []);
}

async fn concurrent_batches_leave_no_gaps(stores: &Stores) {
    let (one, other) = (stores.make_author().await, stores.make_author().await);
    let members = [&one.user, &other.user];
    let groups = [stores.make_group(&members, at(0)).await.id, stores.make_group(&members, at(0)).await.id];
    let mut tasks = JoinSet::new();
    for number in 0..40 {
        let (stores, author) = (stores.clone(), if number % 2 == 0 { one.clone() } else { other.clone() });
        tasks.spawn(async move {
            let text = format!("batch {number}");
            let batch = (0..5).map(|place| message(&author, groups[(number + place) % 2], &text)).collect();
            let outcomes = stores.log.append(batch).await.expect("append");
            outcomes.iter().map(|outcome| new_entry(outcome).clone()).collect::<Vec<_>>()
        });
    }
    let batches = tasks.join_all().await;
    for batch in &batches {
        for group in groups {
            let seqs: Vec<_> =
                batch.iter().filter(|entry| entry.conversation == group).map(|entry| entry.seq).collect();
            assert!(seqs.is_sorted_by(|one, next| one < next), "a batch keeps its order: {seqs:?}");
        }
    }
    let mut answered = batches.concat();
    for group in groups {
        assert_eq!(stores.range_seqs(group, 1, 1_000).await, (1..=100).collect::<Vec<_>>());
    }
    // Every answer names the place where the entry really is.
    answered.sort_by_key(|entry| (entry.conversation != groups[0], entry.seq));
    let stored = [stores.range(groups[0], 1, 1_000).await, stores.range(groups[1], 1, 1_000).await].concat();
    assert_eq!(answered, stored);
}

async fn a_resend_gets_the_first_answer(stores: &Stores) {
    let author = stores.make_author().await;
    let (group, elsewhere) =
        (stores.make_group(&[&author.user], at(0)).await.id, stores.make_group(&[&author.user], at(0)).await.id);
    let first = message(&author, group, "once");
    let entry = new_entry(&stores.append_one(first.clone()).await).clone();
    let resend = |change: &dyn Fn(&mut Append)| {
        let mut append = Append { id: EntryId::generate(), sent_at: at(5_000), ..first.clone() };
        change(&mut append);
        append
    };
    let sent = Sent { conversation: group, seq: entry.seq, id: entry.id, sent_at: entry.sent_at, duplicate: true };
    assert_eq!(stores.append_one(resend(&|_| {})).await, Ok(Appended::Already(sent)));
    let duplicate_id = Err(AppendRefusal::DuplicateId);
    assert_eq!(stores.append_one(resend(&|append| append.body = Body::text("twice"))).await, duplicate_id);
    assert_eq!(stores.append_one(resend(&|append| append.kind = Kind::Edit)).await, duplicate_id);
    assert_eq!(stores.append_one(resend(&|append| append.conversation = elsewhere)).await, duplicate_id);
    // Asked before membership.
    assert_eq!(
        stores
            .append_one(resend(&|append| append.author = Author::Device { user: nobody(), device: author.device }))
            .await,
        Ok(Appended::Already(sent))
    );
    assert_eq!(stores.range_seqs(group, 1, 10).await, [1]);
    assert!(stores.range_seqs(elsewhere, 1, 10).await.is_empty());
    // Another device of the user has names of its own.
    let device = stores.make_device(&author.user).await.id;
    let other_device = resend(&|append| append.author = Author::Device { user: author.user.clone(), device });
    assert_eq!(new_entry(&stores.append_one(other_device).await).seq, seq(2));
    // Whatever becomes of the entry.
    stores.log.raise_floor(group, seq(3)).await.expect("raise_floor");
    assert_eq!(stores.append_one(resend(&|_| {})).await, Ok(Appended::Already(sent)));
}

async fn one_batch_is_as_if_one_came_after_the_other(stores: &Stores) {
    let (author, stranger) = (stores.make_author().await, stores.make_author().await);
    let (group, elsewhere) =
        (stores.make_group(&[&author.user], at(0)).await.id, stores.make_group(&[&author.user], at(0)).await.id);
    let first = message(&author, group, "twice in a batch");
    let again = |id| Append { id, ..first.clone() };
    let refused = message(&stranger, group, "not a member");
    let batch = vec![
        first.clone(),
        again(EntryId::generate()),
        Append { body: Body::text("another"), ..again(EntryId::generate()) },
        Append { conversation: elsewhere, ..again(EntryId::generate()) },
        refused.clone(),
        refused,
        message(&author, group, "next"),
    ];
    let outcomes = stores.log.append(batch).await.expect("append");
    let entry = new_entry(&outcomes[0]);
    assert_eq!((entry.seq, entry.id), (seq(1), first.id));
    let sent = Sent { conversation: group, seq: seq(1), id: first.id, sent_at: first.sent_at, duplicate: true };
    assert_eq!(outcomes[1], Ok(Appended::Already(sent)));
    assert_eq!(outcomes[2..4], [Err(AppendRefusal::DuplicateId), Err(AppendRefusal::DuplicateId)]);
    assert_eq!(outcomes[4..6], [Err(AppendRefusal::NotMember), Err(AppendRefusal::NotMember)]);
    assert_eq!(new_entry(&outcomes[6]).seq, seq(2));

    // The same from many callers at once: it is stored once.
    let race = message(&author, elsewhere, "a race");
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (stores, append) = (stores.clone(), Append { id: EntryId::generate(), ..race.clone() });
        tasks.spawn(async move { stores.append_one(append).await });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Ok(Appended::New(_)))).count(), 1);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(stores.range_seqs(elsewhere, 1, 10).await, [1]);
}

async fn a_refusal_leaves_others_untouched(stores: &Stores) {
    let (author, stranger) = (stores.make_author().await, stores.make_author().await);
    let group = stores.make_group(&[&author.user], at(0)).await.id;
    let nowhere = ConversationId::generate();
    let batch = vec![
        message(&author, group, "one"),
        message(&stranger, group, "a stranger"),
        message(&author, nowhere, "no such conversation"),
        message(&Member { user: nobody(), device: stranger.device }, group, "no such user"),
        message(&author, group, "two"),
    ];
    let outcomes = stores.log.append(batch.clone()).await.expect("append");
    assert_eq!(new_entry(&outcomes[0]).seq, seq(1));
    assert_eq!(outcomes[1..4], vec![Err(AppendRefusal::NotMember); 3]);
    assert_eq!(new_entry(&outcomes[4]).seq, seq(2));
    assert_eq!(stores.range_seqs(group, 1, 10).await, [1, 2]);
    // A refused name is not used up.
    let members = [&author.user, &stranger.user];
    let shared = stores.make_group(&members, at(0)).await.id;
    let retry = Append { conversation: shared, ..batch[1].clone() };
    assert_eq!(new_entry(&stores.append_one(retry).await).seq, seq(1));
}

async fn a_large_batch_is_one_batch(stores: &Stores) {
    let author = stores.make_author().await;
    let mut groups = Vec::new();
    for _ in 0..7 {
        groups.push(stores.make_group(&[&author.user], at(0)).await.id);
    }
    let batch: Vec<Append> =
        (0..1_400).map(|number| message(&author, groups[number % 7], &number.to_string())).collect();
    let outcomes = stores.log.append(batch.clone()).await.expect("append");
    assert_eq!(outcomes.len(), batch.len());
    for (number, (outcome, append)) in outcomes.iter().zip(&batch).enumerate() {
        let entry = new_entry(outcome);
        assert_eq!((entry.seq, &entry.body), (seq(number as u64 / 7 + 1), &append.body));
    }
    let ranges = groups.iter().map(|&conversation| Range { conversation, from: seq(1), count: 1_000 }).collect();
    let stored = stores.log.ranges(ranges).await.expect("ranges");
    assert!(stored.iter().all(|entries| entries.len() == 200));
    // All of it again is all there.
    let again = stores.log.append(batch).await.expect("append");
    assert!(again.iter().all(|outcome| matches!(outcome, Ok(Appended::Already(_)))));
}

async fn services_write_without_being_members(stores: &Stores) {
    let author = stores.make_author().await;
    let feed = stores.make_user().await.feed;
    let group = stores.make_group(&[&author.user], at(0)).await.id;
    let elsewhere = stores.make_group(&[&author.user], at(0)).await.id;
    let (billing, weather) = (new_service(), new_service());
    let first = message_of(Author::Service(billing.clone()), group, "paid");
    let entry = new_entry(&stores.append_one(first.clone()).await).clone();
    assert_eq!((entry.seq, &entry.sender, entry.sender_device), (seq(1), &Sender::service(&billing), None));
    assert_eq!(entry.client_msg_id.as_ref(), Some(&first.client_msg_id));
    assert_eq!(stores.range(group, 1, 10).await, std::slice::from_ref(&entry));
    // Once per service, for the same in the same place.
    let resend = Append { id: EntryId::generate(), sent_at: at(9), ..first.clone() };
    let sent = Sent { conversation: group, seq: seq(1), id: entry.id, sent_at: entry.sent_at, duplicate: true };
    assert_eq!(stores.append_one(resend.clone()).await, Ok(Appended::Already(sent)));
    let others =
        [Append { body: Body::text("unpaid"), ..resend.clone() }, Append { conversation: elsewhere, ..resend.clone() }];
    for other in others {
        assert_eq!(stores.append_one(other).await, Err(AppendRefusal::DuplicateId));
    }
    // Devices and other services have names of their own, also in one batch.
    let batch = vec![
        Append { author: Author::Service(weather), ..resend.clone() },
        Append { author: author.author(), ..resend.clone() },
        resend,
    ];
    let outcomes = stores.log.append(batch).await.expect("append");
    assert_eq!([new_entry(&outcomes[0]).seq, new_entry(&outcomes[1]).seq], [seq(2), seq(3)]);
    assert_eq!(outcomes[2], Ok(Appended::Already(sent)));
    // Neither where nothing is, nor into what only the server writes.
    for conversation in [ConversationId::generate(), feed] {
        let refused = message_of(Author::Service(billing.clone()), conversation, "paid");
        assert_eq!(stores.append_one(refused).await, Err(AppendRefusal::NotMember));
    }
    assert_eq!(stores.range_seqs(feed, 1, 10).await, [0; 0]);
}

async fn ranges_at_the_edges(stores: &Stores) {
    let author = stores.make_author().await;
    let (group, empty) =
        (stores.make_group(&[&author.user], at(0)).await.id, stores.make_group(&[&author.user], at(0)).await.id);
    let long = stores.make_group(&[&author.user], at(0)).await.id;
    stores.fill(&author, group, 10).await;
    let cases: [(u64, u32, &[u64]); 7] = [
        (1, 3, &[1, 2, 3]),
        (4, 3, &[4, 5, 6]),
        (9, 10, &[9, 10]),
        (10, 1, &[10]),
        (11, 5, &[]),
        (5, 0, &[]),
        (0, 2, &[1, 2]),
    ];
    for (from, count, expected) in cases {
        assert_eq!(stores.range_seqs(group, from, count).await, expected, "{count} from {from}");
    }
    assert!(stores.range_seqs(empty, 1, 5).await.is_empty());
    assert!(stores.range_seqs(ConversationId::generate(), 1, 5).await.is_empty());
    assert!(stores.range_seqs(group, u64::MAX, u32::MAX).await.is_empty());
    assert_eq!(stores.range_seqs(group, 1, u32::MAX).await.len(), 10);
    stores.fill(&author, long, u64::from(Range::COUNT_MAX) + 100).await;
    let most = stores.range_seqs(long, 3, u32::MAX).await;
    assert_eq!(most, (3..3 + u64::from(Range::COUNT_MAX)).collect::<Vec<_>>());
    // Many in one question: repeated, empty and unknown ones keep their places.
    let range = |conversation, from, count| Range { conversation, from: seq(from), count };
    let mut question = vec![range(group, 9, 1), range(empty, 1, 9), range(group, 1, 2), range(group, 9, 1)];
    question.extend((0..300).map(|number| range(group, number % 10 + 1, 1)));
    let answers = stores.log.ranges(question.clone()).await.expect("ranges");
    assert_eq!(answers.len(), question.len());
    for (question, answer) in question.iter().zip(&answers) {
        let expected = if question.conversation == group { question.count as usize } else { 0 };
        assert_eq!(answer.len(), expected, "{question:?}");
        assert!(answer.first().is_none_or(|entry| entry.seq == question.from), "{question:?}");
    }
    assert!(stores.log.ranges(vec![]).await.expect("ranges").is_empty());
}

async fn the_floor_rises_and_hides(stores: &Stores) {
    let author = stores.make_author().await;
    let (group, untouched) =
        (stores.make_group(&[&author.user], at(0)).await.id, stores.make_group(&[&author.user], at(0)).await.id);
    stores.fill(&author, group, 10).await;
    stores.fill(&author, untouched, 3).await;
    let bounds = async || stores.log.bounds(vec![group]).await.expect("bounds")[0].expect("it exists");
    let raise = async |floor| stores.log.raise_floor(group, seq(floor)).await.expect("raise_floor");
    // (what is asked for, the floor after it)
    for (asked, floor) in [(0, 1), (1, 1), (4, 4), (2, 4), (4, 4), (8, 8)] {
        raise(asked).await;
        assert_eq!(bounds().await, Bounds { floor: seq(floor), head: seq(10) }, "raised to {asked}");
    }
    // Below the floor a range begins at the floor, and counts from there.
    assert_eq!(stores.range_seqs(group, 1, 2).await, [8, 9]);
    assert_eq!(stores.range_seqs(group, 7, 100).await, [8, 9, 10]);
    assert_eq!(stores.range_seqs(group, 9, 1).await, [9]);
    raise(1_000).await;
    assert_eq!(bounds().await, Bounds { floor: seq(11), head: seq(10) }, "never beyond head + 1");
    assert!(stores.range_seqs(group, 1, 100).await.is_empty());
    assert_eq!(stores.fill(&author, group, 2).await[0].seq, seq(11));
    assert_eq!(stores.range_seqs(group, 1, 100).await, [11, 12]);
    assert_eq!(stores.range_seqs(untouched, 1, 100).await, [1, 2, 3]);
    stores.log.raise_floor(ConversationId::generate(), seq(5)).await.expect("nothing to raise is no error");
    // Far more than one step of whoever deletes them.
    stores.fill(&author, group, 1_500).await;
    raise(1_500).await;
    assert_eq!(stores.range_seqs(group, 1, 1).await, [1_500]);
}

async fn bounds_of_many(stores: &Stores) {
    let author = stores.make_author().await;
    let group = stores.make_group(&[&author.user], at(0)).await.id;
    let empty = stores.make_group(&[&author.user], at(0)).await.id;
    stores.fill(&author, group, 2).await;
    let expected = |head| Some(Bounds { floor: seq(1), head: seq(head) });
    let mut question = vec![empty, ConversationId::generate(), group, group];
    question.resize(400, empty);
    let answers = stores.log.bounds(question).await.expect("bounds");
    assert_eq!(answers[..4], [expected(0), None, expected(2), expected(2)]);
    assert_eq!(answers[4..], vec![expected(0); 396]);
    assert!(stores.log.bounds(vec![]).await.expect("bounds").is_empty());
}

async fn moved_heads(stores: &Stores) {
    let author = stores.make_author().await;
    let (group, still) =
        (stores.make_group(&[&author.user], at(0)).await.id, stores.make_group(&[&author.user], at(0)).await.id);
    let moved = |mark: HeadMark, conversation| {
        let moved = stores.log.moved_since(mark).expect("the mark is young");
        moved.into_iter().filter(|head: &Offset| head.conversation == conversation).map(|head| head.seq).max()
    };
    let start = stores.log.mark();
    assert_eq!(moved(start, group), None);
    stores.fill(&author, group, 3).await;
    assert_eq!(moved(start, group), Some(seq(3)), "known before the append is answered");
    let middle = stores.log.mark();
    assert!(middle > start);
    assert_eq!(moved(middle, group), None);
    stores.fill(&author, group, 1).await;
    assert_eq!((moved(middle, group), moved(start, group), moved(start, still)), (Some(seq(4)), Some(seq(4)), None));
    // What the directory writes moves heads too.
    let before = stores.log.mark();
    let (user, feed) = (stores.make_user().await, stores.log.mark());
    assert!(feed >= before);
    stores.make_device(&user.id).await;
    assert_eq!(moved(feed, user.feed), Some(seq(1)));
}
