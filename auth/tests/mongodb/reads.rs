//! Who is found.

use crate::app::{App, PENCIL, found, jid, of, source};
use auth::{Found, Naming, Source};
use serde_json::{Value, json};
use std::sync::Arc;
use storage::{
    mongo::{ExistingOptions, Options},
    testkit::{ReplicaSet, Secrets},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_found_by_nested_fields_and_a_filter() {
    let app = App::shared().await;
    let user = |name: &str, more: Value| {
        let mut user = json!({ "login": { "name": name }, "auth": { "pw": PENCIL } });
        user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        user
    };
    app.insert(json!([
        user("romeo", json!({ "since": { "$date": "2020-01-01T00:00:00Z" }, "role": "a" })),
        user("late", json!({ "since": { "$date": "2030-01-01T00:00:00Z" }, "role": "a" })),
        user("other", json!({ "since": { "$date": "2020-01-01T00:00:00Z" }, "role": "c" })),
        user("vip", json!({ "vip": true, "auth": { "pw": PENCIL, "off": 1 } })),
    ]))
    .await;
    let filter = r#"{"$or": [{"vip": true},
        {"since": {"$lt": {"$date": "2025-01-01T00:00:00Z"}}, "role": {"$in": ["a", "b"]}}]}"#;
    let options = ExistingOptions {
        user_field: "login.name".to_owned(),
        password_field: "auth.pw".to_owned(),
        disabled_field: Some("auth.off".to_owned()),
        filter: filter.to_owned(),
        ..app.existing()
    };
    let source = source(options, |_| ()).await;
    for (user, wanted) in [
        ("romeo@here", "pencil"),
        ("late@here", "nobody"),
        ("other@here", "nobody"),
        ("vip@here", "pencil, disabled"),
        ("nobody@here", "nobody"),
    ] {
        assert_eq!(found(&source, user).await, wanted, "{user}");
    }
    let all = ["romeo@here", "late@here", "vip@here"].map(jid);
    let mut found = source.find_all(&all).await.unwrap();
    found.sort_by_key(|(user, _)| user.clone());
    let found: Vec<String> = found.iter().map(|(user, e)| format!("{user} {}", of(e))).collect();
    assert_eq!(found, ["romeo@here pencil", "vip@here pencil, disabled"]);
    assert!(source.find_all(&[]).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_every_kind_tell_users_apart_and_may_be_the_name() {
    let app = App::shared().await;
    let oid = json!({ "$oid": "507f1f77bcf86cd799439011" });
    let long = json!({ "$numberLong": "7" });
    app.insert(json!([
        { "_id": oid, "username": "oid", "password": PENCIL },
        { "_id": "507f1f77bcf86cd799439011", "username": "text", "password": PENCIL },
        { "_id": 7, "username": "int", "password": PENCIL },
        { "_id": { "a": 1 }, "username": "document", "password": PENCIL },
    ]))
    .await;
    let users = app.source().await;
    let mut ids = Vec::new();
    for user in ["oid@here", "text@here", "int@here", "document@here"] {
        let Found::User(entry) = users.find(&jid(user)).await.unwrap() else { panic!("{user}") };
        ids.push(entry.id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 4, "{ids:?}");
    drop(long);
    let options = ExistingOptions { user_field: "_id".to_owned(), ..app.existing() };
    let users = source(options, |_| ()).await;
    assert_eq!(found(&users, "507f1f77bcf86cd799439011@here").await, "pencil");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_is_ignored_where_that_is_wanted_and_nothing_else_is() {
    let app = App::shared().await;
    let index = json!({ "key": { "username": 1 }, "name": "names", "collation": { "locale": "en", "strength": 2 } });
    app.say("createIndexes", "users", json!({ "indexes": [index] })).await;
    app.insert(json!([
        { "username": "Romeo", "password": PENCIL },
        { "username": "stra\u{df}e", "password": PENCIL },
    ]))
    .await;
    let exact = app.source().await;
    assert_eq!(found(&exact, "romeo@here").await, "nobody");
    let folded = source(ExistingOptions { ignore_case: true, ..app.existing() }, |_| ()).await;
    assert_eq!(found(&folded, "romeo@here").await, "pencil");
    // they are the same for the collation, and two addresses
    assert_eq!(found(&folded, "strasse@here").await, "nobody");
    app.insert(json!([{ "username": "STRASSE", "password": PENCIL }])).await;
    assert_eq!(found(&folded, "strasse@here").await, "pencil");
    assert_eq!(found(&folded, "stra\u{df}e@here").await, "pencil");
    let all = folded.find_all(&["romeo@here", "strasse@here", "stra\u{df}e@here"].map(jid)).await;
    assert_eq!(all.unwrap().len(), 3);
    app.insert(json!([{ "username": "ROMEO", "password": PENCIL }])).await;
    assert!(found(&folded, "romeo@here").await.contains("several documents"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_there_twice_is_nobody_s_and_no_trouble_of_others() {
    let app = App::shared().await;
    let mut users = vec![json!({ "username": "romeo", "password": PENCIL })];
    users.extend((0..2).map(|_| json!({ "username": "twice", "password": PENCIL })));
    users.extend((0..300).map(|_| json!({ "username": "often", "password": PENCIL })));
    app.insert(Value::Array(users)).await;
    let source = app.source().await;
    let why = found(&source, "twice@here").await;
    assert!(why.contains("several documents") && why.contains("twice@here"), "{why}");
    assert!(found(&source, "often@here").await.contains("often"));
    let all = source.find_all(&["often@here", "twice@here", "romeo@here"].map(jid)).await.unwrap();
    let all: Vec<&str> = all.iter().map(|(user, _)| user.as_str()).collect();
    assert_eq!(all, ["romeo@here"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_localparts_that_are_escaped_or_addresses() {
    let app = App::shared().await;
    let names = ["o'hara@mail.example", "call me", "romeo@here", "juliet@there", "Tybalt@HERE"];
    let users = names.map(|name| json!({ "username": name, "password": PENCIL }));
    app.insert(json!(users)).await;
    let localparts = app.source().await;
    for user in [r"o\27hara\40mail.example@here", r"call\20me@here", r"romeo\40here@here"] {
        assert_eq!(found(&localparts, user).await, "pencil", "{user}");
        let all = localparts.find_all(&[jid(user)]).await.unwrap();
        assert_eq!(all.first().unwrap().0, jid(user));
    }
    let jids = source(app.existing(), |options| options.naming = Naming::Jid).await;
    assert_eq!(found(&jids, "romeo@here").await, "pencil");
    assert_eq!(found(&jids, "juliet@there").await, "nobody", "of another host");
    let folded = ExistingOptions { ignore_case: true, ..app.existing() };
    let folded = source(folded, |options| options.naming = Naming::Jid).await;
    assert_eq!(found(&folded, "tybalt@here").await, "pencil");
}

/// RFC 5802 section 5, in the spellings of applications.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scram_keys_are_read_in_every_spelling() {
    const SALT: (&str, &str) = ("QSXCR+Q6sek8bf92", "4125c247e43ab1e93c6dff76");
    const STORED: (&str, &str) =
        ("6dlGYMOdZcOPutkcNY8U2g7vK9Y=", "e9d94660c39d65c38fbad91c358f14da0eef2bd6");
    const SERVER: (&str, &str) =
        ("D+CSWLOshSulAsxiupA+qs2/fTE=", "0fe09258b3ac852ba502cc62ba903eaacdbf7d31");
    let binary = |text| json!({ "$binary": { "base64": text, "subType": "00" } });
    let flat = json!({ "salt": SALT.0, "iterations": 4096, "stored_key": STORED.0, "server_key": SERVER.0 });
    let with = |name: &str, value: Value| {
        let mut flat = flat.clone();
        flat[name] = value;
        flat
    };
    let app = App::shared().await;
    let spellings = [
        ("flat", flat.clone(), "1 keys"),
        (
            "camel",
            json!({ "salt": SALT.0, "iterationCount": { "$numberLong": "4096" }, "storedKey": STORED.0, "serverKey": SERVER.0 }),
            "1 keys",
        ),
        ("named", json!({ "SCRAM-SHA-1": flat }), "1 keys"),
        ("short", json!({ "sha1": flat, "more": 1 }), "1 keys"),
        ("said", with("hash", json!("SHA-1")), "1 keys"),
        ("shell", with("iterations", json!({ "$numberDouble": "4096.0" })), "1 keys"),
        (
            "hex",
            json!({ "salt": SALT.1, "iterations": 4096, "stored_key": STORED.1, "server_key": SERVER.1 }),
            "1 keys",
        ),
        (
            "mixed",
            json!({ "salt": SALT.0, "iterations": 4096, "stored_key": STORED.1, "server_key": SERVER.1 }),
            "1 keys",
        ),
        (
            "binary",
            json!({ "salt": binary(SALT.0), "iterations": 4096, "stored_key": binary(STORED.0), "server_key": binary(SERVER.0) }),
            "1 keys",
        ),
        ("bare", with("stored_key", json!(STORED.0.trim_end_matches('='))), "1 keys"),
        (
            "much",
            with("iterations", json!(4_000_000_000_u32)),
            "the stored password asks for 4000000000 iterations; at most 4000000 are allowed",
        ),
        (
            "vast",
            with("iterations", json!({ "$numberDouble": "1e300" })),
            "the stored password asks for 4294967295 iterations; at most 4000000 are allowed",
        ),
        ("half", with("iterations", json!(0.5)), "the iterations are no number"),
        ("lost", json!({ "salt": SALT.0, "iterations": 1 }), "the SCRAM keys have no stored_key"),
        ("empty", json!({}), "there are no SCRAM keys in it"),
    ];
    let users = spellings
        .iter()
        .map(|(name, password, _)| json!({ "username": name, "password": password }));
    app.insert(users.collect()).await;
    let source = app.source().await;
    for (name, _, wanted) in &spellings {
        assert_eq!(found(&source, &format!("{name}@here")).await, *wanted, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_is_not_there_is_empty_and_a_view_is_polled() {
    let app = App::shared().await;
    let source = app.source().await;
    assert_eq!(found(&source, "romeo@here").await, "nobody");
    let mut changes = crate::app::watch(&source).await;
    app.insert(json!([{ "username": "romeo", "password": PENCIL, "active": true }])).await;
    assert_eq!(crate::app::next(&mut changes).await, "romeo@here: pencil");
    let pipeline = json!([{ "$match": { "active": true } }]);
    app.say("create", "active", json!({ "viewOn": "users", "pipeline": pipeline })).await;
    let view = ExistingOptions { collection: "active".to_owned(), ..app.existing() };
    let source = crate::app::source(view, |_| ()).await;
    assert_eq!(found(&source, "romeo@here").await, "pencil");
    let mut changes = crate::app::watch(&source).await;
    assert_eq!(crate::app::next(&mut changes).await, "any");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_read_is_enough_and_who_may_not_is_told_to_wait() {
    let app = App::on(Arc::new(ReplicaSet::start_secured(Secrets::make().unwrap()).await.unwrap()));
    app.insert(json!([{ "username": "romeo", "password": PENCIL }])).await;
    let roles = |role: &str| json!({ "pwd": "pw", "roles": [{ "role": role, "db": app.options.database }] });
    app.say("createUser", "reader", roles("read")).await;
    app.say("createUser", "stranger", json!({ "pwd": "pw", "roles": [] })).await;
    let database = app.options.database.clone().unwrap();
    let as_user = |user: &str, password: &str| {
        let uri = app.options.uri.replace("/?", &format!("/?authSource={database}&"));
        let server = Options {
            uri,
            user: Some(user.to_owned()),
            password: Some(password.to_owned()),
            ..app.options.clone()
        };
        source(ExistingOptions { server, ..app.existing() }, |options| options.write = true)
    };
    let reader = as_user("reader", "pw").await;
    assert_eq!(found(&reader, "romeo@here").await, "pencil");
    let mut changes = crate::app::watch(&reader).await;
    app.update(json!({}), json!({ "$set": { "disabled": true } }), true).await;
    assert_eq!(crate::app::next(&mut changes).await, "romeo@here: pencil, disabled");
    let denied = reader.set_password(&jid("romeo@here"), "pen").await.unwrap_err();
    println!("without the right to write: {denied}");
    for (user, password) in [("stranger", "pw"), ("reader", "wrong"), ("nobody", "pw")] {
        let other = as_user(user, password).await;
        let told = found(&other, "romeo@here").await;
        assert!(told.starts_with("Unavailable"), "{user}: {told}");
    }
}
