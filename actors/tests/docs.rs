//! `docs/modules.md` shows real code and knows every hook point.

use actors::hooks::HookTable;

const PAGE: &str = include_str!("../../docs/modules.md");
const SOURCES: [&str; 3] = [
    include_str!("../src/modules/ping.rs"),
    include_str!("../../examples/word_filter/src/lib.rs"),
    include_str!("../../examples/lists/src/lib.rs"),
];

/// The Rust blocks of the page.
fn blocks() -> Vec<&'static str> {
    let parts = PAGE.split("```rust\n").skip(1);
    parts.map(|part| part.split("```").next().unwrap_or_default()).collect()
}

#[test]
fn the_code_on_the_page_is_the_code_in_the_files() {
    assert!(blocks().len() >= 5);
    for block in blocks() {
        let found = SOURCES.iter().any(|source| source.contains(block.trim_end()));
        assert!(found, "not in ping.rs or the examples:\n{block}");
    }
    // and all of ping.rs after its header is there
    let shown = blocks().concat();
    let code = SOURCES[0].split_once("config::section!").unwrap().1;
    for line in code.lines() {
        assert!(shown.contains(line), "the page lacks: {line}");
    }
}

#[test]
fn the_page_knows_every_hook_point() {
    let row = |(name, doc): &(&str, &str)| {
        let doc: Vec<&str> = doc.split_whitespace().collect();
        format!("| `{name}` | {} |", doc.join(" "))
    };
    let rows: Vec<String> = HookTable::DOCS.iter().map(row).collect();
    assert!(PAGE.contains(&rows.join("\n")), "the table has to be:\n{}", rows.join("\n"));
}
