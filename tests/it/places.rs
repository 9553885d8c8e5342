//! The program where there is nothing for it, or no room: it says where it looked and what helps, and leaves nothing behind.

use crate::support::{PASSWORD, Program};
use std::{fs, path::Path, process::Command};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_command_in_the_wrong_place_says_where_it_looked_and_makes_nothing() {
    let program = Program::new("");
    let data = program.path().canonicalize().unwrap().join("data");
    let looked = format!("there is no data of a node in {}, ", data.display());
    let fix = "say which with --config, --data or --socket";
    let commands: [&[&str]; 8] = [
        &["account", "list"],
        &["account", "list", "--json"],
        &["account", "passwd", "juliet@localhost", PASSWORD],
        &["account", "remove", "juliet@localhost"],
        &["quarantine", "list"],
        &["quarantine", "show", "1"],
        &["quarantine", "release", "1"],
        &["quarantine", "drop", "1"],
    ];
    // also where there is something else
    for there in [false, true] {
        if there {
            fs::create_dir(&data).unwrap();
        }
        for args in commands {
            let said = program.say(args).bad(1);
            assert!(said.contains(&looked) && said.contains(fix), "{args:?}: {said}");
        }
        assert_eq!(names(program.path()).contains(&"data".to_owned()), there);
    }
    assert_eq!(names(&data), [""; 0]);
    // accounts may be made before the node is started the first time
    program.say(&["account", "add", "juliet@localhost", PASSWORD]).good();
    assert_eq!(program.say(&["account", "list"]).good(), "juliet@localhost\n1 account\n");
}

#[test]
fn accounts_may_be_imported_before_the_first_start() {
    let program = Program::new("");
    let lines = format!("juliet@localhost {PASSWORD}\n");
    program.say_with(&["account", "import"], &lines).good();
    assert_eq!(program.say(&["account", "list"]).good(), "juliet@localhost\n1 account\n");
}

#[test]
fn a_domain_is_no_user() {
    let program = Program::new("");
    for args in [
        &["sessions", "--user", "localhost"][..],
        &["sessions", "kick", "localhost"],
        &["sessions", "kick", "localhost/balcony"],
        &["quarantine", "list", "--user", "localhost"],
        &["account", "remove", "localhost"],
    ] {
        let said = program.say(args).bad(2);
        assert_eq!(said, "mangrove: localhost: an account needs user@host\n", "{args:?}");
    }
}

/// The system lets no file grow: SQLite says "disk I/O error" of that, as it does of a full disk.
#[test]
fn a_start_without_room_says_which_disk_is_full() {
    let program = Program::new("");
    program.say(&["account", "add", "juliet@localhost", PASSWORD]).good();
    let before = names(&program.path().join("data"));
    for args in ["run", "account list"] {
        let script =
            format!("trap '' XFSZ; ulimit -f 0; exec \"$1\" --config mangrove.toml {args}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_mangrove")]);
        let output = shell.current_dir(program.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("no room for data/core.sqlite: "), "{said}");
        assert!(said.contains("make room on the disk that is mounted at /"), "{said}");
        assert!(!said.contains("disk I/O error"), "{said}");
    }
    let left = names(&program.path().join("data"));
    assert!(
        left.iter().all(|name| before.contains(name) || name.starts_with("core.sqlite-")),
        "{left:?}"
    );
    // and with room all is there
    assert_eq!(program.say(&["account", "list"]).good(), "juliet@localhost\n1 account\n");
}
