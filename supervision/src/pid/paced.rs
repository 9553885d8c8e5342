//! A process in a system that has a [`crate::schedule`]: it runs when that lets it, and has the faults that are planned for it.

use super::{Local, SCHEDULED};
use crate::{
    exit::Exit,
    schedule::{Fault, Pacing},
};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
};

/// The life of a process, whatever it is.
type Life = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Local {
    fn pacing(&self) -> Option<Box<Pacing>> {
        let schedule = self.system().schedule()?;
        let me = self.clone();
        let pacing =
            Pacing::new(schedule, Arc::clone(self.path()), move || me.set_suspended(false));
        Some(Box::new(pacing))
    }

    /// The life of a process, when its system has a schedule; it comes back when there is none.
    pub(crate) fn scheduled<F: Future<Output = ()> + Send + 'static>(
        &self,
        life: F,
    ) -> Result<Life, F> {
        let Some(mut pacing) = self.pacing() else { return Err(life) };
        let mut life = Box::pin(life);
        Ok(Box::pin(poll_fn(move |cx| pacing.poll(life.as_mut(), cx))))
    }

    /// The same in a task that is somebody else's.
    pub(crate) fn paced<F: Future>(
        &self,
        mut life: Pin<&mut F>,
    ) -> impl Future<Output = F::Output> {
        let mut pacing = self.pacing();
        poll_fn(move |cx| match &mut pacing {
            None => life.as_mut().poll(cx),
            Some(pacing) => pacing.poll(life.as_mut(), cx),
        })
    }

    /// Whether a test's schedule looks at its messages.
    pub(crate) fn is_scheduled(&self) -> bool {
        self.has(SCHEDULED)
    }

    /// What happens at the message that it takes. One that is to end takes no other; one that waits is suspended meanwhile.
    pub(crate) fn fault(&self) -> Option<Fault> {
        let fault = self.system().schedule()?.message(self.path())?;
        match fault {
            Fault::Drop => {}
            Fault::Delay(_) => self.set_suspended(true),
            Fault::Crash => {
                self.set_suspended(true);
                self.doom(Exit::error("a fault of the schedule"), false);
            }
            Fault::Kill => {
                self.set_suspended(true);
                self.kill();
            }
        }
        Some(fault)
    }
}
