//! The manifests of the workspace's crates.

use super::Finding;
use super::repository::Repository;

/// Every crate takes the lints of the workspace.
pub(super) fn inherits_lints(repository: &Repository) -> Vec<Finding> {
    let manifests = repository.crates.iter().map(|one| format!("{}/Cargo.toml", one.folder));
    let without = manifests.filter(|path| !repository.text(path).is_some_and(has_workspace_lints));
    without.map(|path| Finding::error(path, "add `[lints]` with `workspace = true`")).collect()
}

fn has_workspace_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    lines.by_ref().take_while(|line| !line.starts_with('[')).any(|line| line.replace(' ', "") == "workspace=true")
}

#[cfg(test)]
mod tests {
    use super::super::repository::{Crate, File};
    use super::*;

    #[test]
    fn lints_come_from_the_workspace() {
        let cases = [
            ("[package]\n[lints]\nworkspace = true\n[dependencies]\n", true),
            ("[package]\n[lints]\n[dependencies]\nworkspace = true\n", false),
            ("[package]\n[lints.rust]\nunsafe_code = \"allow\"\n", false),
            ("[package]\n", false),
        ];
        for (manifest, fine) in cases {
            let repository = Repository {
                files: vec![File { path: "pkg/x/Cargo.toml".into(), text: manifest.into() }],
                crates: vec![Crate { folder: "pkg/x".into(), ..Crate::default() }],
                ..Repository::default()
            };
            assert_eq!(inherits_lints(&repository).is_empty(), fine, "{manifest}");
        }
    }
}
