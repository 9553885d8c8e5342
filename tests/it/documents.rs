//! Documents that say what the code says: the table of standards in README.md, `config/reference.toml`, and the
//! tables of `docs/operating.md`. With `MANGROVE_UPDATE=1` the first two are written anew.

use crate::{
    http,
    support::{Program, TestNode, block_on},
};
use actors::registrar::Xep;
use config::{Sections, sections::Shape};
use std::{collections::BTreeMap, fs, path::Path};

const BEGIN: &str = "<!-- standards: made by tests/it/documents.rs -->\n";
const END: &str = "<!-- end of standards -->";

/// A standard that belongs to no module: name, title, version.
const CORE: &[(&str, &str, &str)] = &[
    ("RFC 6120", "XMPP: Core", ""),
    ("RFC 6121", "XMPP: Instant Messaging and Presence", ""),
    ("RFC 7622", "XMPP: Address Format", ""),
    ("RFC 5802", "SCRAM-SHA-1 and -PLUS", ""),
    ("RFC 7677", "SCRAM-SHA-256 and -PLUS (and -512)", ""),
    ("RFC 5929", "Channel binding tls-server-end-point", ""),
    ("RFC 9266", "Channel binding tls-exporter", ""),
    ("RFC 8446", "TLS 1.3: records, KeyUpdate, alerts", ""),
    ("RFC 5246", "TLS 1.2: records of its AEAD suites", ""),
    ("XEP-0170", "Recommended Order of Stream Feature Negotiation", "1.0"),
    ("XEP-0198", "Stream Management", "1.6.3"),
    ("XEP-0368", "SRV records for XMPP over TLS (the direct TLS port)", "1.1.0"),
    ("XEP-0440", "SASL Channel-Binding Type Capability", "1.0.0"),
    ("XEP-0478", "Stream Limits Advertisement", "0.2.0"),
];

/// Titles of the XEPs that modules implement.
const TITLES: &[(u16, &str)] = &[
    (12, "Last Activity"),
    (30, "Service Discovery"),
    (49, "Private XML Storage"),
    (54, "vcard-temp"),
    (77, "In-Band Registration"),
    (82, "Date and Time Profiles"),
    (92, "Software Version"),
    (115, "Entity Capabilities (of the server)"),
    (128, "Service Discovery Extensions"),
    (153, "vCard-Based Avatars"),
    (157, "Contact Addresses"),
    (160, "Offline Messages"),
    (191, "Blocking Command"),
    (199, "XMPP Ping"),
    (202, "Entity Time"),
    (203, "Delayed Delivery"),
    (237, "Roster Versioning"),
    (334, "Message Processing Hints"),
    (359, "Unique and Stable Stanza IDs"),
];

