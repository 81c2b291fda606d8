//! The SDK signs up, in and out at a real server, and keeps its tokens fresh.

use anyhow::{Context, Result, bail, ensure};
use lockstep_client::protocol::{Body, Code, Target, UserId};
use lockstep_client::{
    Accounts, Client, ClientConfig, Event, Events, MemoryStore, RefreshedTokens, RestError, Session, SignIn,
    SigningDevice, StopReason, TokenError, TokenKeeper, TokenReason, TokenSource, async_trait,
};
use lockstep_testkit::{ServerOptions, ServerProcess, ask};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "correct horse";

async fn server(settings: &[(&'static str, &str)]) -> Result<(ServerProcess, Accounts)> {
    let mut all = vec![("accounts.sign_up", "open".to_owned())];
    all.extend(settings.iter().map(|(key, value)| (*key, (*value).to_owned())));
    let options = ServerOptions { settings: all, ..ServerOptions::default() };
    let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await?;
    let accounts = Accounts::new(format!("http://{}/", server.address()));
    Ok((server, accounts))
}

fn user(name: &str) -> UserId {
    UserId::new(name).expect("a name is short")
}

fn named(name: &str) -> SigningDevice {
    SigningDevice { name: Some(name.into()), ..SigningDevice::default() }
}

async fn session(accounts: &Accounts, name: &str) -> Result<Session> {
    match accounts.sign_in(&user(name), PASSWORD, &named("phone")).await? {
        SignIn::Done(session) => Ok(session),
        SignIn::Waiting(waiting) => bail!("{waiting:?}"),
    }
}

/// Keeps all refresh tokens that there were, or none.
#[derive(Clone, Default)]
struct Kept {
    tokens: Arc<Mutex<Vec<String>>>,
    full: bool,
}

impl Kept {
    fn all(&self) -> Vec<String> {
        self.tokens.lock().expect("not poisoned").clone()
    }
}

#[async_trait]
impl TokenKeeper for Kept {
    async fn keep(&self, refresh_token: &str) -> Result<(), String> {
        if self.full {
            return Err("the disk is full".to_owned());
        }
        self.tokens.lock().expect("not poisoned").push(refresh_token.to_owned());
        Ok(())
    }
}

async fn until(events: &mut Events, fits: impl Fn(&Event) -> bool) -> Result<Event> {
    loop {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.context("nothing happens")?;
        let event = event.context("the client has stopped")?;
        if fits(&event) {
            return Ok(event);
        }
    }
}

fn refused(error: &RestError) -> &str {
    match error {
        RestError::Refused { code, .. } => code,
        RestError::Unreachable(why) => why,
        RestError::Token(_) => "no token",
    }
}

#[tokio::test]
async fn a_device_stays_signed_in_until_it_is_signed_out() -> Result<()> {
    let (server, accounts) = server(&[]).await?;
    accounts.sign_up(&user("ana"), PASSWORD).await?;
    accounts.sign_up(&user("ben"), PASSWORD).await?;
    let taken = accounts.sign_up(&user("ana"), PASSWORD).await.err().context("it is taken")?;
    ensure!(refused(&taken) == "user_taken", "{taken}");
    let wrong = accounts.sign_in(&user("ana"), "wrong password", &named("x")).await.err().context("it is wrong")?;
    ensure!(refused(&wrong) == "wrong_credentials", "{wrong}");

    let session = session(&accounts, "ana").await?;
    let (device, kept) = (session.device, Kept::default());
    let source = Arc::new(RefreshedTokens::begin(accounts.clone(), session.clone(), kept.clone()).await.expect("kept"));
    let config = ClientConfig::new(server.door(), source.clone(), Arc::new(MemoryStore::new()));
    let (client, mut events) = Client::start(config);
    let connected = until(&mut events, |event| matches!(event, Event::Connected { .. })).await?;
    ensure!(matches!(connected, Event::Connected { device: here, .. } if here == device), "{connected:?}");
    client.send(Target::User(user("ben")), Body::text("hello")).await?;
    client.renew().await?;
    ensure!(kept.all() == [session.refresh_token.clone()], "a token that is good is not replaced");

    // Many who are refused at once get a token each, one after the other; the refresh tokens stay in step.
    let asking = (0..4).map(|_| {
        let source = source.clone();
        tokio::spawn(async move { source.token(TokenReason::Refused(Code::TokenExpired)).await })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await??;
    }
    ensure!(kept.all().len() == 5);
    client.renew().await?;

    // Somebody signs it out: the connection closes, no token comes any more, and the client stops.
    let access = source.token(TokenReason::Connect).await?;
    accounts.sign_out(&access).await?;
    let stopped = until(&mut events, |event| matches!(event, Event::Stopped(_))).await?;
    ensure!(matches!(stopped, Event::Stopped(StopReason::Token(_))), "{stopped:?}");
    let denied = source.token(TokenReason::Connect).await;
    ensure!(matches!(denied, Err(TokenError::Denied(_))), "{denied:?}");

    // Its owner signs it in again.
    let again = SigningDevice { id: Some(device), ..SigningDevice::default() };
    let SignIn::Done(again) = accounts.sign_in(&user("ana"), PASSWORD, &again).await? else { bail!("it waits") };
    ensure!(again.device == device);
    Ok(())
}

#[tokio::test]
async fn a_refresh_token_is_kept_before_it_is_used() -> Result<()> {
    // Tokens that end so soon that none is used twice.
    let (server, accounts) = server(&[("token_ttl_s", "1")]).await?;
    accounts.sign_up(&user("ana"), PASSWORD).await?;
    let session = session(&accounts, "ana").await?;
    let first = session.refresh_token.clone();
    let full = RefreshedTokens::from_kept(accounts.clone(), first.clone(), Kept { full: true, ..Kept::default() });
    for _ in 0..3 {
        let token = full.token(TokenReason::Connect).await;
        ensure!(token == Err(TokenError::Unavailable("the disk is full".into())), "{token:?}");
    }
    // What was given out and not kept was never used: the one that is kept is good after a restart.
    let kept = Kept::default();
    let source = RefreshedTokens::from_kept(accounts.clone(), first, kept.clone());
    for count in 1..=3 {
        source.token(TokenReason::Connect).await?;
        ensure!(kept.all().len() == count);
    }
    // A server that is away says nothing about the token.
    server.kill9();
    let away = source.token(TokenReason::Connect).await;
    ensure!(matches!(away, Err(TokenError::Unavailable(_))), "{away:?}");
    Ok(())
}

#[tokio::test]
async fn a_further_device_waits_for_its_approval() -> Result<()> {
    let (server, accounts) = server(&[("accounts.new_main", "confirm")]).await?;
    accounts.sign_up(&user("ana"), PASSWORD).await?;
    let first = session(&accounts, "ana").await?;
    accounts.refresh(&first.refresh_token).await?;
    let SignIn::Waiting(waiting) = accounts.sign_in(&user("ana"), PASSWORD, &named("pad")).await? else {
        bail!("it does not wait")
    };
    ensure!(accounts.ask(&waiting).await? == SignIn::Waiting(waiting.clone()));
    let authorization = format!("Authorization: Bearer {}", first.access_token);
    let path = format!("/v1/sign-ins/{}/approve", waiting.id);
    let approved = ask(server.address(), "POST", &path, &[&authorization], None).await?;
    ensure!(approved.status == 204, "{approved:?}");
    let SignIn::Done(second) = accounts.ask(&waiting).await? else { bail!("it still waits") };
    ensure!(second.device != first.device);
    let again = accounts.ask(&waiting).await.err().context("the tokens are given out once")?;
    ensure!(refused(&again) == "no_such_sign_in", "{again}");
    Ok(())
}

/// Runs `lockstep user password ana` with these lines on its standard input, and returns what it says to people.
fn give_password(server: &ServerProcess, lines: &str) -> Result<(bool, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.args(["user", "password", "ana", "--data"]).arg(server.data());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("it has an input")?.write_all(lines.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.stdout.is_empty());
    Ok((output.status.success(), String::from_utf8(output.stderr)?))
}

#[tokio::test]
async fn an_operator_gives_a_user_a_password() -> Result<()> {
    let (server, accounts) = server(&[("accounts.sign_up", "closed")]).await?;
    let closed = accounts.sign_up(&user("ana"), PASSWORD).await.err().context("it is closed")?;
    ensure!(refused(&closed) == "sign_up_closed", "{closed}");
    let (done, said) = give_password(&server, "short\n")?;
    ensure!(!done && said.contains("8 to 256 characters"), "{said}");
    let (done, said) = give_password(&server, "")?;
    ensure!(!done && said.contains("standard input"), "{said}");
    let (done, said) = give_password(&server, &format!("{PASSWORD}\nsecond line\n"))?;
    ensure!(done && said == "ana has a new password\n", "{said}");
    let first = session(&accounts, "ana").await?;
    let (done, _) = give_password(&server, "another horse")?;
    ensure!(done);
    let over = accounts.refresh(&first.refresh_token).await.err().context("it is signed out")?;
    ensure!(refused(&over) == "token_revoked", "{over}");
    Ok(())
}
