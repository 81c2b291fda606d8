//! The program: starts the server, and gives operators and the curious their commands.
//!
//! The commands are thin: the server's own are in `internal/server`, those that administer a running one go through its
//! admin socket. Only tokens and answers go to standard output; what is said to people about them goes to standard error.

mod admin;
mod bench;
mod chat;
mod cli;
mod commands;
mod credentials;
mod demo;
mod explain;
mod inspect;
mod link;
mod serve;
mod target;
mod top;

use anyhow::{Context, Result};
use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

/// It gives back what a storm of connects took: a process that then holds idle devices is all the smaller. SQLite, which
/// allocates through C, uses it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let outcome = runtime.block_on(run(Cli::parse()));
    // What has not ended by now is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn run(cli: Cli) -> Result<()> {
    match cli.command {
        None => serve::run(cli.serve).await,
        Some(Command::Serve(args)) => serve::run(args).await,
        Some(Command::Bench(args)) => bench::run(args).await,
        Some(Command::Chat(args)) => chat::run(args).await,
        Some(Command::Demo(args)) => demo::run(args).await.context("the demo failed"),
        Some(Command::Token(command)) => commands::token(command).await,
        Some(Command::User(command)) => commands::user(command).await,
        Some(Command::Device(command)) => inspect::device(command).await,
        Some(Command::Connection(command)) => inspect::connection(command).await,
        Some(Command::Top(args)) => top::run(args).await,
        Some(Command::Service(command)) => commands::service(command).await,
        Some(Command::Conversation(command)) => commands::conversation(command).await,
        Some(Command::Explain(args)) => explain::run(args).await,
        Some(Command::Alias(command)) => commands::alias(command).await,
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("lockstep: {error:#}");
    ExitCode::FAILURE
}
