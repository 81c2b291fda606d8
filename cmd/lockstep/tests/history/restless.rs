//! Groups and a room whose members come and go while others talk.
//!
//! Each has an owner who stays, invites and removes. Whether somebody was a member at a moment is not remembered here: a
//! killed server may have done what it never answered. The logs tell it in the end.

use crate::crowd::{Crowd, User};
use crate::run::PATIENCE;
use anyhow::{Context, Result, ensure};
use lockstep_protocol::ConversationId;
use lockstep_testkit::{Answer, Dice, Record, ask, post};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// What each is, and what newcomers see of what was before.
const KINDS: [(&str, Shown); 3] = [("group", Shown::Nothing), ("group", Shown::Last(20)), ("room", Shown::All)];
const VISITORS: usize = 5;
/// Somebody comes or goes after so many messages of devices.
const MESSAGES_PER_MOVE: usize = 8;

#[derive(Clone, Copy)]
enum Shown {
    Nothing,
    Last(u32),
    All,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct Restless {
    pub(crate) id: ConversationId,
    pub(crate) owner: User,
    pub(crate) visitors: Vec<User>,
    is_room: bool,
}

impl Restless {
    /// Makes them all, each with another owner and all its visitors inside.
    pub(crate) async fn make_all(server: SocketAddr, users: &[User]) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for (number, (kind, shown)) in KINDS.into_iter().enumerate() {
            let owner = users[number].clone();
            let visitors = (1..=VISITORS).map(|further| users[(number + further) % users.len()].clone());
            let visitors: Vec<User> = visitors.collect();
            let history = match shown {
                Shown::Nothing => json!("none"),
                Shown::Last(count) => json!(count),
                Shown::All => json!("all"),
            };
            let request = json!({"kind": kind, "title": format!("restless {number}"), "history": history});
            let made = post(server, "/v1/conversations", &owner.token, &request).await?;
            let id = made["id"].as_str().context("a conversation that was made has an id")?.parse()?;
            let names: Vec<&str> = visitors.iter().map(|visitor| visitor.name.as_str()).collect();
            post(server, &format!("/v1/conversations/{id}/members"), &owner.token, &json!({"users": names})).await?;
            all.push(Self { id, owner, visitors, is_room: kind == "room" });
        }
        Ok(all)
    }

    /// The names of its members now.
    async fn members(&self, server: SocketAddr) -> Result<Vec<String>> {
        let path = format!("/v1/conversations/{}/members", self.id);
        let answer = ask(server, "GET", &path, &[&self.owner.authorization()], None).await?;
        ensure!(answer.status == 200, "GET {path}: {answer:?}");
        let members = answer.json()["members"].as_array().cloned().unwrap_or_default();
        Ok(members.iter().filter_map(|member| member["user"].as_str()).map(str::to_owned).collect())
    }

    async fn step(&self, server: SocketAddr, step: Step, visitor: &User) -> Result<Answer> {
        let of = |what: &str| format!("/v1/conversations/{}/{what}", self.id);
        let (by, method, path, body): (_, _, _, Option<Value>) = match step {
            Step::Join => (visitor, "POST", of("join"), None),
            Step::Leave => (visitor, "POST", of("leave"), None),
            Step::Invite => (&self.owner, "POST", of("members"), Some(json!({"users": [visitor.name]}))),
            Step::Remove => (&self.owner, "DELETE", of(&format!("members/{}", visitor.name)), None),
        };
        ask(server, method, &path, &[&by.authorization()], body.as_ref()).await
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Join,
    Invite,
    Leave,
    Remove,
}

/// Lets visitors come and go while the devices send so many messages. Returns how often the server did what was asked.
pub(crate) async fn wander(
    all: Vec<Restless>,
    server: SocketAddr,
    record: Record,
    messages: usize,
    mut dice: Dice,
) -> Result<usize> {
    // As far as the answers say.
    let mut outside = BTreeSet::new();
    let mut done = 0;
    for number in 0..messages / MESSAGES_PER_MOVE {
        let (after, what) = (number * MESSAGES_PER_MOVE, format!("move {number} may be made"));
        record.until(&what, PATIENCE, |history| history.acknowledged_count() >= after).await?;
        let place = dice.pick(&all);
        let visitor = dice.pick(&place.visitors);
        let visit = (place.id, visitor.name.clone());
        let step = match (outside.contains(&visit), dice.below(2)) {
            (true, 0) if place.is_room => Step::Join,
            (true, _) => Step::Invite,
            (false, 0) => Step::Leave,
            (false, _) => Step::Remove,
        };
        // No answer: the server is being killed.
        let Ok(answer) = place.step(server, step, visitor).await else { continue };
        match (answer.status, step) {
            (200..=299, Step::Join | Step::Invite) => drop(outside.remove(&visit)),
            // Gone already: the answer to an earlier step was lost.
            (200..=299 | 404, Step::Leave | Step::Remove) => drop(outside.insert(visit)),
            // The owner's device sends too much, or the server stops.
            (429 | 503, _) => continue,
            _ => anyhow::bail!("{step:?} of {}: {answer:?}", visitor.name),
        }
        done += 1;
    }
    Ok(done)
}

/// How many devices of members follow them now, all together.
pub(crate) async fn followed(crowd: &Crowd) -> Result<usize> {
    let mut followed = 0;
    for place in &crowd.restless {
        let members = place.members(crowd.server.address()).await?;
        followed += crowd.participants.iter().filter(|participant| members.contains(&participant.user)).count();
    }
    Ok(followed)
}
