//! The generated reference.

use crate::{Node, Ping, Register, file};
use config::{Sections, reference};

pub fn generated() -> String {
    let mut sections = Sections::default();
    sections.take::<Register>("register");
    sections.take::<Ping>("ping");
    reference::toml(&sections)
}

#[test]
fn it_says_exactly_what_happens_without_it() {
    assert_eq!(file(&generated()).unwrap(), file("").unwrap());
}

#[test]
fn uncommented_examples_are_right() {
    // Options without a default and the sections that can be repeated are there as comments.
    let text = generated();
    let examples = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(code) if code.starts_with("[[") || code.contains(" = ") => code,
        _ => line,
    });
    let text: String = examples.flat_map(|line| [line, "\n"]).collect();
    // a cluster, as one of the examples has it, has no file
    let text = text.replace("backend = \"sqlite\"", "backend = \"mongodb\"");
    let text = text.replace("node = \"mangrove\"", "node = \"n1\"");
    let Node { config, ping, .. } = file(&text).unwrap();
    assert_eq!(config.certificate.len(), 1);
    assert_eq!(config.mongodb_accounts.len(), 1);
    assert!(config.cluster.name.is_some());
    assert!(config.admin.socket.is_some() && ping.unwrap().rate.is_some());
}

#[test]
fn every_option_is_documented() {
    let mut sections = Sections::default();
    sections.take::<Ping>("ping");
    let text = generated();
    for declared in sections.declared() {
        assert!(text.contains(&format!("[{}]", declared.path)), "{}", declared.path);
        for option in &declared.options {
            assert!(option.doc.trim().len() > 10, "{}.{}", declared.path, option.name);
        }
    }
    assert!(text.lines().all(|line| !line.starts_with('#') || line.len() <= 120));
}

#[test]
fn how_it_looks() {
    let expected = "
# Answers pings.
[modules.ping]
enabled = true

# Silence after which a client is pinged.
# (duration; 1s to 1h; MANGROVE__MODULES__PING__IDLE)
idle = \"1m\"

# What to say.
# (list: text; at most 3 entries; MANGROVE__MODULES__PING__WORDS)
words = []

# At most that often a minute.
# (whole number; 1 to less than 100; not set; MANGROVE__MODULES__PING__RATE)
# rate = 10

# Lets anybody make an account.
[modules.register]
enabled = false
";
    let text = generated();
    assert!(text.ends_with(expected), "{text}");
}
