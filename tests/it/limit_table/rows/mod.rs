//! The rows of `docs/limits.md`.

/// Something that grows.
pub struct Row {
    pub what: &'static str,
    /// Where its limits stand: options, and constants as `file: NAME`.
    pub from: &'static [&'static str],
    /// What it occupies at most, in bytes.
    pub most: &'static str,
    /// What happens at the limit.
    pub at: &'static str,
    /// The fields that hold it, by file.
    pub fields: &'static [(&'static str, &'static str)],
    /// The tests that try it.
    pub tried: &'static [&'static str],
}

mod cluster;
mod connection;
mod node;
mod processes;
mod services;
mod session;
mod still;
mod stored;

pub use cluster::CLUSTER;
pub use connection::CONNECTION;
pub use node::NODE;
pub use processes::PROCESSES;
pub use services::SERVICES;
pub use session::SESSION;
pub use still::STILL;
pub use stored::STORED;
