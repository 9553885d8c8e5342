//! What is told of changes.

use crate::app::{App, PENCIL, jid, next, source, watch};
use auth::Source;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use storage::{
    StoreError,
    mongo::{ExistingOptions, Options},
    testkit::ReplicaSet,
};

fn user(name: &str) -> Value {
    json!({ "username": name, "password": PENCIL, "active": true })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_matters_is_told_and_nothing_else() {
    let app = App::shared().await;
    app.insert(json!([user("romeo"), user("juliet"), user("Romeo")])).await;
    let options = ExistingOptions { filter: r#"{"active": true}"#.to_owned(), ..app.existing() };
    let source = source(options, |_| ()).await;
    let mut changes = watch(&source).await;
    let romeo = json!({ "username": "romeo" });
    let set = |field: &str, value: Value| json!({ "$set": { field: value } });
    for (which, update, wanted) in [
        (
            romeo.clone(),
            set("password", json!("{SSHA}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
            "romeo@here: another",
        ),
        (romeo.clone(), set("disabled", json!("spam")), "romeo@here: another, disabled"),
        (romeo.clone(), json!({ "$unset": { "disabled": 1 } }), "romeo@here: another"),
        // nothing is told of the first one
        (json!({}), set("seen", json!({ "at": 1, "password": 1 })), ""),
        (romeo.clone(), set("active", json!(1)), "romeo@here: nobody"),
        (romeo.clone(), set("active", json!(true)), "romeo@here: another"),
        (romeo.clone(), json!({ "$unset": { "password": 1 } }), "romeo@here: there is none"),
        // what it was called nobody says
        (romeo.clone(), set("username", json!("mercutio")), "any"),
        (json!({ "username": "mercutio" }), user("romeo"), "any"),
        // of another document whose name is not an address of ours
        (json!({ "username": "Romeo" }), set("password", json!("!")), "romeo@here: pencil"),
    ] {
        app.update(which, update.clone(), wanted.is_empty()).await;
        if !wanted.is_empty() {
            assert_eq!(next(&mut changes).await, wanted, "{update}");
        }
    }
    app.delete(romeo).await;
    assert_eq!(next(&mut changes).await, "any");
    app.insert(json!([user("romeo")])).await;
    assert_eq!(next(&mut changes).await, "romeo@here: pencil");
    // a name that is there twice is nobody's
    app.insert(json!([user("romeo")])).await;
    assert_eq!(next(&mut changes).await, "romeo@here: nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_fields_and_filters_that_look_at_anything() {
    let app = App::shared().await;
    app.insert(json!([{ "login": { "name": "romeo", "pw": PENCIL }, "n": [1, 2, 3] }])).await;
    let options = ExistingOptions {
        user_field: "login.name".to_owned(),
        password_field: "login.pw".to_owned(),
        filter: r#"{"$expr": {"$gt": [{"$size": "$n"}, 1]}}"#.to_owned(),
        ..app.existing()
    };
    let source = source(options, |_| ()).await;
    let mut changes = watch(&source).await;
    // the name may have changed too
    app.update(json!({}), json!({ "$set": { "login.pw": "!" } }), false).await;
    assert_eq!(next(&mut changes).await, "any");
    app.update(json!({}), json!({ "$pull": { "n": { "$gt": 1 } } }), false).await;
    assert_eq!(next(&mut changes).await, "romeo@here: nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_is_dropped_is_watched_again_when_that_is_wanted() {
    let app = App::shared().await;
    app.insert(json!([user("romeo")])).await;
    let source = app.source().await;
    let mut changes = watch(&source).await;
    app.say("drop", "users", json!({})).await;
    let mut told = next(&mut changes).await;
    assert_eq!(told, "any");
    while told == "any" {
        told = next(&mut changes).await;
    }
    assert!(told.starts_with("Unavailable"), "{told}");
    let mut changes = watch(&source).await;
    app.insert(json!([user("romeo")])).await;
    assert_eq!(next(&mut changes).await, "romeo@here: pencil");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_stops_leading_loses_nothing() {
    let app = App::on(Arc::new(ReplicaSet::start(1).await.unwrap()));
    app.insert(json!([user("romeo"), user("juliet")])).await;
    let source = app.source().await;
    let mut changes = watch(&source).await;
    app.update(json!({ "username": "romeo" }), json!({ "$set": { "password": "!" } }), false).await;
    let crate::app::Server::Set(set) = &app.server else { panic!("no set") };
    set.step_down().await.unwrap();
    app.update(json!({ "username": "juliet" }), json!({ "$set": { "password": "!" } }), false)
        .await;
    let of = |name: &str| format!("{name}@here: nobody can log on with it");
    assert_eq!(next(&mut changes).await, of("romeo"));
    assert_eq!(next(&mut changes).await, of("juliet"), "the driver goes on by itself");
    // and one that is gone for a while
    let Some(member) = set.members().first() else { panic!("no member") };
    member.kill().unwrap();
    let change = async {
        member.restart().await.unwrap();
        set.primary().await.unwrap();
        app.update(json!({ "username": "juliet" }), json!({ "$set": { "disabled": 1 } }), false)
            .await;
    };
    let (told, ()) = tokio::join!(next(&mut changes), change);
    assert_eq!(told, of("juliet") + ", disabled");
}

/// Nobody takes its place: who watches is told in time, and begins anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_ends_the_stream() {
    let set = Arc::new(ReplicaSet::start(1).await.unwrap());
    let app = App::on(Arc::clone(&set));
    app.insert(json!([user("romeo")])).await;
    let server = Options { deadline: Duration::from_secs(2), ..app.options.clone() };
    let source = source(ExistingOptions { server, ..app.existing() }, |_| ()).await;
    let mut changes = watch(&source).await;
    set.members()[0].stop().unwrap();
    let told = next(&mut changes).await;
    assert!(told.starts_with("Unavailable"), "{told}");
    assert!(source.watch().await.is_err(), "nor does another one begin");
    set.members()[0].cont().unwrap();
    let mut changes = loop {
        if let Ok(changes) = source.watch().await {
            break changes.unwrap();
        }
    };
    app.update(json!({}), json!({ "$set": { "password": "!" } }), false).await;
    assert_eq!(next(&mut changes).await, "romeo@here: nobody can log on with it");
}

/// It says nothing, and closes nothing: no error comes that the driver could go on after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_hangs_keeps_no_change_back() {
    let set = Arc::new(ReplicaSet::start(3).await.unwrap());
    let app = App::on(Arc::clone(&set));
    app.insert(json!([user("romeo"), user("juliet")])).await;
    let server = Options { deadline: Duration::from_secs(2), ..app.options.clone() };
    let source = source(ExistingOptions { server, ..app.existing() }, |_| ()).await;
    let mut changes = watch(&source).await;
    app.update(json!({ "username": "juliet" }), json!({ "$set": { "password": "!" } }), false)
        .await;
    assert_eq!(next(&mut changes).await, "juliet@here: nobody can log on with it", "it is served");
    let hangs = set.primary().await.unwrap();
    set.members()[hangs].stop().unwrap();
    // as soon as another leads
    app.update(json!({ "username": "romeo" }), json!({ "$set": { "password": "!" } }), false).await;
    let of = |name: &str| format!("{name}@here: nobody can log on with it");
    // as who watches does it: what comes of the stream, and after its end a new one and a look at everybody
    let mut told = next(&mut changes).await;
    let mut ends = 0;
    while told.starts_with("Unavailable") {
        ends += 1;
        changes = loop {
            match source.watch().await {
                Ok(changes) => break changes.unwrap(),
                Err(error) => assert!(matches!(error, StoreError::Unavailable { .. }), "{error}"),
            }
        };
        // once: nobody would look again
        told = match source.find_all(&[jid("romeo@here")]).await {
            Ok(all) => format!(
                "romeo@here: {}",
                all.first().map(|(_, entry)| crate::app::of(entry)).unwrap()
            ),
            Err(error) => format!("{error:?}"),
        };
    }
    assert_eq!(told, of("romeo"), "{ends} streams ended");
    // the new one is alive
    app.update(json!({ "username": "juliet" }), json!({ "$set": { "disabled": 1 } }), false).await;
    let mut told = next(&mut changes).await;
    if told == of("romeo") {
        told = next(&mut changes).await;
    }
    assert_eq!(told, of("juliet") + ", disabled");
    set.members()[hangs].cont().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_at_once_few_are_looked_up() {
    const ALL: usize = 10_000;
    let app = App::shared().await;
    app.insert((0..ALL).map(|n| user(&format!("user{n}"))).collect()).await;
    let source = app.source().await;
    let mut changes = watch(&source).await;
    let since = Instant::now();
    app.update(json!({}), json!({ "$set": { "password": "!" } }), true).await;
    println!("{ALL} updates took the database {:?}", since.elapsed());
    let mut any = 0;
    for _ in 0..ALL {
        any += usize::from(next(&mut changes).await == "any");
    }
    println!("told after {:?}, {any} of them without a name", since.elapsed());
    assert!(any > 0);
    // those that do not matter are not even sent
    let since = Instant::now();
    app.update(json!({}), json!({ "$set": { "seen": 1 } }), true).await;
    app.delete(json!({ "username": "user0" })).await;
    assert_eq!(next(&mut changes).await, "any");
    println!("{ALL} that do not matter: the next one is told after {:?}", since.elapsed());
    let users: Vec<_> = (1..=200).map(|n| jid(&format!("user{n}@here"))).collect();
    assert_eq!(source.find_all(&users).await.unwrap().len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_by_itself_is_polled() {
    let app = App::alone().await;
    app.insert(json!([user("romeo")])).await;
    let source = app.source().await;
    assert_eq!(crate::app::found(&source, "romeo@here").await, "pencil");
    let mut changes = watch(&source).await;
    for _ in 0..3 {
        assert_eq!(next(&mut changes).await, "any");
    }
}
