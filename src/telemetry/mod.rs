//! What a node says about itself: logs.

pub mod logs;
