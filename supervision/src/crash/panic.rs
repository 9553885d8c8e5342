//! Panics are caught: the one hook of the program notes what happened, and in which process. Processes are plain numbers
//! here.

use parking_lot::Mutex;
use std::{
    any::Any,
    backtrace::Backtrace,
    cell::{Cell, RefCell},
    collections::HashMap,
    io::{self, Write},
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock, Once},
};
use tokio::time::Instant;

/// What the panic hook noted.
#[derive(Debug)]
pub(crate) struct Panic {
    pub(crate) message: String,
    pub(crate) location: String,
    pub(crate) backtrace: Option<Arc<Backtrace>>,
    pub(crate) in_terminate: bool,
}

/// The most panics of a thread that are remembered until one of them ends a process: others were
/// caught inside of it, while the first unwound.
const NESTED: usize = 4;

thread_local! {
    static LAST: RefCell<Vec<Panic>> = const { RefCell::new(Vec::new()) };
}

impl Panic {
    /// The panic that has just unwound on this thread.
    pub(crate) fn take(payload: &(dyn Any + Send)) -> Self {
        let message = text(payload);
        // none of those the hook saw: unwinding was resumed without a panic
        LAST.take().into_iter().rfind(|last| last.message == message).unwrap_or_else(|| Self {
            message,
            location: "unknown".to_owned(),
            backtrace: None,
            in_terminate: false,
        })
    }

    pub(crate) fn in_terminate(mut self) -> Self {
        self.in_terminate = true;
        self
    }
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

/// Which crash log, and the kind of process.
pub(crate) type Who = (u64, &'static str);

thread_local! {
    /// The process that runs on this thread, and its id.
    static INSIDE: Cell<Option<(Who, u64)>> = const { Cell::new(None) };
}

/// Whether that process runs on this thread: it is who asks.
pub(crate) fn is_inside(process: (Who, u64)) -> bool {
    INSIDE.get() == Some(process)
}

/// Whether a process runs on this thread.
pub(crate) fn is_anybody_inside() -> bool {
    INSIDE.get().is_some()
}

/// Calls something of a process; a panic in it becomes what the hook noted.
#[inline]
pub(crate) fn catch<T>(process: (Who, u64), call: impl FnOnce() -> T) -> Result<T, Panic> {
    let outside = INSIDE.replace(Some(process));
    let result = catch_unwind(AssertUnwindSafe(call));
    INSIDE.set(outside);
    result.map_err(noted)
}

/// Calls something that is not of the process that runs; a panic in it becomes what the hook noted.
pub(crate) fn catch_inside<T>(call: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(call)).map_err(noted)
}

fn noted(payload: Box<dyn Any + Send>) -> Panic {
    let panic = Panic::take(&*payload);
    // a payload may have a destructor that panics too, and so may what that panics with
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    let _ = dropped.map_err(ManuallyDrop::new);
    panic
}

/// Places whose reports are not kept for now: their stacks are not captured (20 us each).
#[derive(Default)]
struct Spent(HashMap<(Who, String), Instant>);

/// The most places of all logs that are known as spent; beyond it stacks are captured in vain.
const SPENT: usize = 4096;

static STORMS: LazyLock<Mutex<Spent>> = LazyLock::new(Mutex::default);

/// No report of that place is kept until then.
pub(crate) fn spent(who: Who, location: &str, until: Instant) {
    let mut storms = STORMS.lock();
    if storms.0.len() >= SPENT {
        let now = Instant::now();
        storms.0.retain(|_, until| now < *until);
    }
    if storms.0.len() < SPENT {
        storms.0.insert((who, location.to_owned()), until);
    }
}

fn is_spent(who: Who, location: &str) -> bool {
    let until = STORMS.lock().0.get(&(who, location.to_owned())).copied();
    until.is_some_and(|until| Instant::now() < until)
}

/// Installs the one panic hook of the program, before the first process runs. Panics outside of
/// processes go to the hook that was there.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        #[expect(clippy::disallowed_methods, reason = "the one panic hook of the program")]
        std::panic::set_hook(Box::new(move |info| {
            let Some((who, _)) = INSIDE.get() else {
                return previous(info);
            };
            let mut noted = LAST.take();
            if let Some(first) = noted.first() {
                // the first was caught inside of the process; or it still unwinds, then this is the
                // end of the program and nobody will make a report of either
                let said = format!("panic at {}: {}\n", first.location, first.message);
                // nothing can be done about standard error being closed
                drop(io::stderr().write_all(said.as_bytes()));
                previous(info);
            }
            let location =
                info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
            let backtrace = (!is_spent(who, &location)).then(Backtrace::force_capture);
            if noted.len() == NESTED {
                noted.pop();
            }
            noted.push(Panic {
                message: text(info.payload()),
                location,
                backtrace: backtrace.map(Arc::new),
                in_terminate: false,
            });
            LAST.set(noted);
        }));
    });
}
