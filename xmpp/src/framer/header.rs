//! How a stream begins: the XML declaration and the stream header (RFC 6120 sections 4.7 and 11.4).

use crate::{
    error::{StreamError, StreamErrorCondition as Condition},
    jid::Jid,
    ns,
    reader::{Binding, Start, is_blank, refuse},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The client's stream header (RFC 6120 section 4.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamHeader {
    /// The host it wants.
    pub to: Option<Jid>,
    /// Who it says it is.
    pub from: Option<Jid>,
    /// The stream's id, of a server's header.
    pub id: Option<String>,
    /// Major and minor version; 0.9 when not given (section 4.7.5).
    pub version: Option<(u32, u32)>,
    /// The default language of what it sends; what is no language tag is ignored.
    pub lang: Option<Arc<str>>,
    /// `to` or `from` is no address (section 4.9.3.7).
    pub malformed_address: bool,
}

impl StreamHeader {
    /// Takes one attribute over.
    pub(super) fn set(&mut self, ns: &str, name: &str, value: &str) {
        match (ns, name) {
            ("", "to") => match value.parse() {
                Ok(jid) => self.to = Some(jid),
                Err(_) => self.malformed_address = true,
            },
            ("", "from") => match value.parse() {
                Ok(jid) => self.from = Some(jid),
                Err(_) => self.malformed_address = true,
            },
            ("", "id") => self.id = Some(value.to_owned()),
            ("", "version") => {
                // section 4.7.5: digits; Rust would take a sign too
                let number = |text: &str| {
                    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
                };
                let version = value.split_once('.');
                self.version = version.and_then(|(a, b)| Some((number(a)?, number(b)?)));
            }
            (ns::XML, "lang") => self.lang = is_language(value).then(|| value.into()),
            _ => {}
        }
    }

    /// Whether the client speaks version 1.0 or later.
    pub fn version_1(&self) -> bool {
        self.version.is_some_and(|(major, _)| major >= 1)
    }
}

/// Longest language tag of a header: it is put onto every stanza that has none. RFC 5646 section 4.4.1
/// finds 35 characters to be enough.
const MAX_LANG: usize = 64;

/// Whether it has the shape of a language tag (RFC 5646 section 2.1).
fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let primary = parts.next().unwrap_or_default();
    let short = |part: &str| (1..=8).contains(&part.len());
    tag.len() <= MAX_LANG
        && short(primary)
        && primary.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|part| short(part) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// What has to be remembered of a header.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Opened {
    /// What it declares, unless it is the usual.
    declared: Option<Box<[Binding]>>,
    /// The root element has no prefix.
    pub(super) bare: bool,
    pub(super) lang: Option<Arc<str>>,
}

/// Most declarations of a header and their bytes: they are looked through for every name in the stream.
const MAX_DECLARED: usize = 16;
const MAX_DECLARED_BYTES: usize = 2048;

impl Opened {
    /// After a header that declares what is usual.
    pub(super) fn usual(lang: Option<Arc<str>>) -> Self {
        Self { declared: None, bare: false, lang }
    }

    /// What a header declares, as bindings.
    pub(super) fn with_bindings<T>(&self, f: impl FnOnce(&[Binding]) -> T) -> T {
        match &self.declared {
            Some(declared) => f(declared),
            None => usual(f),
        }
    }

    /// The namespace of elements without a prefix.
    pub(super) fn default_ns(&self) -> &str {
        let Some(declared) = &self.declared else { return ns::CLIENT };
        declared.iter().find(|b| b.prefix.is_empty()).map_or("", |b| &b.ns)
    }
}

/// The bindings of the usual header.
pub(crate) fn usual<T>(f: impl FnOnce(&[Binding]) -> T) -> T {
    thread_local! {
        static USUAL: [Binding; 2] =
            [Binding::new("", ns::CLIENT), Binding::new("stream", ns::STREAM)];
    }
    USUAL.with(|bindings| f(bindings))
}

