//! Builds the judges, which are C: expat and libxml2 behind two functions (see `xmpp/tests/judges`).

use std::{env, path::PathBuf, process::Command};

fn main() {
    let source = "../xmpp/tests/judges/judge.c";
    println!("cargo::rerun-if-changed={source}");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo says where"));
    let (object, library) = (out.join("judge.o"), out.join("libjudge.a"));
    let flags = output(Command::new("pkg-config").args(["--cflags", "expat", "libxml-2.0"]));
    let mut compile = Command::new(env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
    compile.args(["-std=c99", "-O2", "-fPIC", "-DLINKED", "-c", source, "-o"]).arg(&object);
    output(compile.args(flags.split_whitespace()));
    output(Command::new("ar").arg("crs").arg(&library).arg(&object));
    println!("cargo::rustc-link-search=native={}", out.display());
    for library in ["static=judge", "expat", "xml2"] {
        println!("cargo::rustc-link-lib={library}");
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).expect("flags are text")
}
