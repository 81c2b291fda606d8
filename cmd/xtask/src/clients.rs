//! `cargo xtask clients`: NSQ clients in other languages, with which tests publish and listen as services do,
//! schemathesis, which asks a server whatever its OpenAPI document allows, and PyJWT and jose, which make and check tokens.

use crate::machine;
use crate::process::{announce, step};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What is installed, pinned to its bytes, in this order.
const MANIFESTS: [&str; 6] =
    ["build.txt", "requirements.txt", "schemathesis.txt", "tokens.txt", "package.json", "package-lock.json"];
const FOLDER: &str = "cmd/lockstep/tests/foreign/clients";
/// The manifests once more, written when all that they name is there. Tests look for it.
const INSTALLED: &str = "installed";

/// Installs them into the target folder, if they are not there as the manifests want them.
pub(crate) fn run(root: &Path) -> Result<()> {
    announce("clients");
    machine::check_clients()?;
    let began = Instant::now();
    let into = target_folder()?.join("foreign");
    fs::create_dir_all(&into).with_context(|| format!("cannot make {}", into.display()))?;
    let lock = File::create(into.join("lock")).with_context(|| format!("cannot write in {}", into.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", into.display()))?;
    let manifests = read_manifests(&root.join(FOLDER))?;
    if !are_installed(&into, &manifests) {
        install(&into, &manifests)?;
    }
    println!("{}\n== clients: ok ({} s)", into.display(), began.elapsed().as_secs());
    Ok(())
}

/// The target folder that this program lies in. Cargo marks it with a file, whatever its name.
fn target_folder() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    Ok(target.context("this program lies in no target folder: run it by `cargo xtask`")?.to_path_buf())
}

fn read_manifests(folder: &Path) -> Result<Vec<(&'static str, String)>> {
    let read = |name| {
        let path = folder.join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok((name, text))
    };
    MANIFESTS.into_iter().map(read).collect()
}

fn mark(manifests: &[(&str, String)]) -> String {
    manifests.iter().map(|(_, text)| text.as_str()).collect()
}

/// Whether this is installed, and still works: a newer Python, say, does not know what an older one installed.
fn are_installed(folder: &Path, manifests: &[(&str, String)]) -> bool {
    let works = |command: &mut Command| {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    fs::read_to_string(folder.join(INSTALLED)).is_ok_and(|text| text == mark(manifests))
        && works(Command::new(python(folder)).args(["-c", "import nsq, schemathesis, jwt, cryptography"]))
        && works(Command::new("node").args(["-e", "require('nsqjs'); require('jose')"]).current_dir(folder))
}

fn install(folder: &Path, manifests: &[(&str, String)]) -> Result<()> {
    let venv = folder.join("venv");
    for old in [folder.join(INSTALLED), venv.clone()] {
        let gone = if old.is_dir() { fs::remove_dir_all(&old) } else { fs::remove_file(&old) };
        if let Err(error) = gone
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("cannot remove {}", old.display()));
        }
    }
    for (name, text) in manifests {
        fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    let in_folder = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        command
    };
    step("make a place for what is Python", &mut in_folder(Path::new("python3"), &["-m", "venv", "venv"]))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"];
    let build = [&pip[..], &["-r", "build.txt"]].concat();
    step("install what builds pynsq", &mut in_folder(&python(folder), &build))?;
    let requirements = [&pip[..], &["--no-build-isolation", "--use-pep517", "-r", "requirements.txt"]].concat();
    step("install pynsq", &mut in_folder(&python(folder), &requirements))?;
    let wheels = [&pip[..], &["--only-binary", ":all:", "-r", "schemathesis.txt", "-r", "tokens.txt"]].concat();
    step("install schemathesis, which needs Python 3.11, and PyJWT", &mut in_folder(&python(folder), &wheels))?;
    // What is optional is a compression that has to be compiled.
    let npm = ["ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"];
    step("install nsqjs and jose", &mut in_folder(Path::new("npm"), &npm))?;
    fs::write(folder.join(INSTALLED), mark(manifests)).context("cannot write that all is installed")
}

fn python(folder: &Path) -> PathBuf {
    folder.join("venv/bin/python")
}
