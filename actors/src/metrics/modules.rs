//! Metrics of modules: a field of the module each, registered with the module's handlers, on the page
//! while the module is loaded.
//!
//! A module named `offline` that registers `stored` has `mangrove_offline_stored_total` on the page.

use super::Unit;
use prometheus_client::registry::{Metric, Registry};
use std::collections::BTreeSet;

/// The metrics of the modules in a hook table.
#[derive(Debug, Default)]
pub struct ModuleMetrics {
    rows: Vec<(&'static str, Registry)>,
    names: BTreeSet<(&'static str, String)>,
}

impl ModuleMetrics {
    pub(super) fn registries(&self) -> impl Iterator<Item = &Registry> {
        self.rows.iter().map(|(_, registry)| registry)
    }

    /// One more.
    ///
    /// # Errors
    /// When its name is none, or another has it.
    pub(crate) fn add(
        &mut self,
        module: &'static str,
        (name, unit): (&str, Option<Unit>),
        help: &str,
        metric: impl Metric,
    ) -> Result<(), String> {
        let full = format!("{module}_{name}");
        let valid = full.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !valid || name.is_empty() || name.ends_with("_total") {
            return Err(format!("module {module}: `{full}` is no name for a metric"));
        }
        if let Some((other, _)) = self.names.iter().find(|(_, taken)| *taken == full) {
            return Err(format!("modules {module} and {other} both have a metric {full}"));
        }
        self.names.insert((module, full));
        if self.rows.iter().all(|(m, _)| *m != module) {
            self.rows.push((module, Registry::with_prefix(format!("mangrove_{module}"))));
        }
        if let Some((_, registry)) = self.rows.iter_mut().find(|(m, _)| *m == module) {
            match unit {
                Some(unit) => registry.register_with_unit(name, help, unit, metric),
                None => registry.register(name, help, metric),
            }
        }
        Ok(())
    }
}
