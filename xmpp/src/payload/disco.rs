//! Service discovery (XEP-0030).

use super::{Payload, PayloadError};
use crate::{Element, ns};

/// disco#info: what are you?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoQuery {
    /// Of which node.
    pub node: Option<String>,
}

/// disco#items: what belongs to you?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemsQuery {
    /// Of which node.
    pub node: Option<String>,
}

impl Payload for InfoQuery {
    const NS: &'static str = ns::DISCO_INFO;
    const NAME: &'static str = "query";
    fn from_element(e: &Element) -> Result<Self, PayloadError> {
        Ok(Self { node: e.attr("node").map(str::to_owned) })
    }
}

impl Payload for ItemsQuery {
    const NS: &'static str = ns::DISCO_ITEMS;
    const NAME: &'static str = "query";
    fn from_element(e: &Element) -> Result<Self, PayloadError> {
        Ok(Self { node: e.attr("node").map(str::to_owned) })
    }
}

/// The answer to disco#info: identities as (category, type, name), and features.
pub fn info(node: Option<&str>, identities: &[(&str, &str, &str)], features: &[&str]) -> Element {
    let identity = |(category, ty, name): &(&str, &str, &str)| {
        Element::new(ns::DISCO_INFO, "identity")
            .with_attr("category", *category)
            .with_attr("type", *ty)
            .with_attr_opt("name", (!name.is_empty()).then_some(*name))
    };
    let feature = |var: &&str| Element::new(ns::DISCO_INFO, "feature").with_attr("var", *var);
    Element::new(ns::DISCO_INFO, "query")
        .with_attr_opt("node", node)
        .with_children(identities.iter().map(identity))
        .with_children(features.iter().map(feature))
}

/// The answer to disco#items.
pub fn items(node: Option<&str>, jids: impl IntoIterator<Item = String>) -> Element {
    let item = |jid: String| Element::new(ns::DISCO_ITEMS, "item").with_attr("jid", jid);
    Element::new(ns::DISCO_ITEMS, "query")
        .with_attr_opt("node", node)
        .with_children(jids.into_iter().map(item))
}

/// A form of XEP-0128 beside the features: its type, and fields with their values.
pub fn form<'a>(ty: &str, fields: impl IntoIterator<Item = (&'a str, &'a [String])>) -> Element {
    let value = |v: &String| Element::new(ns::DATA_FORM, "value").with_text(v);
    let field = |var: &str, ty: &str, values: &[String]| {
        Element::new(ns::DATA_FORM, "field")
            .with_attr("var", var)
            .with_attr("type", ty)
            .with_children(values.iter().map(value))
    };
    Element::new(ns::DATA_FORM, "x")
        .with_attr("type", "result")
        .with_child(field("FORM_TYPE", "hidden", &[ty.to_owned()]))
        .with_children(fields.into_iter().map(|(var, values)| field(var, "list-multi", values)))
}
