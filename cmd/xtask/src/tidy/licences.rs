//! Which crates from elsewhere may be in the tree.

use super::Finding;
use super::repository::Repository;
use super::spdx::satisfied;

/// Licences under which what we build may be given away under our own (MIT or Apache-2.0).
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that must not come in, not even through others.
const BANNED: &[(&str, &str)] = &[
    ("async-std", "it is no longer kept up: use tokio"),
    ("native-tls", "TLS is rustls"),
    ("nsq-client", "it does not compile on stable: use pkg/nsq-client"),
    ("openssl", "TLS is rustls, with aws-lc-rs"),
    ("openssl-sys", "TLS is rustls, with aws-lc-rs"),
    ("ring", "there is one provider of cryptography: aws-lc-rs"),
    ("rsa", "it has an unpatched advisory (RUSTSEC-2023-0071)"),
    ("tokio-nsq", "it treats a late FIN as fatal: use pkg/nsq-client"),
];

/// Every licence is allowed.
pub(super) fn allowed(repository: &Repository) -> Vec<Finding> {
    let refused = repository.foreign.iter().filter(|one| {
        let licence = one.licence.as_deref().unwrap_or_default();
        !satisfied(licence, ALLOWED)
    });
    refused
        .map(|one| {
            let licence = one.licence.as_deref().unwrap_or("no licence");
            Finding::error(format!("{} {}", one.name, one.version), format!("{licence}: not on the list of licences"))
        })
        .collect()
}

/// No banned crate is in the tree.
pub(super) fn banned(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for one in &repository.foreign {
        if let Some((_, why)) = BANNED.iter().find(|(name, _)| *name == one.name) {
            let message = format!("banned: {why} (`cargo tree --invert {}` shows who wants it)", one.name);
            findings.push(Finding::error(format!("{} {}", one.name, one.version), message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::repository::ForeignCrate;
    use super::*;

    fn repository(name: &str, licence: Option<&str>) -> Repository {
        let foreign = ForeignCrate { name: name.into(), version: "1.0.0".into(), licence: licence.map(str::to_owned) };
        Repository { foreign: vec![foreign], ..Repository::default() }
    }

    #[test]
    fn licences_are_on_the_list() {
        let cases = [
            (Some("MIT OR Apache-2.0"), true),
            (Some("MIT OR Apache-2.0 OR LGPL-2.1-or-later"), true),
            (Some("ISC AND (Apache-2.0 OR ISC OR MIT-0)"), true),
            (Some("AGPL-3.0-only"), false),
            (Some("MIT AND LGPL-2.1-or-later"), false),
            (None, false),
        ];
        for (licence, fine) in cases {
            assert_eq!(allowed(&repository("x", licence)).is_empty(), fine, "{licence:?}");
        }
    }

    #[test]
    fn banned_crates_are_found() {
        for (name, _) in BANNED {
            assert_eq!(banned(&repository(name, Some("MIT"))).len(), 1, "{name}");
        }
        assert!(banned(&repository("rustls", Some("MIT"))).is_empty());
    }
}
