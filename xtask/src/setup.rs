//! What the tests need besides Rust: each thing is looked for first, and installed when it is missing.
//!
//! Programs and C libraries come from apt (as root, or through sudo), slixmpp and what stores passwords from PyPI into `target/interop/venv`, xmpp.js from
//! npm into `tests/interop/xmppjs/node_modules`. Nothing is started, and nothing of the user's own is changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{exists, run, say};

/// A program or library, the Debian package that has it, and what it is for.
struct Program {
    name: &'static str,
    package: &'static str,
    why: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program { name: "make", package: "make", why: "builds the allocator" },
    Program { name: "profanity", package: "profanity", why: "a real client, in the interop tests" },
    Program { name: "tmux", package: "tmux", why: "the terminal that Profanity runs in" },
    Program {
        name: "python3",
        package: "python3",
        why: "slixmpp, Django and others, in the interop tests",
    },
    Program { name: "pip3", package: "python3-pip", why: "installs slixmpp" },
    Program { name: "node", package: "nodejs", why: "xmpp.js, in the interop tests" },
    Program { name: "npm", package: "npm", why: "installs xmpp.js" },
    Program { name: "g++", package: "g++", why: "compiles a client for the interop tests" },
    Program { name: "sendxmpp", package: "sendxmpp", why: "a real client, in the interop tests" },
    Program { name: "openssl", package: "openssl", why: "TLS clients, in the interop tests" },
    Program { name: "gnutls-cli", package: "gnutls-bin", why: "TLS clients, in the interop tests" },
    Program { name: "tstclnt", package: "libnss3-tools", why: "TLS clients, in the interop tests" },
    Program { name: "redis-server", package: "redis-server", why: "the registry of a cluster" },
    Program { name: "ip", package: "iproute2", why: "networks that are cut" },
    Program { name: "setpriv", package: "util-linux", why: "ends servers with their tests" },
    Program { name: "cc", package: "gcc", why: "builds the judges of what is forwarded" },
    Program { name: "pkg-config", package: "pkg-config", why: "finds the judges' libraries" },
];

/// Libraries, by pkg-config's name for each.
const LIBRARIES: &[Program] = &[
    Program { name: "expat", package: "libexpat1-dev", why: "a judge of what is forwarded" },
    Program { name: "libxml-2.0", package: "libxml2-dev", why: "a judge of what is forwarded" },
    Program { name: "gloox", package: "libgloox-dev", why: "a real client, in the interop tests" },
];

/// Libraries that a program needs to run, by the linker's name for each.
const SHARED: &[Program] = &[Program {
    name: "libcurl.so.4",
    package: "libcurl4",
    why: "mongod, for the tests of its store",
}];

/// Installs what is missing.
///
/// # Errors
/// When an installer fails: its own words are on the screen by then.
pub fn install(root: &Path) -> Result<()> {
    programs()?;
    slixmpp(root)?;
    xmpp_js(root)
}

fn programs() -> Result<()> {
    let programs = PROGRAMS.iter().filter(|program| !exists(program.name));
    let libraries = LIBRARIES.iter().filter(|library| !has_library(library.name));
    let shared = SHARED.iter().filter(|library| !has_shared(library.name));
    let missing: Vec<&Program> = programs.chain(libraries).chain(shared).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for program in &missing {
        say(&format!("missing: {} ({})", program.name, program.why));
    }
    run(apt_get()?.arg("update").arg("-qq"))?;
    let packages = missing.iter().map(|program| program.package);
    run(apt_get()?.args(["install", "-qq", "-y", "--no-install-recommends"]).args(packages))
}

/// Whether C programs can be built with it.
fn has_library(name: &str) -> bool {
    let status = Command::new("pkg-config").args(["--exists", name]).status();
    status.is_ok_and(|status| status.success())
}

/// Whether the linker finds it. Where it cannot be asked, the library is installed, which does no harm.
fn has_shared(name: &str) -> bool {
    let known = Command::new("/sbin/ldconfig").arg("-p").output();
    known.is_ok_and(|known| String::from_utf8_lossy(&known.stdout).contains(name))
}

/// apt-get as root, told to ask nothing and to start no service (with and without systemd).
fn apt_get() -> Result<Command> {
    let root = fs::metadata("/proc/self").context("cannot tell who runs this")?.uid() == 0;
    let mut command = Command::new(if root { "env" } else { "sudo" });
    if !root {
        command.arg("env");
    }
    command.args(["DEBIAN_FRONTEND=noninteractive", "SYSTEMD_OFFLINE=1", "RUNLEVEL=1", "apt-get"]);
    Ok(command)
}

/// The environment is made without a pip of its own, which Debian's python3 could not give it; the pip outside
/// installs into it.
fn slixmpp(root: &Path) -> Result<()> {
    let wanted = root.join("tests/interop/requirements.txt");
    let venv = root.join("target/interop/venv");
    let python = venv.join("bin/python");
    once(&wanted, &venv.join("installed.txt"), || {
        say(
            "missing: slixmpp, Django and others, as tests/interop/requirements.txt asks for (interop tests)",
        );
        run(Command::new("python3").args(["-m", "venv", "--clear", "--without-pip"]).arg(&venv))?;
        run(Command::new("python3")
            .args(["-m", "pip", "--python"])
            .arg(&python)
            .args(["install", "--quiet", "--requirement"])
            .arg(&wanted))
    })
}

fn xmpp_js(root: &Path) -> Result<()> {
    let folder = root.join("tests/interop/xmppjs");
    let lock = folder.join("package-lock.json");
    let stamp = folder.join("node_modules/installed.json");
    once(&lock, &stamp, || {
        say("missing: xmpp.js, as tests/interop/xmppjs/package-lock.json asks for (interop tests)");
        run(Command::new("npm").args(["ci", "--silent"]).current_dir(&folder))
    })
}

/// Runs `install` unless `stamp` is a copy of `wanted`; makes it one afterwards.
fn once(wanted: &Path, stamp: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let want = fs::read(wanted).with_context(|| format!("cannot read {}", wanted.display()))?;
    if fs::read(stamp).is_ok_and(|have| have == want) {
        return Ok(());
    }
    install()?;
    fs::write(stamp, want).with_context(|| format!("cannot write {}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installs_again_only_when_the_list_changes() {
        let folder = std::env::temp_dir().join(format!("xtask-once-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (wanted, stamp) = (folder.join("wanted"), folder.join("stamp"));
        let mut runs = 0;
        for list in ["a 1", "a 1", "a 2"] {
            fs::write(&wanted, list).unwrap();
            once(&wanted, &stamp, || {
                runs += 1;
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(runs, 2);
        assert!(once(&wanted, &folder.join("other"), || anyhow::bail!("no network")).is_err());
        assert!(!folder.join("other").exists(), "what failed is tried again");
        fs::remove_dir_all(&folder).unwrap();
    }
}
