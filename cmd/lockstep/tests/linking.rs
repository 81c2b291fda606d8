//! A new device is linked in a terminal, and chats from there; the SDK does the same without one.

use anyhow::{Context, Result, bail, ensure};
use lockstep_client::protocol::Code;
use lockstep_client::{Accounts, Approver, FixedToken, LinkOutcome, LinkProof, Links, NewDevice, RestError, Session};
use lockstep_testkit::{ServerProcess, TcpProxy};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long a line or an answer may take: far longer than it ever should.
const PATIENCE: Duration = Duration::from_secs(30);

async fn server() -> Result<ServerProcess> {
    ServerProcess::start(env!("CARGO_BIN_EXE_lockstep")).await
}

/// A `lockstep` in a terminal that is a pipe, killed when it is dropped.
struct Terminal {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    seen: Vec<String>,
}

impl Terminal {
    fn start(folder: &Path, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.args(args).current_dir(folder).env_remove("LOCKSTEP_TOKEN");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let input = child.stdin.take().context("it has an input")?;
        let output = BufReader::new(child.stdout.take().context("it has an output")?).lines();
        Ok(Self { child, input, output, seen: Vec::new() })
    }

    async fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.input.write_all(format!("{text}\n").as_bytes()).await?)
    }

    /// Reads up to a line with this text.
    async fn wait_for(&mut self, text: &str) -> Result<String> {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await;
            let line = line.with_context(|| format!("{text:?} is not seen, but {:#?}", self.seen))??;
            let line = line.with_context(|| format!("it ended after {:#?}", self.seen))?;
            self.seen.push(line.clone());
            if line.contains(text) {
                return Ok(line);
            }
        }
    }

    /// Waits for its end, and says whether it went well.
    async fn ended(mut self) -> Result<bool> {
        drop(self.input);
        while tokio::time::timeout(PATIENCE, self.output.next_line()).await??.is_some() {}
        Ok(tokio::time::timeout(PATIENCE, self.child.wait()).await??.success())
    }
}

#[tokio::test]
async fn a_terminal_is_linked_by_a_chat_and_goes_on_as_a_device() -> Result<()> {
    let server = server().await?;
    let folder = tempfile::tempdir()?;
    let (door, data) = (server.door(), server.data().display().to_string());
    let link = ["device", "link", "--server", &door, "--name", "kitchen", "--credentials", "kitchen.json"];

    let mut phone = Terminal::start(
        folder.path(),
        &["chat", "--as", "ana", "--with", "ben", "--server", &door, "--data", &data, "--for-seconds", "600"],
    )?;
    phone.wait_for("caught up").await?;
    phone.say("/approve").await?;
    phone.wait_for("which device?").await?;
    phone.say("/link AAAA-AAAA").await?;
    phone.wait_for("no_such_link").await?;
    server.token("ben", "phone", "main").await?;
    phone.say("said before there was a kitchen").await?;
    phone.wait_for("#1 ana: said before").await?;

    let refused = linked_by(&mut phone, folder.path(), &link, "/refuse", "refused").await?;
    ensure!(!refused.ended().await? && !folder.path().join("kitchen.json").exists());
    let mut linked = linked_by(&mut phone, folder.path(), &link, "/approve", "approved").await?;
    let line = linked.wait_for("linked ana ").await?;
    ensure!(linked.ended().await?);
    let device = line.rsplit(' ').next().context("the line has the device's id")?.to_owned();
    let mode = std::fs::metadata(folder.path().join("kitchen.json"))?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    phone.wait_for(&format!("device_linked {device}")).await?;
    ensure!(!Terminal::start(folder.path(), &link)?.ended().await?, "what is linked is not linked again");

    // Twice: the second time with the refresh token that the first one left. It is filled the first time.
    for word in ["one", "two"] {
        let mut kitchen = Terminal::start(
            folder.path(),
            &["chat", "--credentials", "kitchen.json", "--with", "ben", "--for-seconds", "600"],
        )?;
        let connected = kitchen.wait_for("connected as ana").await?;
        ensure!(connected.contains(&device), "{connected}");
        if word == "one" {
            kitchen.wait_for("#1 ana: said before").await?;
            kitchen.wait_for("* filled").await?;
        }
        kitchen.say(&format!("word {word} from the kitchen")).await?;
        kitchen.wait_for(&format!("ana: word {word}")).await?;
        phone.wait_for(&format!("ana: word {word}")).await?;
        kitchen.say("/quit").await?;
        ensure!(kitchen.ended().await?);
    }
    Ok(())
}

