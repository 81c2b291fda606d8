//! Measures how many messages a second the store appends, and reads in pages of 128, beside a bare batched INSERT into
//! one table with the same settings. Run it with `--release`; an argument names the folder to work in.

use lockstep_model::{
    Body, ClientMsgId, ConversationId, ConversationKind, DeviceId, DeviceKind, EntryId, Kind, Seq, UnixMs, UserId,
};
use lockstep_ports::{Append, Author, Directory, MessageLog, NewConversation, NewDevice, Range};
use lockstep_store_sql::{SqliteOptions, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions};
use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const USERS: usize = 500;
const CONVERSATIONS: usize = 2_000;
const TIME: Duration = Duration::from_secs(4);
const BATCHES: [usize; 3] = [1, 50, 500];
const PAGE: u32 = 128;

type Any<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Any<()> {
    let temporary = tempfile::tempdir()?;
    let folder = std::env::args().nth(1).map_or(temporary.path().to_owned(), Into::into);
    let store = SqliteStore::open(&folder.join("store"), SqliteOptions::default()).await?;
    let places = prepare(&store).await?;
    let sent = AtomicUsize::new(0);
    for batch in BATCHES {
        let appended = appends(&store, &places, batch, &sent).await?;
        let bare = bare_inserts(&folder, batch).await?;
        println!("batch {batch:>3}: {appended:>7.0} appends/s, bare INSERT {bare:>7.0} rows/s");
    }
    println!("pages of {PAGE}: {:.0} entries/s read by one consumer", reads(&store, &places).await?);
    println!("{:?}", store.stats());
    let began = Instant::now();
    store.close().await;
    println!("closed in {:?}", began.elapsed());
    Ok(())
}

/// A conversation and one of its members.
struct Place {
    conversation: ConversationId,
    author: Author,
}

async fn prepare(store: &SqliteStore) -> Any<Vec<Place>> {
    let now = UnixMs::now();
    let mut people = Vec::new();
    for number in 0..USERS {
        let user = UserId::new(&format!("user-{number}"))?;
        let device = DeviceId::generate();
        store.ensure_user(user.clone(), now).await?;
        let new = NewDevice {
            id: device,
            user: user.clone(),
            name: "phone".into(),
            kind: DeviceKind::Main,
            unfilled: false,
            now,
        };
        store.create_device(new).await??;
        people.push((user, device));
    }
    let mut places = Vec::new();
    for number in 0..CONVERSATIONS {
        let (user, device) = people[number % USERS].clone();
        let (other, _) = &people[(number + 1 + number / USERS) % USERS];
        let id = ConversationId::generate();
        let members = vec![user.clone(), other.clone()];
        let new = NewConversation { id, kind: ConversationKind::Group, title: None, members, now };
        store.create_conversation(new).await??;
        places.push(Place { conversation: id, author: Author::Device { user, device } });
    }
    Ok(places)
}

fn body(number: usize) -> Body {
    Body::text(&format!(
        "message {number}: a line of a hundred characters or so, as people send them, no more than that."
    ))
}

/// Two callers, so that one makes its next batch while the other's is stored, as in a server. A caller who waits for
/// every single message shows what one commit takes.
async fn appends(store: &SqliteStore, places: &[Place], batch: usize, sent: &AtomicUsize) -> Any<f64> {
    let began = Instant::now();
    let caller = async || -> Any<usize> {
        let mut appended = 0;
        while began.elapsed() < TIME {
            let rows = (0..batch).map(|_| next(places, sent)).collect();
            appended += store.append(rows).await?.into_iter().filter(Result::is_ok).count();
        }
        Ok(appended)
    };
    let appended = if batch == 1 {
        caller().await?
    } else {
        let (one, other) = tokio::join!(caller(), caller());
        one? + other?
    };
    Ok(appended as f64 / began.elapsed().as_secs_f64())
}

fn next(places: &[Place], sent: &AtomicUsize) -> Append {
    let number = sent.fetch_add(1, Ordering::Relaxed);
    // A prime step visits the conversations in no order of theirs.
    let place = &places[(number * 7_919) % places.len()];
    Append {
        conversation: place.conversation,
        author: place.author.clone(),
        client_msg_id: ClientMsgId::random(),
        kind: Kind::Message,
        body: body(number),
        id: EntryId::generate(),
        sent_at: UnixMs::now(),
    }
}

async fn bare_inserts(folder: &Path, batch: usize) -> Any<f64> {
    let mut connection = SqliteConnectOptions::new()
        .filename(folder.join("bare.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
        .connect()
        .await?;
    let table = "CREATE TABLE IF NOT EXISTS bare (id BLOB PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID";
    sqlx::query(table).execute(&mut connection).await?;
    let insert: std::sync::Arc<str> = format!("INSERT INTO bare VALUES {}", vec!["(?,?)"; batch].join(",")).into();
    let (began, mut inserted) = (Instant::now(), 0);
    while began.elapsed() < TIME {
        let mut query = sqlx::query(AssertSqlSafe(insert.clone()));
        for number in 0..batch {
            query = query.bind(EntryId::generate().as_bytes().to_vec()).bind(body(number).as_json().to_owned());
        }
        inserted += query.execute(&mut connection).await?.rows_affected();
    }
    Ok(inserted as f64 / began.elapsed().as_secs_f64())
}

async fn reads(store: &SqliteStore, places: &[Place]) -> Any<f64> {
    let (began, mut read) = (Instant::now(), 0);
    'time: loop {
        for place in places {
            let mut from = Seq::new(1);
            loop {
                let range = Range { conversation: place.conversation, from, count: PAGE };
                let page = store.ranges(vec![range]).await?.pop().unwrap_or_default();
                read += page.len();
                if began.elapsed() > TIME {
                    break 'time;
                }
                if page.len() < PAGE as usize {
                    break;
                }
                from = page[page.len() - 1].seq.next();
            }
        }
    }
    Ok(read as f64 / began.elapsed().as_secs_f64())
}
