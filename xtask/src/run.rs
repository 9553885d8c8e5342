//! Running other programs, and saying so.

use std::io::Write;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Prints a line on standard output; a reader that went away does not end the task.
pub fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

/// Says the command, on standard error, and runs it to its end.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    writeln!(std::io::stderr(), "$ {}", spelled(command)).ok();
    let status = command.status().with_context(|| format!("cannot start {}", spelled(command)))?;
    if !status.success() {
        bail!("{}: {status}", spelled(command));
    }
    Ok(())
}

/// Runs the command silently and returns what it wrote.
///
/// # Errors
/// When it cannot be started, fails (then with what it said), or writes something else than UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", spelled(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}: {said}", spelled(command), output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether there is such a program on the path.
pub fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn spelled(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