/// What shows that a standard is there: a file with tests or a script, and a line in them that is about it.
const SHOWN: &[(&str, &str, &str)] = &[
    ("RFC 6120", "actors/tests/streams.rs", "RFC 6120"),
    ("RFC 6121", "tests/scripts/routing.xmpp", "RFC 6121"),
    ("RFC 7622", "xmpp/src/jid.rs", "#[test]"),
    ("RFC 5802", "tests/scripts/sasl-mechanisms.xmpp", "SCRAM-SHA-1"),
    ("RFC 7677", "tests/scripts/sasl-mechanisms.xmpp", "SCRAM-SHA-256"),
    ("RFC 5929", "actors/tests/streams.rs", "type='tls-server-end-point'"),
    ("RFC 9266", "actors/tests/streams.rs", "type='tls-exporter'"),
    ("RFC 8446", "tls/tests/rfc8448.rs", "RFC 8448"),
    ("RFC 5246", "tls/tests/record.rs", "RFC 5246"),
    ("XEP-0012", "actors/src/modules/last.rs", "J C: <iq"),
    ("XEP-0030", "tests/scripts/disco.xmpp", "disco#info"),
    ("XEP-0049", "tests/scripts/private.xmpp", "jabber:iq:private"),
    ("XEP-0054", "tests/scripts/vcard.xmpp", "vcard-temp"),
    ("XEP-0077", "actors/src/modules/register.rs", "C: <iq type='set'"),
    ("XEP-0082", "actors/src/modules/time.rs", "<utc>"),
    ("XEP-0092", "tests/scripts/version.xmpp", "jabber:iq:version"),
    ("XEP-0115", "tests/scripts/disco.xmpp", "protocol/caps"),
    ("XEP-0128", "actors/src/modules/disco.rs", "jabber:x:data"),
    ("XEP-0153", "tests/scripts/vcard.xmpp", "vcard-temp:x:update"),
    ("XEP-0157", "actors/src/modules/disco.rs", "abuse-addresses"),
    ("XEP-0160", "tests/scripts/offline.xmpp", "C: <message"),
    ("XEP-0170", "actors/tests/streams.rs", "S: <stream:features"),
    ("XEP-0191", "tests/scripts/blocking.xmpp", "urn:xmpp:blocking"),
    ("XEP-0198", "tests/scripts/resume.xmpp", "urn:xmpp:sm:3"),
    ("XEP-0199", "actors/src/modules/ping.rs", "xmlns='urn:xmpp:ping'"),
    ("XEP-0202", "actors/src/modules/time.rs", "urn:xmpp:time"),
    ("XEP-0203", "tests/scripts/offline.xmpp", "urn:xmpp:delay"),
    ("XEP-0237", "tests/scripts/roster.xmpp", "ver='"),
    ("XEP-0334", "tests/scripts/offline.xmpp", "urn:xmpp:hints"),
    ("XEP-0359", "tests/scripts/stanza-id.xmpp", "urn:xmpp:sid:0"),
    ("XEP-0368", "tests/it/tls.rs", "direct_tls"),
    ("XEP-0440", "actors/tests/streams.rs", "urn:xmpp:sasl-cb:0"),
    ("XEP-0478", "actors/tests/streams.rs", "urn:xmpp:stream-limits:0"),
];

pub fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The file has to be this text; it becomes it when that was asked for.
#[track_caller]
pub fn must_be(file: &str, wanted: &str) {
    if std::env::var_os("MANGROVE_UPDATE").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), wanted).unwrap();
    }
    let same = read(file) == wanted;
    assert!(same, "{file} is out of date: MANGROVE_UPDATE=1 cargo test --test it documents");
}

/// Every option of every module, those that are off by default too.
pub fn sections() -> Sections {
    let mut sections = Sections::default();
    actors::modules::all(&mut sections);
    sections
}

/// By XEP: the module, and the version.
fn of_modules() -> BTreeMap<u16, (String, &'static str)> {
    let all = sections();
    let off: Vec<&str> = all
        .declared()
        .iter()
        .filter(|d| d.shape == Shape::Module(false))
        .filter_map(|d| d.path.strip_prefix("modules."))
        .collect();
    let on: String = off.iter().map(|name| format!("modules.{name}.enabled = true\n")).collect();
    let modules = actors::modules::all(&mut config::load(&on, "", [], &[]).modules);
    let mut found = BTreeMap::new();
    for (module, xeps) in modules.xeps() {
        let off = if off.contains(module) { " (off by default)" } else { "" };
        for Xep(number, version) in *xeps {
            let other = found.insert(*number, (format!("`{module}`{off}"), *version));
            assert!(other.is_none(), "two modules say that they are XEP-{number:04}");
        }
    }
    found
}

/// The file that shows a standard; the test fails when nothing does.
fn shown(name: &str) -> &'static str {
    let row = SHOWN.iter().find(|(of, ..)| *of == name);
    let (_, file, line) = row.unwrap_or_else(|| panic!("no test or script shows {name}"));
    assert!(read(file).contains(line), "{file} does not show {name}: it has no {line}");
    file
}

fn row(name: &str, title: &str, version: &str, part: &str) -> String {
    let address = match name.split_once(['-', ' ']) {
        Some(("XEP", number)) => format!("https://xmpp.org/extensions/xep-{number}.html"),
        Some((_, number)) => format!("https://www.rfc-editor.org/rfc/rfc{number}"),
        None => panic!("{name} is no standard"),
    };
    let file = shown(name);
    let (_, short) = file.rsplit_once('/').unwrap();
    format!("| [{name}]({address}) | {title} | {version} | {part} | [{short}]({file}) |\n")
}

