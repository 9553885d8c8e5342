//! Where a password comes from: an argument, standard input, or a person who types it unseen.

use super::Failure;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use xmpp::sasl::MAX_PASSWORD_WRITTEN;

/// The most that is read for a password, its line's end included: what is longer than any password
/// stays so, and is refused.
const LONGEST: u64 = MAX_PASSWORD_WRITTEN as u64 + 3;

/// How a password is given.
#[derive(Debug, clap::Args)]
pub struct PasswordArgs {
    /// The password; others can see it in the list of processes. Without it you are asked
    password: Option<String>,
    /// Read the password from standard input, one line
    #[arg(long, conflicts_with = "password")]
    password_stdin: bool,
}

impl PasswordArgs {
    /// The password; it is not empty.
    pub fn read(self, whose: &str) -> Result<String, Failure> {
        let password = match self.password {
            Some(password) => password,
            None if self.password_stdin || !io::stdin().is_terminal() => {
                line(&mut io::stdin().lock())?
            }
            None => ask(whose)?,
        };
        if password.is_empty() {
            return Err(Failure::usage("the password is empty"));
        }
        Ok(password)
    }
}

/// One line, without its end.
fn line(input: &mut impl BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    input
        .take(LONGEST)
        .read_line(&mut line)
        .map_err(|e| Failure::new(format!("no password: {e}")))?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn ask(whose: &str) -> Result<String, Failure> {
    let first = prompt(&format!("Password for {whose}: "))?;
    if !first.is_empty() && prompt("The same again: ")? != first {
        return Err(Failure::new("they are not the same"));
    }
    Ok(first)
}

/// Switches the terminal's echo off while it lives.
struct Silence(Option<Termios>);

impl Silence {
    fn new() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(mut now) = before.clone() {
            now.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &now);
        }
        Self(before)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

fn prompt(text: &str) -> Result<String, Failure> {
    let say = |text: &str| {
        let mut out = io::stderr().lock();
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    };
    say(text);
    let silence = Silence::new();
    let answer = line(&mut io::stdin().lock());
    drop(silence);
    say("\n");
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_where_it_ends() {
        for (text, wanted) in [("a b\n", "a b"), ("x\r\ny\n", "x"), ("", ""), (" p ", " p ")] {
            assert_eq!(line(&mut text.as_bytes()).unwrap(), wanted);
        }
    }

    #[test]
    fn what_is_too_long_is_not_cut_to_a_password() {
        let longest = "x".repeat(MAX_PASSWORD_WRITTEN);
        assert_eq!(line(&mut format!("{longest}\r\n").as_bytes()).unwrap(), longest);
        let longer = line(&mut format!("{longest}{longest}").as_bytes()).unwrap();
        assert_eq!(xmpp::sasl::ScramKeys::fresh(&longer), None);
    }
}
