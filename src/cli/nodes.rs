//! `mangrove nodes`; and the commands that other nodes answer too ([`Of`]).

use super::{
    Done, Failure, NodeArgs,
    output::{Output, Table, count, date, facts, shown, time, value},
};
use mangrove::admin::protocol::{AnswerRow, LinkRow, NodeRow, Request, Row, VolumeRow};
use serde_json::json;

/// Whom a command is for.
#[derive(Debug, clap::Args)]
pub struct Of {
    /// Of that node of the cluster, or of "all", by way of the one that is asked
    #[arg(long = "node", value_name = "NAME")]
    node: Option<String>,
}

impl Of {
    /// Asks, and says what is answered: `lines` of one node's rows, of which there may be more.
    pub async fn ask(
        self,
        node: &NodeArgs,
        request: Request,
        out: &mut Output,
        lines: impl Fn(&[Row], Option<usize>) -> Vec<String>,
    ) -> Done {
        let mut client = node.connect().await?;
        let Some(name) = self.node else {
            let (rows, done) = client.rows(request).await?;
            if out.json {
                out.json(&rows.iter().map(value).collect::<Vec<_>>());
            } else {
                out.text(&lines(&rows, done.of).join("\n"));
            }
            return Ok(());
        };
        let (rows, _) = client.rows(Request::On { node: name, request: Box::new(request) }).await?;
        let answers: Vec<_> = rows
            .into_iter()
            .filter_map(|row| if let Row::Answer(answer) = row { Some(answer) } else { None })
            .collect();
        if out.json {
            out.json(&answers.iter().map(document).collect::<Vec<_>>());
        } else {
            out.text(&of_all(&answers, lines).join("\n"));
        }
        silent(&answers)
    }
}

fn document(answer: &AnswerRow) -> serde_json::Value {
    let rows: Vec<_> = answer.rows.iter().map(value).collect();
    let error = answer.error.as_ref().map(|error| error.message.as_str());
    json!({ "node": answer.node, "rows": rows, "error": error })
}

/// What each has answered, below its name.
fn of_all(
    answers: &[AnswerRow],
    lines: impl Fn(&[Row], Option<usize>) -> Vec<String>,
) -> Vec<String> {
    let of_one = |answer: &AnswerRow| {
        let mut all = vec![format!("{}:", shown(&answer.node))];
        if answer.error.is_none() || !answer.rows.is_empty() {
            all.extend(lines(&answer.rows, answer.of));
        }
        all.extend(answer.error.as_ref().map(|error| shown(&error.message)));
        all
    };
    answers.iter().flat_map(of_one).collect()
}

/// What is there was said; a script sees that it is not all.
fn silent(answers: &[AnswerRow]) -> Done {
    let failed = answers.iter().filter(|answer| answer.error.is_some());
    let names: Vec<_> = failed.map(|answer| shown(&answer.node)).collect();
    match names.as_slice() {
        [] => Ok(()),
        names => Err(Failure::new(format!("not all of it: {}", names.join(", ")))),
    }
}

pub async fn nodes(node: &NodeArgs, out: &mut Output) -> Done {
    let (rows, _) = node.connect().await?.rows(Request::Nodes { node: None }).await?;
    let rows = among(rows);
    if out.json {
        out.json(&rows);
        return Ok(());
    }
    out.text(&overview(&rows).join("\n"));
    Ok(())
}

/// All that is known of one, on lines.
pub fn show(row: &NodeRow, out: &mut Output) {
    if out.json {
        out.json(row);
        return;
    }
    let all = known_of(row).into_iter().map(|(what, is)| (what.to_owned(), is));
    out.text(&facts(all).join("\n"));
}

/// Those among the rows of an answer.
pub fn among(rows: Vec<Row>) -> Vec<NodeRow> {
    rows.into_iter()
        .filter_map(|row| if let Row::Node(row) = row { Some(*row) } else { None })
        .collect()
}

fn or_none(value: Option<String>) -> String {
    value.unwrap_or_else(|| "-".to_owned())
}

/// "1.2 ms".
fn millis(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1000.0)
}

fn started(incarnation: u64) -> String {
    if incarnation == 0 { "-".to_owned() } else { date(incarnation) }
}

/// A line each, and one for each alarm.
fn overview(rows: &[NodeRow]) -> Vec<String> {
    let head = [
        "node",
        "standing",
        "started",
        "version",
        "sessions>",
        "lease>",
        "link>",
        "round-trip>",
        "clock>",
    ];
    let mut table = Table::new(&head);
    for row in rows {
        let link = row.link.as_ref();
        table.row(vec![
            if row.me { format!("{} *", row.node) } else { row.node.clone() },
            row.standing.name().to_owned(),
            started(row.incarnation),
            row.version.clone(),
            row.sessions.to_string(),
            or_none(row.lease.map(time)),
            or_none(link.map(|link| link.up.map_or_else(|| "down".to_owned(), time))),
            or_none(link.and_then(|link| link.round_trip).map(millis)),
            if row.me { "-".to_owned() } else { format!("{:+} ms", row.skew) },
        ]);
    }
    let mut lines = table.lines();
    lines.push(count(rows.len(), "node"));
    for row in rows {
        lines.extend(
            row.alarms.iter().map(|alarm| format!("! {}: {}", shown(&row.node), shown(alarm))),
        );
    }
    lines
}

