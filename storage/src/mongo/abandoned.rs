//! Transactions that nobody goes on with: a node that is killed in the middle of one leaves it open, and MongoDB keeps its
//! documents from everybody for up to a minute (`transactionLifetimeLimitSeconds`). Whom a write waits for too long undoes them.

use super::{
    MongoStore,
    connect::APP,
    failure::{is_away, why},
};
use mongodb::{
    bson::{Bson, Document, doc},
    error::Error,
    options::ReadConcern,
};
use std::{future::Future, sync::atomic::Ordering, time::Duration};

/// For how long a write waits before it looks, and then again.
const PATIENCE: Duration = Duration::from_millis(500);
/// Who has not gone on with a transaction for so long is taken for dead. If it is not, it is told that the transaction is gone, and
/// begins it again.
const IDLE: Duration = Duration::from_secs(1);

impl MongoStore {
    /// Does `work`, and sees to it that no transaction is in its way that nobody goes on with.
    pub(super) async fn undoing<T>(&self, work: impl Future<Output = T>) -> T {
        let undo = async {
            loop {
                tokio::time::sleep(PATIENCE).await;
                // one looks for all
                let Ok(_looks) = self.looks.try_lock() else { continue };
                if let Err(error) = self.undo_abandoned().await
                    && !is_away(&error)
                {
                    let why = why(&error);
                    tracing::warn!(why, "transactions of dead nodes cannot be looked for");
                }
            }
        };
        tokio::select! {
            biased;
            done = work => done,
            done = undo => done,
        }
    }

    /// Undoes the transactions of other processes that nobody goes on with: this one goes on with its own.
    async fn undo_abandoned(&self) -> Result<(), Error> {
        let admin = self.client.database("admin");
        let idle = i64::try_from(IDLE.as_micros()).unwrap_or(i64::MAX);
        // that of one's own sessions needs no right
        let all = doc! { "$currentOp": { "allUsers": false, "idleSessions": true } };
        let abandoned = doc! { "$match": {
            "type": "idleSession",
            "appName": { "$regex": format!("^{APP}"), "$ne": &self.app },
            "transaction.timeInactiveMicros": { "$gte": idle },
        } };
        let asked = admin.aggregate([all, abandoned]).read_concern(ReadConcern::local());
        let mut found = asked.await?;
        let mut ids: Vec<Bson> = Vec::new();
        while found.advance().await? {
            let session: Document = found.deserialize_current()?;
            let id = session.get_document("lsid").ok().and_then(|lsid| lsid.get("id"));
            ids.extend(id.map(|id| doc! { "id": id.clone() }.into()));
            let node = session.get_str("appName").ok().and_then(|app| app.strip_prefix(APP));
            tracing::warn!(node, "a transaction is undone that its node does not go on with");
        }
        if !ids.is_empty() {
            self.abandoned.fetch_add(ids.len() as u64, Ordering::Relaxed);
            admin.run_command(doc! { "killSessions": ids }).await?;
        }
        Ok(())
    }
}
