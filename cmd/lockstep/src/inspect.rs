//! The commands that look at users, devices, connections and conversations, and end some of that.

use crate::cli::{ConnectionCommand, DeviceCommand};
use crate::commands::answer;
use crate::target::{Administration, Target};
use anyhow::Result;
use lockstep_server::admin::{ClosingInfo, DeviceInfo, RemovalInfo, TeardownInfo};
use serde::Serialize;
use serde_json::Value;

/// Items that are asked for at once.
const PAGE: u32 = 200;

/// `lockstep user list`: id, good or disabled, devices, connections.
///
/// # Errors
///
/// If no server is reached, or it refuses; so for the others.
pub(crate) async fn list_users(prefix: &str, target: &Target) -> Result<()> {
    let to = target.administration()?;
    let mut cursor = None;
    loop {
        let page = to.explain(to.client.users(prefix, cursor.as_deref(), PAGE).await)?;
        for user in &page.users {
            let state = if user.disabled_at.is_some() { "disabled" } else { "good" };
            answer(&format!("{}\t{state}\t{}\t{}", user.id, user.devices, user.connections))?;
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// `lockstep user show`.
///
/// # Errors
///
/// See [`list_users`].
pub(crate) async fn show_user(user: &str, target: &Target) -> Result<()> {
    let to = target.administration()?;
    show(&to.explain(to.client.user(user).await)?)
}

/// `lockstep user disable`.
///
/// # Errors
///
/// See [`list_users`].
pub(crate) async fn disable_user(user: &str, remove_devices: bool, target: &Target) -> Result<()> {
    let to = target.administration()?;
    to.explain(to.client.disable_user(user).await)?;
    eprintln!("disabled {user}: nobody is signed in as this user, and nobody can be");
    if remove_devices {
        let removed = to.explain(to.client.remove_all_devices(user).await)?.removed;
        eprintln!("removed {removed} devices of {user}");
    }
    Ok(())
}

/// `lockstep user enable`.
///
/// # Errors
///
/// See [`list_users`].
pub(crate) async fn enable_user(user: &str, target: &Target) -> Result<()> {
    let to = target.administration()?;
    to.explain(to.client.enable_user(user).await)?;
    eprintln!("enabled {user}: the devices have to sign in again");
    Ok(())
}

/// `lockstep device`.
///
/// # Errors
///
/// See [`list_users`].
pub(crate) async fn device(command: DeviceCommand) -> Result<()> {
    match command {
        DeviceCommand::Link(args) => crate::link::run(args).await,
        DeviceCommand::List { user, target } => {
            let to = target.administration()?;
            let list = to.explain(to.client.devices(&user).await)?;
            let line = |device: &DeviceInfo| {
                let seen = device.seen_at.map_or_else(|| "never".to_owned(), |seen| seen.to_string());
                format!("{}\t{}\t{}\t{seen}", device.id, device.kind, device.name)
            };
            list.devices.iter().try_for_each(|device| answer(&line(device)))
        }
        DeviceCommand::Show { id, target } => {
            let to = target.administration()?;
            show(&to.explain(to.client.device(&id).await)?)
        }
        DeviceCommand::Teardowns { all, target } => teardowns(all, &target.administration()?).await,
        DeviceCommand::Remove { id, target } => {
            let to = target.administration()?;
            match to.explain(to.client.remove_device(&id).await)? {
                RemovalInfo::Done => eprintln!("removed {id}"),
                RemovalInfo::Fenced { pending } => eprintln!(
                    "removed {id}; {} may still have channels of it, which are deleted when they can be reached",
                    pending.join(", ")
                ),
            }
            Ok(())
        }
    }
}

async fn teardowns(all: bool, to: &Administration) -> Result<()> {
    let mut cursor: Option<String> = None;
    loop {
        let page = to.explain(to.client.teardowns(all, cursor.as_deref()).await)?;
        for TeardownInfo { device, user, reason, requested_at, attempts, last_error, pending, next_try_at, .. } in
            &page.teardowns
        {
            let next = next_try_at.map_or_else(|| "done".to_owned(), |at| at.to_string());
            let (pending, error) = (pending.join(","), last_error.as_deref().unwrap_or_default());
            answer(&format!("{device}\t{user}\t{reason}\t{requested_at}\t{attempts}\t{next}\t{pending}\t{error}"))?;
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// `lockstep connection`.
///
/// # Errors
///
/// See [`list_users`].
pub(crate) async fn connection(command: ConnectionCommand) -> Result<()> {
    match command {
        ConnectionCommand::List { user, target } => list_connections(user.as_deref(), &target.administration()?).await,
        ConnectionCommand::Close { device, target } => {
            let to = target.administration()?;
            match to.explain(to.client.close_connection(&device).await)? {
                ClosingInfo::Closed => eprintln!("closed the connection of {device}, which may come again"),
                ClosingInfo::NotConnected => eprintln!("{device} is not connected"),
            }
            Ok(())
        }
    }
}

async fn list_connections(user: Option<&str>, to: &Administration) -> Result<()> {
    let mut cursor = None;
    loop {
        let page = to.explain(to.client.connections(user, cursor.as_deref(), PAGE).await)?;
        for one in &page.connections {
            let address = one.address.as_deref().unwrap_or("-");
            let line = [&one.device.to_string(), one.user.as_str(), &one.connected_at.to_string(), &one.door, address];
            answer(&line.join("\t"))?;
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// `lockstep conversation show`.
///
/// # Errors
///
/// See [`list_users`].
pub(crate) async fn conversation(id: &str, members: bool, consumers: bool, target: &Target) -> Result<()> {
    let to = target.administration()?;
    show(&to.explain(to.client.conversation(id).await)?)?;
    for server in to.explain(to.client.topic(id).await)?.servers {
        answer(&format!("nsqd\t{}\tdepth {}\tchannels {}", server.server, server.depth, server.channel_count))?;
        for one in server.channels {
            let (depth, clients) = (one.depth, one.clients);
            answer(&format!("channel\t{}\tdepth {depth}\tin flight {}\tclients {clients}", one.name, one.in_flight))?;
        }
    }
    if members {
        list_members(id, &to).await?;
    }
    if consumers {
        list_consumers(id, &to).await?;
    }
    Ok(())
}

async fn list_members(id: &str, to: &Administration) -> Result<()> {
    let mut cursor = None;
    loop {
        let page = to.explain(to.client.members(id, cursor.as_deref(), PAGE).await)?;
        page.members.iter().try_for_each(|member| answer(&format!("member\t{}\t{}", member.user, member.role)))?;
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

async fn list_consumers(id: &str, to: &Administration) -> Result<()> {
    let mut cursor = None;
    loop {
        let page = to.explain(to.client.consumers(id, cursor.as_deref(), PAGE).await)?;
        page.devices.iter().try_for_each(|device| answer(&format!("consumer\t{device}")))?;
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// Prints what an answer says, a line for each field: its name, a tab, its value.
fn show(what: &impl Serialize) -> Result<()> {
    facts("", &serde_json::to_value(what)?).iter().try_for_each(|line| answer(line))
}

fn facts(name: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let inner = |field: &String| if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
            fields.iter().flat_map(|(field, value)| facts(&inner(field), value)).collect()
        }
        Value::Null => vec![format!("{name}\t-")],
        Value::String(text) => vec![format!("{name}\t{text}")],
        other => vec![format!("{name}\t{other}")],
    }
}

#[cfg(test)]
mod tests {
    use super::facts;
    use serde_json::json;

    #[test]
    fn a_line_for_each_fact() {
        let value = json!({"id": "ana", "name": null, "connection": {"door": "websocket", "waiting": 2}});
        let mut found = facts("", &value);
        found.sort();
        assert_eq!(found, ["connection.door\twebsocket", "connection.waiting\t2", "id\tana", "name\t-"]);
    }
}
