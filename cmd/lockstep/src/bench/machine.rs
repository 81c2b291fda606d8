//! What the machine allows and shows: open files, and the CPU time and memory of another process.

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that a process has open besides its devices' sockets: databases, logs, pipes, the runtime's own.
const OTHER_FILES: u64 = 128;

/// Raises this process's limit of open files, which its children inherit, so far that it can hold these sockets.
///
/// # Errors
///
/// A sentence that says what to do, if the machine does not allow it.
pub(super) fn allow_sockets(sockets: usize) -> Result<(), String> {
    let needed = sockets as u64 + OTHER_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Absent means unlimited.
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let maximum_is_enough = maximum.is_none_or(|maximum| maximum >= needed);
    // Only a privileged process may raise the maximum.
    let wanted = Rlimit { current: Some(needed), maximum: if maximum_is_enough { maximum } else { Some(needed) } };
    setrlimit(Resource::Nofile, wanted).map_err(|_| {
        let allowed = maximum.unwrap_or(u64::MAX);
        format!(
            "{sockets} sockets need {needed} open files, and this machine allows a process {allowed}: take fewer \
             --devices, or raise the limit in /etc/security/limits.conf (nofile, hard) and log in again"
        )
    })
}

/// Another process, as `/proc` shows it (proc(5)).
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed {
    pid: u32,
}

/// Memory of a process in bytes, from `/proc/PID/smaps_rollup`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Everything that is resident, the program's own pages and mapped files too.
    pub(super) resident: u64,
    /// What the process has allocated: heap and stacks.
    pub(super) anonymous: u64,
}

impl Observed {
    pub(super) fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// CPU time that the process has used, in user and system mode, in seconds. The system counts it in ticks of 10 ms.
    pub(super) fn cpu_seconds(self) -> Result<f64> {
        let stat = self.read("stat")?;
        // The second field is the program's name in brackets, which may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("/proc/PID/stat has no CPU times")?;
        Ok((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    pub(super) fn memory(self) -> Result<Memory> {
        let rollup = self.read("smaps_rollup")?;
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name)).context("smaps_rollup lacks a field")?;
            let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("smaps_rollup is not as expected")?;
            anyhow::Ok(kib * 1_024)
        };
        Ok(Memory { resident: field("Rss:")?, anonymous: field("Anonymous:")? })
    }

    fn read(self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.pid);
        std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))
    }
}
