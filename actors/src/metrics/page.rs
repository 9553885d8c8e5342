//! The page that Prometheus reads, in either of its formats.

use super::{Labels, Metrics, Unit, modules::ModuleMetrics};
use prometheus_client::{
    encoding::{prometheus_text, text},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
        info::Info,
    },
    registry::Registry,
};
use std::{collections::BTreeSet, fmt, sync::atomic::AtomicU64};

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text format, version 0.0.4: what every version reads.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What HTTP calls it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    fn write(self, page: &mut String, registry: &Registry) -> fmt::Result {
        match self {
            Self::Text => prometheus_text::encode(page, registry),
            Self::OpenMetrics => text::encode_registry(page, registry),
        }
    }
}

/// What is not counted where it happens, but looked up when somebody asks. Each is declared by adding it.
#[derive(Debug, Default)]
pub struct Looked(Registry);

impl Looked {
    /// How much there is of something.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) -> &mut Self {
        // what is counted has no fraction, and is read by programs that expect none
        match whole(value) {
            Some(count) => self.0.register(name, help, ConstGauge::new(count)),
            None => self.0.register(name, help, ConstGauge::new(value)),
        }
        self
    }

    /// How much there is of something that has a unit, which ends its name.
    pub fn measure(&mut self, name: &str, help: &str, unit: Unit, value: f64) -> &mut Self {
        match whole(value) {
            Some(count) => self.0.register_with_unit(name, help, unit, ConstGauge::new(count)),
            None => self.0.register_with_unit(name, help, unit, ConstGauge::new(value)),
        }
        self
    }

    /// How much there is of something, by a label: all rows of one name.
    pub fn measures(&mut self, rows: &[storage::Gauge]) -> &mut Self {
        let Some(first) = rows.first() else { return self };
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for row in rows {
            family.get_or_create(&vec![row.label]).set(row.value);
        }
        match first.unit {
            Some(storage::Unit::Seconds) => {
                self.0.register_with_unit(first.name, first.help, Unit::Seconds, family);
            }
            None => self.0.register(first.name, first.help, family),
        }
        self
    }

    /// How much there is of something of each that the label names.
    pub fn each(
        &mut self,
        (name, unit, help): (&str, Option<Unit>, &str),
        label: &'static str,
        rows: impl IntoIterator<Item = (String, f64)>,
    ) -> &mut Self {
        let family = Family::<Vec<(&'static str, String)>, Gauge<f64, AtomicU64>>::default();
        for (of, value) in rows {
            family.get_or_create(&vec![(label, of)]).set(value);
        }
        match unit {
            Some(unit) => self.0.register_with_unit(name, help, unit, family),
            None => self.0.register(name, help, family),
        }
        self
    }

    /// How much there was so far of something of each that the label names; `_total` ends its name.
    pub fn each_so_far(
        &mut self,
        (name, unit, help): (&str, Option<Unit>, &str),
        label: &'static str,
        rows: impl IntoIterator<Item = (String, u64)>,
    ) -> &mut Self {
        let family = Family::<Vec<(&'static str, String)>, Counter>::default();
        for (of, value) in rows {
            family.get_or_create(&vec![(label, of)]).inc_by(value);
        }
        match unit {
            Some(unit) => self.0.register_with_unit(name, help, unit, family),
            None => self.0.register(name, help, family),
        }
        self
    }

    /// How long something took.
    pub fn took(&mut self, name: &str, help: &str, times: &Histogram) -> &mut Self {
        self.0.register_with_unit(name, help, Unit::Seconds, times.clone());
        self
    }

    /// How much there was of something so far; `_total` ends its name.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> &mut Self {
        self.0.register(name, help, ConstCounter::new(value));
        self
    }

    /// How many seconds there were so far; `_seconds_total` ends its name.
    pub fn seconds(&mut self, name: &str, help: &str, value: f64) -> &mut Self {
        self.0.register_with_unit(name, help, Unit::Seconds, ConstCounter::new(value));
        self
    }

    /// Something that is so; `_info` ends its name.
    pub fn info(&mut self, name: &str, help: &str, label: &'static str, value: &'static str) {
        self.0.register(name, help, Info::new(vec![(label, value)]));
    }
}

/// A number without a fraction, as far as such a value has all of them.
fn whole(value: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (value.fract() == 0.0 && value.abs() < EXACT).then_some(value as i64)
}

/// A name that two metrics of a page have: Prometheus reads nothing of such a page.
pub fn twice(page: &str) -> Option<&str> {
    let mut seen = BTreeSet::new();
    let mut names = page.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next());
    names.find(|name| !seen.insert(*name))
}

/// The page: what the node counts, what its modules do, and what was looked up.
///
/// # Errors
/// When a value cannot be written in the format.
pub fn page(
    metrics: &Metrics,
    modules: &ModuleMetrics,
    looked: &Looked,
    format: Format,
) -> Result<String, fmt::Error> {
    let mut page = String::new();
    format.write(&mut page, &metrics.registry)?;
    for registry in modules.registries() {
        format.write(&mut page, registry)?;
    }
    format.write(&mut page, &looked.0)?;
    if format == Format::OpenMetrics {
        text::encode_eof(&mut page)?;
    }
    Ok(page)
}
