//! `mangrove account import`: many accounts from lines `user@host password`. Keys are derived on
//! all cores, a batch at a time, while the node makes the accounts of the batch before; a bad line is
//! told of with its number, and the rest goes on.

use super::{
    Done, Failure, account,
    output::{Output, count},
};
use mangrove::admin::{
    client::Client,
    protocol::{NewAccount, Outcome, Request, Row},
};
use serde::Serialize;
use std::{
    collections::HashMap,
    io::{self, BufRead, Read},
    thread::{self, JoinHandle},
};
use xmpp::{
    jid::BareJid,
    sasl::{PASSWORD_RULE, ScramKeys},
};

/// Accounts that are made in one transaction.
const BATCH: usize = 256;
/// The longest line, in bytes.
const LONGEST: u64 = 8 << 10;
/// Bad lines that are listed with `--json`; all are counted.
const LISTED: usize = 1000;

/// A line that makes no account.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Bad {
    line: usize,
    error: String,
}

/// A line that may.
struct Wanted {
    line: usize,
    jid: BareJid,
    password: String,
}

/// Lines, and the keys of each; `None` where the password is not allowed.
type Derived = (Vec<Wanted>, Vec<Option<Vec<ScramKeys>>>);

/// What became of the lines.
#[derive(Debug, Default, Serialize)]
struct Summary {
    created: usize,
    existed: usize,
    failed: usize,
    bad: Vec<Bad>,
}

impl Summary {
    fn bad(&mut self, bad: Bad, out: &mut Output) {
        self.failed += 1;
        if !out.json {
            out.note(&format!("line {}: {}", bad.line, bad.error));
        } else if self.bad.len() < LISTED {
            self.bad.push(bad);
        }
    }
}

pub async fn import(client: &mut Client, out: &mut Output) -> Done {
    let mut input = io::stdin().lock();
    let mut summary = Summary::default();
    let mut wanted = Vec::new();
    let mut number = 0;
    let mut under_way: Option<JoinHandle<Derived>> = None;
    loop {
        let line = next(&mut input).map_err(|e| Failure::new(format!("standard input: {e}")))?;
        if let Some(line) = &line {
            number += 1;
            match parse(number, line) {
                Ok(None) => {}
                Ok(Some(line)) => wanted.push(line),
                Err(bad) => summary.bad(bad, out),
            }
        }
        if wanted.len() == BATCH || line.is_none() {
            let before = under_way.take().map(JoinHandle::join);
            let next = std::mem::take(&mut wanted);
            under_way = Some(thread::spawn(move || {
                let keys = derive(&next);
                (next, keys)
            }));
            send(client, before, &mut summary, out).await?;
        }
        if line.is_none() {
            break;
        }
    }
    let last = under_way.map(JoinHandle::join);
    send(client, last, &mut summary, out).await?;
    report(&summary, out)
}

fn report(summary: &Summary, out: &mut Output) -> Done {
    if out.json {
        out.json(summary);
    } else {
        let mut text = format!("{} created", count(summary.created, "account"));
        if summary.existed > 0 {
            text.push_str(&format!(", {} existed and stay as they are", summary.existed));
        }
        if summary.failed > 0 {
            text.push_str(&format!(", {} not imported", count(summary.failed, "line")));
        }
        out.text(&text);
    }
    match summary.failed {
        0 => Ok(()),
        n => Err(Failure::new(format!("{} not imported", count(n, "line")))),
    }
}

/// The next line without its end; `None` at the end. One that is too long comes cut.
fn next(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    input.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() as u64 == LONGEST && !line.ends_with(b"\n") {
        input.skip_until(b'\n')?;
        return Ok(Some(line));
    }
    let end = if line.ends_with(b"\r\n") { 2 } else { usize::from(line.ends_with(b"\n")) };
    line.truncate(line.len() - end);
    Ok(Some(line))
}

