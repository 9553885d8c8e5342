//! What the tool asks of the operating system beyond /proc: CPU clocks, a timer with a fine grain, file descriptors.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe;

use crate::R;

/// Clock ticks a second, the unit of CPU times in /proc.
pub fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

fn seconds(clock: ClockId) -> f64 {
    let t = clock_gettime(clock);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

/// CPU seconds this process has used, user and system.
pub fn self_cpu() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// CPU microseconds that a fixed piece of arithmetic takes now: how fast a core is at the moment, which on a shared
/// machine changes with what the neighbours do.
pub fn spin() -> f64 {
    let start = seconds(ClockId::ThreadCPUTime);
    let mut x = 88_172_645_463_325_252_u64;
    for _ in 0..100_000 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    std::hint::black_box(x);
    (seconds(ClockId::ThreadCPUTime) - start) * 1e6
}

/// Raises the soft limit on open files to the hard one, and fails when that is not enough for `connections`
/// sockets and the tool's own few files.
pub fn need_files(connections: usize) -> R<()> {
    const OWN: u64 = 64;
    let need = connections as u64 + OWN;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Only a privileged process may raise the hard limit; for any other the attempt changes nothing.
    if maximum.is_some_and(|hard| hard < need) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(need), maximum: Some(need) });
    }
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        return Err("the soft limit on open files cannot be raised to the hard one".into());
    }
    match maximum {
        Some(hard) if hard < need => Err(format!(
            "{connections} connections need {need} open files, but the hard limit (RLIMIT_NOFILE) is {hard}: \
             raise it (`ulimit -Hn {need}` as root, LimitNOFILE= or limits.conf), or ask for fewer connections"
        )),
        _ => Ok(()),
    }
}

/// Sleeps to the microsecond; tokio's own timer has a grain of one millisecond. To tokio the timer's descriptor is a
/// pipe: it becomes readable, and eight bytes are read.
pub struct Timer(pipe::Receiver);

impl Timer {
    pub fn new() -> R<Timer> {
        let fd = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )
        .map_err(|e| format!("timer: {e}"))?;
        pipe::Receiver::from_owned_fd_unchecked(fd).map(Timer).map_err(|e| format!("timer: {e}"))
    }

    /// Returns at `at`, or at once (after a yield) when that is less than 20 microseconds away.
    pub async fn until(&self, at: Instant) {
        let left = at.saturating_duration_since(Instant::now());
        if left < Duration::from_micros(20) {
            tokio::task::yield_now().await;
            return;
        }
        if self.arm(left).is_err() {
            tokio::time::sleep(left).await;
            return;
        }
        if self.0.readable().await.is_ok() {
            let _ = self.0.try_read(&mut [0_u8; 8]);
        }
    }

    fn arm(&self, left: Duration) -> io::Result<()> {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec {
            it_interval: never,
            it_value: Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() },
        };
        timerfd_settime(self.0.as_fd(), TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}
