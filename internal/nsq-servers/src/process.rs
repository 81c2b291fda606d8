//! A child process that does not outlive us, whatever becomes of us.

use crate::log::Log;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a server may take to stop: far longer than it ever should.
const PATIENCE: Duration = Duration::from_secs(30);

/// Becomes the program, and leaves a shell beside it that waits for the end of the pipe from us: it comes when we are
/// gone, however that happened, and then the program is killed. (`$$` is the program's process id in both.)
///
/// The system has a call for this, but it goes by the thread that started the program rather than the process.
const SCRIPT: &str = "exec 3<&0; { read -r _ <&3; kill -KILL $$; } >/dev/null 2>&1 & exec \"$@\" 3<&- </dev/null";

/// The process, killed and waited for when it is dropped.
///
/// It leads a process group of its own, with the shell that watches over it: no signal of a terminal reaches them, and
/// both go together. Its id stays its own until it is waited for, so a signal never meets a stranger.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    log: Log,
    /// How it ended, once it has been waited for.
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts a program, whose standard error is its log.
    pub(crate) fn start(program: &Path, arguments: &[String]) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(program).args(arguments).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stderr = child.stderr.take();
        let pid = Pid::from_child(&child);
        let process = Self { child, pid, log: Log::default(), ended: None };
        let stderr = stderr.context("the server's log is not there")?;
        let log = process.log.clone();
        // It ends with the process.
        let reader = std::thread::Builder::new().name("nsq-log".into()).spawn(move || log.fill(stderr));
        reader.context("cannot start a thread")?;
        Ok(process)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Whether it runs: it has neither ended nor been waited for. (One that is paused runs.)
    pub(crate) fn is_running(&self) -> bool {
        self.ended.is_none() && !self.log.wait_for_end(Duration::ZERO)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        if self.ended.is_some() {
            bail!("the server with process id {} is not there any more", self.pid());
        }
        kill_process(self.pid, signal).with_context(|| format!("cannot signal process {}", self.pid()))
    }

    /// Halts it and waits until it has halted.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        // It stays waitable, and a process that ends instead is left for `kill` to wait for.
        let halted = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.pid), halted).with_context(|| format!("process {} has not halted", self.pid()))?;
        Ok(())
    }

    /// Kills it and waits until it is gone, which is at once.
    pub(crate) fn kill(&mut self) {
        if self.ended.is_none() {
            // The group is there until its leader has been waited for, and that succeeds once.
            let _ = kill_process_group(self.pid, Signal::KILL);
            self.ended = self.child.wait().ok();
        }
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        // A process that is paused hears nothing until it goes on.
        self.signal(Signal::CONT)?;
        let stopped = self.log.wait_for_end(PATIENCE);
        // The status is that of the stopped process; what is killed is the shell beside it.
        self.kill();
        match self.ended {
            Some(status) if stopped => Ok(status),
            _ => bail!("the server has not stopped after {} s\n{}", PATIENCE.as_secs(), self.log.tail()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::test_kill_process;

    fn sleeper() -> Process {
        Process::start(Path::new("sh"), &["-c".into(), "echo ready >&2; exec sleep 1000".into()]).unwrap()
    }

    #[test]
    fn it_dies_with_us() {
        let mut process = sleeper();
        assert!(process.log.wait_for_text("ready", PATIENCE) && process.is_running());
        // This is what the system does to our end of the pipe, whatever ends us.
        drop(process.child.stdin.take());
        assert!(process.log.wait_for_end(PATIENCE));
        assert!(!process.is_running());
    }

    #[test]
    fn it_dies_with_us_while_it_is_paused() {
        let mut process = sleeper();
        assert!(process.log.wait_for_text("ready", PATIENCE));
        process.pause().unwrap();
        drop(process.child.stdin.take());
        assert!(process.log.wait_for_end(PATIENCE));
    }

    #[test]
    fn what_is_dropped_is_gone() {
        let process = sleeper();
        let pid = process.pid;
        assert!(test_kill_process(pid).is_ok());
        drop(process);
        assert!(test_kill_process(pid).is_err());
    }

    #[test]
    fn a_program_that_is_not_there_says_so() {
        let process = Process::start(Path::new("/nowhere/nsqd"), &[]).unwrap();
        assert!(process.log.wait_for_end(PATIENCE));
        assert!(process.log.tail().contains("/nowhere/nsqd"), "{}", process.log.tail());
    }

    #[test]
    fn no_signal_goes_to_what_is_gone() {
        let mut process = sleeper();
        process.kill();
        assert!(process.signal(Signal::CONT).is_err() && process.pause().is_err() && process.stop().is_err());
    }
}
