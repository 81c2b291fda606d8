//! The store passes the suites of its ports.

use lockstep_ports::conformance::{self, Stores};
use lockstep_store_sql::{SqliteOptions, SqliteStore};
use std::sync::Arc;
use tempfile::TempDir;

const CONVERSATIONS_MAX: usize = 20;
const GROUP_MEMBERS_MAX: usize = 10;
const ROOM_MEMBERS_MAX: usize = 12;

async fn open() -> (TempDir, Stores) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = SqliteOptions {
        conversations_per_user_max: CONVERSATIONS_MAX as u32,
        group_members_max: GROUP_MEMBERS_MAX as u32,
        room_members_max: ROOM_MEMBERS_MAX as u32,
        ..SqliteOptions::default()
    };
    let store = Arc::new(SqliteStore::open(folder.path(), options).await.expect("open"));
    let stores = Stores {
        log: store.clone(),
        directory: store.clone(),
        offsets: store,
        conversations_per_user_max: CONVERSATIONS_MAX,
        group_members_max: GROUP_MEMBERS_MAX,
        room_members_max: ROOM_MEMBERS_MAX,
    };
    (folder, stores)
}

#[tokio::test(flavor = "multi_thread")]
async fn message_log() {
    let (_folder, stores) = open().await;
    conformance::message_log(&stores).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages() {
    let (_folder, stores) = open().await;
    conformance::messages(&stores).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn directory() {
    let (_folder, stores) = open().await;
    conformance::directory(&stores).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets() {
    let (_folder, stores) = open().await;
    conformance::offsets(&stores).await;
}
