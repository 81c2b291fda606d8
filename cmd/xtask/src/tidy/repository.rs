//! What the rules look at: the files of the repository and what cargo knows about its crates.

use crate::process::{cargo, output};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Everything that a rule may look at. Small enough to be written down in a test.
#[derive(Debug, Default)]
pub(super) struct Repository {
    /// All files, with paths relative to the root.
    pub(super) files: Vec<File>,
    /// The crates of the workspace.
    pub(super) crates: Vec<Crate>,
    /// The crates from elsewhere that the lock file pins.
    pub(super) foreign: Vec<ForeignCrate>,
}

/// A file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Its path from the root, with `/` between the parts.
    pub(super) path: String,
    /// What stands in it, if it is text.
    pub(super) text: String,
}

/// A crate of the workspace.
#[derive(Debug, Default)]
pub(super) struct Crate {
    /// Its folder from the root, for example `internal/model`.
    pub(super) folder: String,
    /// The names of the crates that it uses outside its tests.
    pub(super) dependencies: Vec<String>,
    /// The files that its libraries, programs, tests and benches begin with.
    pub(super) roots: Vec<String>,
}

/// A crate from elsewhere.
#[derive(Debug, Default)]
pub(super) struct ForeignCrate {
    /// Its name.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// Its licence as an SPDX expression.
    pub(super) licence: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: HashSet<String>,
    workspace_root: String,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: String,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or nothing for the usual ones.
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    src_path: String,
}

impl Repository {
    /// Reads the repository at `root`.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let json = output(&mut cargo(root, &["metadata", "--format-version", "1", "--locked"]))?;
        let metadata: Metadata = serde_json::from_str(&json).context("cannot read what cargo metadata prints")?;
        let mut repository = Self::from_metadata(metadata);
        collect_files(root, "", &mut repository.files)?;
        repository.files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(repository)
    }

    fn from_metadata(metadata: Metadata) -> Self {
        let from_root = |path: &str| {
            let path = path.strip_prefix(&metadata.workspace_root).unwrap_or(path);
            path.replace('\\', "/").trim_start_matches('/').to_owned()
        };
        let mut repository = Self::default();
        for package in metadata.packages {
            if !metadata.workspace_members.contains(&package.id) {
                let (name, version, licence) = (package.name, package.version, package.license);
                repository.foreign.push(ForeignCrate { name, version, licence });
                continue;
            }
            let used = package.dependencies.into_iter().filter(|used| used.kind.as_deref() != Some("dev"));
            repository.crates.push(Crate {
                folder: from_root(&package.manifest_path).trim_end_matches("/Cargo.toml").to_owned(),
                dependencies: used.map(|used| used.name).collect(),
                roots: package.targets.iter().map(|target| from_root(&target.src_path)).collect(),
            });
        }
        repository
    }

    /// The text of a file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// The Rust files.
    pub(super) fn rust_files(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }
}

/// Folders that tools fill.
const NOT_OURS: &[&str] = &[".git", "node_modules", "lockstep-data"];

/// Collects the files below a folder. It walks the folders itself rather than asking git, so that it works in an
/// unpacked archive and sees what is not committed yet.
fn collect_files(root: &Path, folder: &str, files: &mut Vec<File>) -> Result<()> {
    let full = root.join(folder);
    // Cargo marks its target folders with this file, whatever their name.
    if full.join("CACHEDIR.TAG").exists() {
        return Ok(());
    }
    for item in fs::read_dir(&full).with_context(|| format!("cannot list {}", full.display()))? {
        let item = item.with_context(|| format!("cannot list {}", full.display()))?;
        let Ok(name) = item.file_name().into_string() else { continue };
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = item.file_type().with_context(|| format!("cannot look at {path}"))?;
        if kind.is_dir() && !NOT_OURS.contains(&name.as_str()) {
            collect_files(root, &path, files)?;
        } else if kind.is_file() {
            let bytes = fs::read(item.path()).with_context(|| format!("cannot read {path}"))?;
            // What is not UTF-8 is no text: the file is there, but no rule reads it.
            files.push(File { path, text: String::from_utf8(bytes).unwrap_or_default() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_cargo_prints() {
        let json = r#"{
            "workspace_root": "/somewhere",
            "workspace_members": ["ours"],
            "packages": [
                {"id": "ours", "name": "lockstep-model", "version": "0.1.0", "license": "MIT",
                 "manifest_path": "/somewhere/internal/model/Cargo.toml",
                 "dependencies": [{"name": "bytes", "kind": null}, {"name": "proptest", "kind": "dev"}],
                 "targets": [{"src_path": "/somewhere/internal/model/src/lib.rs"}]},
                {"id": "theirs", "name": "bytes", "version": "1.2.3", "license": "MIT",
                 "manifest_path": "/elsewhere/Cargo.toml", "dependencies": [], "targets": []}
            ]}"#;
        let repository = Repository::from_metadata(serde_json::from_str(json).unwrap());
        let ours = &repository.crates[0];
        assert_eq!((ours.folder.as_str(), &ours.dependencies[..]), ("internal/model", &["bytes".to_owned()][..]));
        assert_eq!(ours.roots, ["internal/model/src/lib.rs"]);
        assert_eq!(repository.foreign[0].name, "bytes");
    }
}
