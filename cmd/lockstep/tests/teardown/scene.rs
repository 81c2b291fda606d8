//! A server, somebody who writes, and users of whose devices one is removed.

use anyhow::{Context, Result, bail, ensure};
use lockstep_protocol::Code;
use lockstep_server::admin::{AdminClient, GroupRequest, TokenRequest};
use lockstep_testkit::{Answer, Heard, Nsqds, ServerOptions, ServerProcess, Wire, ask, post};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Only what is sent after a removal has returned begins with this.
pub(crate) const AFTER: &str = "after the return";
const PASSWORD: &str = "correct horse";
const PLENTY: u64 = 1_000_000;

pub(crate) struct House {
    pub(crate) server: ServerProcess,
    pub(crate) nsqds: Option<Nsqds>,
    pub(crate) admin: AdminClient,
    /// Who writes.
    ana: String,
}

impl House {
    /// With everything inside the server, or on nsqds with durable channels.
    pub(crate) async fn start(nsqds: Option<Nsqds>) -> Result<Self> {
        let addresses = nsqds.as_ref().map(Nsqds::addresses).unwrap_or_default();
        Self::start_at(nsqds, addresses).await
    }

    /// On nsqds that the server reaches at these addresses, TCP and HTTP.
    pub(crate) async fn start_at(nsqds: Option<Nsqds>, addresses: Vec<(SocketAddr, SocketAddr)>) -> Result<Self> {
        let mut options = nsqds.as_ref().map(ServerOptions::on).unwrap_or_default();
        options.nsqds = addresses;
        // Nobody is to be refused for being too fast.
        for name in [
            "sends_per_second",
            "sends_burst",
            "device_requests_burst",
            "user_requests_burst",
            "address_requests_burst",
        ] {
            options.limits.push((name, PLENTY));
        }
        let settings = [
            ("accounts.sign_up", "open"),
            ("accounts.password_memory_kib", "7168"),
            ("accounts.password_passes", "1"),
            ("accounts.address_attempts", "1000000"),
            ("links.address_waiting_max", "10000"),
            ("links.address_attempts", "1000000"),
            // One that is left over keeps the next one out.
            ("bootstrap.fillings_max", "1"),
            ("nsq.channels", "durable"),
            // Whoever deletes channels here, the janitor is not the one.
            ("nsq.janitor_period_s", "3600"),
        ];
        options.settings.extend(settings.map(|(key, value)| (key, value.to_owned())));
        let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await?;
        let admin = AdminClient::new(&server.data());
        let ana = server.token("ana", "phone", "main").await?;
        Ok(Self { server, nsqds, admin, ana })
    }

    pub(crate) async fn group(&self, user: &str) -> Result<String> {
        let members = vec!["ana".into(), user.into()];
        Ok(self.admin.create_group(&GroupRequest { title: None, members, creator: None }).await?.id)
    }

    /// Ana writes.
    pub(crate) async fn say(&self, conversation: &str, text: &str) -> Result<()> {
        let body = json!({"body": {"type": "text", "text": text}});
        let path = format!("/v1/conversations/{conversation}/messages");
        let key = format!("Idempotency-Key: \"{}\"", lockstep_protocol::ClientMsgId::random());
        let answer = self.ask("POST", &path, &self.ana, &[&key], Some(&body)).await?;
        ensure!(answer.status == 201, "{answer:?}");
        Ok(())
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        headers: &[&str],
        body: Option<&Value>,
    ) -> Result<Answer> {
        let authorization = format!("Authorization: Bearer {token}");
        let headers = [&[&*authorization], headers].concat();
        ask(self.server.address(), method, path, &headers, body).await
    }