fn volume(VolumeRow { frames, bytes }: VolumeRow) -> String {
    format!("{}, {bytes} bytes", count(usize::try_from(frames).unwrap_or(usize::MAX), "frame"))
}

/// All that is known of a node.
fn known_of(row: &NodeRow) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("node", row.node.clone()),
        ("standing", row.standing.name().to_owned()),
        ("started", started(row.incarnation)),
        ("incarnation", row.incarnation.to_string()),
        ("version", row.version.clone()),
        ("address", or_none(row.address.clone())),
        ("sessions", row.sessions.to_string()),
        ("lease left", or_none(row.lease.map(time))),
        ("configuration", row.digest.clone()),
        ("sessions published after", row.confirmed.to_string()),
    ];
    if !row.me {
        all.push(("clock ahead by", format!("{} ms", row.skew)));
    }
    row.link.iter().for_each(|link| all.extend(link_facts(link)));
    for waits in &row.relay {
        let items = count(waits.items, "item");
        let text = format!(
            "{items}, {} bytes, {} unsent, the oldest for {} (start {})",
            waits.bytes,
            waits.unsent,
            time(waits.age),
            waits.incarnation
        );
        all.push(("relay", text));
    }
    if let Some(own) = &row.own {
        all.push(("may act", if own.may_act { "yes" } else { "no" }.to_owned()));
        all.push(("custody", format!("{} bytes", own.custody)));
        let refused = own.refused.iter();
        all.extend(refused.map(|(kind, n)| ("refused", format!("{n} of {kind}"))));
    }
    all.extend(row.alarms.iter().map(|alarm| ("!", alarm.clone())));
    all
}

fn link_facts(link: &LinkRow) -> Vec<(&'static str, String)> {
    let ups = format!("{} so far", link.ups);
    let state = link.up.map_or_else(|| "down".to_owned(), |up| format!("up for {}", time(up)));
    let mut all = vec![("link", format!("{state}, {ups}"))];
    if link.up.is_some() {
        all.extend([
            ("round-trip", or_none(link.round_trip.map(millis))),
            ("credit left", volume(link.credit)),
            ("queued", volume(link.queued)),
            ("oldest", or_none(link.oldest.map(time))),
            ("sent", volume(link.sent)),
            ("received", volume(link.received)),
        ]);
    }
    all.extend(link.error.iter().map(|error| ("last error", error.clone())));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use mangrove::admin::protocol::{Refusal, Stands};

    #[test]
    fn nodes_stand_in_a_table_and_what_is_wrong_below_it() {
        let me = NodeRow {
            node: "n1".to_owned(),
            me: true,
            standing: Stands::Up,
            incarnation: 1_767_225_600_000,
            version: "0.1.0".to_owned(),
            sessions: 12,
            lease: Some(8.0),
            ..NodeRow::default()
        };
        let link = LinkRow { up: Some(61.0), round_trip: Some(0.0012), ..LinkRow::default() };
        let other = NodeRow {
            node: "n2".to_owned(),
            me: false,
            standing: Stands::DeadSoon,
            skew: -1500,
            link: Some(link),
            alarms: vec!["its lease is over".to_owned(), "its clock differs by -1.5 s".to_owned()],
            ..me.clone()
        };
        let gone = NodeRow {
            node: "n3".to_owned(),
            link: Some(LinkRow { error: Some("refused".to_owned()), ..LinkRow::default() }),
            ..NodeRow::default()
        };
        let wanted = "\
node  standing   started              version  sessions  lease   link  round-trip     clock
n1 *  up         2026-01-01 00:00:00  0.1.0          12   8.0s      -           -         -
n2    dead soon  2026-01-01 00:00:00  0.1.0          12   8.0s  1m 1s      1.2 ms  -1500 ms
n3    absent     -                                    0      -   down           -     +0 ms
3 nodes
! n2: its lease is over
! n2: its clock differs by -1.5 s";
        assert_eq!(overview(&[me, other.clone(), gone]).join("\n"), wanted);
        let facts = known_of(&other);
        for (name, value) in [("link", "up for 1m 1s, 0 so far"), ("clock ahead by", "-1500 ms")] {
            assert!(facts.contains(&(name, value.to_owned())), "{facts:?}");
        }
    }

    #[test]
    fn who_did_not_answer_is_named() {
        let answer = |node: &str, error: Option<&str>| AnswerRow {
            node: node.to_owned(),
            rows: if error.is_none() { vec![Row::Host("x".to_owned())] } else { vec![] },
            of: Some(1),
            error: error.map(|message| Refusal { message: message.to_owned() }),
        };
        let all = [answer("n1", None), answer("n2", Some("no connection to the node"))];
        let lines = of_all(&all, |rows, of| vec![format!("{} of {of:?}", rows.len())]);
        assert_eq!(lines, ["n1:", "1 of Some(1)", "n2:", "no connection to the node"]);
        assert_eq!(silent(&all).unwrap_err().text, "not all of it: n2");
        assert!(silent(&all[..1]).is_ok());
    }
}
