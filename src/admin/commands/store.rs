//! `store status`, `store check`.

use super::Rows;
use crate::{
    admin::protocol::{Done, Refusal, Row, StoreRow},
    node::shared::Shared,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use storage::transfer::Walk;

/// How long one answer may walk: an operator sees how far it is, and can leave.
const STRIDE: Duration = Duration::from_millis(500);

pub(super) async fn status(node: &Arc<Shared>, rows: &Rows) -> Result<Done, Refusal> {
    let state = node.backend.ready().await.err().unwrap_or_else(|| "good".to_owned());
    let mut all = vec![("state".to_owned(), state)];
    all.extend(node.backend.status().into_iter().map(|(name, value)| (name.to_owned(), value)));
    if let Some(figures) = node.env.accounts.figures() {
        let waiting = format!("{} wait, {} run", figures.queued, figures.running);
        all.push(("passwords".to_owned(), waiting));
        let done = format!(
            "{} verified in {:.1} s, {} refused, {} crashed",
            figures.done,
            figures.took.as_secs_f64(),
            figures.refused,
            figures.failed
        );
        all.push(("passwords so far".to_owned(), done));
    }
    for (name, value) in all {
        rows.send(Row::Store(StoreRow { name, value })).await?;
    }
    Ok(Done::default())
}

/// Goes on with a walk for a while; it is at its end when it is answered as it was.
pub(super) async fn check(
    node: &Arc<Shared>,
    mut walk: Walk,
    rows: &Rows,
) -> Result<Done, Refusal> {
    let since = Instant::now();
    let transfer = &node.env.stores.transfer;
    while walk.read(&**transfer).await.map_err(Refusal::new)? && since.elapsed() < STRIDE {}
    rows.send(Row::Walk(Box::new(walk))).await?;
    Ok(Done::default())
}
