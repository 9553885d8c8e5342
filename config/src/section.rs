//! A table of options: [`Section`], and the macro [`section!`](crate::section!) that declares one.

use crate::{
    raw::{Kind, Raw},
    report::{About, Mistake, Place},
    value::{Limits, Value, Wrong},
};
use std::fmt::Debug;

/// A table of options. Declared by [`section!`](crate::section!), never by hand.
pub trait Section: Default + Clone + Debug + PartialEq + Send + Sync + 'static {
    /// What the section is for.
    const DOC: &'static str;
    /// Whether a module with this section runs when the configuration does not say.
    const ENABLED: bool;

    /// Asks the visitor for each option in turn: how a section is read, described and given its
    /// defaults.
    fn visit(visitor: &mut impl Visit) -> Self;
}

/// Who walks through the options of a section.
pub trait Visit {
    /// The value of one option.
    fn option<V: Value>(&mut self, entry: Entry<V>) -> V;
}

/// The declaration of one option.
#[derive(Clone, Debug)]
pub struct Entry<V: Value> {
    /// Its name.
    pub name: &'static str,
    /// What it does, with its unit.
    pub doc: &'static str,
    /// Its value when the configuration does not say.
    pub default: V,
    /// Whether the configuration has to say.
    pub required: bool,
    /// What it may be.
    pub limits: Limits<V::Measure>,
}

