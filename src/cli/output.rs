//! What a command says: to standard output, and errors to standard error. A reader that went away
//! (`mangrove ps | head`) is no error.

use serde::Serialize;
use std::io::{self, Write};

/// Where a command's answer goes.
#[derive(Debug)]
pub struct Output {
    /// One JSON document instead of text.
    pub json: bool,
}

impl Output {
    /// The output of this program.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// One line of text.
    pub fn line(&mut self, text: &str) {
        let mut out = io::stdout().lock();
        drop(writeln!(out, "{text}").and_then(|()| out.flush()));
    }

    /// One JSON document.
    pub fn json(&mut self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) => self.line(&text),
            Err(error) => self.failure(&error.to_string()),
        }
    }

    /// Why it was not done.
    pub fn failure(&mut self, text: &str) {
        let mut out = io::stderr().lock();
        if self.json {
            drop(writeln!(out, "{}", serde_json::json!({ "error": text })));
        } else {
            drop(writeln!(out, "mangrove: {text}"));
        }
    }
}
