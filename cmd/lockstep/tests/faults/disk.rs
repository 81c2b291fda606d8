//! A disk that is full, read-only or broken, and a data folder that is not there any more.

use crate::scene::Scene;
use anyhow::{Context, Result, ensure};
use lockstep_protocol::Code;
use lockstep_testkit::{ServerOptions, ServerProcess, Strace, Tmpfs, Wire};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// What keeps the server from writing. Each is undone by [`Trouble::end`].
enum Trouble {
    /// The system lets no file grow beyond the size that the write-ahead log has.
    FileLimit,
    /// The file system has no room.
    Full(Arc<Tmpfs>),
    /// The calls that bring the write-ahead log to disk fail with an error.
    Failing(&'static str, &'static str),
    /// The same, while it lasts.
    Traced(Strace),
    /// The data folder has been moved away.
    Away(PathBuf, PathBuf),
}

impl Trouble {
    async fn begin(self, server: &ServerProcess) -> Result<Self> {
        let log = server.data().join("lockstep.db-wal");
        match &self {
            Self::FileLimit => server.limit_file_bytes(Some(fs::metadata(&log)?.len()))?,
            Self::Full(disk) => disk.fill()?,
            Self::Failing(calls, error) => {
                return Ok(Self::Traced(Strace::failing(server.pid(), &log, calls, error).await?));
            }
            Self::Traced(_) => {}
            Self::Away(here, there) => fs::rename(here, there)?,
        }
        Ok(self)
    }

    async fn end(self, server: &ServerProcess) -> Result<()> {
        match self {
            Self::FileLimit => server.limit_file_bytes(None)?,
            Self::Full(disk) => disk.make_room()?,
            Self::Failing(..) => {}
            Self::Traced(strace) => drop(strace.detach().await?),
            Self::Away(here, there) => fs::rename(there, here)?,
        }
        Ok(())
    }
}

/// While the trouble lasts, nothing is stored and that is said; reads go on; afterwards all goes on without a gap.
async fn check(trouble: Trouble, options: ServerOptions) -> Result<()> {
    let mut scene = Scene::set(options).await?;
    for n in 1..=3 {
        ensure!(scene.stored(&format!("before-{n}")).await? == n);
    }
    scene.deliver(3).await?;
    ensure!(scene.readiness().await?.0 == 200);
    let path = format!("/v1/conversations/{}/messages", scene.conversation);
    let body = json!({"body": {"type": "text", "text": "by REST"}});

    let trouble = trouble.begin(&scene.server).await?;
    scene.refused("meanwhile").await?;
    scene.refused("meanwhile").await?;
    let answer = scene.rest("POST", &path, Some(&body)).await?;
    ensure!((answer.status, &*answer.code()) == (503, "try_again"), "{answer:?}");
    ensure!(scene.readiness().await? == (503, "try_again".to_owned()));
    ensure!(scene.history().await?.is_some_and(|seqs| seqs == [1, 2, 3]), "what was acknowledged is not read");
    trouble.end(&scene.server).await?;

    ensure!(scene.stored("meanwhile").await? == 4, "what was refused took a seq");
    let answer = scene.rest("POST", &path, Some(&body)).await?;
    ensure!((answer.status, answer.json()["seq"].as_u64()) == (201, Some(5)), "{answer:?}");
    ensure!(scene.stored("afterwards").await? == 6);
    ensure!(scene.stored("before-2").await? == 2, "a resend does not find its own");
    scene.deliver(6).await?;
    ensure!(scene.readiness().await?.0 == 200);
    ensure!(scene.server.is_running()?, "the server has crashed");

    scene.restart().await?;
    scene.deliver(6).await?;
    ensure!(scene.history().await? == Some((1..=6).collect()), "a kill loses something of it");
    Ok(())
}

#[tokio::test]
async fn a_file_that_may_not_grow() -> Result<()> {
    check(Trouble::FileLimit, ServerOptions::default()).await
}

#[tokio::test]
async fn a_disk_that_fails_writes_or_syncs() -> Result<()> {
    let (writes, syncs) = ("write,pwrite64", "fsync,fdatasync");
    for (calls, error) in [(writes, "ENOSPC"), (writes, "EROFS"), (writes, "EIO"), (syncs, "EIO")] {
        let tested = check(Trouble::Failing(calls, error), ServerOptions::default()).await;
        tested.with_context(|| format!("{calls} fail with {error}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_disk_that_is_full() -> Result<()> {
    let Some(disk) = Tmpfs::mount(4)? else {
        // The other tests of this file let the same calls fail in ways that need no privileges.
        println!("file systems may not be mounted here: a really full one is left out");
        return Ok(());
    };
    let options = ServerOptions { data: Some(disk.path().join("data")), ..ServerOptions::default() };
    let disk = Arc::new(disk);
    check(Trouble::Full(Arc::clone(&disk)), options).await
}

#[tokio::test]
async fn a_folder_that_is_moved_away_and_back() -> Result<()> {
    let disk = tempfile::tempdir()?;
    let (here, there) = (disk.path().join("data"), disk.path().join("elsewhere"));
    let options = ServerOptions { data: Some(here.clone()), ..ServerOptions::default() };
    check(Trouble::Away(here, there), options).await
}

#[tokio::test]
async fn a_folder_that_is_removed() -> Result<()> {
    let mut scene = Scene::set(ServerOptions::default()).await?;
    ensure!(scene.stored("before").await? == 1);
    fs::remove_dir_all(scene.server.data())?;
    for _ in 0..3 {
        scene.refused("meanwhile").await?;
    }
    ensure!(scene.readiness().await? == (503, "try_again".to_owned()));
    ensure!(scene.history().await?.is_none_or(|seqs| seqs == [1]), "what is open is still read, and nothing else");
    ensure!(scene.server.is_running()?, "the server has crashed");
    // A new folder in its place is not the one that the server has: nothing goes into it.
    fs::create_dir(scene.server.data())?;
    scene.refused("meanwhile").await?;
    scene.server.terminate().await?;
    ensure!(fs::read_dir(scene.server.data())?.count() == 0);
    Ok(())
}

#[tokio::test]
async fn a_disk_that_takes_no_writes_lets_nobody_in() -> Result<()> {
    let scene = Scene::set(ServerOptions::default()).await?;
    scene.server.limit_file_bytes(Some(0))?;
    let mut refused = Wire::hello(&scene.server.door(), &scene.ben).await?;
    ensure!(refused.closed().await? == Code::Unavailable);
    ensure!(scene.readiness().await? == (503, "try_again".to_owned()));
    scene.server.limit_file_bytes(None)?;
    Wire::live(&scene.server.door(), &scene.ben).await?;
    ensure!(scene.readiness().await?.0 == 200);
    Ok(())
}

#[tokio::test]
async fn a_read_only_folder_is_refused_at_the_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    fs::create_dir(&data)?;
    // As on a read-only file system, whoever asks: nothing below can be opened for writing.
    let lock = data.join("lockstep.lock");
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", "trace=openat", "-e", "inject=openat:error=EROFS", "-P"]).arg(&lock);
    command.arg(env!("CARGO_BIN_EXE_lockstep")).args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
    let output = command.current_dir(folder.path()).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{output:?}");
    let words = "cannot be written to; give this user the right to, or name another one";
    ensure!(said.contains(words) && said.contains("Read-only file system"), "{said}");
    Ok(())
}
