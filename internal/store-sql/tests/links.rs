//! Links that have ended leave nothing behind.

use lockstep_model::{Link, LinkId, SecretHash, UnixMs};
use lockstep_ports::{LinkBounds, Links, NewLink};
use lockstep_store_sql::{SqliteOptions, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use std::path::Path;

fn at(ms: u64) -> UnixMs {
    UnixMs::new(1_000_000 + ms)
}

fn new_link(created: u64) -> NewLink {
    let link = Link {
        id: LinkId::generate(),
        name: None,
        platform: None,
        address: "192.0.2.7".into(),
        public_key: None,
        created_at: at(created),
        expires_at: at(created + 100),
    };
    let mut code = [0; 32];
    code[..16].copy_from_slice(link.id.as_bytes());
    let hash = SecretHash(code);
    let bounds = LinkBounds { all: u64::MAX, per_network: u64::MAX };
    NewLink { link, network: "192.0.2.7".into(), code: hash, scan: hash, secret: hash, bounds }
}

async fn add(store: &SqliteStore, created: u64) {
    store.add_link(new_link(created)).await.expect("add_link").expect("there is room");
}

async fn stored(folder: &Path) -> i64 {
    let options = SqliteConnectOptions::new().filename(folder.join("lockstep.db")).read_only(true);
    let mut store: SqliteConnection = options.connect().await.expect("connect");
    let count = sqlx::query_scalar("SELECT count(*) FROM links").fetch_one(&mut store).await.expect("count");
    store.close().await.expect("close");
    count
}

#[tokio::test]
async fn what_has_ended_goes_with_the_maintenance_and_with_what_is_added() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path(), SqliteOptions::default()).await.expect("open");
    for _ in 0..600 {
        add(&store, 0).await;
    }
    add(&store, 50).await;
    store.maintain(at(99)).await.expect("maintain");
    assert_eq!(stored(folder.path()).await, 601, "none has ended");
    store.maintain(at(100)).await.expect("maintain");
    assert_eq!(stored(folder.path()).await, 1, "more than one step of the maintenance takes");
    for created in [150, 151, 252] {
        add(&store, created).await;
    }
    // The first addition took the one from before along, the last one the two others.
    assert_eq!(stored(folder.path()).await, 1);
    store.close().await;
}
