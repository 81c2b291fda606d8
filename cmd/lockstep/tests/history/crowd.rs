//! Who takes part, and in which conversations.

use anyhow::{Context, Result};
use lockstep_protocol::{ConversationId, UserId};
use lockstep_testkit::{Device, Dice, Nsqds, Record, ServerOptions, ServerProcess, TcpProxy, post};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// How many devices each user has: twenty together.
const DEVICES_OF_USER: [usize; 8] = [3, 3, 3, 3, 2, 2, 2, 2];
/// Pairs of users with a direct conversation.
const DIRECT: [(usize, usize); 5] = [(0, 1), (2, 3), (4, 5), (6, 7), (0, 7)];
const GROUPS: usize = 5;

/// A server and everybody who uses it.
pub(crate) struct Crowd {
    pub(crate) server: ServerProcess,
    /// What carries live entries, if it is not the server itself.
    pub(crate) nsqds: Option<Nsqds>,
    pub(crate) record: Record,
    pub(crate) participants: Vec<Participant>,
}

/// A device, its way to the server, and what its user is in.
pub(crate) struct Participant {
    pub(crate) device: Device,
    pub(crate) conversations: Vec<ConversationId>,
    /// The ways that it has had; the last one is in use.
    proxies: Vec<TcpProxy>,
}

impl Crowd {
    /// Starts a server, makes users, devices and conversations, and connects all devices.
    pub(crate) async fn gather(dice: &mut Dice, nsqds: Option<Nsqds>) -> Result<Self> {
        let options = nsqds.as_ref().map_or_else(ServerOptions::default, ServerOptions::on);
        let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await?;
        let record = Record::new();
        let mut devices = Vec::new();
        for (user, count) in DEVICES_OF_USER.into_iter().enumerate() {
            for number in 0..count {
                let kind = if number == 0 { "main" } else { "sub" };
                let token = server.token(&name(user), &format!("device-{number}"), kind).await?;
                devices.push((user, format!("{}/device-{number}", name(user)), token));
            }
        }
        let tokens: Vec<String> = (0..DEVICES_OF_USER.len()).map(|user| first_token(&devices, user)).collect();
        let conversations = converse(&server, &tokens, dice).await?;
        let mut participants = Vec::new();
        for (user, name, token) in devices {
            let of_user = conversations.iter().filter(|(_, members)| members.contains(&user));
            let of_user: Vec<ConversationId> = of_user.map(|(id, _)| *id).collect();
            record.write(|history| of_user.iter().for_each(|conversation| history.member(&name, *conversation)));
            let proxy = TcpProxy::start(server.address()).await?;
            let mut device = Device::new(&name, token, record.clone());
            device.start(&proxy.door());
            participants.push(Participant { device, conversations: of_user, proxies: vec![proxy] });
        }
        Ok(Self { server, nsqds, record, participants })
    }

    /// All conversations.
    pub(crate) fn conversations(&self) -> BTreeSet<ConversationId> {
        self.participants.iter().flat_map(|participant| &participant.conversations).copied().collect()
    }

    /// How many conversations the devices follow, all together.
    pub(crate) fn followed(&self) -> usize {
        self.participants.iter().map(|participant| participant.conversations.len()).sum()
    }
}

impl Participant {
    /// Cuts the connection; the SDK makes another.
    pub(crate) fn cut(&self) {
        self.proxies.iter().for_each(TcpProxy::cut);
    }

    /// Starts the device anew on another connection, while nothing tells the server that the old one is dead.
    pub(crate) async fn replace(&mut self, server: SocketAddr) -> Result<()> {
        self.proxies.iter().for_each(TcpProxy::stall);
        self.device.stop().await?;
        let proxy = TcpProxy::start(server).await?;
        self.device.start(&proxy.door());
        self.proxies.push(proxy);
        Ok(())
    }
}

/// Makes the conversations: direct ones, and groups of three to six users.
async fn converse(
    server: &ServerProcess,
    tokens: &[String],
    dice: &mut Dice,
) -> Result<Vec<(ConversationId, Vec<usize>)>> {
    let mut conversations = Vec::new();
    for (one, other) in DIRECT {
        let request = json!({"kind": "direct", "user": name(other)});
        let id = make(server, &tokens[one], &request).await?;
        assert_eq!(id, ConversationId::direct(&UserId::new(&name(one))?, &UserId::new(&name(other))?));
        conversations.push((id, vec![one, other]));
    }
    for group in 0..GROUPS {
        let mut members: Vec<usize> = (0..tokens.len()).collect();
        while members.len() > 3 + group % 4 {
            members.remove(dice.below(members.len()));
        }
        let others: Vec<String> = members[1..].iter().map(|user| name(*user)).collect();
        let request = json!({"kind": "group", "title": format!("group {group}"), "members": others});
        conversations.push((make(server, &tokens[members[0]], &request).await?, members));
    }
    Ok(conversations)
}

async fn make(server: &ServerProcess, token: &str, request: &serde_json::Value) -> Result<ConversationId> {
    let made = post(server.address(), "/v1/conversations", token, request).await?;
    let id = made["id"].as_str().context("a conversation that was made has an id")?;
    Ok(id.parse()?)
}

fn name(user: usize) -> String {
    format!("user-{user}")
}

fn first_token(devices: &[(usize, String, String)], user: usize) -> String {
    let first = devices.iter().find(|(of, _, _)| *of == user);
    first.map(|(_, _, token)| token.clone()).unwrap_or_default()
}
