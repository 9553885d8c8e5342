//! Fuzz target `framer`: see `xmpp/tests/checks`.
#![no_main]

#[path = "../../xmpp/tests/checks/mod.rs"]
#[allow(dead_code, reason = "each target uses one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::framer(data));
