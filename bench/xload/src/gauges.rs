//! A server's own counts, read from its Prometheus endpoint (text format 0.0.4).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::R;

const DEADLINE: Duration = Duration::from_secs(5);

/// What a soak asks a server about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    /// `mangrove_processes`: tasks that are alive.
    pub processes: u64,
    /// `mangrove_processes_in_tree`: processes that a supervisor knows.
    pub in_tree: u64,
    /// `mangrove_sessions`: bound sessions.
    pub sessions: u64,
    /// `mangrove_crashes_total`, where the server has it.
    pub crashes: u64,
}

impl Counts {
    pub async fn read(at: SocketAddr) -> R<Counts> {
        let text = tokio::time::timeout(DEADLINE, fetch(at)).await;
        let text = text.map_err(|_| format!("http://{at}/metrics did not answer"))??;
        Counts::parse(&text).map_err(|e| format!("http://{at}/metrics: {e}"))
    }

    fn parse(text: &str) -> R<Counts> {
        let need = |name: &str| sum(text, name).ok_or_else(|| format!("there is no {name}"));
        Ok(Counts {
            processes: need("mangrove_processes")?,
            in_tree: need("mangrove_processes_in_tree")?,
            sessions: need("mangrove_sessions")?,
            crashes: sum(text, "mangrove_crashes_total").unwrap_or(0),
        })
    }

    /// Reads until `good` says so, and gives the last counts after `patience` in any case. Counts are allowed a moment:
    /// a session that has closed its stream is taken off the books shortly after.
    pub async fn until(
        at: SocketAddr,
        patience: Duration,
        good: impl Fn(&Counts) -> bool,
    ) -> R<Counts> {
        let end = Instant::now() + patience;
        loop {
            let counts = Counts::read(at).await?;
            if good(&counts) || Instant::now() >= end {
                return Ok(counts);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// One GET. HTTP/1.0, so that the answer comes in one piece and ends with the connection.
async fn fetch(at: SocketAddr) -> R<String> {
    let say = |e: std::io::Error| format!("http://{at}/metrics: {e}");
    let mut s = TcpStream::connect(at).await.map_err(say)?;
    let ask = format!("GET /metrics HTTP/1.0\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    s.write_all(ask.as_bytes()).await.map_err(say)?;
    let mut answer = String::new();
    s.read_to_string(&mut answer).await.map_err(say)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    match head.split_whitespace().nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(format!("http://{at}/metrics: {}", head.lines().next().unwrap_or(""))),
    }
}

/// The sum of a metric over its labels.
fn sum(text: &str, name: &str) -> Option<u64> {
    let values: Vec<f64> = text
        .lines()
        .filter_map(|l| l.strip_prefix(name))
        .filter_map(|rest| match rest.split_once('}') {
            Some((_, value)) if rest.starts_with('{') => Some(value),
            _ if rest.starts_with(' ') => Some(rest),
            _ => None,
        })
        .filter_map(|value| value.split_whitespace().next()?.parse().ok())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP mangrove_processes Tasks.\n# TYPE mangrove_processes gauge\n\
        mangrove_processes 12\nmangrove_processes_in_tree 11\n\
        mangrove_sessions{host=\"a.example\"} 3\nmangrove_sessions{host=\"b.example\"} 4 1700000000\n";

    #[test]
    fn counts_are_told_apart_and_added_up() {
        let want = Counts { processes: 12, in_tree: 11, sessions: 7, crashes: 0 };
        assert_eq!(Counts::parse(TEXT), Ok(want));
        let crashed = format!("{TEXT}mangrove_crashes_total{{reason=\"panic\"}} 2\n");
        assert_eq!(Counts::parse(&crashed), Ok(Counts { crashes: 2, ..want }));
    }

    #[test]
    fn a_missing_metric_is_named() {
        let got = Counts::parse("mangrove_processes 1\nmangrove_processes_in_tree 1\n");
        assert_eq!(got, Err("there is no mangrove_sessions".to_owned()));
    }
}