fn parse(line: usize, bytes: &[u8]) -> Result<Option<Wanted>, Bad> {
    let bad = |error: &str| Bad { line, error: error.to_owned() };
    if bytes.len() as u64 >= LONGEST {
        return Err(bad("it is too long"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not UTF-8"))?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let Some((jid, password)) = text.trim_start().split_once([' ', '\t']) else {
        return Err(bad("write it as: user@host password"));
    };
    let password = password.trim_start_matches([' ', '\t']);
    if password.is_empty() {
        return Err(bad("the password is empty"));
    }
    let jid = account::address(jid).map_err(|e| bad(&e.text))?;
    Ok(Some(Wanted { line, jid, password: password.to_owned() }))
}

/// Has the accounts of a batch made, if there is one.
async fn send(
    client: &mut Client,
    batch: Option<thread::Result<Derived>>,
    summary: &mut Summary,
    out: &mut Output,
) -> Done {
    let Some(batch) = batch else { return Ok(()) };
    let (wanted, keys) = batch.map_err(|_| Failure::new("deriving keys failed".to_owned()))?;
    let lines: HashMap<String, usize> =
        wanted.iter().map(|w| (w.jid.as_str().to_owned(), w.line)).collect();
    let mut accounts = Vec::new();
    for (Wanted { line, jid, .. }, keys) in wanted.into_iter().zip(keys) {
        match keys {
            Some(keys) => accounts.push(NewAccount { jid, keys }),
            None => {
                let error = format!("this password is not allowed: {PASSWORD_RULE}");
                summary.bad(Bad { line, error }, out);
            }
        }
    }
    if accounts.is_empty() {
        return Ok(());
    }
    let (rows, _) = client.rows(Request::AccountAdd { accounts }).await?;
    for row in rows {
        let Row::Account(row) = row else { continue };
        match row.outcome {
            Outcome::Created => summary.created += 1,
            Outcome::NoSuchHost => {
                let line = lines.get(&row.jid).copied().unwrap_or_default();
                let error = format!("{}: its host is not served here", row.jid);
                summary.bad(Bad { line, error }, out);
            }
            _ => summary.existed += 1,
        }
    }
    Ok(())
}

/// Keys for each, in order.
fn derive(wanted: &[Wanted]) -> Vec<Option<Vec<ScramKeys>>> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = wanted.len().div_ceil(cores).next_multiple_of(ScramKeys::TOGETHER).max(1);
    let fresh = |some: &[Wanted]| {
        let passwords: Vec<&str> = some.iter().map(|w| w.password.as_str()).collect();
        ScramKeys::fresh_all(&passwords)
    };
    thread::scope(|scope| {
        let workers: Vec<_> =
            wanted.chunks(share).map(|some| (some, scope.spawn(move || fresh(some)))).collect();
        let join = workers.into_iter().flat_map(|(some, worker)| {
            // a worker that panicked made no keys: those accounts are reported as bad
            worker.join().unwrap_or_else(|_| vec![None; some.len()])
        });
        join.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> Result<Option<(String, String)>, String> {
        match parse(7, text) {
            Ok(wanted) => Ok(wanted.map(|w| (w.jid.as_str().to_owned(), w.password))),
            Err(bad) => Err(bad.error),
        }
    }

    #[test]
    fn lines_are_an_address_and_the_rest() {
        let good = |jid: &str, password: &str| Ok(Some((jid.to_owned(), password.to_owned())));
        assert_eq!(parsed(b"A@x pass word "), good("a@x", "pass word "));
        assert_eq!(parsed(b"a@x\t p"), good("a@x", "p"));
        assert_eq!(parsed(b"   "), Ok(None));
        for (line, error) in [
            (&b"a@x"[..], "write it as"),
            (b"a@x ", "the password is empty"),
            (b"x pass", "an account needs user@host"),
            (b"a@x/y pass", "a@x/y: "),
            (b"a@x \xff", "UTF-8"),
        ] {
            let got = parsed(line).unwrap_err();
            assert!(got.contains(error), "{got}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_one_bad_line() {
        let long = [&b"a@x "[..], &vec![b'p'; 20_000], b"\nb@x q\r\nc@x r"].concat();
        let mut input = &long[..];
        let lines: Vec<_> = std::iter::from_fn(|| next(&mut input).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert!(parsed(&lines[0]).unwrap_err().contains("too long"));
        assert_eq!((&lines[1][..], &lines[2][..]), (&b"b@x q"[..], &b"c@x r"[..]));
    }

    #[test]
    fn keys_come_in_the_order_of_the_lines() {
        let wanted: Vec<_> = ["one", "", "three"]
            .iter()
            .enumerate()
            .map(|(line, p)| Wanted {
                line,
                jid: "a@x".parse().unwrap(),
                password: (*p).to_owned(),
            })
            .collect();
        let keys = derive(&wanted);
        let fits = |n: usize, p: &str| keys[n].as_ref().is_some_and(|k| k[0].verify(p));
        assert!(fits(0, "one") && keys[1].is_none() && fits(2, "three"));
    }
}
