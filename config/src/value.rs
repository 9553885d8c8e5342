//! What an option can hold: [`Value`], and the plain types.

use crate::raw::{Raw, quoted};
use crate::report::Place;
use std::{
    collections::BTreeSet,
    fmt::Debug,
    ops::{Bound, RangeBounds},
    path::PathBuf,
};

/// A mistake in a value, before the option's name is put to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) fix: String,
    /// The type is right, but the value is beyond what the type can hold.
    pub(crate) beyond: bool,
}

impl Wrong {
    /// A mistake at a value: what is wrong, and what to do ("write it like ...").
    pub fn new(at: &Raw, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place: at.place.clone(), message: message.into(), fix: fix.into(), beyond: false }
    }

    /// The value is not of type `V` at all.
    pub fn kind<V: Value>(at: &Raw) -> Self {
        let message = format!("{} is no {}", at.shown(), V::kind());
        Self::new(at, message, format!("write it like {}", V::example()))
    }
}

/// A type an option can have.
pub trait Value: Sized + Clone + Debug + PartialEq + Send + Sync + 'static {
    /// What limits of such an option compare: the value itself, or the length of a list.
    type Measure: PartialOrd + Clone + Debug + 'static;

    /// The type for people, singular: "duration".
    fn kind() -> String;

    /// An example in TOML.
    fn example() -> String;

    /// The words allowed and what they mean, for enumerations.
    fn choices() -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Reads a value; pushes what is wrong.
    fn read(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<Self>;

    /// The value in TOML; None for an optional one that is not set.
    fn toml(&self) -> Option<String>;

    /// What limits compare.
    fn measure(&self) -> Option<Self::Measure> {
        None
    }

    /// A limit for people.
    fn limit(measure: &Self::Measure) -> String {
        format!("{measure:?}")
    }
}

/// The measure of types that have no limits. There is no value of it.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum Unlimited {}

/// The limits of an option.
#[derive(Clone, Debug)]
pub struct Limits<M> {
    low: Bound<M>,
    high: Bound<M>,
}

impl<M> Default for Limits<M> {
    fn default() -> Self {
        Self { low: Bound::Unbounded, high: Bound::Unbounded }
    }
}

impl<M: PartialOrd + Clone> Limits<M> {
    /// The limits a range gives.
    pub fn of(range: &impl RangeBounds<M>) -> Self {
        Self { low: range.start_bound().cloned(), high: range.end_bound().cloned() }
    }

    pub(crate) fn contain(&self, measure: &M) -> bool {
        (self.low.clone(), self.high.clone()).contains(measure)
    }

    /// "1s to 1h"; None when there are none.
    pub(crate) fn text(&self, limit: impl Fn(&M) -> String) -> Option<String> {
        let low = match &self.low {
            Bound::Included(m) => Some(limit(m)),
            Bound::Excluded(m) => Some(format!("more than {}", limit(m))),
            Bound::Unbounded => None,
        };
        let high = match &self.high {
            Bound::Included(m) => Some(limit(m)),
            Bound::Excluded(m) => Some(format!("less than {}", limit(m))),
            Bound::Unbounded => None,
        };
        match (low, high) {
            (Some(low), Some(high)) => Some(format!("{low} to {high}")),
            (Some(low), None) => Some(format!("at least {low}")),
            (None, Some(high)) => Some(format!("at most {high}")),
            (None, None) => None,
        }
    }
}

