//! A future that is a value.

use std::pin::Pin;

/// A boxed future without borrows.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;
