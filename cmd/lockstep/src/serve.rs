//! `lockstep serve`.

use crate::admin;
use crate::cli::ServeArgs;
use anyhow::{Context, Result};
use lockstep_server::{Config, Running, Server, Signals, Telemetry};
use std::io::Write;

/// The sample devices of `--dev`: user, device, kind.
const SAMPLES: &[(&str, &str, &str)] = &[("ana", "phone", "main"), ("ana", "laptop", "sub"), ("ben", "phone", "main")];

/// Serves until a signal asks for the end.
///
/// # Errors
///
/// If the configuration is wrong, the server cannot start, or it did not stop in order.
pub(crate) async fn run(args: ServeArgs) -> Result<()> {
    let config = Config::load(&args.flags())?;
    if args.check_config {
        return say(config.to_toml().trim_end());
    }
    let telemetry = Telemetry::install(&config.log)?;
    let signals = Signals::listen().context("signals cannot be waited for")?;
    let running = Server::start(config, &telemetry).await?;
    introduce(&running, args.dev).await?;
    Ok(running.wait(signals).await?)
}

/// Says what is there and what to do next. The first line is for programs: they learn the port from it.
async fn introduce(running: &Running, dev: bool) -> Result<()> {
    let address = running.local_addr();
    say(&format!("lockstep: listening on http://{address}"))?;
    let data = std::path::absolute(running.data()).unwrap_or_else(|_| running.data().to_owned());
    let place = running.data().display();
    say(&format!("devices connect to ws://{address}/v1/ws"))?;
    say(&format!("everything is kept in {} (tokens are signed with token-key.pem there)", data.display()))?;
    say("stop with Ctrl-C or SIGTERM\n")?;
    if !dev {
        say("A token for a device, made with its user if need be:")?;
        say(&format!("  lockstep token user --user ana --device-name phone --kind main --data {place}"))?;
        say("Sample users to chat as: start with --dev. Everything at a glance: lockstep demo")?;
        return Ok(());
    }
    for (user, device, kind) in SAMPLES {
        admin::user_token(running.data(), user, device, kind).await.context("the sample users cannot be made")?;
    }
    say("Sample users: ana (phone, laptop) and ben (phone). Chat as them, each in a terminal of its own:")?;
    for (user, device, _) in SAMPLES {
        let peer = if *user == "ana" { "ben" } else { "ana" };
        let who = format!("--as {user} --device-name {device} --with {peer}");
        say(&format!("  lockstep chat {who} --data {place} --server ws://{address}/v1/ws"))?;
    }
    Ok(())
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{line}").context("standard output cannot be written")
}
