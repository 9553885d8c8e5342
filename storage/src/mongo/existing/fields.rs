//! Of documents that somebody else wrote: what is read of them, whatever it is and however large.

use super::{ExistingOptions, ExistingUser, Unreadable};
use crate::mongo::options::OpenError;
use mongodb::bson::{Bson, Document, RawDocument, doc};
use serde_json::Value;

/// Most bytes of a field, as BSON. What is larger is not sent by the server.
pub(super) const MOST: i32 = 8 << 10;

/// A field, or the smallest value there is where it is larger than [`MOST`].
pub(super) fn capped(field: &str) -> Document {
    let path = format!("${field}");
    let size = doc! { "$bsonSize": { "v": path.clone() } };
    doc! { "$cond": [{ "$gt": [size, MOST] }, { "$literal": Bson::MinKey }, path] }
}

/// What is read of a user's document.
pub(super) fn fields(options: &ExistingOptions) -> Document {
    let ExistingOptions { user_field, password_field, disabled_field, .. } = options;
    let mut fields = doc! {
        "_id": 0,
        "id": capped("_id"),
        "name": capped(user_field),
        "password": capped(password_field),
    };
    if let Some(field) = disabled_field {
        fields.insert("disabled", capped(field));
    }
    fields
}

/// A value; `None` where there is none.
pub(super) fn value(of: &RawDocument, name: &str) -> Result<Option<Bson>, Unreadable> {
    let found = of.get(name).map_err(|_| Unreadable::Damaged)?;
    match found.map(Bson::try_from).transpose().map_err(|_| Unreadable::Damaged)? {
        Some(Bson::MinKey) => Err(Unreadable::Large),
        value => Ok(value),
    }
}

/// A user of what [`fields`] gives, if the document has an id and a name.
pub(super) fn user(found: &RawDocument) -> Option<ExistingUser> {
    let Ok(Some(Bson::String(name))) = value(found, "name") else { return None };
    let id = value(found, "id").ok()??.into_canonical_extjson().to_string();
    // what cannot be read is not false
    let disabled = value(found, "disabled").map_or(true, |of| of.as_ref().is_some_and(is_true));
    let password = value(found, "password");
    let password = password.map(|of| of.map_or(Value::Null, Bson::into_relaxed_extjson));
    Some(ExistingUser { id, name, disabled, password })
}

/// What a user has to be, from Extended JSON.
///
/// # Errors
/// When it is no object, or not in that format.
pub fn filter(text: &str) -> Result<Document, OpenError> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| OpenError::Options { why: format!("the filter is no JSON: {error}") })?;
    match Bson::try_from(value) {
        Ok(Bson::Document(filter)) => Ok(filter),
        Ok(_) => Err(OpenError::Options { why: "the filter is no JSON object".to_owned() }),
        Err(error) => Err(OpenError::Options { why: format!("the filter: {error}") }),
    }
}

/// The first name of a dotted one.
pub(super) fn top(field: &str) -> &str {
    field.split_once('.').map_or(field, |(top, _)| top)
}

/// As MongoDB's `$toBool` has it, but that a text counts by what it says.
fn is_true(value: &Bson) -> bool {
    match value {
        Bson::Boolean(value) => *value,
        Bson::Int32(value) => *value != 0,
        Bson::Int64(value) => *value != 0,
        Bson::Double(value) => *value != 0.0,
        Bson::Decimal128(value) => !is_zero(&value.to_string()),
        Bson::String(text) => {
            let text = text.trim();
            !["", "0", "false", "no", "off"].iter().any(|no| text.eq_ignore_ascii_case(no))
        }
        Bson::Null | Bson::Undefined => false,
        // a date since when, a reason
        _ => true,
    }
}

/// `0`, `-0.00`, `0E+3`
fn is_zero(decimal: &str) -> bool {
    let digits = decimal.split(['e', 'E']).next().unwrap_or_default();
    digits.chars().all(|c| matches!(c, '0' | '.' | '-' | '+'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::RawDocumentBuf;

    #[test]
    fn a_filter_is_an_object_in_extended_json() {
        let since =
            filter(r#"{"since": {"$date": "2013-04-21T00:00:00Z"}, "n": {"$gt": 1}}"#).unwrap();
        assert!(matches!(since.get("since"), Some(Bson::DateTime(_))));
        for bad in ["", "[]", "3", "{", r#"{"a": {"$date": "x"}}"#] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_damaged_is_one_field_s_trouble() {
        let good = doc! { "id": 1, "name": "romeo", "password": "xx", "disabled": "yy" };
        let with = |text: &[u8; 2]| {
            let mut bytes = RawDocumentBuf::try_from(&good).unwrap().into_bytes();
            let at = bytes.windows(2).position(|two| two == text).unwrap();
            bytes[at] = 0xff;
            user(&RawDocumentBuf::from_bytes(bytes).unwrap())
        };
        assert_eq!(with(b"xx").unwrap().password, Err(Unreadable::Damaged));
        let disabled = with(b"yy").unwrap();
        assert_eq!((disabled.disabled, disabled.password), (true, Ok("xx".into())));
        assert_eq!(with(b"ro"), None);
    }

    #[test]
    fn who_is_disabled_is_said_in_many_ways() {
        let decimal = |text: &str| Bson::Decimal128(text.parse().unwrap());
        for yes in [
            Bson::Boolean(true),
            Bson::Int32(1),
            Bson::from("yes"),
            Bson::Double(0.5),
            Bson::Double(f64::NAN),
            decimal("0.1"),
            Bson::from(doc! { "why": "spam" }),
        ] {
            assert!(is_true(&yes), "{yes}");
        }
        for no in [
            Bson::Boolean(false),
            Bson::Int64(0),
            Bson::Null,
            Bson::from("False"),
            Bson::from(" "),
            decimal("-0.00"),
            decimal("0E+3"),
        ] {
            assert!(!is_true(&no), "{no}");
        }
    }
}