/// Judges the root element's start tag, with the declarations in it.
pub(super) fn open(
    start: &Start,
    declared: &[Binding],
    empty: bool,
) -> Result<(StreamHeader, Opened), StreamError> {
    if *start.ns != *ns::STREAM {
        return Err(refuse(Condition::InvalidNamespace, "the stream's namespace is wrong"));
    }
    if start.name.as_str() != "stream" {
        return Err(refuse(Condition::BadFormat, "a stream begins with <stream:stream>"));
    }
    if empty {
        return Err(refuse(Condition::BadFormat, "a stream that ends where it begins"));
    }
    // section 4.8.5: an implementation may accept only this one
    if start.prefix.as_ref().is_some_and(|p| p.as_str() != "stream") {
        return Err(refuse(Condition::BadNamespacePrefix, "the prefix of streams is stream"));
    }
    let bytes: usize = declared.iter().map(|b| b.prefix.len() + b.ns.len()).sum();
    if declared.len() > MAX_DECLARED || bytes > MAX_DECLARED_BYTES {
        let text = "a stream header may declare 16 namespaces of 2048 bytes in all";
        return Err(refuse(Condition::PolicyViolation, text));
    }
    let mut header = StreamHeader::default();
    for (ns, name, value) in start.attrs() {
        header.set(ns, name, value);
    }
    let bare = start.prefix.is_none();
    let is_usual = !bare
        && declared.len() == 2
        && usual(|bindings| bindings.iter().all(|b| declared.contains(b)));
    let declared = (!is_usual).then(|| declared.into());
    let opened = Opened { declared, bare, lang: header.lang.clone() };
    // section 4.8.3: the content namespace is this one, or is left to the stanzas (prefix-free
    // canonicalization)
    if !matches!(opened.default_ns(), "" | ns::CLIENT | ns::STREAM) {
        return Err(refuse(
            Condition::InvalidNamespace,
            "the content's namespace is jabber:client",
        ));
    }
    Ok((header, opened))
}

/// Longest XML declaration.
const MAX_DECLARATION: usize = 256;

/// How long the XML declaration at the start of `bytes` is (XML 1.0 section 2.8); `None` when it is not
/// complete. What is wrong is found at its byte, whatever follows.
pub(super) fn declaration(bytes: &[u8]) -> Result<Option<usize>, StreamError> {
    let within = bytes.get(..MAX_DECLARATION).unwrap_or(bytes);
    let mut scan = Declaration { bytes: within, at: 0, ended: 0 };
    match scan.read() {
        Ok(()) => Ok(Some(scan.at)),
        Err(Wrong::Refused(condition, text)) => Err(refuse(condition, text)),
        Err(Wrong::Incomplete) if bytes.len() < MAX_DECLARATION => Ok(None),
        Err(Wrong::Incomplete) => Err(refuse(Condition::PolicyViolation, "a long XML declaration")),
    }
}

enum Wrong {
    Incomplete,
    Refused(Condition, &'static str),
}

struct Declaration<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the last attribute ends.
    ended: usize,
}

const INSTRUCTION: Wrong = Wrong::Refused(Condition::RestrictedXml, "processing instructions");
const MALFORMED: Wrong = Wrong::Refused(Condition::NotWellFormed, "a malformed XML declaration");

impl<'a> Declaration<'a> {
    fn read(&mut self) -> Result<(), Wrong> {
        for byte in b"<?xml" {
            if self.peek()? != *byte {
                return Err(INSTRUCTION);
            }
            self.at += 1;
        }
        match self.peek()? {
            b if is_blank(b) => self.blank(),
            b'?' => return Err(MALFORMED),
            // `<?xml-stylesheet`
            _ => return Err(INSTRUCTION),
        }
        if self.attribute(b"version")? != b"1.0" {
            return Err(Wrong::Refused(Condition::RestrictedXml, "only XML 1.0 is allowed"));
        }
        if self.another(b'e')? && !self.attribute(b"encoding")?.eq_ignore_ascii_case(b"utf-8") {
            // RFC 6120 section 4.9.3.22
            return Err(Wrong::Refused(Condition::UnsupportedEncoding, "streams are UTF-8"));
        }
        // section 11.4: with DTDs refused it makes no difference
        if self.another(b's')? && !matches!(self.attribute(b"standalone")?, b"yes" | b"no") {
            return Err(MALFORMED);
        }
        self.blank();
        self.word(b"?>")
    }

