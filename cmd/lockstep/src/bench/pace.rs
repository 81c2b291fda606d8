//! Waiting for a moment more exactly than by the runtime's timer, which counts whole milliseconds.

use anyhow::Result;
use std::time::Instant;

#[cfg(target_os = "linux")]
pub(super) use timerfd::Pacer;

#[cfg(target_os = "linux")]
mod timerfd {
    use super::{Instant, Result};
    use rustix::fd::OwnedFd;
    use rustix::io::{Errno, read};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    /// A timer of the system (timerfd_create(2)), as exact as its own clock.
    pub(in super::super) struct Pacer(AsyncFd<OwnedFd>);

    impl Pacer {
        pub(in super::super) fn new() -> Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            Ok(Self(AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
        }

        /// Returns at this moment; at once if it is over.
        pub(in super::super) async fn until(&mut self, moment: Instant) -> Result<()> {
            let wait = moment.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Ok(());
            }
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            let it_value = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
            loop {
                let mut ready = self.0.readable().await?;
                match read(self.0.get_ref(), &mut [0; 8]) {
                    Ok(_) => return Ok(()),
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    Err(error) => return Err(error.into()),
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
