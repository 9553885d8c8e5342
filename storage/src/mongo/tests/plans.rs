//! The conformance suite; and no command grows with the number of all users (law 10): the server notes each that the suite has it do, and how it
//! found the documents.

use super::{Running, conformance};
use crate::testkit::ReplicaSet;
use mongodb::bson::{Document, doc};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite_and_no_command_scans_a_collection() {
    let set = ReplicaSet::shared().await.unwrap();
    let running = Running::start(set.options("one")).await;
    let db = set.client().await.unwrap().database(running.store.db.name());
    db.create_collection("system.profile").capped(true).size(256 << 20).await.unwrap();
    db.run_command(doc! { "profile": 2 }).await.unwrap();
    conformance::suite(&running.stores).await;
    // it would be found
    let users = running.store.users::<Document>();
    assert!(users.find_one(doc! { "created": 7_i64 }).await.unwrap().is_none());
    db.run_command(doc! { "profile": 0 }).await.unwrap();

    let notes = db.collection::<Document>("system.profile");
    for of in ["users", "roster", "messages", "sessions", "quarantine", "vcards", "private"] {
        let planned =
            doc! { "ns": format!("{}.{of}", db.name()), "planSummary": { "$exists": true } };
        assert!(notes.count_documents(planned).await.unwrap() > 5, "{of}");
    }
    let scans =
        doc! { "planSummary": { "$regex": "COLLSCAN" }, "ns": { "$not": { "$regex": "profile" } } };
    // the commands themselves may be cut off within a character
    let fields =
        doc! { "op": 1, "ns": 1, "planSummary": 1, "docsExamined": 1, "command.filter": 1 };
    let mut found = notes.find(scans).projection(fields).await.unwrap();
    let mut all = Vec::new();
    while found.advance().await.unwrap() {
        all.push(found.deserialize_current().unwrap());
    }
    let filter = |note: &Document| {
        note.get_document("command").and_then(|c| c.get_document("filter")).cloned().ok()
    };
    assert_eq!(
        all.iter().map(filter).collect::<Vec<_>>(),
        [Some(doc! { "created": 7_i64 })],
        "{all:?}"
    );
    running.root.stop().await;
}
