//! Two `lockstep chat` processes talk through a real server, piped: what scripts and people without a terminal see.

use anyhow::{Context, Result, ensure};
use lockstep_testkit::ServerProcess;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long a line may take: far longer than it ever should.
const PATIENCE: Duration = Duration::from_secs(20);

/// A `lockstep chat`, killed when it is dropped.
struct Chat {
    user: &'static str,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    seen: Vec<String>,
}

impl Chat {
    /// Starts a chat that ends once it has shown so many messages.
    fn start(server: &ServerProcess, user: &'static str, peer: &str, until_count: usize) -> Result<Self> {
        Self::start_with(server, user, &["--with", peer, "--until-count", &until_count.to_string()])
    }

    /// Starts a chat on a device of this name, which stays until it is told to quit.
    fn stay(server: &ServerProcess, user: &'static str, device: &str) -> Result<Self> {
        Self::start_with(server, user, &["--device-name", device, "--for-seconds", "600"])
    }

    fn start_with(server: &ServerProcess, user: &'static str, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.args(["chat", "--as", user, "--server", &server.door()]).args(args).arg("--data").arg(server.data());
        command.env_remove("LOCKSTEP_TOKEN").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let input = child.stdin.take().context("the chat has an input")?;
        let output = BufReader::new(child.stdout.take().context("the chat has an output")?).lines();
        Ok(Self { user, child, input, output, seen: Vec::new() })
    }

    async fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.input.write_all(format!("{text}\n").as_bytes()).await?)
    }

    /// Reads up to a line with this text.
    async fn wait_for(&mut self, text: &str) -> Result<()> {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await;
            let line = line.with_context(|| format!("{} does not see {text:?}, but {:#?}", self.user, self.seen))??;
            let line = line.with_context(|| format!("{} ended after {:#?}", self.user, self.seen))?;
            self.seen.push(line);
            if self.seen.last().is_some_and(|line| line.contains(text)) {
                return Ok(());
            }
        }
    }

    /// Types this, and reads up to a line with that text.
    async fn ask(&mut self, text: &str, expected: &str) -> Result<()> {
        self.say(text).await?;
        self.wait_for(expected).await
    }

    /// Waits for its end and returns the messages that it showed, without time and conversation.
    async fn messages(mut self) -> Result<Vec<String>> {
        while let Some(line) = tokio::time::timeout(PATIENCE, self.output.next_line()).await?? {
            self.seen.push(line);
        }
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await??;
        ensure!(status.success(), "{} ended with {status} after {:#?}", self.user, self.seen);
        let messages = self.seen.iter().filter(|line| !line.starts_with('*'));
        Ok(messages.filter_map(|line| line.split_once('#')).map(|(_, message)| message.to_owned()).collect())
    }
}

