//! `mangrove store` and `mangrove account`, where there are two stores.

use crate::support::{
    CONFIG, PASSWORD, Program, block_on,
    database::{accounts, at, options},
};
use mangrove::{
    Setup,
    stores::{Opened, Place},
};
use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    process::{Pid, Signal, kill_process},
};
use serde_json::{Value, json};
use std::{
    fs,
    mem::MaybeUninit,
    path::Path,
    process::{Command, Stdio},
};
use storage::{
    Account, Activity, Everything, OfflineLimits, RosterChange, RosterItem, StoredSession, Stores,
    Struck, testkit::ReplicaSet,
};
use xmpp::{jid::BareJid, stanza::Stanza};

/// Accounts that are copied while the copying is killed; at night more of them.
fn many() -> usize {
    if std::env::var_os("KILLED").is_some() { 5_000 } else { 1_000 }
}

/// Does something with the stores of a place, as a program has it configured.
fn with_stores<T>(program: &Program, place: &str, work: impl AsyncFnOnce(&Stores) -> T) -> T {
    let text = fs::read_to_string(program.path().join("mangrove.toml")).unwrap();
    let data = program.path().join("data").display().to_string();
    let text = format!("{text}\nserver.data = {data:?}\n");
    let config = Setup::of(config::load(&text, "m.toml", [], &[])).unwrap().config;
    let place = match Place::parse(place, &config).unwrap() {
        Place::Sqlite(dir) => Place::Sqlite(program.path().join(dir)),
        place => place,
    };
    block_on(async {
        let opened = Opened::open(&place, &config, true).await.unwrap();
        let done = work(opened.stores()).await;
        opened.close().await;
        done
    })
}

fn message(id: &str) -> Stanza {
    let xml = format!("<message id='{id}' from='b@x/r'><body>{id} &amp; ü</body></message>");
    Stanza::parse(xml.as_bytes()).unwrap()
}

/// Gives a user something of everything.
async fn furnish(stores: &Stores, name: &str) -> BareJid {
    const LIMITS: OfflineLimits = OfflineLimits::messages(99);
    let user: BareJid = format!("{name}@localhost").parse().unwrap();
    let account = Account::with_password(PASSWORD, 1).unwrap();
    stores.accounts.create(vec![(user.clone(), account)]).await.unwrap();
    for (ver, jid) in ["b@x", "c@x"].into_iter().enumerate() {
        let put = RosterChange::Put(RosterItem::new(jid.parse().unwrap()));
        stores.rosters.change(&user, ver as u64, put, 9).await.unwrap();
    }
    let bad = stores.offline.push(&user, 1, message("bad"), LIMITS).await.unwrap();
    let mut at = bad;
    while let Struck::Counted(_) | Struck::Last =
        stores.quarantine.strike(&user, "", at, 5, usize::MAX).await.unwrap()
    {
        at = stores.offline.page(&user, 0, 1, usize::MAX).await.unwrap()[0].id;
    }
    stores.offline.push(&user, 2, message("waits"), LIMITS).await.unwrap();
    let key = format!("{name} key");
    let session = StoredSession {
        key: key.clone(),
        user: user.clone(),
        epoch: 3,
        until: 4,
        handled: 5,
        frozen: vec![0, 255],
    };
    stores.sessions.put(session).await.unwrap();
    let held = vec![(8, message("held"))];
    stores.sessions.append(&user, vec![key], held, LIMITS, None).await.unwrap();
    stores.vcards.set(&user, "<vCard xmlns='vcard-temp'/>".to_owned()).await.unwrap();
    let private = vec![("ns".to_owned(), "a".to_owned(), "<a xmlns='ns'/>".to_owned())];
    stores.private.set(&user, private, 9).await.unwrap();
    stores.blocklists.add(&user, vec!["d@x".parse().unwrap()], 9).await.unwrap();
    let activity = Activity { at: 6, status: "bye".to_owned() };
    stores.activity.set(vec![(user.clone(), activity)]).await.unwrap();
    user
}

async fn everything(stores: &Stores) -> Vec<Everything> {
    let mut all = Vec::new();
    for user in stores.transfer.users("", 100).await.unwrap() {
        let user = user.parse().unwrap();
        all.push(stores.transfer.export(&user).await.unwrap().unwrap());
    }
    all
}

