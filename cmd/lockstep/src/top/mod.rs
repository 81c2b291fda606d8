//! `lockstep top`: how a server does, again and again.

mod picture;
mod render;
mod screen;

use crate::target::{Administration, Target};
use anyhow::{Context, Result};
use lockstep_server::admin::Stats;
use picture::Picture;
use screen::Screen;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

/// How to look.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print one picture, of one period, and exit
    #[arg(long)]
    once: bool,
    /// Print JSON, an object a line, instead of a picture
    #[arg(long)]
    json: bool,
    /// How long a period is
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    period_ms: u64,
    #[command(flatten)]
    target: Target,
}

/// Looks until Ctrl-C.
///
/// # Errors
///
/// If no server is reached, or it refuses. A server that goes away while a terminal shows its picture is waited for.
pub(crate) async fn run(args: Args) -> Result<()> {
    let to = args.target.administration()?;
    let before = to.explain(to.client.stats().await)?;
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let looking = look(&args, &to, before);
    tokio::select! {
        looked = looking => looked,
        _ = interrupted.recv() => Ok(()),
        _ = terminated.recv() => Ok(()),
    }
}

/// When this future is dropped, the terminal is as it was.
async fn look(args: &Args, to: &Administration, mut before: Stats) -> Result<()> {
    let is_live = !args.once && !args.json && std::io::stdout().is_terminal();
    let mut screen = if is_live { Some(Screen::enter(std::io::stdout())?) } else { None };
    let period = Duration::from_millis(args.period_ms);
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        match (to.explain(to.client.stats().await), &mut screen) {
            (Ok(now), screen) => {
                let picture = Picture::between(&before, &now);
                match screen {
                    Some(screen) => screen.draw(&render::picture(&picture))?,
                    None => print(args.json, &picture)?,
                }
                before = now;
            }
            (Err(error), Some(screen)) => screen.draw(&format!("{}\n{error:#}", render::picture_of_nothing()))?,
            (Err(error), None) => return Err(error),
        }
        if args.once {
            return Ok(());
        }
    }
}

fn print(as_json: bool, picture: &Picture) -> Result<()> {
    let text = if as_json { serde_json::to_string(picture)? } else { render::picture(picture) };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("the picture cannot be written")
}