/// Declares a section.
///
/// ```
/// use config::{mins, secs};
/// use std::time::Duration;
///
/// config::section! {
///     /// Answers pings, and sends them to clients that have been silent for long.
///     pub struct PingConfig {
///         /// How long a client may be silent before it is pinged.
///         pub idle: Duration = mins(5), in secs(1)..,
///         /// How many clients are pinged at the same time.
///         pub parallel: usize = 100, in 1..=1000,
///     }
/// }
/// assert_eq!(PingConfig::default().idle, secs(300));
/// ```
///
/// `#[off]` before `pub struct` declares a module that runs only with `enabled = true`. An option
/// without a default has to be set. A module without options has an empty section.
#[macro_export]
macro_rules! section {
    ($(#[doc = $doc:literal])+ #[off] pub struct $($rest:tt)+) => {
        $crate::section! { @build false, [$($doc),+] $($rest)+ }
    };
    ($(#[doc = $doc:literal])+ pub struct $($rest:tt)+) => {
        $crate::section! { @build true, [$($doc),+] $($rest)+ }
    };
    (@build $enabled:literal, [$($doc:literal),+] $name:ident {
        $(
            $(#[doc = $meaning:literal])+
            pub $option:ident : $ty:ty $(= $default:expr)? $(, in $range:expr)?
        ),* $(,)?
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $( $(#[doc = $meaning])+ pub $option: $ty ),* }

        impl Default for $name {
            fn default() -> Self {
                <Self as $crate::Section>::visit(&mut $crate::section::Defaults)
            }
        }

        impl $crate::Section for $name {
            const DOC: &'static str = concat!($($doc, "\n"),+);
            const ENABLED: bool = $enabled;

            fn visit(_visitor: &mut impl $crate::Visit) -> Self {
                Self { $(
                    $option: _visitor.option::<$ty>($crate::Entry {
                        name: stringify!($option),
                        doc: concat!($($meaning, "\n"),+),
                        default: $crate::section!(@default $ty $(, $default)?),
                        required: $crate::section!(@required $($default)?),
                        limits: $crate::section!(@limits $($range)?),
                    })
                ),* }
            }
        }
    };
    (@default $ty:ty) => { <$ty as Default>::default() };
    (@default $ty:ty, $default:expr) => { $default };
    (@required) => { true };
    (@required $default:expr) => { false };
    (@limits) => { $crate::value::Limits::default() };
    (@limits $range:expr) => { $crate::value::Limits::of(&$range) };
}

/// Gives every option its default.
#[derive(Debug)]
pub struct Defaults;

impl Visit for Defaults {
    fn option<V: Value>(&mut self, entry: Entry<V>) -> V {
        entry.default
    }
}

/// One option, described.
#[derive(Clone, Debug)]
pub struct OptionDoc {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Its type, for people.
    pub kind: String,
    /// Its default in TOML; None if it is required, or optional and not set.
    pub default: Option<String>,
    /// Whether it has to be set.
    pub required: bool,
    /// Its limits, for people.
    pub limits: Option<String>,
    /// The words allowed, with their meaning.
    pub choices: &'static [(&'static str, &'static str)],
    /// An example in TOML.
    pub example: String,
}

/// Describes every option.
#[derive(Debug, Default)]
pub(crate) struct Describer(pub Vec<OptionDoc>);

impl Visit for Describer {
    fn option<V: Value>(&mut self, entry: Entry<V>) -> V {
        self.0.push(OptionDoc {
            name: entry.name,
            doc: entry.doc,
            kind: V::kind(),
            default: entry.default.toml().filter(|_| !entry.required),
            required: entry.required,
            limits: entry.limits.text(V::limit),
            choices: V::choices(),
            example: V::example(),
        });
        entry.default
    }
}

/// Reads every option from a table; a wrong one counts as not set, so that the others are read.
pub(crate) struct Reader<'a> {
    /// None: the section is not there.
    pub table: Option<&'a Raw>,
    /// The section's name.
    pub path: &'a str,
    pub mistakes: &'a mut Vec<Mistake>,
}

/// Defaults longer than this (in bytes) are not repeated in a message.
const SHOWN: usize = 60;

impl Reader<'_> {
    /// Keeps a mistake in what is written for an option.
    pub(crate) fn wrong(&mut self, name: &str, wrong: Wrong, default: Option<String>) {
        let Wrong { place, message, mut fix, .. } = wrong;
        if let Some(default) = default.filter(|d| d.len() <= SHOWN) {
            fix.push_str(&format!(" (default: {default})"));
        }
        self.mistake(About::Value, place, name, message, fix);
    }

    fn mistake(&mut self, about: About, place: Place, name: &str, message: String, fix: String) {
        let option = format!("{}.{name}", self.path);
        self.mistakes.push(Mistake { about, place, option, message, fix });
    }

    /// What is written for an option.
    pub(crate) fn written(&self, name: &str) -> Option<&Raw> {
        match &self.table?.kind {
            Kind::Table(table) => table.get(name).map(|(_, raw)| raw),
            _ => None,
        }
    }

    fn missing<V: Value>(&mut self, entry: &Entry<V>) {
        if let Some(Raw { place, kind: Kind::Table(_), .. }) = self.table {
            let fix = format!("add {} = {}", entry.name, V::example());
            let message = "it is missing".into();
            self.mistake(About::Absence, place.clone(), entry.name, message, fix);
        }
    }
}

/// Reads a value and holds it against its limits.
fn check<V: Value>(raw: &Raw, limits: &Limits<V::Measure>) -> Result<V, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let read = V::read(raw, &mut wrong);
    let allowed = limits.text(V::limit).map(|text| format!("allowed is {text}"));
    if let (Some(one), Some(allowed)) = (wrong.iter_mut().find(|one| one.beyond), &allowed) {
        one.message = format!("{} is out of range", raw.shown());
        one.fix.clone_from(allowed);
    }
    let measure = read.as_ref().and_then(Value::measure);
    if let Some(measure) = measure.filter(|m| !limits.contain(m)) {
        let message = match raw.kind {
            Kind::List(_) => format!("the list has {}", V::limit(&measure)),
            _ => format!("{} is out of range", raw.shown()),
        };
        wrong.push(Wrong::new(raw, message, allowed.unwrap_or_default()));
    }
    match read {
        Some(value) if wrong.is_empty() => Ok(value),
        _ => Err(wrong),
    }
}

impl Visit for Reader<'_> {
    fn option<V: Value>(&mut self, entry: Entry<V>) -> V {
        let Some(raw) = self.written(entry.name) else {
            if entry.required {
                self.missing(&entry);
            }
            return entry.default;
        };
        match check::<V>(raw, &entry.limits) {
            Ok(value) => value,
            Err(all) => {
                let default = entry.default.toml().filter(|_| !entry.required);
                all.into_iter().for_each(|one| self.wrong(entry.name, one, default.clone()));
                entry.default
            }
        }
    }
}