/// A terminal that asks, and the answer of a chat.
async fn linked_by(phone: &mut Terminal, folder: &Path, args: &[&str], answer: &str, heard: &str) -> Result<Terminal> {
    let mut linking = Terminal::start(folder, args)?;
    let line = linking.wait_for("code ").await?;
    let squares = linking.seen.iter().filter(|line| line.contains('█')).count();
    ensure!(squares > 10, "no QR code is drawn: {:#?}", linking.seen);
    let code = line.strip_prefix("code ").context("a line with the code")?;
    phone.say(&format!("/link {}", code.to_lowercase())).await?;
    let asks = phone.wait_for("asks to be linked").await?;
    ensure!(asks.contains("kitchen on linux at 127.0.0.1"), "{asks}");
    phone.say(answer).await?;
    phone.wait_for(heard).await?;
    Ok(linking)
}

/// Both sides of a link, with the token of ana's phone.
async fn sides(server: &ServerProcess) -> Result<(Links, Approver)> {
    let url = format!("http://{}", server.address());
    let phone = server.token("ana", "phone", "main").await?;
    Ok((Links::new(url.as_str()), Approver::new(url, Arc::new(FixedToken::new(phone)))))
}

fn tablet() -> NewDevice {
    NewDevice { name: Some("tablet".into()), platform: None, public_key: Some("a+b=".into()) }
}

fn approved(outcome: LinkOutcome) -> Result<Session> {
    match outcome {
        LinkOutcome::Approved(session) => Ok(session),
        other => bail!("{other:?}"),
    }
}

#[tokio::test]
async fn the_sdk_links_devices() -> Result<()> {
    let server = server().await?;
    let (links, approver) = sides(&server).await?;
    for by_code in [true, false] {
        let asked = links.ask(&tablet()).await?;
        ensure!(links.claim(&asked).await?.is_none());
        let proof = LinkProof::read(if by_code { &asked.code } else { &asked.qr });
        let approving = async {
            let found = approver.find(&proof).await?;
            let shown = (found.name.as_deref(), found.public_key.as_deref(), &*found.address);
            ensure!(shown == (Some("tablet"), Some("a+b="), "127.0.0.1"), "{found:?}");
            Ok(approver.approve(found.link, &proof).await?)
        };
        let (outcome, said) = tokio::join!(links.wait(&asked), approving);
        said?;
        let session = approved(outcome?)?;
        ensure!(session.user.as_str() == "ana");
        let next = Accounts::new(format!("http://{}", server.address())).refresh(&session.refresh_token).await?;
        ensure!(next.device == session.device);
        ensure!(links.wait(&asked).await? == LinkOutcome::Expired, "it is used");
    }
    let asked = links.ask(&tablet()).await?;
    let proof = LinkProof::Code(asked.code.clone());
    approver.refuse(asked.link, &proof).await?;
    match links.wait(&asked).await? {
        LinkOutcome::Refused { code, .. } => ensure!(code == Code::LinkRefused.name(), "{code}"),
        other => bail!("{other:?}"),
    }
    match approver.find(&proof).await {
        Err(RestError::Refused { code, .. }) => ensure!(code == Code::NoSuchLink.name(), "{code}"),
        other => bail!("{other:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn who_waits_goes_on_after_a_crash_of_the_server() -> Result<()> {
    let mut server = server().await?;
    let proxy = TcpProxy::start(server.address()).await?;
    let links = Links::new(format!("http://{}/", proxy.address()));
    let asked = links.ask(&tablet()).await?;
    let waiting = async { approved(links.wait(&asked).await?) };
    let crashing = async {
        server.kill9();
        server.restart().await?;
        proxy.retarget(server.address());
        let (_, approver) = sides(&server).await?;
        let proof = LinkProof::read(&asked.qr);
        let found = approver.find(&proof).await?;
        approver.approve(found.link, &proof).await?;
        Ok::<_, anyhow::Error>(())
    };
    let (session, crashed) = tokio::time::timeout(PATIENCE, async { tokio::join!(waiting, crashing) }).await?;
    crashed?;
    ensure!(session?.user.as_str() == "ana");
    Ok(())
}
