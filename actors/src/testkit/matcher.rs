//! Patterns of what a server sends: XML with holes.
//!
//! An element of the pattern fits one of the same name that has all its attributes and, in order,
//! all its children; what the pattern does not name may be there too. An attribute `absent-NAME`
//! (any value) wants it not to be there, and a child with the attribute `absent` no child that fits
//! the rest of it. `{*}` fits any text, `{x}` any text the first time and the
//! same text from then on.

use std::collections::BTreeMap;
use xmpp::Element;

/// What the holes were filled with.
pub type Vars = BTreeMap<String, String>;

/// The text with its holes filled.
pub fn fill(text: &str, vars: &Vars) -> String {
    vars.iter().fold(text.to_owned(), |t, (name, value)| t.replace(&format!("{{{name}}}"), value))
}

fn text_fits(pattern: &str, text: &str, vars: &mut Vars) -> bool {
    let Some(name) = pattern.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
        return pattern == text;
    };
    if name == "*" {
        return true;
    }
    match vars.get(name) {
        Some(value) => value == text,
        None => {
            vars.insert(name.to_owned(), text.to_owned());
            true
        }
    }
}

/// Whether `element` fits; fills holes as it goes.
///
/// # Errors
/// Which part does not fit.
pub fn fits(pattern: &Element, element: &Element, vars: &mut Vars) -> Result<(), String> {
    if !element.is(pattern.ns(), pattern.name()) {
        return Err(format!(
            "<{} xmlns='{}'> instead of <{} xmlns='{}'>",
            element.name(),
            element.ns(),
            pattern.name(),
            pattern.ns()
        ));
    }
    for (name, wanted) in pattern.attrs() {
        if let Some(name) = name.strip_prefix("absent-") {
            if element.attr(name).is_some() {
                return Err(format!("{name} must not be there"));
            }
            continue;
        }
        if name == "absent" {
            continue;
        }
        let found = element.attr(name);
        if !found.is_some_and(|f| text_fits(wanted, f, vars)) {
            return Err(format!("{name}='{}' instead of '{wanted}'", found.unwrap_or("(nothing)")));
        }
    }
    let wanted = pattern.text();
    if !wanted.trim().is_empty() && !text_fits(wanted.trim(), element.text().trim(), vars) {
        return Err(format!("the text is '{}' instead of '{wanted}'", element.text()));
    }
    let mut rest = element.children();
    for child in pattern.children() {
        if child.attr("absent").is_some() {
            if element.children().any(|e| fits(child, e, &mut vars.clone()).is_ok()) {
                return Err(format!("{} must not be there", child.to_xml()));
            }
            continue;
        }
        let mut why = format!("<{} xmlns='{}'> is missing", child.name(), child.ns());
        let found = rest.by_ref().any(|e| {
            let mut trial = vars.clone();
            match fits(child, e, &mut trial) {
                Ok(()) => {
                    *vars = trial;
                    true
                }
                Err(error) => {
                    if e.is(child.ns(), child.name()) {
                        why = format!("in <{}>: {error}", child.name());
                    }
                    false
                }
            }
        });
        if !found {
            return Err(why);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, xml: &str) -> Result<Vars, String> {
        let parse = |x: &str| Element::parse(x.as_bytes(), "c").unwrap();
        let mut vars = Vars::new();
        fits(&parse(pattern), &parse(xml), &mut vars).map(|()| vars)
    }

    #[test]
    fn what_is_named_has_to_be_there_and_more_may_be() {
        assert!(check("<a x='1'><b/></a>", "<a x='1' y='2'><c/><b>t</b></a>").is_ok());
        assert!(check("<a absent-y=''/>", "<a y='2'/>").is_err());
        assert!(check("<a><b absent=''/><c/></a>", "<a><c/></a>").is_ok());
        assert!(check("<a><b x='1' absent=''/></a>", "<a><b x='2'/></a>").is_ok());
        assert!(check("<a><b absent=''/></a>", "<a><c/><b/></a>").is_err());
        assert!(check("<a><b/><c/></a>", "<a><c/><b/></a>").is_err(), "in order");
        assert!(check("<a>t</a>", "<a>u</a>").is_err());
        assert!(check("<a><b x='1'/></a>", "<a><b x='2'/><b x='1'/></a>").is_ok());
    }

    #[test]
    fn holes_keep_what_they_were_filled_with() {
        let vars = check("<a x='{v}' y='{v}' z='{*}'/>", "<a x='1' y='1' z='2'/>").unwrap();
        assert_eq!(fill("<b id='{v}'/>", &vars), "<b id='1'/>");
        assert!(check("<a x='{v}' y='{v}'/>", "<a x='1' y='2'/>").is_err());
    }
}
