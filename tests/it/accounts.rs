//! `mangrove account`, with a node and without one.

use crate::support::{Program, Tcp, block_on};
use actors::testkit::script::{Script, follow};
use serde_json::json;

/// Everything that can be done to one account.
pub fn life_of_an_account(program: &Program) {
    let say = |args: &[&str]| program.say(args);
    assert_eq!(
        say(&["account", "add", "Romeo@LOCALHOST", "pw"]).good(),
        "romeo@localhost created\n"
    );
    let again = say(&["account", "add", "romeo@localhost", "pw"]).bad(1);
    assert!(again.contains("exists already") && again.contains("account passwd"), "{again}");
    let added = program.say_with(&["account", "add", "juliet@localhost", "--json"], "pw\n").good();
    assert_eq!(added, "{\"jid\":\"juliet@localhost\",\"outcome\":\"created\"}\n");
    assert_eq!(say(&["account", "list"]).good(), "juliet@localhost\nromeo@localhost\n2 accounts\n");
    assert_eq!(
        program.json(&["account", "list"]),
        json!([{ "jid": "juliet@localhost" }, { "jid": "romeo@localhost" }])
    );
    let changed =
        program.say_with(&["account", "passwd", "romeo@localhost", "--password-stdin"], "x");
    assert_eq!(changed.good(), "romeo@localhost changed\n");
    assert_eq!(
        say(&["account", "remove", "juliet@localhost"]).good(),
        "juliet@localhost removed\n"
    );
    let missing = say(&["account", "remove", "juliet@localhost"]).bad(1);
    assert_eq!(missing, "mangrove: there is no account juliet@localhost\n");
    say(&["account", "passwd", "juliet@localhost", "pw"]).bad(1);
    let json = say(&["account", "remove", "juliet@localhost", "--json"]).bad(1);
    assert_eq!(json, "{\"error\":\"there is no account juliet@localhost\"}\n");
    assert_eq!(say(&["account", "list"]).good(), "romeo@localhost\n1 account\n");
}

#[test]
fn accounts_are_worked_on_while_no_node_runs() {
    life_of_an_account(&Program::new(""));
}

#[test]
fn accounts_are_worked_on_while_a_node_runs() {
    let program = Program::new("");
    let running = program.run();
    life_of_an_account(&program);
    let script = "password romeo@localhost x\nR = romeo@localhost/a\nR C: <presence/>\n\
                  R S: <presence/>";
    let script = Script::parse(script).unwrap();
    block_on(script.run(&mut Tcp::to(running.addresses.starttls[0]))).unwrap();
}

#[test]
fn what_makes_no_account_is_refused() {
    let program = Program::new("");
    for (args, code, wanted) in [
        (&["account", "add", "a@localhost", ""][..], 2, "the password is empty"),
        (&["account", "add", "a@localhost", "bell\u{7}"], 2, "this password is not allowed"),
        (&["account", "add", "localhost", "pw"], 2, "an account needs user@host"),
        (&["account", "add", "a@localhost/b", "pw"], 2, "a@localhost/b: "),
        (&["account", "add", "a b@localhost", "pw"], 2, "a b@localhost: "),
        (
            &["account", "add", "a@elsewhere", "pw"],
            1,
            "elsewhere is not a host of this server, which serves localhost",
        ),
        (&["account", "list", "--host", "a b"], 2, "a b: "),
    ] {
        let err = program.say(args).bad(code);
        assert!(err.contains(wanted), "{err}");
    }
    assert!(
        program.say(&["account", "add", "a@localhost"]).bad(2).contains("the password is empty")
    );
    assert_eq!(program.say(&["account", "list"]).good(), "0 accounts\n");
}

#[test]
fn many_accounts_are_imported_and_bad_lines_named() {
    let program = Program::new("");
    let running = program.run();
    let mut lines: Vec<String> =
        (0..600).map(|n| format!("user{n:03}@localhost pass {n}")).collect();
    lines.insert(3, "no-password@localhost".to_owned());
    lines.insert(400, "a@elsewhere pw".to_owned());
    lines.push(String::new());
    lines.push("user000@localhost another".to_owned());
    let said = program.say_with(&["account", "import"], &(lines.join("\n") + "\n"));
    assert_eq!(said.code, Some(1));
    assert_eq!(
        said.out,
        "600 accounts created, 1 existed and stay as they are, 2 lines not imported\n"
    );
    let wanted = "line 4: write it as: user@host password\n\
                  line 401: a@elsewhere: its host is not served here\n\
                  mangrove: 2 lines not imported\n";
    assert_eq!(said.err, wanted);
    assert!(program.say(&["account", "list"]).good().ends_with("\n600 accounts\n"));
    // with the password that came first, a space in it and all
    let script = "password user000@localhost pass 0\nU = user000@localhost/a\n\
                  password user599@localhost pass 599\nV = user599@localhost/a";
    let script = Script::parse(script).unwrap();
    block_on(script.run(&mut Tcp::to(running.addresses.starttls[0]))).unwrap();
    let said = program.say_with(&["account", "import", "--json"], "x@localhost y\nbad\n");
    assert_eq!(said.code, Some(1));
    let wanted = "{\"created\":1,\"existed\":0,\"failed\":1,\
                  \"bad\":[{\"line\":2,\"error\":\"write it as: user@host password\"}]}\n";
    assert_eq!(said.out, wanted);
    assert_eq!(program.say_with(&["account", "import"], "").good(), "0 accounts created\n");
}

#[test]
fn a_removed_account_s_session_ends() {
    let program = Program::new("");
    let running = program.run();
    program.say(&["account", "add", "a@localhost", "pw"]).good();
    block_on(async {
        let mut tcp = Tcp::to(running.addresses.starttls[0]);
        let log_on = Script::parse("password a@localhost pw\nA = a@localhost/x").unwrap();
        log_on.run(&mut tcp).await.unwrap();
        program.say(&["account", "remove", "a@localhost"]).good();
        let told = "A S: <stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                    </stream:error>\nA S: </stream:stream>\nA S: eof";
        follow(told, &mut tcp).await.unwrap();
    });
}
