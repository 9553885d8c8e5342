//! Fuzz target `records`: see `tls/tests/checks`.
#![no_main]

#[path = "../../tls/tests/checks/mod.rs"]
mod checks;
#[path = "../../tls/tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::records(data));