    pub(crate) async fn remove(&self, token: &str, device: &str) -> Result<Answer> {
        self.ask("DELETE", &format!("/v1/devices/{device}"), token, &[], None).await
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<Answer> {
        let body = json!({"refresh_token": refresh_token});
        ask(self.server.address(), "POST", "/v1/sessions/refresh", &[], Some(&body)).await
    }

    /// How many channels of a device the nsqds have.
    pub(crate) fn channels_of(&self, device: &str) -> Result<usize> {
        let Some(nsqds) = &self.nsqds else { return Ok(0) };
        let mut count = 0;
        for nsqd in 0..nsqds.count() {
            count += nsqds.channels(nsqd)?.iter().filter(|one| one.channel.starts_with(device)).count();
        }
        Ok(count)
    }

    /// Nothing is left of a device, and nothing opens to what it had.
    pub(crate) async fn is_out(&self, device: &Device) -> Result<()> {
        ensure!(self.channels_of(&device.id)? == 0, "nsqds have channels of it");
        for token in &device.access {
            let answer = self.ask("GET", "/v1/devices", token, &[], None).await?;
            ensure!((answer.status, &*answer.code()) == (401, "device_removed"), "{answer:?}");
            let closed = Wire::hello(&self.server.door(), token).await?.closed().await?;
            ensure!(closed == Code::DeviceRemoved, "the WebSocket says {closed}");
        }
        for token in &device.refresh {
            let answer = self.refresh(token).await?;
            ensure!((answer.status, &*answer.code()) == (401, "device_removed"), "{answer:?}");
        }
        ensure!(self.channels_of(&device.id)? == 0, "nsqds have channels of it again");
        Ok(())
    }
}

/// A device and all tokens that it was ever given.
#[derive(Debug, Default)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) access: Vec<String>,
    pub(crate) refresh: Vec<String>,
}

impl Device {
    pub(crate) fn token(&self) -> &str {
        self.access.last().map_or("", |token| token)
    }

    /// Takes the tokens of a session.
    pub(crate) fn take(&mut self, session: &Value) -> Result<()> {
        let text = |name: &str| session[name].as_str().map(str::to_owned).context("a session has tokens");
        self.access.push(text("access_token")?);
        self.refresh.push(text("refresh_token")?);
        Ok(())
    }
}

/// A user with a phone that stays, and one more device that goes.
pub(crate) struct Ben {
    pub(crate) user: String,
    pub(crate) phone: Device,
    pub(crate) device: Device,
    pub(crate) group: String,
}

impl Ben {
    pub(crate) async fn make(house: &House, user: String, main: bool) -> Result<Self> {
        let account = json!({"id": user, "password": PASSWORD});
        let made = ask(house.server.address(), "POST", "/v1/users", &[], Some(&account)).await?;
        ensure!(made.status == 201, "{made:?}");
        let phone = signed_in(house, &user, "phone").await?;
        let device = if main {
            signed_in(house, &user, "laptop").await?
        } else {
            let (device_name, kind) = ("tablet".to_owned(), "sub".to_owned());
            let request = TokenRequest { user: user.clone(), device_name, kind, unfilled: false, ttl_s: None };
            let grant = house.admin.token(&request).await?;
            Device { id: grant.device, access: vec![grant.token], refresh: vec![] }
        };
        let group = house.group(&user).await?;
        Ok(Self { user, phone, device, group })
    }
}

async fn signed_in(house: &House, user: &str, name: &str) -> Result<Device> {
    let request = json!({"user": user, "password": PASSWORD, "device": {"name": name}});
    let session = post(house.server.address(), "/v1/sessions", "", &request).await?;
    let mut device = Device { id: session["device"].as_str().context("a device")?.to_owned(), ..Device::default() };
    device.take(&session)?;
    Ok(device)
}

/// Reads a connection to its end, which says why. Fails if something came that must not.
pub(crate) async fn to_the_end(mut wire: Wire) -> Result<Code> {
    loop {
        match wire.next().await? {
            Heard::Frame(frame) => allowed(&frame)?,
            Heard::Closed(close, _) => return Code::from_close(close).context("a code of ours"),
            Heard::Gone => bail!("the connection broke off"),
        }
    }
}

/// Whether a frame may reach a device that is being removed.
pub(crate) fn allowed(frame: &Value) -> Result<()> {
    ensure!(!frame.to_string().contains(AFTER), "it got what was committed after the return: {frame}");
    Ok(())
}
