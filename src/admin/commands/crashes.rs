//! `crash list|show`.

use super::Rows;
use crate::{
    admin::protocol::{CrashRow, Done, Refusal, Row},
    node::shared::Shared,
};
use std::sync::Arc;

pub(super) async fn list(node: &Arc<Shared>, limit: usize, rows: &Rows) -> Result<Done, Refusal> {
    let all = node.system.crashes().list();
    for report in all.iter().take(limit) {
        let row = CrashRow {
            id: report.id,
            at: report.at,
            path: report.path.clone(),
            location: report.location.clone(),
            reason: report.reason.clone(),
            suppressed: report.suppressed,
        };
        rows.send(Row::Crash(row)).await?;
    }
    Ok(Done { of: Some(all.len()) })
}

pub(super) async fn show(node: &Arc<Shared>, id: u64, rows: &Rows) -> Result<Done, Refusal> {
    let Some(report) = node.system.crashes().get(id) else {
        let message = format!("there is no crash {id} (any more); see `mangrove crash list`");
        return Err(Refusal::new(message));
    };
    rows.send(Row::Report(Box::new(report.resolved()))).await?;
    Ok(Done::default())
}
