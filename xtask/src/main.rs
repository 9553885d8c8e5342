//! Developer tasks: `cargo xtask test | nightly | tidy | mongod | bench`.
//!
//! A program of its own, so that a clone needs nothing but Rust to start: what else a task needs, the task
//! installs (`setup`). Not part of the node; nothing depends on it.

mod mongod;
mod run;
mod setup;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::run::{run, say};

const USAGE: &str = "\
usage: cargo xtask TASK

  test [ARGS]    installs what the tests need and is missing, then runs all of them:
                 cargo test --workspace [ARGS]; with --no-run it only installs and builds
  nightly        the tests that take hours: ten million streams are judged by expat and
                 libxml2 (JUDGED=n: so many; JUDGED_FROM=n: the first seed), and nodes are killed
                 again and again, and so are their databases (KILLED=n: for so many seconds a mode); all
                 scripts are run on MongoDB; tests that draw who runs
                 first try more seeds (SEEDS=n: so many); TLS clients of Go and Java, if they are
                 installed
  tidy           checks the laws of ARCHITECTURE.md that no compiler checks
  mongod         puts a real mongod into target/mongod and prints its path
                 (MONGOD=path: uses that one)
  bench [ARGS]   runs bench/run [ARGS]";

fn main() -> ExitCode {
    match task() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn task() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let root = root()?;
    match (task.as_str(), rest.as_slice()) {
        ("test", _) => test(&root, &rest),
        ("nightly", []) => nightly(&root),
        ("tidy", []) => tidy(&root),
        ("mongod", []) => {
            say(&mongod::fetch(&root)?.display().to_string());
            Ok(())
        }
        ("bench", _) => run(Command::new(root.join("bench/run")).args(&rest).current_dir(&root)),
        _ => bail!("{USAGE}"),
    }
}

/// The workspace's folder: the parent of this package's.
fn root() -> Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(package.parent().context("the package is not inside a workspace")?.to_path_buf())
}

fn test(root: &Path, args: &[String]) -> Result<()> {
    setup::install(root)?;
    let mut test = Command::new(cargo());
    test.args(["test", "--workspace"]).args(args).env("MONGOD", mongod::fetch(root)?);
    run(test.current_dir(root))
}

fn nightly(root: &Path) -> Result<()> {
    setup::install(root)?;
    let count = std::env::var("JUDGED").unwrap_or_else(|_| "10000000".to_owned());
    let args = ["test", "--release", "-p", "xmpp", "--test", "judges", "--", "--nocapture"];
    run(Command::new(cargo()).args(args).env("JUDGED", count).current_dir(root))?;
    // whoever runs first: the tests that draw it, with more seeds
    let seeds = std::env::var("SEEDS").unwrap_or_else(|_| "2000".to_owned());
    for args in [
        ["-p", "supervision", "--test", "seeds", "--test", "simulation", "--test", "order"]
            .as_slice(),
        &["-p", "actors", "--features", "testkit", "--test", "seeds"],
    ] {
        let mut test = Command::new(cargo());
        test.args(["test", "--release"]).args(args).env("SEEDS", &seeds).current_dir(root);
        run(&mut test)?;
    }
    // two more implementations of TLS, where their compilers are
    if ["go", "javac"].iter().all(|name| run::exists(name)) {
        let args = ["test", "-p", "tls", "--test", "peers"];
        run(Command::new(cargo()).args(args).env("PEERS", "compiled").current_dir(root))?;
    } else {
        say("TLS clients of Go and Java: not tried, since go or javac is missing");
    }
    let secs = std::env::var("KILLED").unwrap_or_else(|_| "300".to_owned());
    let kill = || {
        let mut command = Command::new(root.join("bench/durability/run"));
        command.current_dir(root);
        command
    };
    // nodes whose store is a MongoDB: every script, and what is lost when it fails again and again
    let args = ["test", "-p", "mangrove", "--test", "it", "--", "scripts", "database"];
    let mut test = Command::new(cargo());
    test.args(args).env("SCRIPTS", "all").env("KILLED", &secs).env("MONGOD", mongod::fetch(root)?);
    run(test.current_dir(root))?;
    // the judge first: it has to find out nodes that keep no promise
    run(kill().arg("--controls"))?;
    for power in ["kept", "drop", "some"] {
        run(kill().args(["--secs", &secs, "--power", power]))?;
    }
    Ok(())
}

fn tidy(root: &Path) -> Result<()> {
    let report = tidy::check(root)?;
    for note in &report.notes {
        say(&format!("note: {note}"));
    }
    for finding in &report.findings {
        say(&finding.to_string());
    }
    if !report.findings.is_empty() {
        bail!("{} findings in {} files", report.findings.len(), report.files);
    }
    say(&format!("tidy: {} files, nothing to say", report.files));
    Ok(())
}

/// The cargo that runs this task.
fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}