#[test]
fn everything_gets_from_one_store_into_another_and_back() {
    let set = block_on(ReplicaSet::shared()).unwrap();
    let program = Program::new(&options(&set));
    let before = with_stores(&program, "sqlite", async |stores| {
        for name in ["a", "b", "ü"] {
            furnish(stores, name).await;
        }
        everything(stores).await
    });
    assert_eq!(before.len(), 3);
    assert!(before.iter().all(|all| all.messages.len() == 2 && all.quarantine.len() == 1));
    let said = program.say(&["store", "migrate", "sqlite", "mongodb"]).good();
    let table = "\
of                 copied            there
accounts           3                 3
contacts           6                 6
messages           6                 6
sessions           3                 3
in quarantine      3                 3
vCards             3                 3
private elements   3                 3
blocked addresses  3                 3
checksum           ";
    assert!(said.starts_with(table), "{said}");
    assert_eq!(with_stores(&program, "mongodb", async |stores| everything(stores).await), before);
    let back = program.json(&["store", "migrate", "mongodb", "sqlite:other"]);
    assert_eq!(back["copied"], back["there"]);
    let sum = &back["there"]["checksum"].as_str().unwrap()[..16];
    assert!(said.contains(sum), "{said}{back}");
    let there = with_stores(&program, "sqlite:other", async |stores| everything(stores).await);
    assert_eq!(there, before);

    // again: neither is empty, and nothing is touched
    let refused = program.say(&["store", "migrate", "sqlite", "sqlite:other"]).bad(1);
    let wanted = "mangrove: sqlite:other is not empty, and no copying from sqlite:data was interrupted: nothing was copied; \
                  empty it, or name another one\n";
    assert_eq!(refused, wanted);
    assert_eq!(program.json(&["store", "check"])["store"], back["there"]);
    let empty = Program::new(&options(&set));
    let nothing = empty.say(&["store", "migrate", "mongodb", "sqlite:other"]).bad(1);
    assert_eq!(nothing, "mangrove: mongodb has no accounts: nothing was copied\n");
    let none = program.say(&["store", "migrate", "sqlite:nowhere", "mongodb"]).bad(1);
    assert_eq!(none, "mangrove: there is no store in nowhere\n");
    assert!(!program.path().join("nowhere").exists());
    for (args, wanted) in [
        (
            ["redis", "mongodb"],
            "redis: there is no such store; write sqlite, sqlite:DIR or mongodb",
        ),
        (["mongodb", "mongodb"], "mongodb is to be copied to itself"),
    ] {
        let why = program.say(&["store", "migrate", args[0], args[1]]).bad(2);
        assert_eq!(why, format!("mangrove: {wanted}\n"));
    }
    // a node goes on with it
    let _running = program.run();
    let checked = program.json(&["store", "check"]);
    for what in ["accounts", "contacts", "messages", "quarantined", "vcards", "private", "blocked"]
    {
        assert_eq!(checked["store"][what], back["there"][what], "{what}");
    }
    // they were none that it can go on with
    assert_eq!(checked["store"]["sessions"], 0);
    let status = program.say(&["store", "status"]).good();
    assert!(status.contains("backend") && status.contains("mongodb"), "{status}");
    let in_use = program.say(&["store", "migrate", "mongodb", "sqlite:third"]).bad(1);
    assert!(in_use.contains("in use by a running process"), "{in_use}");
}

/// SIGKILL in the middle of it; then it is run again.
#[test]
fn what_was_killed_is_gone_on_with() {
    broken_off_by(Signal::KILL);
}

/// Ctrl-C in the middle of it: nothing is left behind that the next run has to wait for.
#[test]
fn what_was_interrupted_is_gone_on_with() {
    broken_off_by(Signal::INT);
}

