//! `lockstep serve`.

use crate::admin;
use crate::cli::ServeArgs;
use anyhow::{Context, Result};
use lockstep_model::{ConversationId, TopicPrefix};
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
        return writeln!(std::io::stdout().lock(), "{}", config.to_toml().trim_end())
            .context("standard output cannot be written");
    }
    let telemetry = Telemetry::install(&config.log)?;
    let signals = Signals::listen().context("signals cannot be waited for")?;
    let topics = config.nsq.topic_prefix.clone();
    let running = Server::start(config, &telemetry).await?;
    introduce(&running);
    if !args.dev {
        suggest(&running);
    } else if let Err(error) = make_samples(&running, &topics).await {
        running.stop().await?;
        return Err(error);
    }
    Ok(running.wait(signals).await?)
}

/// Says what is there. The lines that begin with `lockstep:` are for programs: they learn the ports from them.
fn introduce(running: &Running) {
    let address = running.local_addr();
    let data = std::path::absolute(running.data()).unwrap_or_else(|_| running.data().to_owned());
    say(&format!("lockstep: listening on http://{address}"));
    if let Some(address) = running.nsq_http_addr() {
        say(&format!("lockstep: taking NSQ publishes on http://{address}"));
    }
    say(&format!("devices connect to ws://{address}/v1/ws"));
    say(&format!("everything is kept in {} (tokens are signed with token-key.pem there)", data.display()));
    say("stop with Ctrl-C or SIGTERM\n");
}

/// Says what to do next.
fn suggest(running: &Running) {
    let (program, place) = (program(), running.data().display());
    say("A token for a device, made with its user if need be:");
    say(&format!("  {program} token user --user ana --device-name phone --kind main --data {place}"));
    say(&format!("Sample users to chat as: start with --dev. Everything at a glance: {program} demo"));
}

async fn make_samples(running: &Running, topics: &TopicPrefix) -> Result<()> {
    for (user, device, kind) in SAMPLES {
        admin::user_token(running.data(), user, device, kind).await.context("the sample users cannot be made")?;
    }
    let (program, place, address) = (program(), running.data().display(), running.local_addr());
    say("Sample users: ana (phone, laptop) and ben (phone). Chat as them, each in a terminal of its own:");
    for (user, device, _) in SAMPLES {
        let peer = if *user == "ana" { "ben" } else { "ana" };
        let who = format!("--as {user} --device-name {device} --with {peer}");
        say(&format!("  {program} chat {who} --data {place} --server ws://{address}/v1/ws"));
    }
    if let Some(address) = running.nsq_http_addr() {
        let topic = topics.topic(ConversationId::direct(&"ana".parse()?, &"ben".parse()?));
        say("Once they have chatted, a service may join in, as it would by nsqd:");
        say(&format!("  curl -d 'server room: 41 C' 'http://{address}/pub?topic={topic}'"));
    }
    Ok(())
}

/// How this program was called, so that what is printed can be pasted.
fn program() -> String {
    std::env::args_os().next().map_or_else(|| "lockstep".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A reader that has gone away, such as `head -1`, is no reason not to serve.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
