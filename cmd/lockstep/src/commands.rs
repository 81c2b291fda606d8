//! The commands that administer a running server. Each prints its answer alone, so that scripts can use it.

use crate::admin;
use crate::cli::{ConversationCommand, DeviceCommand, TokenCommand};
use anyhow::{Context, Result};
use lockstep_server::admin::{GroupRequest, TokenRequest};
use std::io::Write;

/// `lockstep token`.
///
/// # Errors
///
/// If no server runs there, or it refuses; so for the others.
pub(crate) async fn token(command: TokenCommand) -> Result<()> {
    let TokenCommand::User(args) = command;
    let user = args.user.or(args.user_flag).context("say whose token: --user USER")?;
    let kind = args.kind.clone();
    let request = TokenRequest { user, device_name: args.device_name, kind: args.kind, ttl_s: args.ttl };
    let grant = admin::grant(&args.place.data_folder()?, request).await?;
    if grant.kind != kind {
        eprintln!("note: the device was there already, and is a {} device", grant.kind);
    }
    answer(&grant.token)
}

/// `lockstep device`.
///
/// # Errors
///
/// See [`token`].
pub(crate) async fn device(command: DeviceCommand) -> Result<()> {
    match command {
        DeviceCommand::List { user, place } => {
            let data = place.data_folder()?;
            let list = admin::explain(&data, admin::client(&data).devices(&user).await)?;
            let line = |device: &lockstep_server::admin::DeviceInfo| {
                let seen = device.seen_at.map_or_else(|| "never".to_owned(), |seen| seen.to_string());
                format!("{}\t{}\t{}\t{seen}", device.id, device.kind, device.name)
            };
            list.devices.iter().try_for_each(|device| answer(&line(device)))
        }
        DeviceCommand::Remove { id, place } => {
            let data = place.data_folder()?;
            admin::explain(&data, admin::client(&data).remove_device(&id).await)?;
            eprintln!("removed {id}");
            Ok(())
        }
    }
}

/// `lockstep conversation`.
///
/// # Errors
///
/// See [`token`].
pub(crate) async fn conversation(command: ConversationCommand) -> Result<()> {
    let ConversationCommand::Create { title, members, place } = command;
    let data = place.data_folder()?;
    let request = GroupRequest { title, members, creator: None };
    let group = admin::explain(&data, admin::client(&data).create_group(&request).await)?;
    answer(&group.id)
}

fn answer(line: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{line}").context("the answer cannot be written")
}