fn broken_off_by(signal: Signal) {
    let (set, many) = (block_on(ReplicaSet::shared()).unwrap(), many());
    let program = Program::new(&options(&set));
    with_stores(&program, "sqlite", async |stores| {
        let user = |n| format!("user{n:05}@localhost").parse::<BareJid>().unwrap();
        let account = |n| Account { created: n as u64, ..Account::default() };
        let all = (0..many).map(|n| (user(n), account(n))).collect();
        assert_eq!(stores.accounts.create(all).await, Ok(many));
        furnish(stores, "zoe").await;
    });
    let migrate = ["store", "migrate", "sqlite", "mongodb"];
    let state = program.path().join("data/migration.json");
    let files = inotify::init(CreateFlags::CLOEXEC).unwrap();
    let what = WatchFlags::MOVED_TO | WatchFlags::DELETE;
    inotify::add_watch(&files, program.path().join("data"), what).unwrap();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&files, &mut buffer);
    let mut command = program.command(&migrate);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let done = |state: &Path| {
        let state = fs::read(state).ok()?;
        serde_json::from_slice::<Value>(&state).ok()?["walk"]["tally"]["accounts"].as_u64()
    };
    while done(&state).is_none_or(|done| done < many as u64 / 4) {
        let event = events.next().unwrap();
        let is_state = event.file_name().is_some_and(|name| name == c"migration.json");
        let removed = is_state && event.events().contains(ReadFlags::DELETE);
        assert!(!removed, "it is not done yet");
    }
    let pid = Pid::from_child(&child);
    kill_process(pid, signal).unwrap();
    let ended = child.wait_with_output().unwrap();
    let before = done(&state).unwrap();
    if signal == Signal::INT {
        let said = String::from_utf8(ended.stderr).unwrap();
        let wanted = format!("mangrove: interrupted after {before} users; run it again to go on\n");
        assert_eq!((ended.status.code(), &*said), (Some(1), &*wanted));
    }
    assert!(before < many as u64, "it was in the middle: {before}");
    let said = program.say(&[&migrate[..], &["--json"]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    // the server may keep transactions of whoever was killed for a minute, and they are waited for
    let going_on = format!("going on after {before} users\n");
    assert!(
        said.err == going_on || (signal == Signal::KILL && said.err.starts_with(&going_on)),
        "{}",
        said.err
    );
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["copied"], report["there"]);
    assert_eq!(report["copied"]["accounts"], json!(many + 1));
    assert_eq!(report["copied"]["quarantined"], json!(1));
    assert!(!state.exists());
}

/// The first batch is written, and killed before that is noted: the target is not empty then, and it is ours.
#[test]
fn what_was_killed_before_it_noted_anything_is_gone_on_with() {
    let program = Program::new("");
    let copied = with_stores(&program, "sqlite", async |stores| {
        furnish(stores, "a").await;
        everything(stores).await.remove(0)
    });
    let migrate = ["store", "migrate", "sqlite", "sqlite:other"];
    program.say(&migrate).good();
    let walk = json!({ "after": null, "tally": {
        "accounts": 0, "contacts": 0, "messages": 0, "sessions": 0, "quarantined": 0, "vcards": 0,
        "private": 0, "blocked": 0, "sum": "0" }, "failed": 0, "bad": [] });
    let noted = json!({ "from": "sqlite:data", "to": "sqlite:other", "walk": walk });
    let state = program.path().join("data/migration.json");
    fs::write(&state, noted.to_string()).unwrap();
    let said = program.say(&migrate);
    assert_eq!((said.code, &*said.err), (Some(0), "going on after 0 users\n"), "{}", said.out);
    // somebody emptied the target meanwhile: all of it is copied
    fs::write(&state, noted.to_string().replace("null", "\"zoe@localhost\"")).unwrap();
    fs::remove_dir_all(program.path().join("other")).unwrap();
    program.say(&migrate).good();
    let there = with_stores(&program, "sqlite:other", async |stores| everything(stores).await);
    assert_eq!(there, [copied]);
}

