//! What a node says about itself: logs, metrics, health.

pub(crate) mod http;
pub mod logs;
mod metrics;
