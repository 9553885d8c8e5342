//! What was written, and where: the tree of TOML values before anybody asked for a type.

use crate::report::Place;
use std::{collections::BTreeMap, sync::Arc};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// One value as it was written, with its place.
#[derive(Clone, Debug)]
pub struct Raw {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    /// The text of it, for scalars.
    pub(crate) written: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Bool(bool),
    /// None: it has more than 64 bits.
    Integer(Option<i64>),
    /// Floats and dates: no option has such a type.
    Other,
    String(String),
    List(Vec<Raw>),
    Table(Table),
}

/// A table: names with the place they were written at, and their values.
pub(crate) type Table = BTreeMap<String, (Place, Raw)>;

/// The longest text of a value that a message repeats, in characters.
const SHOWN: usize = 48;

impl Raw {
    /// The value for a message: as written, but cut when long.
    pub fn shown(&self) -> String {
        match &self.kind {
            Kind::String(s) if self.place.is_outside() || self.written.starts_with(['"', '\'']) => {
                quoted(&cut(s))
            }
            Kind::List(_) => "a list".into(),
            Kind::Table(_) => "a table".into(),
            _ => cut(&self.written),
        }
    }

    /// The text of a string. A value of the environment or the command line counts as one even if
    /// it could be something else in TOML: nobody wants to quote twice.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(s) => Some(s),
            Kind::List(_) | Kind::Table(_) => None,
            _ if self.place.is_outside() => Some(&self.written),
            _ => None,
        }
    }

    pub(crate) fn is_integer(&self) -> bool {
        matches!(self.kind, Kind::Integer(_))
    }

    /// The number, if it is a whole one of at most 64 bits.
    pub fn integer(&self) -> Option<i64> {
        match self.kind {
            Kind::Integer(n) => n,
            _ => None,
        }
    }

    /// The truth value.
    pub fn boolean(&self) -> Option<bool> {
        match self.kind {
            Kind::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// The entries of a list. From the environment or the command line, `a,b` is one, too.
    pub fn list(&self) -> Option<Vec<Raw>> {
        match &self.kind {
            Kind::List(entries) => Some(entries.clone()),
            Kind::Table(_) => None,
            _ if !self.place.is_outside() => None,
            _ => {
                let all = self.text().unwrap_or_default().split(',').map(str::trim);
                let all = all.filter(|s| !s.is_empty());
                Some(all.map(|s| Self::outside(self.place.clone(), s)).collect())
            }
        }
    }

    /// A value from outside the file: TOML, or a bare string when it is not.
    pub(crate) fn outside(place: Place, text: &str) -> Self {
        match DeValue::parse(text) {
            Ok(value) => {
                let mut raw = convert(&value, text, &|_| place.clone());
                if !matches!(raw.kind, Kind::String(_)) {
                    raw.written = text.into();
                }
                raw
            }
            Err(_) => Self { place, kind: Kind::String(text.into()), written: text.into() },
        }
    }
}

/// A string as TOML writes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.into();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

/// The file's tree, and what is wrong with its syntax.
pub(crate) fn parse(text: &str) -> (Table, Vec<toml::de::Error>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    (convert_table(table.get_ref(), text, &|span| Place::File(span)), errors)
}

type At<'a> = &'a dyn Fn(std::ops::Range<usize>) -> Place;

fn convert_table(table: &DeTable<'_>, text: &str, at: At<'_>) -> Table {
    let entry = |(k, v): (&Spanned<_>, _)| {
        let name: &std::borrow::Cow<'_, str> = k.get_ref();
        (name.to_string(), (at(k.span()), convert(v, text, at)))
    };
    table.iter().map(entry).collect()
}

fn convert(value: &Spanned<DeValue<'_>>, text: &str, at: At<'_>) -> Raw {
    let kind = match value.get_ref() {
        DeValue::Boolean(b) => Kind::Bool(*b),
        DeValue::Integer(n) => Kind::Integer(i64::from_str_radix(n.as_str(), n.radix()).ok()),
        DeValue::String(s) => Kind::String(s.to_string()),
        DeValue::Array(all) => Kind::List(all.iter().map(|v| convert(v, text, at)).collect()),
        DeValue::Table(table) => Kind::Table(convert_table(table, text, at)),
        DeValue::Float(_) | DeValue::Datetime(_) => Kind::Other,
    };
    let written = match kind {
        Kind::List(_) | Kind::Table(_) => String::new(),
        _ => text.get(value.span()).unwrap_or_default().into(),
    };
    Raw { place: at(value.span()), kind, written }
}

/// Puts a value from outside at a dotted path, over what the file says there. False if the path
/// leads through something that is no table (an error by itself).
pub(crate) fn set(table: &mut Table, path: &[&str], source: &Arc<str>, text: &str) -> bool {
    let place = Place::Outside(Arc::clone(source));
    let Some((last, parents)) = path.split_last() else { return false };
    let mut table = table;
    for name in parents {
        let empty =
            Raw { place: place.clone(), kind: Kind::Table(Table::new()), written: String::new() };
        let (_, next) = table.entry((*name).into()).or_insert((place.clone(), empty));
        let Kind::Table(inner) = &mut next.kind else { return false };
        table = inner;
    }
    table.insert((*last).into(), (place.clone(), Raw::outside(place, text)));
    true
}
