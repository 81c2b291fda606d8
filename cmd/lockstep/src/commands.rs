//! The commands that administer a running server. Each prints its answer alone, so that scripts can use it.

use crate::admin;
use crate::cli::{ConversationCommand, DeviceCommand, ServiceCommand, TokenCommand, TokenService, TokenUser};
use anyhow::{Context, Result};
use lockstep_server::admin::{
    GroupRequest, RemovalInfo, RotateRequest, ServiceInfo, ServiceTokenRequest, TokenRequest,
};
use std::io::Write;

/// `lockstep token`.
///
/// # Errors
///
/// If no server runs there, or it refuses; so for the others.
pub(crate) async fn token(command: TokenCommand) -> Result<()> {
    match command {
        TokenCommand::User(args) => user_token(args).await,
        TokenCommand::Service(args) => service_token(args).await,
    }
}

async fn user_token(args: TokenUser) -> Result<()> {
    let user = args.user.or(args.user_flag).context("say whose token: --user USER")?;
    let kind = args.kind.clone();
    let request = TokenRequest { user, device_name: args.device_name, kind: args.kind, ttl_s: args.ttl };
    let grant = admin::grant(&args.place.data_folder()?, request).await?;
    if grant.kind != kind {
        eprintln!("note: the device was there already, and is a {} device", grant.kind);
    }
    answer(&grant.token)
}

async fn service_token(args: TokenService) -> Result<()> {
    let data = args.place.data_folder()?;
    let request = ServiceTokenRequest { name: args.name, scopes: args.scopes, ttl_s: args.ttl };
    let grant = admin::explain(&data, admin::client(&data).service_token(&request).await)?;
    let ServiceInfo { name, scopes, .. } = &grant.service;
    eprintln!("service:{name} may now: {}", scopes.join(" "));
    answer(&grant.token)
}

/// `lockstep service`.
///
/// # Errors
///
/// See [`token`].
pub(crate) async fn service(command: ServiceCommand) -> Result<()> {
    match command {
        ServiceCommand::List { place } => {
            let data = place.data_folder()?;
            let list = admin::explain(&data, admin::client(&data).services().await)?;
            let line = |service: &ServiceInfo| {
                let state = if service.revoked_at.is_some() { "revoked" } else { "good" };
                format!("{}\t{}\t{state}\t{}", service.name, service.generation, service.scopes.join(" "))
            };
            list.services.iter().try_for_each(|service| answer(&line(service)))
        }
        ServiceCommand::Rotate { name, grace, ttl, place } => {
            let data = place.data_folder()?;
            let request = RotateRequest { grace_s: grace, ttl_s: ttl };
            let grant = admin::explain(&data, admin::client(&data).rotate_service(&name, &request).await)?;
            answer(&grant.token)
        }
        ServiceCommand::Revoke { name, place } => {
            let data = place.data_folder()?;
            admin::explain(&data, admin::client(&data).revoke_service(&name).await)?;
            eprintln!("revoked {name}");
            Ok(())
        }
    }
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
            match admin::explain(&data, admin::client(&data).remove_device(&id).await)? {
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
