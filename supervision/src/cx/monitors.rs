//! Monitors of a process's own: of processes and of names.

use super::Cx;
use crate::pid::{Monitor, Pid};

impl<M: Send + 'static> Cx<M> {
    /// Gets an [`crate::Event::Down`] when `pid` ends (`monitor/2`).
    pub fn monitor(&self, pid: impl Into<Pid>) -> Monitor {
        pid.into().monitor(self.pid())
    }

    /// [`crate::System::monitor_name`] for itself.
    ///
    /// ```
    /// use supervision::{Cx, Event, Monitor, Next};
    ///
    /// struct Front { database: Monitor }
    ///
    /// /// As a server's `init` might.
    /// async fn init(cx: &mut Cx<()>) -> Front {
    ///     Front { database: cx.monitor_name("database") }
    /// }
    ///
    /// /// As its `event` might.
    /// async fn event(front: &mut Front, event: Event<()>, cx: &mut Cx<()>) -> Next {
    ///     if let Event::Down { monitor, pid, .. } = event
    ///         && monitor == front.database
    ///     {
    ///         assert_eq!(pid.name(), Some(("database", cx.system().node())));
    ///     }
    ///     cx.demonitor_flush(front.database);              // had it waited yet, it would not come any more
    ///     Next::Continue
    /// }
    /// ```
    pub fn monitor_name(&self, name: &str) -> Monitor {
        self.system().monitor_name(name, self.pid())
    }

    /// Takes back a monitor of its own (`demonitor/1`): no [`crate::Event::Down`] of it is sent from now on. `false`: there is none
    /// any more, and its `Down` may wait already (OTP's option `info`).
    pub fn demonitor(&self, monitor: Monitor) -> bool {
        self.pid().take_back(monitor, false)
    }

    /// [`Cx::demonitor`]; one that waits is thrown away: none comes any more (`demonitor(Ref, [flush, info])`). Looks through the signals
    /// that wait.
    pub fn demonitor_flush(&self, monitor: Monitor) -> bool {
        self.pid().take_back(monitor, true)
    }
}
