//! How users are dealt out to managers, locks and shards: nobody can choose names that all come to one. In a test always the
//! same way, so that it can be run again.

#[cfg(not(feature = "testkit"))]
pub(crate) use std::hash::RandomState as Hasher;

/// `SipHash` with keys that are known.
#[cfg(feature = "testkit")]
pub(crate) type Hasher = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;
