//! The commands that administer a running server. Each prints its answer alone, so that scripts can use it.

use crate::cli::{
    AliasCommand, AliasName, ConversationCommand, ServiceCommand, TokenCommand, TokenService, TokenUser, UserCommand,
};
use crate::{admin, inspect};
use anyhow::{Context, Result, bail};
use lockstep_server::admin::{
    AliasInfo, AliasKey, AliasRequest, GroupRequest, RotateRequest, ServiceInfo, ServiceTokenRequest, TokenRequest,
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
    let request =
        TokenRequest { user, device_name: args.device_name, kind: args.kind, unfilled: args.unfilled, ttl_s: args.ttl };
    let grant = admin::grant(&args.place.data_folder()?, request).await?;
    if grant.kind != kind {
        eprintln!("note: the device was there already, and is a {} device", grant.kind);
    }
    answer(&grant.token)
}

async fn service_token(args: TokenService) -> Result<()> {
    let data = args.place.data_folder()?;
    let name = args.name.or(args.name_flag).context("say whose token: --name NAME")?;
    let request = ServiceTokenRequest { name, scopes: args.scopes, ttl_s: args.ttl };
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

/// `lockstep user`.
///
/// # Errors
///
/// See [`token`].
pub(crate) async fn user(command: UserCommand) -> Result<()> {
    let (user, place) = match command {
        UserCommand::Password { user, place } => (user, place),
        UserCommand::List { prefix, target } => return inspect::list_users(&prefix, &target).await,
        UserCommand::Show { user, target } => return inspect::show_user(&user, &target).await,
        UserCommand::Disable { user, remove_devices, target } => {
            return inspect::disable_user(&user, remove_devices, &target).await;
        }
        UserCommand::Enable { user, target } => return inspect::enable_user(&user, &target).await,
    };
    let data = place.data_folder()?;
    // Not an argument: those stand in the list of processes and in the shell's history.
    let password = std::io::stdin().lines().next().context("write the password to the standard input")??;
    admin::explain(&data, admin::client(&data).set_password(&user, &password).await)?;
    eprintln!("{user} has a new password");
    Ok(())
}

/// `lockstep conversation`.
///
/// # Errors
///
/// See [`token`].
pub(crate) async fn conversation(command: ConversationCommand) -> Result<()> {
    let (title, members, place) = match command {
        ConversationCommand::Create { title, members, place } => (title, members, place),
        ConversationCommand::Show { id, members, consumers, target } => {
            return inspect::conversation(&id, members, consumers, &target).await;
        }
    };
    let data = place.data_folder()?;
    let request = GroupRequest { title, members, creator: None };
    let group = admin::explain(&data, admin::client(&data).create_group(&request).await)?;
    answer(&group.id)
}

/// `lockstep alias`.
///
/// # Errors
///
/// See [`token`]; and if an alias that is asked for is not there.
pub(crate) async fn alias(command: AliasCommand) -> Result<()> {
    let key = |name: AliasName| AliasKey { namespace: name.namespace, external: name.external };
    match command {
        AliasCommand::Put { name, user, conversation, place } => {
            let data = place.data_folder()?;
            let request = AliasRequest { key: key(name), target: AliasInfo { user, conversation } };
            admin::explain(&data, admin::client(&data).put_alias(&request).await)
        }
        AliasCommand::Get { name, place } => {
            let data = place.data_folder()?;
            match admin::explain(&data, admin::client(&data).alias(&key(name)).await)? {
                AliasInfo { user: Some(user), .. } => answer(&format!("user\t{user}")),
                AliasInfo { conversation: Some(id), .. } => answer(&format!("conversation\t{id}")),
                AliasInfo { user: None, conversation: None } => bail!("there is no such alias"),
            }
        }
        AliasCommand::Remove { name, place } => {
            let data = place.data_folder()?;
            admin::explain(&data, admin::client(&data).remove_alias(&key(name)).await)
        }
    }
}

/// Prints a line of an answer.
///
/// # Errors
///
/// If nobody reads it.
pub(crate) fn answer(line: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{line}").context("the answer cannot be written")
}
