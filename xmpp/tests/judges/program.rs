//! The judges as a program: `judge.c`, built with the C compiler that is there.

use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::LazyLock,
};

const MISSING: &str = "the judges need a C compiler, pkg-config, expat and libxml2: \
    `cargo xtask test` installs them (Debian: gcc pkg-config libexpat1-dev libxml2-dev)";

static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let flags = ran(Command::new("pkg-config").args(["--cflags", "--libs", "expat", "libxml-2.0"]));
    let flags = String::from_utf8(flags.stdout).unwrap();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join(format!("judge-{}", std::process::id()));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../xmpp/tests/judges/judge.c");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut command = Command::new(compiler);
    ran(command
        .args(["-std=c99", "-O2", "-o"])
        .arg(&program)
        .arg(source)
        .args(flags.split_whitespace()));
    program
});

fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{error}: {command:?}\n{MISSING}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}\n{MISSING}");
    output
}

/// What expat and libxml2 say of each document.
pub fn judge<'a>(documents: impl Iterator<Item = &'a [u8]>) -> Vec<[String; 2]> {
    let mut asked = Vec::new();
    for document in documents {
        asked.extend_from_slice(&u32::try_from(document.len()).unwrap().to_le_bytes());
        asked.extend_from_slice(document);
    }
    let thread = std::thread::current().id();
    let path = PROGRAM.with_extension(format!("{thread:?}"));
    File::create(&path).unwrap().write_all(&asked).unwrap();
    let mut command = Command::new(&*PROGRAM);
    let output = ran(command.stdin(Stdio::from(File::open(&path).unwrap())));
    std::fs::remove_file(&path).unwrap();
    let mut said = output.stdout.as_slice();
    let mut next = || {
        let (length, rest) = said.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap();
        let (text, rest) = rest.split_at(length);
        said = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let mut all = Vec::new();
    while let Some(expat) = next() {
        all.push([expat, next().unwrap()]);
    }
    all
}
