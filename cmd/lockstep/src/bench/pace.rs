//! Waiting for a moment more exactly than by the runtime's timer, which counts whole milliseconds.

use anyhow::Result;
use std::time::Instant;

#[cfg(target_os = "linux")]
pub(super) use timerfd::Pacer;

#[cfg(target_os = "linux")]
mod timerfd {
    use super::{Instant, Result};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use std::io::ErrorKind;
    use tokio::net::unix::pipe::Receiver;

    /// A timer of the system (timerfd_create(2)), as exact as its clock. Like a pipe it becomes readable and is read, and
    /// so the runtime's type for the reading end of one serves it.
    pub(in super::super) struct Pacer(Receiver);

    impl Pacer {
        pub(in super::super) fn new() -> Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            Ok(Self(Receiver::from_owned_fd_unchecked(timer)?))
        }

        /// Returns at this moment; at once if it is over.
        pub(in super::super) async fn until(&mut self, moment: Instant) -> Result<()> {
            let wait = moment.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Ok(());
            }
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            let it_value = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
            loop {
                self.0.readable().await?;
                // How often it has expired.
                match self.0.try_read(&mut [0; 8]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    outcome => return Ok(outcome.map(drop)?),
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) struct Pacer;

#[cfg(not(target_os = "linux"))]
impl Pacer {
    pub(super) fn new() -> Result<Self> {
        Ok(Self)
    }

    pub(super) async fn until(&mut self, moment: Instant) -> Result<()> {
        tokio::time::sleep_until(moment.into()).await;
        Ok(())
    }
}