#[test]
fn the_readme_has_the_standards_that_the_code_has() {
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    for (name, title, version) in CORE {
        rows.insert((*name).to_owned(), row(name, title, version, "core"));
    }
    for (number, (module, version)) in of_modules() {
        let title = TITLES.iter().find(|(of, _)| *of == number).map(|(_, title)| *title);
        let name = format!("XEP-{number:04}");
        let title = title.unwrap_or_else(|| panic!("{name} has no title"));
        rows.insert(name.clone(), row(&name, title, version, &module));
    }
    let head = "| standard | title | version | part | shown by |\n|---|---|---|---|---|\n";
    let table = format!("{head}{}", rows.into_values().collect::<String>());
    let readme = read("README.md");
    let (before, rest) = readme.split_once(BEGIN).expect("README.md has the first mark");
    let (_, after) = rest.split_once(END).expect("README.md has the second mark");
    must_be("README.md", &format!("{before}{BEGIN}\n{table}\n{END}{after}"));
}

#[test]
fn the_reference_is_what_the_program_prints() {
    let printed = Program::new("").say(&["config", "reference"]).good();
    must_be("config/reference.toml", &printed);
}

/// Whatever a page calls `section.option` is one, or a section.
fn options_exist(file: &str, sections: &Sections) {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.".contains(c);
    let declared = sections.declared();
    let page = read(file);
    let spans = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let (mut count, mut wrong) = (0, Vec::new());
    for span in spans {
        let path = span.split(|c| !is_part(c)).next().unwrap_or_default();
        let Some((section, option)) = path.rsplit_once('.') else { continue };
        let first = path.split('.').next();
        let of_a_section = declared.iter().any(|d| d.path.split('.').next() == first);
        if !of_a_section || option == "sock" {
            continue;
        }
        count += 1;
        let is_option = declared
            .iter()
            .any(|d| d.path == section && d.options.iter().any(|o| o.name == option));
        // each module has that one
        let is_switch = option == "enabled" && declared.iter().any(|d| d.path == section);
        if !is_option && !is_switch && !declared.iter().any(|d| d.path == path) {
            wrong.push(path);
        }
    }
    assert!(wrong.is_empty(), "{file} names options that there are not: {wrong:?}");
    assert!(count > 0, "{file} names no option");
}

#[test]
fn operators_can_read_what_every_limit_and_metric_is() {
    let page = read("docs/operating.md");
    let sections = sections();
    let limits = sections.declared().iter().find(|d| d.path == "limits").unwrap();
    for option in &limits.options {
        let name = format!("| `limits.{}` |", option.name);
        assert!(page.contains(&name), "docs/operating.md has no row {name}");
    }
    for file in
        ["README.md", "docs/operating.md", "docs/cluster.md", "docs/cost.md", "docs/limits.md"]
    {
        options_exist(file, &sections);
    }
    let metrics = block_on(async {
        let node = TestNode::start("").await;
        let (status, page) = http::get(node.node.addresses().http[0], "/metrics").await;
        assert_eq!(status, 200);
        node.stop().await;
        page
    });
    let names = metrics.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next());
    let mut count = 0;
    for name in names {
        count += 1;
        assert!(page.contains(&format!("`{name}")), "docs/operating.md does not name {name}");
    }
    assert!(count > 10, "{metrics}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages =
        vec![root.join("README.md"), root.join("ARCHITECTURE.md"), root.join("CHANGELOG.md")];
    for folder in ["docs", "bench", "supervision", "tests/interop"] {
        let files = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(files.filter(|file| file.extension().is_some_and(|e| e == "md")));
    }
    let mut count = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let target = link.0.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            count += 1;
            let found = page.parent().unwrap().join(target).exists();
            assert!(found, "{}: {target} is not there", page.display());
        }
    }
    assert!(count > 40, "only {count} links");
}