impl Value for bool {
    type Measure = Unlimited;
    fn kind() -> String {
        "truth value".into()
    }
    fn example() -> String {
        "true".into()
    }
    fn read(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<Self> {
        let read = raw.boolean();
        if read.is_none() {
            let fix = "write true or false, without quotes";
            wrong.push(Wrong::new(raw, format!("{} is no truth value", raw.shown()), fix));
        }
        read
    }
    fn toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

macro_rules! integers {
    ($($int:ty)*) => { $(
        impl Value for $int {
            type Measure = Self;
            fn kind() -> String {
                "whole number".into()
            }
            fn example() -> String {
                "10".into()
            }
            fn read(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<Self> {
                if !raw.is_integer() {
                    wrong.push(Wrong::kind::<Self>(raw));
                    return None;
                }
                let read = raw.integer().and_then(|n| Self::try_from(n).ok());
                if read.is_none() {
                    let fix = format!("write a number from {} to {}", Self::MIN, Self::MAX);
                    let message = format!("{} is out of range", raw.shown());
                    wrong.push(Wrong { beyond: true, ..Wrong::new(raw, message, fix) });
                }
                read
            }
            fn toml(&self) -> Option<String> {
                Some(self.to_string())
            }
            fn measure(&self) -> Option<Self> {
                Some(*self)
            }
        }
    )* };
}
integers! { u8 u16 u32 u64 usize i8 i16 i32 i64 }

impl Value for String {
    type Measure = Unlimited;
    fn kind() -> String {
        "text".into()
    }
    fn example() -> String {
        "\"text\"".into()
    }
    fn read(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<Self> {
        match raw.text() {
            Some("") => {
                wrong.push(Wrong::new(raw, "it is empty", "write some text, or leave it out"));
                None
            }
            Some(text) => Some(text.into()),
            None => {
                let fix = match raw.written.as_str() {
                    "" => format!("write it like {}", Self::example()),
                    written => format!("put it into quotes: {}", quoted(written)),
                };
                wrong.push(Wrong::new(raw, format!("{} is no text", raw.shown()), fix));
                None
            }
        }
    }
    fn toml(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Value for PathBuf {
    type Measure = Unlimited;
    fn kind() -> String {
        "path".into()
    }
    fn example() -> String {
        "\"path/to/file\"".into()
    }
    fn read(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<Self> {
        match raw.text() {
            Some(text) if text.contains('\0') || text.is_empty() => {
                wrong.push(Wrong::kind::<Self>(raw));
                None
            }
            Some(text) => Some(text.into()),
            None => {
                wrong.push(Wrong::kind::<Self>(raw));
                None
            }
        }
    }
    fn toml(&self) -> Option<String> {
        Some(quoted(&self.to_string_lossy()))
    }
}

impl<T: Value> Value for Option<T> {
    type Measure = T::Measure;
    fn kind() -> String {
        T::kind()
    }
    fn example() -> String {
        T::example()
    }
    fn choices() -> &'static [(&'static str, &'static str)] {
        T::choices()
    }
    fn read(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<Self> {
        T::read(raw, wrong).map(Some)
    }
    fn toml(&self) -> Option<String> {
        self.as_ref()?.toml()
    }
    fn measure(&self) -> Option<Self::Measure> {
        self.as_ref()?.measure()
    }
    fn limit(measure: &Self::Measure) -> String {
        T::limit(measure)
    }
}

/// Limits of a list are those of its length.
impl<T: Value> Value for Vec<T> {
    type Measure = usize;
    fn kind() -> String {
        format!("list: {}", T::kind())
    }
    fn example() -> String {
        format!("[{}]", T::example())
    }
    fn choices() -> &'static [(&'static str, &'static str)] {
        T::choices()
    }
    fn read(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<Self> {
        let Some(list) = raw.list() else {
            let fix = match T::read(raw, &mut Vec::new()).and_then(|one| one.toml()) {
                Some(one) => format!("put it into brackets: [{one}]"),
                None => format!("write it like {}", Self::example()),
            };
            wrong.push(Wrong::new(raw, format!("{} is no list", raw.shown()), fix));
            return None;
        };
        let before = wrong.len();
        let all: Vec<T> = list.iter().filter_map(|one| T::read(one, wrong)).collect();
        if wrong.len() > before {
            return None;
        }
        let mut seen = BTreeSet::new();
        let twice = all.iter().zip(&list).find(|(one, _)| !seen.insert(one.toml()));
        if let Some((_, at)) = twice {
            let message = format!("{} is in the list twice", at.shown());
            wrong.push(Wrong::new(at, message, "remove one of them"));
        }
        (wrong.len() == before).then_some(all)
    }
    fn toml(&self) -> Option<String> {
        let all: Vec<String> = self.iter().filter_map(Value::toml).collect();
        Some(format!("[{}]", all.join(", ")))
    }
    fn measure(&self) -> Option<usize> {
        Some(self.len())
    }
    fn limit(measure: &usize) -> String {
        format!("{measure} {}", if *measure == 1 { "entry" } else { "entries" })
    }
}

/// Declares an enumeration that an option can have.
///
/// ```
/// config::choice! {
///     /// What happens to the oldest message when there are too many.
///     pub enum Overflow {
///         /// It is dropped.
///         Drop = "drop",
///         /// The sender is told.
///         Refuse = "refuse",
///     }
/// }
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[doc = $doc:literal])+
        pub enum $name:ident {
            $( $(#[doc = $meaning:literal])+ $variant:ident = $word:literal ),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[doc = $meaning])+ $variant ),+ }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),+];

            /// The word for it in the configuration.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word ),+ }
            }
        }

        impl $crate::Value for $name {
            type Measure = $crate::value::Unlimited;
            fn kind() -> String {
                "choice".into()
            }
            fn example() -> String {
                Self::choices().first().map(|c| format!("\"{}\"", c.0)).unwrap_or_default()
            }
            fn choices() -> &'static [(&'static str, &'static str)] {
                &[$( ($word, concat!($($meaning, "\n"),+)) ),+]
            }
            fn read(raw: &$crate::Raw, wrong: &mut Vec<$crate::Wrong>) -> Option<Self> {
                match raw.text() {
                    $( Some($word) => Some(Self::$variant), )+
                    _ => {
                        wrong.push($crate::Wrong::choice::<Self>(raw));
                        None
                    }
                }
            }
            fn toml(&self) -> Option<String> {
                Some(format!("\"{}\"", self.as_str()))
            }
        }
    };
}

impl Wrong {
    /// The value is none of the words allowed.
    pub fn choice<V: Value>(at: &Raw) -> Self {
        let words = V::choices().iter().map(|c| c.0);
        let near = at.text().and_then(|text| crate::suggest::nearest(text, words.clone()));
        let all: Vec<String> = words.map(quoted).collect();
        let all = all.join(", ");
        let fix = match near {
            Some(word) => format!("did you mean {}? Allowed are {all}", quoted(word)),
            None => format!("write one of {all}"),
        };
        Self::new(at, format!("{} is not among what is allowed", at.shown()), fix)
    }
}
