//! What has been counted, read off the page that Prometheus gets.

use crate::{
    env::Env,
    metrics::page::{Format, Looked, page},
};
use std::collections::BTreeMap;

/// The values of a page in the text format, by name and labels as they stand there.
pub fn parse(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let values = lines.filter_map(|line| line.rsplit_once(' '));
    values.filter_map(|(of, value)| Some((of.to_owned(), value.parse().ok()?))).collect()
}

/// What a node and its modules have counted and measured.
pub fn values(env: &Env) -> BTreeMap<String, f64> {
    parse(
        &page(&env.metrics, &env.hooks().metrics, &Looked::default(), Format::Text)
            .unwrap_or_default(),
    )
}
