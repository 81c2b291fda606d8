//! `cargo xtask servers`: the real servers that tests start.

use crate::process::announce;
use anyhow::Result;
use lockstep_nsq_servers::Servers;
use std::time::Instant;

/// Finds nsqd and nsqlookupd or builds them, and says where they are. Tests look in the same places.
pub(crate) fn run() -> Result<()> {
    announce("servers");
    let began = Instant::now();
    if Servers::find()?.is_none() {
        println!("building nsqd and nsqlookupd with Go: once, and a minute or so");
    }
    let servers = Servers::find_or_build()?;
    for why in &servers.passed_over {
        println!("passed over: {why}");
    }
    for program in [&servers.nsqd, &servers.nsqlookupd] {
        println!("{}", program.display());
    }
    println!("== servers: ok ({} s)", began.elapsed().as_secs());
    Ok(())
}
