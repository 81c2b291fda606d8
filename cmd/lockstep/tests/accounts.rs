//! The SDK signs up, in and out at a real server, and keeps its tokens fresh.

use anyhow::{Context, Result, bail, ensure};
use lockstep_client::protocol::{Body, Code, Target, UserId};
use lockstep_client::{
    Accounts, Client, ClientConfig, DeviceKind, Devices, Event, Events, FixedToken, MemoryStore, People,
    RefreshedTokens, Removal, RestError, Session, SignIn, SigningDevice, StopReason, TokenError, TokenKeeper,
    TokenReason, TokenSource, async_trait,
};
use lockstep_testkit::{ServerOptions, ServerProcess};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
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
    accounts.sign_up(&user("ana"), PASSWORD, Some("Ana")).await?;
    accounts.sign_up(&user("ben"), PASSWORD, None).await?;
    let taken = accounts.sign_up(&user("ana"), PASSWORD, None).await.err().context("it is taken")?;
    ensure!(refused(&taken) == "user_taken", "{taken}");
    let wrong = accounts.sign_in(&user("ana"), "wrong password", &named("x")).await.err().context("it is wrong")?;
    ensure!(refused(&wrong) == "wrong_credentials", "{wrong}");

    let session = session(&accounts, "ana").await?;
    let (device, kept) = (session.device, Kept::default());
    let source = Arc::new(RefreshedTokens::begin(accounts.clone(), session.clone(), kept.clone()).await.expect("kept"));
    let people = People::new(server.url(), source.clone());
    ensure!(people.own_profile().await?.name.as_deref() == Some("Ana"));
    ensure!(people.profile(&user("ben")).await?.name.is_none());
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
    accounts.sign_up(&user("ana"), PASSWORD, None).await?;
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
    accounts.sign_up(&user("ana"), PASSWORD, None).await?;
    let first = session(&accounts, "ana").await?;
    accounts.refresh(&first.refresh_token).await?;
    let SignIn::Waiting(waiting) = accounts.sign_in(&user("ana"), PASSWORD, &named("pad")).await? else {
        bail!("it does not wait")
    };
    ensure!(accounts.ask(&waiting).await? == SignIn::Waiting(waiting.clone()));
    let devices = Devices::new(server.url(), Arc::new(FixedToken::new(first.access_token.as_str())));
    let waits = devices.waiting().await?;
    ensure!(waits.len() == 1 && waits[0].id == waiting.id && waits[0].name.as_deref() == Some("pad"), "{waits:?}");
    devices.approve(waiting.id).await?;
    let SignIn::Done(second) = accounts.ask(&waiting).await? else { bail!("it still waits") };
    ensure!(second.device != first.device);
    let again = accounts.ask(&waiting).await.err().context("the tokens are given out once")?;
    ensure!(refused(&again) == "no_such_sign_in", "{again}");

    let SignIn::Waiting(waiting) = accounts.sign_in(&user("ana"), PASSWORD, &named("stranger")).await? else {
        bail!("it does not wait")
    };
    devices.refuse(waiting.id).await?;
    let turned_away = accounts.ask(&waiting).await.err().context("it is turned away")?;
    ensure!(turned_away.code() == Some(Code::SignInRefused), "{turned_away}");
    let unknown = devices.approve(waiting.id).await.err().context("it is answered already")?;
    ensure!(unknown.code() == Some(Code::NoSuchSignIn), "{unknown}");
    let sub = FixedToken::new(server.token("ana", "watch", "sub").await?);
    let sub = Devices::new(server.url(), Arc::new(sub));
    ensure!(sub.waiting().await.err().context("it is a sub device")?.code() == Some(Code::Forbidden));
    Ok(())
}

