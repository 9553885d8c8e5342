//! Entity capabilities (XEP-0115): the verification string and the element that carries it.

use crate::{Element, ns};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// `<c/>` for software `node` whose disco#info has the verification string `ver`.
pub fn caps(node: &str, ver: &str) -> Element {
    Element::new(ns::CAPS, "c")
        .with_attr("hash", "sha-1")
        .with_attr("node", node)
        .with_attr("ver", ver)
}

/// The verification string (section 5.1) of an answer to disco#info, forms of XEP-0128 included.
pub fn ver(info: &Element) -> String {
    let named = |name| info.children().filter(move |c| c.is(ns::DISCO_INFO, name));
    let attr = |e: &Element, name| e.attr(name).unwrap_or_default().to_owned();
    let identities = named("identity").map(|i| {
        let lang = i.attr_ns(ns::XML, "lang").unwrap_or_default();
        format!("{}/{}/{lang}/{}", attr(i, "category"), attr(i, "type"), attr(i, "name"))
    });
    let mut parts = sorted(identities);
    parts.extend(sorted(named("feature").map(|f| attr(f, "var"))));
    let forms = info.children().filter(|c| c.is(ns::DATA_FORM, "x")).filter_map(form);
    let mut forms: Vec<Vec<String>> = forms.collect();
    forms.sort();
    parts.extend(forms.into_iter().flatten());
    let text: String = parts.iter().flat_map(|p| [p.as_str(), "<"]).collect();
    BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// A form as steps 6 and 7 write it: its `FORM_TYPE`, then each field with its values. `None` for
/// one without a type, which does not count.
fn form(form: &Element) -> Option<Vec<String>> {
    let values = |f: &Element| {
        let values = f.children().filter(|c| c.is(ns::DATA_FORM, "value"));
        sorted(values.map(Element::text))
    };
    let mut ty = None;
    let mut fields = Vec::new();
    for field in form.children().filter(|c| c.is(ns::DATA_FORM, "field")) {
        match field.attr("var") {
            Some("FORM_TYPE") => ty = values(field).into_iter().next(),
            Some(var) => fields.push((var.to_owned(), values(field))),
            None => {}
        }
    }
    fields.sort();
    let fields = fields.into_iter().flat_map(|(var, values)| [vec![var], values].concat());
    Some([ty?].into_iter().chain(fields).collect())
}

fn sorted(parts: impl Iterator<Item = String>) -> Vec<String> {
    let mut parts: Vec<String> = parts.collect();
    parts.sort();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(xml: &str) -> String {
        let xml = format!("<query xmlns='http://jabber.org/protocol/disco#info'>{xml}</query>");
        ver(&Element::parse(xml.as_bytes(), "").unwrap())
    }

    #[test]
    fn the_example_of_section_5_2() {
        let xml = "<identity category='client' type='pc' name='Exodus 0.9.1'/>
             <feature var='http://jabber.org/protocol/caps'/>
             <feature var='http://jabber.org/protocol/disco#items'/>
             <feature var='http://jabber.org/protocol/disco#info'/>
             <feature var='http://jabber.org/protocol/muc'/>";
        assert_eq!(of(xml), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }

    #[test]
    fn the_example_of_section_5_3() {
        let xml = "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
             <identity xml:lang='el' category='client' name='\u{3a8} 0.11' type='pc'/>
             <feature var='http://jabber.org/protocol/caps'/>
             <feature var='http://jabber.org/protocol/disco#info'/>
             <feature var='http://jabber.org/protocol/disco#items'/>
             <feature var='http://jabber.org/protocol/muc'/>
             <x xmlns='jabber:x:data' type='result'>
               <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
               <field var='ip_version'><value>ipv4</value><value>ipv6</value></field>
               <field var='os'><value>Mac</value></field>
               <field var='os_version'><value>10.5.1</value></field>
               <field var='software'><value>Psi</value></field>
               <field var='software_version'><value>0.11</value></field>
             </x>";
        assert_eq!(of(xml), "q07IKJEyjvHSyhy//CH0CxmKi8w=");
    }
}
