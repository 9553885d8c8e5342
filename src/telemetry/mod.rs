//! What a node says about itself: logs, metrics, health.

pub(crate) mod http;
mod limit;
pub mod logs;
pub(crate) mod metrics;
mod nodes;
