//! Who takes part, and in which conversations.

use crate::restless::Restless;
use anyhow::{Context, Result};
use lockstep_protocol::{ConversationId, UserId};
use lockstep_testkit::{Device, Dice, Nsqds, Record, ServerOptions, ServerProcess, TcpProxy, post};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// How many devices each user has: twenty together.
const DEVICES_OF_USER: [usize; 8] = [3, 3, 3, 3, 2, 2, 2, 2];
/// Pairs of users with a direct conversation.
const DIRECT: [(usize, usize); 5] = [(0, 1), (2, 3), (4, 5), (6, 7), (0, 7)];
const GROUPS: usize = 5;
/// Users who get one more device when all has been said.
const LATECOMERS: [usize; 4] = [0, 3, 4, 5];

/// A server and everybody who uses it.
pub(crate) struct Crowd {
    pub(crate) server: ServerProcess,
    /// What carries live entries, if it is not the server itself.
    pub(crate) nsqds: Option<Nsqds>,
    pub(crate) record: Record,
    pub(crate) participants: Vec<Participant>,
    pub(crate) restless: Vec<Restless>,
    users: Vec<User>,
}

/// A user with one of its tokens.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) token: String,
}

impl User {
    /// The header line of requests.
    pub(crate) fn authorization(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }
}

/// A device, its way to the server, and what its user is in.
pub(crate) struct Participant {
    pub(crate) device: Device,
    pub(crate) user: String,
    /// Those that the user never leaves.
    pub(crate) conversations: Vec<ConversationId>,
    /// Those that the user comes to and leaves.
    pub(crate) visited: Vec<ConversationId>,
    /// Restless ones that the user stays in.
    pub(crate) owned: Vec<ConversationId>,
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
        let mut users = Vec::new();
        for (user, count) in DEVICES_OF_USER.into_iter().enumerate() {
            for number in 0..count {
                let kind = if number == 0 { "main" } else { "sub" };
                let token = server.token(&name(user), &format!("device-{number}"), kind).await?;
                if number == 0 {
                    users.push(User { name: name(user), token: token.clone() });
                }
                devices.push((user, format!("{}/device-{number}", name(user)), token));
            }
        }
        let conversations = converse(&server, &users, dice).await?;
        let restless = Restless::make_all(server.address(), &users).await?;
        let mut crowd = Self { server, nsqds, record, participants: Vec::new(), restless, users };
        for (user, name, token) in devices {
            let of_user = conversations.iter().filter(|(_, members)| members.contains(&user));
            let of_user: Vec<ConversationId> = of_user.map(|(id, _)| *id).collect();
            crowd.admit(user, name, token, of_user).await?;
        }
        Ok(crowd)
    }

    /// Gives some users one more device each, which has to get everything that they may see from the log.
    pub(crate) async fn admit_latecomers(&mut self) -> Result<()> {
        for user in LATECOMERS {
            let token = self.server.token(&name(user), "latecomer", "main").await?;
            let of_user = self.participants.iter().find(|participant| participant.user == name(user));
            let conversations = of_user.context("the user has a device")?.conversations.clone();
            self.admit(user, format!("{}/latecomer", name(user)), token, conversations).await?;
        }
        Ok(())
    }

    /// Connects a device.
    async fn admit(
        &mut self,
        user: usize,
        device: String,
        token: String,
        conversations: Vec<ConversationId>,
    ) -> Result<()> {
        let user = name(user);
        let owned = self.restless.iter().filter(|place| place.owner.name == user).map(|place| place.id).collect();
        let visited = self.restless.iter().filter(|place| place.visitors.iter().any(|visitor| visitor.name == user));
        let visited = visited.map(|place| place.id).collect();
        self.record.write(|history| {
            conversations.iter().for_each(|conversation| history.member(&device, *conversation));
            // Owners too, whose one stay is the whole log.
            self.restless.iter().for_each(|place| history.visitor(&device, &user, place.id));
        });
        let proxy = TcpProxy::start(self.server.address()).await?;
        let mut device = Device::new(&device, token, self.record.clone());
        device.start(&proxy.door());
        let proxies = vec![proxy];
        self.participants.push(Participant { device, user, conversations, visited, owned, proxies });
        Ok(())
    }

    /// Somebody who is in each conversation all the time.
    pub(crate) fn readers(&self) -> BTreeMap<ConversationId, User> {
        let mut readers = BTreeMap::new();
        for participant in &self.participants {
            let user = self.users.iter().find(|user| user.name == participant.user);
            for conversation in participant.conversations.iter().chain(&participant.owned) {
                readers.extend(user.map(|user| (*conversation, user.clone())));
            }
        }
        readers
    }

    /// All conversations whose members stay.
    pub(crate) fn conversations(&self) -> BTreeSet<ConversationId> {
        self.participants.iter().flat_map(|participant| &participant.conversations).copied().collect()
    }

    /// How many conversations whose members stay the devices follow, all together.
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
    users: &[User],
    dice: &mut Dice,
) -> Result<Vec<(ConversationId, Vec<usize>)>> {
    let mut conversations = Vec::new();
    for (one, other) in DIRECT {
        let request = json!({"kind": "direct", "user": name(other)});
        let id = make(server, &users[one].token, &request).await?;
        assert_eq!(id, ConversationId::direct(&UserId::new(&name(one))?, &UserId::new(&name(other))?));
        conversations.push((id, vec![one, other]));
    }
    for group in 0..GROUPS {
        let mut members: Vec<usize> = (0..users.len()).collect();
        while members.len() > 3 + group % 4 {
            members.remove(dice.below(members.len()));
        }
        let others: Vec<String> = members[1..].iter().map(|user| name(*user)).collect();
        let request = json!({"kind": "group", "title": format!("group {group}"), "members": others});
        conversations.push((make(server, &users[members[0]].token, &request).await?, members));
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