#[test]
fn a_user_who_cannot_be_read_is_named_and_the_others_are_copied() {
    let set = block_on(ReplicaSet::shared()).unwrap();
    let database = set.options("").database.unwrap();
    let program = Program::new(&at(&set.uri(), &database));
    with_stores(&program, "mongodb", async |stores| {
        for name in ["a", "bad", "c"] {
            furnish(stores, name).await;
        }
    });
    block_on(async {
        let database = set.client().await.unwrap().database(&database);
        let nobody = json!({ "_id": "@", "host": "localhost" });
        database.collection("users").insert_one(nobody).await.unwrap();
        let messages = database.collection("messages");
        let damaged = json!({ "_id": 1, "u": "bad@localhost", "at": 1, "b": 5, "x": "<message",
            "w": true, "h": [], "d": false, "s": 0 });
        messages.insert_one(damaged).await.unwrap();
    });
    let said = program.say(&["store", "migrate", "mongodb", "sqlite:other"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.starts_with("@: \"@\" is no address"), "{}", said.err);
    assert!(said.err.contains("\nbad@localhost: "), "{}", said.err);
    assert!(said.err.ends_with("mangrove: 2 users not copied\n"), "{}", said.err);
    let there = with_stores(&program, "sqlite:other", async |stores| everything(stores).await);
    let names: Vec<&str> = there.iter().map(|all| all.user.as_str()).collect();
    assert_eq!(names, ["a@localhost", "c@localhost"]);
    let checked = program.say(&["store", "check"]);
    assert_eq!(checked.code, Some(1));
    assert!(checked.err.contains("bad@localhost: "), "{}", checked.err);
    // it was at its end: when the target is emptied, it begins anew
    fs::remove_dir_all(program.path().join("other")).unwrap();
    let again = program.say(&["store", "migrate", "mongodb", "sqlite:other"]);
    assert!(again.err.contains("\nbad@localhost: "), "{}", again.err);
    assert!(again.out.contains("accounts           2 "), "{}", again.out);
}

#[test]
fn a_store_in_use_is_not_copied() {
    let program = Program::new("");
    let _running = program.run();
    let why = program.say(&["store", "migrate", "sqlite", "sqlite:other"]).bad(1);
    assert!(why.contains("data") && why.contains("in use by a running process"), "{why}");
}

/// What is said of each store, while it answers and while it does not.
#[test]
fn the_status_of_each_store_says_how_it_is() {
    for (backend, rows) in [("memory", &["backend"][..]), ("sqlite", &["backend", "state"])] {
        let program = Program::of(&format!("{CONFIG}storage.backend = '{backend}'\n"));
        let none = program.say(&["store", "status"]).bad(1);
        assert!(none.contains("no node answers on data/admin.sock"), "{none}");
        let _running = program.run();
        let said = program.json(&["store", "status"]);
        for row in rows {
            value(&said, row);
        }
        assert_eq!((value(&said, "state"), value(&said, "backend")), ("good", backend));
    }
    let set = block_on(ReplicaSet::start(1)).unwrap();
    let program = Program::new(&options(&set));
    accounts(&program, &["a", "sender"]);
    let _running = program.run();
    let said = program.json(&["store", "status"]);
    assert_eq!((value(&said, "state"), value(&said, "breaker")), ("good", "closed"));
    assert_eq!(value(&said, "last error"), "none");
    set.members()[0].kill().unwrap();
    let said = loop {
        let said = program.json(&["store", "status"]);
        if value(&said, "breaker") != "closed" {
            break said;
        }
    };
    let address = set.members()[0].address();
    assert!(value(&said, "state").starts_with("the store is unavailable: "), "{said}");
    assert!(value(&said, "last error").contains(&address), "{said}");
    assert!(value(&said, "journal").starts_with("0 operations"), "{said}");
    let why = program.say(&["store", "check"]).bad(1);
    assert_eq!(why, "mangrove: the store is unavailable\n");
}

fn value<'a>(rows: &'a Value, name: &str) -> &'a str {
    let row = rows.as_array().unwrap().iter().find(|row| row["name"] == name);
    row.unwrap_or_else(|| panic!("{name}: {rows}"))["value"].as_str().unwrap()
}

/// Everything that can be done to an account: where it is kept makes no difference.
#[test]
fn accounts_are_worked_on_in_a_database() {
    let set = block_on(ReplicaSet::shared()).unwrap();
    crate::accounts::life_of_an_account(&Program::new(&options(&set)));
    let program = Program::new(&options(&set));
    let _running = program.run();
    crate::accounts::life_of_an_account(&program);
}

#[test]
fn a_command_says_which_database_does_not_answer() {
    let program = Program::new(&at("mongodb://127.0.0.1:9/?replicaSet=rs0", "mangrove"));
    for command in [
        &["account", "list"][..],
        &["account", "add", "a@localhost", "pw"],
        &["store", "check"],
        &["store", "migrate", "mongodb", "sqlite"],
    ] {
        let why = program.say(command).bad(1);
        assert!(why.contains("the store is unavailable: "), "{command:?}: {why}");
        assert!(why.contains("no server can be used: 127.0.0.1:9: "), "{command:?}: {why}");
        assert!(!why.contains("Topology"), "{command:?}: {why}");
    }
}

/// A terminal shows how far it is, and at the end what there is.
#[test]
fn a_terminal_shows_progress() {
    let program = Program::new("");
    with_stores(&program, "sqlite", async |stores| furnish(stores, "a").await);
    let command = format!("{} store migrate sqlite sqlite:other", env!("CARGO_BIN_EXE_mangrove"));
    let shown = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(program.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    for part in ["100 % 1 of 1 copied", "100 % 1 of 1 compared", "contacts           2 "] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
