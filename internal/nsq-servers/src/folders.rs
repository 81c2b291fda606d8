//! Where programs are looked for, and where those that were built are kept.

use anyhow::{Context, Result};
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The first program of this name on PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    on(&env::var_os("PATH")?, name)
}

fn on(path: &OsStr, name: &str) -> Option<PathBuf> {
    env::split_paths(path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// The folders that built servers may be in. The first is the one to build into.
///
/// A program that cargo built keeps them in its target folder, so that tests find what `cargo xtask servers` built; one
/// whose target folder lies in another (a copy of the tree) sees both. An installed program has a cache folder.
pub(crate) fn for_built() -> Result<Vec<PathBuf>> {
    let program = env::current_exe().context("cannot tell where this program lies")?;
    let targets = target_folders(&program);
    if !targets.is_empty() {
        return Ok(targets.into_iter().map(|target| target.join("servers")).collect());
    }
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    // A relative path is to be ignored (XDG Base Directory Specification).
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|cache| cache.is_absolute()).or_else(home);
    let cache = cache.context("there is no folder to keep NSQ's servers in: set HOME or XDG_CACHE_HOME")?;
    Ok(vec![cache.join("lockstep").join("servers")])
}

/// The target folders around a program, the nearest first. Cargo marks them with a file, whatever their name.
fn target_folders(program: &Path) -> Vec<&Path> {
    program.ancestors().skip(1).filter(|folder| folder.join("CACHEDIR.TAG").is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_first_on_path_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        fs::create_dir_all(first.join("nsqd")).unwrap();
        fs::create_dir_all(&second).unwrap();
        fs::write(second.join("nsqd"), "").unwrap();
        let path = env::join_paths([&first, &second]).unwrap();
        assert_eq!(on(&path, "nsqd"), Some(second.join("nsqd")), "a folder is no program");
        assert_eq!(on(&path, "nsqlookupd"), None);
    }

    #[test]
    fn target_folders_are_known_by_their_mark() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        let inner = target.join("breakages/target");
        fs::create_dir_all(inner.join("debug/deps")).unwrap();
        fs::write(target.join("CACHEDIR.TAG"), "").unwrap();
        fs::write(inner.join("CACHEDIR.TAG"), "").unwrap();
        assert_eq!(target_folders(&inner.join("debug/deps/test")), [&inner, &target]);
        assert_eq!(target_folders(&target.join("debug/xtask")), [&target]);
        assert!(target_folders(&folder.path().join("bin/lockstep")).is_empty());
    }

    #[test]
    fn this_test_has_a_target_folder() {
        let folders = for_built().unwrap();
        assert!(env::current_exe().unwrap().starts_with(folders[0].parent().unwrap()), "{folders:?}");
    }
}
