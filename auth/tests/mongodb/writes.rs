//! Passwords that are set from here.

use crate::app::{App, PENCIL, found, jid, of, source};
use auth::{Found, MongoSource, Secret, Source, Stored};
use serde_json::{Value, json};
use storage::StoreError;

async fn writing(app: &App, plain: bool) -> MongoSource {
    source(app.existing(), |options| {
        options.write = true;
        options.plain = plain;
    })
    .await
}

/// `pencil`, by their own libraries at their lowest costs.
const STORED: &[&str] = &[
    PENCIL,
    "{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=",
    "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_written_in_the_format_that_is_there() {
    let app = App::shared().await;
    let user = |(n, stored): (usize, &&str)| json!({ "username": format!("user{n}"), "password": stored, "more": [1] });
    app.insert(STORED.iter().enumerate().map(user).collect()).await;
    let source = writing(&app, false).await;
    for (n, stored) in STORED.iter().enumerate() {
        let who = jid(&format!("user{n}@here"));
        if !Stored::parse(stored).is_ok_and(|stored| stored.verify("pencil")) {
            panic!("{stored}");
        }
        let entry = source.set_password(&who, "pen").await.unwrap();
        let entry = entry.unwrap_or_else(|| panic!("{stored}"));
        let Ok(Found::User(now)) = source.find(&who).await else { panic!("{stored}") };
        assert_eq!((&now.id, &now.fingerprint), (&entry.id, &entry.fingerprint), "{stored}");
        match now.secret {
            Secret::Stored(now) => {
                assert!(now.verify("pen") && !now.verify("pencil"), "{stored}");
                assert_eq!(now.name(), Stored::parse(stored).unwrap().name());
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(source.set_password(&jid("nobody@here"), "pen").await.unwrap().is_none());
    let all = app.say("find", "users", json!({ "filter": { "more": [1] } })).await;
    let all = all.pointer("/cursor/firstBatch").and_then(Value::as_array).unwrap().len();
    assert_eq!(all, STORED.len(), "nothing else was touched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_text_is_replaced_where_it_is_plain_text() {
    let app = App::shared().await;
    app.insert(json!([{ "username": "romeo", "password": "pencil" }])).await;
    assert!(found(&app.source().await, "romeo@here").await.contains("no format"));
    assert!(
        writing(&app, false).await.set_password(&jid("romeo@here"), "x").await.unwrap().is_none()
    );
    let source = writing(&app, true).await;
    assert_eq!(found(&source, "romeo@here").await, "pencil");
    source.set_password(&jid("romeo@here"), "pen").await.unwrap().unwrap();
    let now = app.say("find", "users", json!({})).await;
    assert_eq!(now.pointer("/cursor/firstBatch/0/password"), Some(&json!("pen")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_write_does_not() {
    let app = App::shared().await;
    app.insert(json!([{ "username": "romeo", "password": PENCIL }])).await;
    let source = app.source().await;
    assert!(source.set_password(&jid("romeo@here"), "pen").await.unwrap().is_none());
    assert_eq!(found(&source, "romeo@here").await, "pencil");
}

/// Each of two writers reads what is there and replaces that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_change_a_password_at_once_one_is_told() {
    let app = App::shared().await;
    app.insert(json!([{ "username": "romeo", "password": PENCIL }])).await;
    let (one, two) = (writing(&app, false).await, writing(&app, false).await);
    let mut conflicts = 0;
    for n in 0..50 {
        let romeo = jid("romeo@here");
        let (first, second) = (format!("a{n}"), format!("b{n}"));
        let (a, b) =
            tokio::join!(one.set_password(&romeo, &first), two.set_password(&romeo, &second));
        let now = match one.find(&romeo).await.unwrap() {
            Found::User(entry) => entry,
            other => panic!("{other:?}"),
        };
        let fits = |entry: &auth::Entry| entry.fingerprint == now.fingerprint;
        let (a, b) = (a.map(Option::unwrap), b.map(Option::unwrap));
        match (a, b) {
            // one after the other
            (Ok(a), Ok(b)) => assert!(fits(&a) || fits(&b), "{}", of(&now)),
            (Ok(won), Err(StoreError::Conflict { .. }))
            | (Err(StoreError::Conflict { .. }), Ok(won)) => {
                conflicts += 1;
                assert!(fits(&won));
            }
            other => panic!("{other:?}"),
        }
    }
    println!("{conflicts} of 50 in conflict");
    assert!(conflicts > 0);
}