#[tokio::test]
async fn two_people_chat_through_pipes() -> Result<()> {
    let server = ServerProcess::start(env!("CARGO_BIN_EXE_lockstep")).await?;
    let mut ben = Chat::start(&server, "ben", "ana", 4)?;
    // From here on there is a user of that name.
    ben.wait_for("caught up").await?;
    let mut ana = Chat::start(&server, "ana", "ben", 4)?;
    ana.say("Hello Ben!").await?;
    ben.wait_for("Hello Ben!").await?;
    ben.say("Hello Ana, are you well?").await?;
    ana.wait_for("are you well?").await?;
    // Several lines at once, one of them empty, one with a slash in front.
    ana.say("Very.\n\n//quit is what I typed").await?;
    let expected =
        ["1 ana: Hello Ben!", "2 ben: Hello Ana, are you well?", "3 ana: Very.", "4 ana: /quit is what I typed"];
    assert_eq!(ana.messages().await?, expected);
    assert_eq!(ben.messages().await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_chat_goes_on_where_it_stopped() -> Result<()> {
    let server = ServerProcess::start(env!("CARGO_BIN_EXE_lockstep")).await?;
    server.token("ben", "phone", "main").await?;
    let mut ana = Chat::start(&server, "ana", "ben", 1)?;
    ana.say("The first.").await?;
    assert_eq!(ana.messages().await?, ["1 ana: The first."]);
    // The same device again: it has the first one, and shows only what is new.
    let mut ana = Chat::start(&server, "ana", "ben", 1)?;
    ana.say("The second.").await?;
    assert_eq!(ana.messages().await?, ["2 ana: The second."]);
    // Another user's new device gets all of it.
    let ben = Chat::start(&server, "ben", "ana", 2)?;
    assert_eq!(ben.messages().await?, ["1 ana: The first.", "2 ana: The second."]);
    Ok(())
}

#[tokio::test]
async fn a_group_is_made_written_to_read_and_left_by_commands() -> Result<()> {
    let server = ServerProcess::start(env!("CARGO_BIN_EXE_lockstep")).await?;
    server.token("cid", "phone", "main").await?;
    let mut ben = Chat::stay(&server, "ben", "phone")?;
    let mut phone = Chat::stay(&server, "ana", "phone")?;
    let mut laptop = Chat::stay(&server, "ana", "laptop")?;
    for chat in [&mut ben, &mut phone, &mut laptop] {
        chat.wait_for("caught up").await?;
    }
    phone.ask("/group Trip to the sea: ben cid", "talking to ").await?;
    phone.say("Where do we go?").await?;
    ben.wait_for("#3 ana: Where do we go?").await?;
    // What stands before the number is enough to name the conversation.
    let shown = ben.seen.last().and_then(|line| line.split(' ').nth(1)).context("a conversation is shown")?.to_owned();
    ben.ask(&format!("/in {shown}"), "talking to ").await?;
    ben.say("/reply #3 To the hills.").await?;
    phone.wait_for("#4 ben answers #3: To the hills.").await?;
    phone.say("/react #4 +1").await?;
    ben.wait_for("#5 ana reacts to #4 with +1").await?;
    ben.say("/edit #4 To the sea.").await?;
    phone.wait_for("#6 ben edits #4: To the sea.").await?;
    phone.say("/unreact #4 +1").await?;
    ben.wait_for("#7 ana takes +1 back from #4").await?;
    ben.say("/recall #4").await?;
    phone.wait_for("#8 ben recalls #4").await?;
    phone.ask("/edit #4 Mine?", "not sent: not_yours").await?;

    ben.say("Hello?").await?;
    for chat in [&mut phone, &mut laptop] {
        chat.wait_for("#9 ben: Hello?").await?;
    }
    laptop.ask("/unread", &format!("{shown} Trip to the sea: 1 unread")).await?;
    laptop.wait_for("* 1 unread in all").await?;
    phone.say("/read").await?;
    laptop.wait_for(": read up to 9").await?;
    laptop.ask("/unread", "* 0 unread in all").await?;
    ben.ask("/members", "* ana (owner), has read up to 9").await?;

    phone.ask("/remove cid", "cid is removed").await?;
    ben.wait_for("member_removed cid by ana").await?;
    ben.ask("/invite cid", "not done: ").await?;
    phone.ask("/invite cid ben", "* 1 invited").await?;
    ben.wait_for("members_added cid by ana").await?;
    ben.ask("/leave", "* left").await?;
    phone.wait_for("member_left ben").await?;
    ben.ask("/list", " a group, which you have left").await?;
    laptop.ask("/list", "Trip to the sea: 0 unread").await?;
    laptop.say("/quit").await?;
    laptop.messages().await?;
    // What was refused is told by the exit code.
    ben.say("/quit").await?;
    ensure!(ben.messages().await.is_err(), "one line was refused");
    Ok(())
}

#[tokio::test]
async fn a_room_is_joined_named_and_put_away_by_commands() -> Result<()> {
    let server = ServerProcess::start(env!("CARGO_BIN_EXE_lockstep")).await?;
    let mut ana = Chat::stay(&server, "ana", "phone")?;
    let mut ben = Chat::stay(&server, "ben", "phone")?;
    for chat in [&mut ana, &mut ben] {
        chat.wait_for("caught up").await?;
    }
    ana.ask("/room Open:", "talking to ").await?;
    let shown = ana.seen.last().and_then(|line| line.rsplit(' ').next()).context("a room is shown")?.to_owned();
    ana.ask("Whoever likes may come.", "#2 ana: Whoever likes may come.").await?;
    ben.ask(&format!("/join {shown}"), &format!("talking to {shown}")).await?;
    ana.wait_for("member_joined ben").await?;
    ana.say("Welcome!").await?;
    ben.wait_for("#4 ana: Welcome!").await?;

    ben.ask("/title Mine", "not done: ").await?;
    ana.ask("/role ben admin", "* ben is admin now").await?;
    ben.wait_for("role_changed ben by ana").await?;
    ben.ask("/title The sea", "* it is called The sea").await?;
    ana.wait_for("changed The sea by ben").await?;
    ana.ask("/title", "* it has no title").await?;
    ana.ask("/role ben king", "* as in /role ben admin").await?;

    ben.ask("/pin", "* kept: pinned").await?;
    ben.ask("/mute 60", "* kept: pinned, muted for 60 minutes").await?;
    ben.ask("/mark", "* kept: pinned, muted for 60 minutes, marked as unread").await?;
    ben.ask("/list", "a room: 2 unread, marked as unread, pinned, muted for 60 minutes, marked as unread").await?;
    ben.ask("/unmute", "* kept: pinned, marked as unread").await?;
    ben.ask("/unmark", "* kept: pinned").await?;
    ben.ask("/unpin", "* kept: nothing").await?;
    ben.ask("/mute", "* kept: muted").await?;
    ben.ask("/archive", "* kept: archived, muted").await?;
    ben.ask("/history #4", "#2 ana: Whoever likes may come.").await?;
    ben.wait_for("* so far from #1; the last is #").await?;
    ben.ask("/hide #4", "hidden below #4").await?;
    ben.ask("/history #4", "* there is nothing before that, or not for you").await?;
    ana.ask("/history #4", "* so far from #1").await?;
    ben.ask("/help", "/room TITLE").await?;
    Ok(())
}

#[tokio::test]
async fn people_and_devices_are_looked_after_by_commands() -> Result<()> {
    let server = ServerProcess::start(env!("CARGO_BIN_EXE_lockstep")).await?;
    server.token("ben", "phone", "main").await?;
    let mut laptop = Chat::stay(&server, "ana", "laptop")?;
    // The older device is listed first.
    laptop.wait_for("caught up").await?;
    let mut ana = Chat::stay(&server, "ana", "phone")?;
    ana.wait_for("caught up").await?;
    let steps = [
        ("/profile", "* ana: without a name"),
        ("/name Ana of the sea", "* ana: Ana of the sea"),
        ("/name", "* ana: without a name"),
        ("/profile ben", "* ben: without a name"),
        ("/profile nobody", "not done: "),
        ("/contact ben Big Ben", "* ben is a contact"),
        ("/contacts", "* ben: Big Ben"),
        ("/uncontact ben", "* ben is no contact"),
        ("/contacts", "* 0 contacts"),
        ("/block ben", "* ben is blocked"),
        ("/blocks", "* 1 blocked"),
        ("/to ben", "* talking to ben"),
        ("Hello?", "* not sent: "),
        ("/unblock ben", "* ben is not blocked"),
        ("Hello?", "#1 ana: Hello?"),
        ("/receipts", "* what has arrived is told, what is read is told"),
        ("/receipts off", "* what has arrived is not told, what is read is not told"),
        ("/receipts on", "* what has arrived is told, what is read is told"),
        ("/devices", " phone (main), this one"),
    ];
    for (line, answer) in steps {
        ana.ask(line, answer).await?;
    }
    let other = ana.seen.iter().rev().find(|line| line.contains(" laptop (main)")).context("it is shown")?;
    let id = other.split(' ').nth(1).context("an id is shown")?.to_owned();
    ana.ask(&format!("/drop {}", &id[24..]), "* laptop is removed").await?;
    ana.ask("/drop ffff-ffff", "* 0 devices end so").await?;
    ensure!(laptop.messages().await.is_err(), "it is out");
    Ok(())
}

#[tokio::test]
async fn a_new_sub_device_is_filled_from_the_main_one() -> Result<()> {
    let server = ServerProcess::start(env!("CARGO_BIN_EXE_lockstep")).await?;
    server.token("ben", "phone", "main").await?;
    let mut phone =
        Chat::start_with(&server, "ana", &["--device-name", "phone", "--with", "ben", "--for-seconds", "600"])?;
    phone.wait_for("caught up").await?;
    for text in ["one", "two", "three"] {
        phone.ask(text, text).await?;
    }
    let laptop = ["--device-name", "laptop", "--kind", "sub", "--with", "ben", "--for-seconds", "600"];
    let mut laptop = Chat::start_with(&server, "ana", &laptop)?;
    for text in ["being filled: 0 of 1", "#1 ana: one", "#2 ana: two", "#3 ana: three", "1 of 1 filled", "* filled"] {
        laptop.wait_for(text).await?;
    }
    phone.wait_for("is filled from this one").await?;
    phone.wait_for("1 of 1 filled").await?;
    laptop.ask("four", "#4 ana: four").await?;
    phone.wait_for("#4 ana: four").await
}
