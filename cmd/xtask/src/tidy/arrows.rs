//! The arrows between crates: they point one way, and only where the table below says.

use super::Finding;
use super::repository::{Crate, Repository};

/// What a crate may know of the others.
enum MayKnow {
    /// These.
    Only(&'static [&'static str]),
    /// All that make up the server, but neither programs nor test helpers nor the device's side.
    TheServer,
    /// All but other programs and test helpers.
    Everything,
}

use MayKnow::{Everything, Only, TheServer};

/// Folder -> what it may know. A folder that ends in `*` stands for all that begin so. Tests may know more.
const TABLE: &[(&str, MayKnow)] = &[
    ("pkg/protocol", Only(&[])),
    ("pkg/client", Only(&["pkg/protocol"])),
    ("pkg/nsq-client", Only(&[])),
    ("internal/model", Only(&["pkg/protocol"])),
    ("internal/session", Only(&["internal/model"])),
    ("internal/ports", Only(&["internal/model"])),
    ("internal/engine", Only(&["internal/model", "internal/ports"])),
    ("internal/store-sql", Only(&["internal/model", "internal/ports"])),
    ("internal/store-redis", Only(&["internal/model", "internal/ports"])),
    ("internal/broker-embedded", Only(&["internal/model", "internal/ports"])),
    ("internal/broker-nsq", Only(&["internal/model", "internal/ports", "pkg/nsq-client"])),
    ("internal/auth", Only(&["internal/model"])),
    (
        "internal/gateway",
        Only(&["internal/auth", "internal/engine", "internal/model", "internal/session", "pkg/protocol"]),
    ),
    ("internal/gateway-*", Only(&["internal/auth", "internal/engine", "internal/model", "internal/session"])),
    ("internal/server", TheServer),
    ("internal/nsq-servers", Only(&[])),
    // Tests drive devices through the SDK.
    ("internal/testkit", Only(&["internal/nsq-servers", "pkg/client", "pkg/protocol"])),
    ("cmd/lockstep", Everything),
    // It sees to it that the servers are there before tests need them.
    ("cmd/xtask", Only(&["internal/nsq-servers"])),
];

/// Cores are state machines and plain types: time, randomness and bytes come from outside.
const WITHOUT_IO: &[&str] = &["pkg/protocol", "internal/model", "internal/session"];
const IO: &[&str] = &["async-std", "axum", "futures-util", "hyper", "mio", "rand", "reqwest", "smol", "sqlx", "tokio"];

/// Every arrow stands in the table.
pub(super) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for one in &repository.crates {
        let Some(may_know) = row(&one.folder) else {
            findings.push(Finding::error(&one.folder, "give it a row in cmd/xtask/src/tidy/arrows.rs"));
            continue;
        };
        for dependency in &one.dependencies {
            let Some(known) = repository.crates.iter().find(|other| is_named(other, dependency)) else { continue };
            if !allows(may_know, &known.folder) {
                let message = format!("may not know {} (cmd/xtask/src/tidy/arrows.rs)", known.folder);
                findings.push(Finding::error(&one.folder, message));
            }
        }
    }
    findings
}

/// The cores do no I/O.
pub(super) fn without_io(repository: &Repository) -> Vec<Finding> {
    let cores = repository.crates.iter().filter(|one| WITHOUT_IO.contains(&one.folder.as_str()));
    cores
        .flat_map(|core| {
            let doing_io = core.dependencies.iter().filter(|used| IO.contains(&used.as_str()));
            doing_io.map(|used| Finding::error(&core.folder, format!("does no I/O, so it may not use {used}")))
        })
        .collect()
}

fn row(folder: &str) -> Option<&'static MayKnow> {
    let exact = TABLE.iter().find(|(name, _)| *name == folder);
    let pattern = || {
        let starts = |name: &str| name.strip_suffix('*').is_some_and(|start| folder.starts_with(start));
        TABLE.iter().find(|(name, _)| starts(name))
    };
    exact.or_else(pattern).map(|(_, may_know)| may_know)
}

fn allows(may_know: &MayKnow, folder: &str) -> bool {
    let helper = folder == "internal/testkit";
    match may_know {
        Only(list) => list.contains(&folder),
        TheServer => {
            // It runs nsqds for tests, the demo and the benchmark; the server is given the addresses of others.
            let runs_servers = folder == "internal/nsq-servers";
            let inside = folder.starts_with("internal/") && !helper && !runs_servers;
            inside || folder == "pkg/protocol" || folder == "pkg/nsq-client"
        }
        Everything => !helper && !folder.starts_with("cmd/"),
    }
}

/// Folder name = crate name without the `lockstep-` prefix.
fn is_named(one: &Crate, name: &str) -> bool {
    let last = one.folder.rsplit('/').next().unwrap_or_default();
    name == last && matches!(last, "lockstep" | "xtask") || name.strip_prefix("lockstep-") == Some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(arrows: &[(&str, &str)]) -> Repository {
        let folders = TABLE.iter().map(|(folder, _)| *folder).chain(["internal/gateway-mqtt", "internal/stray"]);
        let crates = folders
            .filter(|folder| !folder.ends_with('*'))
            .filter(|folder| *folder != "internal/stray" || arrows.iter().any(|(from, _)| from == folder));
        let uses = |folder: &str| {
            let from_here = arrows.iter().filter(move |(from, _)| *from == folder);
            from_here.map(|(_, to)| (*to).to_owned()).collect()
        };
        let crates = crates.map(|folder| Crate { folder: folder.into(), dependencies: uses(folder), roots: vec![] });
        Repository { crates: crates.collect(), ..Repository::default() }
    }

    #[test]
    fn arrows_point_one_way() {
        let cases = [
            ("internal/engine", "lockstep-ports", true),
            ("internal/engine", "tokio", true),
            ("internal/ports", "lockstep-engine", false),
            ("internal/engine", "lockstep-store-sql", false),
            ("internal/session", "lockstep-protocol", false),
            ("internal/gateway", "lockstep-store-sql", false),
            ("internal/gateway-mqtt", "lockstep-session", true),
            ("internal/gateway-mqtt", "lockstep-ports", false),
            ("internal/server", "lockstep-store-sql", true),
            ("internal/server", "lockstep-client", false),
            ("cmd/lockstep", "lockstep-client", true),
            ("cmd/lockstep", "lockstep-testkit", false),
            ("internal/server", "lockstep-nsq-servers", false),
            ("internal/testkit", "lockstep-nsq-servers", true),
            ("cmd/lockstep", "lockstep-nsq-servers", true),
            ("cmd/xtask", "lockstep-nsq-servers", true),
            ("cmd/xtask", "lockstep-model", false),
            ("internal/stray", "serde", false),
        ];
        for (from, to, fine) in cases {
            let findings = check(&repository(&[(from, to)]));
            assert_eq!(findings.is_empty(), fine, "{from} -> {to}: {findings:?}");
        }
    }

    #[test]
    fn cores_do_no_io() {
        assert!(without_io(&repository(&[("internal/session", "smallvec"), ("internal/engine", "tokio")])).is_empty());
        assert_eq!(without_io(&repository(&[("internal/session", "tokio")])).len(), 1);
    }
}
