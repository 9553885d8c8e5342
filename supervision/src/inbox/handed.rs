//! A message that has gone to another node is dropped here, but for the replies in it, to which the answers will come. Which they are says
//! where they lie: they were serialised where they are dropped.

use super::Reply;
use std::{any::Any, cell::RefCell, ptr};

/// What a reply led to.
pub(crate) type Kept = Box<dyn Any + Send>;

/// Where one lies that is to be kept, and what was kept of it.
type Place = (usize, Option<Kept>);

thread_local! {
    static HANDED: RefCell<Option<Vec<Place>>> = const { RefCell::new(None) };
}

/// Where a reply lies.
pub(crate) fn place<R: Send + 'static>(reply: &Reply<R>) -> usize {
    ptr::from_ref(reply).addr()
}

/// Drops it, and keeps the replies that lie at these places: of each what it led to, `None` if it was not dropped there.
pub(crate) fn handed_on<M>(
    msg: &mut Option<M>,
    places: impl Iterator<Item = usize>,
) -> Vec<Option<Kept>> {
    /// Whatever a destructor does.
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            HANDED.take();
        }
    }
    let _ends = Ends;
    HANDED.set(Some(places.map(|place| (place, None)).collect()));
    *msg = None;
    HANDED.take().unwrap_or_default().into_iter().map(|(_, kept)| kept).collect()
}

/// Keeps what a reply led to that is dropped at this place, if it is one of those; else it comes back.
pub(super) fn keep<A: Send + 'static>(place: usize, answer: A) -> Option<A> {
    let mut answer = Some(answer);
    // an error: the thread ends
    let _ = HANDED.try_with(|handed| {
        let mut handed = handed.borrow_mut();
        let mut all = handed.iter_mut().flatten();
        if let Some((_, kept)) = all.find(|(of, kept)| *of == place && kept.is_none())
            && let Some(answer) = answer.take()
        {
            *kept = Some(Box::new(answer));
        }
    });
    answer
}