#[tokio::test]
async fn devices_are_listed_renamed_removed_and_signed_out() -> Result<()> {
    let (server, accounts) = server(&[]).await?;
    accounts.sign_up(&user("ana"), PASSWORD, None).await?;
    let (first, second, third) =
        (session(&accounts, "ana").await?, session(&accounts, "ana").await?, session(&accounts, "ana").await?);
    let devices_of =
        |session: &Session| Devices::new(server.url(), Arc::new(FixedToken::new(session.access_token.as_str())));
    let devices = devices_of(&first);
    let all = devices.list().await?;
    let ids: Vec<_> = all.iter().map(|device| (device.id, device.current)).collect();
    ensure!(ids == [(first.device, true), (second.device, false), (third.device, false)], "{all:?}");
    ensure!(all.iter().all(|device| device.kind == DeviceKind::Main && device.signed_in && device.name == "phone"));

    // A sign-in of a device that is there may give it another name. Its older tokens end.
    let renamed = SigningDevice { id: Some(second.device), platform: Some("web".into()), ..named("pad") };
    let SignIn::Done(renamed) = accounts.sign_in(&user("ana"), PASSWORD, &renamed).await? else { bail!("it waits") };
    let ended = devices_of(&second).list().await.err().context("the older token has ended")?;
    ensure!(ended.code() == Some(Code::TokenRevoked), "{ended}");
    let all = devices.list().await?;
    ensure!((all[1].name.as_str(), all[1].platform.as_deref()) == ("pad", Some("web")), "{all:?}");

    let pad = devices.rename(third.device, "old pad").await?;
    ensure!((pad.id, pad.name.as_str(), pad.kind) == (third.device, "old pad", DeviceKind::Main), "{pad:?}");
    ensure!(
        devices.remove(third.device).await? == Removal::Done && devices.remove(third.device).await? == Removal::Done
    );
    let removed = devices_of(&third).list().await.err().context("it is removed")?;
    ensure!(removed.code() == Some(Code::DeviceRemoved), "{removed}");
    let other = server.token("ben", "phone", "main").await?;
    let other = Devices::new(server.url(), Arc::new(FixedToken::new(other)));
    let last = server.token("eve", "phone", "main").await?;
    let last = Devices::new(server.url(), Arc::new(FixedToken::new(last)));
    let phone = last.list().await?.first().context("eve has a phone")?.id;
    ensure!(last.remove(phone).await.err().context("it is the last one")?.code() == Some(Code::LastMain));
    let unknown = other.remove(first.device).await.err().context("it is another user's")?;
    ensure!(unknown.code() == Some(Code::NoSuchDevice), "{unknown}");

    // The others are signed out, and with a new password too; at last all of them are.
    accounts.sign_out_elsewhere(&first.access_token).await?;
    ensure!(devices_of(&renamed).list().await.is_err());
    ensure!(devices.list().await?.iter().map(|device| device.id).eq([first.device]));
    let fourth = session(&accounts, "ana").await?;
    let wrong = accounts.change_password(&first.access_token, "not this one", "battery staple").await;
    ensure!(wrong.err().context("it is wrong")?.code() == Some(Code::WrongCredentials));
    accounts.change_password(&first.access_token, PASSWORD, "battery staple").await?;
    ensure!(devices_of(&fourth).list().await.is_err());
    let old = accounts.sign_in(&user("ana"), PASSWORD, &named("x")).await.err().context("there is a new one")?;
    ensure!(old.code() == Some(Code::WrongCredentials), "{old}");
    let sub = server.token("ana", "watch", "sub").await?;
    let forbidden = accounts.sign_out_everywhere(&sub).await.err().context("it is a sub device")?;
    ensure!(forbidden.code() == Some(Code::Forbidden), "{forbidden}");
    accounts.sign_out_everywhere(&first.access_token).await?;
    ensure!(devices.list().await.is_err());
    Ok(())
}

/// For `cid` by `https://id.example`, good until 2100, signed with HS256 by [`ISSUER_SECRET`].
const ISSUED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJjaGF0Iiwic3ViIjoiY2lkIiwiZXhwIjo0MTAyNDQ0ODAwfQ.BN7T0dtfDbpU-iTeFKZVAVt9CvRmONTkb21O2a5LEE0";
const ISSUER_SECRET: &str = "a secret of at least 32 characters";

#[tokio::test]
async fn an_outside_issuers_word_signs_a_device_in() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let secret_file = folder.path().join("secret");
    std::fs::write(&secret_file, ISSUER_SECRET)?;
    std::fs::set_permissions(&secret_file, PermissionsExt::from_mode(0o600))?;
    let issuer = format!(
        "[{{issuer=\"https://id.example\",audience=\"chat\",algorithm=\"HS256\",secret_file={secret_file:?},create_users=true}}]"
    );
    let (_server, accounts) = server(&[("accounts.issuers", &issuer)]).await?;
    let SignIn::Done(session) = accounts.sign_in_external(ISSUED, &named("phone")).await? else { bail!("it waits") };
    ensure!(session.user == user("cid"), "{session:?}");
    let invalid = accounts.sign_in_external(&session.access_token, &named("phone")).await;
    ensure!(invalid.err().context("it is our own")?.code() == Some(Code::TokenInvalid));
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
    let closed = accounts.sign_up(&user("ana"), PASSWORD, None).await.err().context("it is closed")?;
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