    fn peek(&self) -> Result<u8, Wrong> {
        self.bytes.get(self.at).copied().ok_or(Wrong::Incomplete)
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Wrong> {
        for byte in word {
            if self.peek()? != *byte {
                return Err(MALFORMED);
            }
            self.at += 1;
        }
        Ok(())
    }

    fn blank(&mut self) {
        while self.peek().is_ok_and(is_blank) {
            self.at += 1;
        }
    }

    /// Whether another attribute follows, of that first letter: after a blank.
    fn another(&mut self, first: u8) -> Result<bool, Wrong> {
        self.blank();
        Ok(self.peek()? == first && self.at > self.ended)
    }

    fn attribute(&mut self, name: &[u8]) -> Result<&'a [u8], Wrong> {
        self.word(name)?;
        self.blank();
        self.word(b"=")?;
        self.blank();
        let quote = self.peek()?;
        if !matches!(quote, b'\'' | b'"') {
            return Err(MALFORMED);
        }
        self.at += 1;
        let start = self.at;
        while self.peek()? != quote {
            if matches!(self.peek()?, b'<' | b'>' | b'&' | 0..b' ') {
                return Err(MALFORMED);
            }
            self.at += 1;
        }
        self.at += 1;
        self.ended = self.at;
        Ok(self.bytes.get(start..self.at - 1).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_a_tag() {
        for tag in ["en", "de-CH-1901", "zh-Hant", "x-klingon", "i-default", "sl-rozaj-biske-1994"]
        {
            assert!(is_language(tag), "{tag}");
        }
        let long = "en-abcdefgh".to_owned() + &"-abcdefgh".repeat(7);
        for tag in
            ["", "e n", "1a", "en-", "-en", "en_US", "abcdefghi", "en-abcdefghi", "d\u{e9}", &long]
        {
            assert!(!is_language(tag), "{tag}");
        }
    }

    #[test]
    fn an_xml_declaration_is_judged_at_the_byte_that_is_wrong() {
        let judge = |xml: &str| declaration(xml.as_bytes()).map_err(|e| e.condition);
        for xml in [
            "<?xml version='1.0'?>",
            "<?xml version=\"1.0\"?>",
            "<?xml version='1.0' standalone='no'?>",
            "<?xml version='1.0' standalone='yes'?>",
            "<?xml version='1.0' encoding='utf-8' standalone=\"no\" ?>",
            "<?xml\n\tversion = '1.0'\r\nencoding\t=\t\"UTF-8\" standalone\n=\n'yes'\n?>",
        ] {
            assert_eq!(judge(&format!("{xml}<a>")), Ok(Some(xml.len())), "{xml}");
            for cut in 0..xml.len() {
                assert_eq!(judge(xml.get(..cut).unwrap()), Ok(None), "{xml} to {cut}");
            }
        }
        for (xml, condition) in [
            ("<?xmlx", Condition::RestrictedXml),
            ("<?xml-stylesheet", Condition::RestrictedXml),
            ("<?p", Condition::RestrictedXml),
            ("<?XML version='1.0'?>", Condition::RestrictedXml),
            ("<?xml?>", Condition::NotWellFormed),
            ("<?xml ?>", Condition::NotWellFormed),
            ("<?xml encoding='UTF-8'?>", Condition::NotWellFormed),
            ("<?xml version='1.1'", Condition::RestrictedXml),
            ("<?xml version=1.0", Condition::NotWellFormed),
            ("<?xml version='1.0'encoding='UTF-8'?>", Condition::NotWellFormed),
            ("<?xml version='1.0' encoding='latin-1'", Condition::UnsupportedEncoding),
            ("<?xml version='1.0' encoding='utf-16'", Condition::UnsupportedEncoding),
            ("<?xml version='1.0' standalone='maybe'", Condition::NotWellFormed),
            ("<?xml version='1.0' standalone='no' encoding='UTF-8'?>", Condition::NotWellFormed),
            ("<?xml version='1.0' standalone='no' standalone='no'?>", Condition::NotWellFormed),
            ("<?xml version='1.0'>", Condition::NotWellFormed),
            ("<?xml version='1.0<", Condition::NotWellFormed),
        ] {
            assert_eq!(judge(xml), Err(condition), "{xml}");
        }
        let blank = " ".repeat(MAX_DECLARATION);
        assert_eq!(judge(&format!("<?xml{blank}")), Err(Condition::PolicyViolation));
    }
}
