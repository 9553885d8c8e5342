//! Whatever stands in a document is that user's trouble.

use crate::app::{App, PENCIL, found, jid, next, watch};
use auth::{Accounts, ForeignOptions, Found, HashPool, PoolLimits, Secret, Source};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use storage::MemoryStore;
use supervision::{SupervisorSpec, System};

fn deep(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!({ "salt": inner }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_values_let_nobody_in_and_are_named_without_being_shown() {
    let app = App::shared().await;
    let secret = "Ge0heimnis";
    let values = [
        json!(12345),
        json!({ "$numberDouble": "NaN" }),
        json!({ "$numberDecimal": "9E6144" }),
        json!({ "$date": { "$numberLong": "9223372036854775807" } }),
        json!({ "$binary": { "base64": "AAAA", "subType": "80" } }),
        json!({ "$regularExpression": { "pattern": "Ge0heimnis", "options": "i" } }),
        json!({ "$minKey": 1 }),
        json!({ "$code": "Ge0heimnis" }),
        json!(true),
        json!([PENCIL]),
        json!([secret, secret]),
        deep(80),
        json!(format!("$2b$31${secret}")),
        json!(format!("$2b$31$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")),
        json!("$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHQ$R2UwaGVpbW5pc0dlMGhlaW1uaXM"),
        json!("pbkdf2_sha256$4000000000$salt$R2UwaGVpbW5pc0dlMGhlaW1uaXM="),
        json!(format!("{secret}\u{0}\u{7f}\n")),
        json!(secret.repeat(1000)),
        json!(secret.repeat(1_600_000)),
    ];
    for (n, value) in values.iter().enumerate() {
        app.insert(json!([{ "username": format!("user{n}"), "password": value }])).await;
    }
    let source = app.source().await;
    for n in 0..values.len() {
        let Ok(Found::User(entry)) = source.find(&jid(&format!("user{n}@here"))).await else {
            panic!("{n}")
        };
        let Secret::Unusable(why) = entry.secret else { panic!("{n} is usable") };
        println!("{n}: {why}");
        assert!(!why.contains(secret) && !why.contains("R2Uw"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_documents_hide_nobody_and_stop_no_stream() {
    let app = App::shared().await;
    let large = "x".repeat(15 << 20);
    for name in [
        json!(7),
        json!(null),
        json!({ "a": 1 }),
        json!(["romeo"]),
        json!("x".repeat(9000)),
        json!("a\u{0}b"),
        json!(large),
    ] {
        app.insert(json!([{ "username": name, "password": PENCIL }])).await;
    }
    app.insert(json!([{ "_id": "y".repeat(9000), "username": "vast", "password": PENCIL }])).await;
    app.insert(json!([{ "_id": "r", "username": "romeo", "password": PENCIL, "disabled": large, "more": 1 }])).await;
    app.insert(json!([{ "username": "juliet", "password": PENCIL }])).await;
    let source = app.source().await;
    assert_eq!(found(&source, "romeo@here").await, "pencil, disabled");
    assert_eq!(found(&source, "juliet@here").await, "pencil");
    assert_eq!(found(&source, "vast@here").await, "nobody");
    let mut changes = watch(&source).await;
    let romeo = json!({ "_id": "r" });
    app.update(romeo.clone(), json!({ "$unset": { "disabled": 1 } }), false).await;
    assert_eq!(next(&mut changes).await, "romeo@here: pencil");
    // as large as a document may be, more than one with what an event has around it
    let most = "x".repeat((16 << 20) - 300);
    app.update(romeo.clone(), json!({ "$set": { "password": most } }), false).await;
    assert_eq!(next(&mut changes).await, "romeo@here: it is larger than 8192 bytes");
    app.update(romeo, json!({ "$set": { "password": PENCIL, "more": most } }), false).await;
    assert_eq!(next(&mut changes).await, "romeo@here: pencil");
    app.insert(json!([{ "username": "large", "password": most }])).await;
    assert_eq!(next(&mut changes).await, "large@here: it is larger than 8192 bytes");
    app.insert(json!([{ "username": "tybalt", "password": PENCIL }])).await;
    assert_eq!(next(&mut changes).await, "tybalt@here: pencil");
}

/// What would take a core for seconds is not done where everything else is.
#[tokio::test]
async fn keys_that_cost_much_wait_for_a_thread_of_the_pool() {
    let app = App::shared().await;
    let zeros = |bytes: usize| "0".repeat(2 * bytes);
    let keys = json!({ "salt": zeros(16), "iterations": 200_000, "stored_key": zeros(20), "server_key": zeros(20) });
    app.insert(json!([{ "username": "romeo", "password": keys }])).await;
    let pool = HashPool::new(PoolLimits::default()).unwrap();
    let tree = SupervisorSpec::one_for_one().child(pool.tree("passwords"));
    let root = System::new("test").start(tree).await.unwrap();
    let refuse_after = Duration::ZERO;
    let options = ForeignOptions { scram: true, bearer: false, refuse_after, pool: pool.clone() };
    let accounts = Accounts::new(Arc::new(MemoryStore::new()));
    let accounts = accounts.with("here", Arc::new(app.source().await), options);
    let candidate = accounts.candidate(&jid("romeo@here")).await.unwrap();
    assert_eq!(accounts.check(&candidate, "pencil").await, Ok(None));
    assert_eq!(pool.figures().done, 1);
    root.stop().await;
}
