//! How a node starts, and what it says when it does not.

use super::{THERE, log_on};
use crate::{
    http,
    support::{
        CONFIG, PASSWORD, Program, TestNode, block_on,
        database::{accounts, at, options},
    },
};
use serde_json::json;
use storage::testkit::{Member, ReplicaSet, Secrets};

/// A database that is away: the node starts, says so, lets nobody in, and goes on by itself when it comes.
#[test]
fn a_node_waits_for_its_database() {
    block_on(async {
        let set = ReplicaSet::start(1).await.unwrap();
        let options = options(&set);
        let member = &set.members()[0];
        let program = Program::new(&options);
        accounts(&program, &["a"]);
        member.kill().unwrap();
        let mut node = program.run();
        let (c2s, http) = (node.addresses.starttls[0], node.addresses.http[0]);
        let (status, why) = http::get(http, "/ready").await;
        assert_eq!(status, 503, "{why}");
        let address = member.address();
        assert!(why.starts_with("not ready: the store is unavailable: "), "{why}");
        assert!(why.contains(&address), "it says who does not answer: {why}");
        assert_eq!(log_on(c2s, "a", PASSWORD).await, Err("temporary-auth-failure".into()));
        member.restart().await.unwrap();
        node.until_log(THERE);
        assert_eq!(http::get(http, "/ready").await, (200, "ready\n".to_owned()));
        assert_eq!(log_on(c2s, "a", PASSWORD).await, Ok(()));
    });
}

/// What nobody mends by waiting: the options, and what is said.
fn refused(options: &str, wanted: &[&str]) {
    let program = Program::new(options);
    for command in [&["run"][..], &["account", "list"]] {
        let why = program.say(command).bad(1);
        for part in wanted {
            assert!(why.contains(part), "{command:?} {part}: {why}");
        }
    }
}

#[test]
fn a_wrong_password_is_said_to_be_one() {
    block_on(async {
        let set = ReplicaSet::start_secured(Secrets::make().unwrap()).await.unwrap();
        let good = set.options("");
        let ca = good.ca.unwrap().display().to_string();
        let options = at(&set.uri(), "mangrove") + &format!("mongodb.ca = {ca:?}\n");
        let user = format!("mongodb.user = '{}'\n", good.user.unwrap());
        let wrong = format!("{options}{user}mongodb.password = 'no'\n");
        refused(&wrong, &["Authentication failed", "check user and password"]);
        refused(&options, &["check user and password", "role readWrite"]);
        let password = format!("mongodb.password = '{}'\n", good.password.unwrap());
        let program = Program::new(&format!("{options}{user}{password}"));
        accounts(&program, &["a"]);
        assert_eq!(program.say(&["account", "list"]).good(), "a@localhost\n1 account\n");
    });
}

#[test]
fn a_server_by_itself_and_a_newer_schema_are_refused() {
    block_on(async {
        let alone = Member::start(None, None).await.unwrap();
        let uri = format!("mongodb://{}", alone.address());
        refused(&at(&uri, "mangrove"), &["--replSet rs0", "rs.initiate()"]);
        let set = ReplicaSet::shared().await.unwrap();
        let database = set.options("").database.unwrap();
        let meta = set.client().await.unwrap().database(&database).collection("meta");
        meta.insert_one(json!({ "_id": "schema", "version": 1_000 })).await.unwrap();
        let wanted = [&*database, "has schema version 1000", "run the version that wrote it"];
        refused(&at(&set.uri(), &database), &wanted);
    });
}

#[test]
fn the_nodes_of_a_cluster_need_it() {
    let program = Program::of(&format!("{CONFIG}cluster.name = 'one'\n"));
    let why = program.say(&["run"]).bad(2);
    assert!(why.contains("cluster.name: the nodes of a cluster share one store"), "{why}");
    assert!(why.contains("storage.backend = \"mongodb\""), "{why}");
}

/// The same by the library: it is stopped in good order while the database is away.
#[test]
fn it_stops_while_its_database_is_away() {
    block_on(async {
        let set = ReplicaSet::start(1).await.unwrap();
        let options = options(&set);
        set.members()[0].kill().unwrap();
        TestNode::with(&options, |_| ()).await.stop().await;
    });
}
