//! What a server and its database do in a part of a run that comes again and again.

use std::ops::Add;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_local};

use crate::R;
use crate::args::Args;
use crate::ctx::Ctx;
use crate::procstat::snap;
use crate::stats::r2;

/// What a server still does when the last client has its answer belongs to the part.
const SETTLE: Duration = Duration::from_millis(200);

/// All of one kind so far.
#[derive(Clone, Copy, Default)]
pub struct Phase {
    n: f64,
    wall: f64,
    server: f64,
    database: f64,
    calls: f64,
    generator: f64,
    other: f64,
}

impl Phase {
    /// Adds what `part` costs, which does `n` of what is counted.
    pub async fn measure<T>(
        &mut self,
        cx: &Ctx,
        n: usize,
        part: impl Future<Output = R<T>>,
    ) -> R<T> {
        let calls = calls(cx)?;
        let (server, database) = (snap(&cx.pids), snap(&cx.database));
        let done = part.await?;
        tokio::time::sleep(SETTLE).await;
        let (server, database) =
            (snap(&cx.pids).since(&server), snap(&cx.database).since(&database));
        *self = *self
            + Phase {
                n: n as f64,
                wall: server.wall - SETTLE.as_secs_f64(),
                server: server.srv,
                database: database.srv,
                calls: self::calls(cx)? - calls,
                generator: server.generator,
                other: server.other - database.srv,
            };
        Ok(done)
    }

    /// Without as many of `part` as there were.
    pub fn without(&self, part: &Phase) -> Phase {
        Phase {
            server: self.server - part.server,
            database: self.database - part.database,
            calls: self.calls - part.calls,
            ..*self
        }
    }

    /// CPU of the server and of its database for one, in microseconds.
    pub fn cost(&self) -> f64 {
        (self.server + self.database) * 1e6 / self.n
    }

    pub fn json(&self) -> Value {
        json!({
            "n": self.n, "per_s": r2(self.n / self.wall), "server_cpu_us": r2(self.server * 1e6 / self.n),
            "database_cpu_us": r2(self.database * 1e6 / self.n), "database_calls": r2(self.calls / self.n),
        })
    }

    /// What the run used, beside what it did.
    pub fn whole(&self) -> Value {
        json!({
            "wall_s": r2(self.wall), "server_cpu_s": r2(self.server), "database_cpu_s": r2(self.database),
            "gen_cpu_s": r2(self.generator), "other_cpu_s": r2(self.other.max(0.0)),
        })
    }
}

impl Add for Phase {
    type Output = Phase;

    fn add(self, more: Phase) -> Phase {
        Phase {
            n: self.n + more.n,
            wall: self.wall + more.wall,
            server: self.server + more.server,
            database: self.database + more.database,
            calls: self.calls + more.calls,
            generator: self.generator + more.generator,
            other: self.other + more.other,
        }
    }
}

/// The rounds of a run, each with all of its parts: at first those of the warm-up, at least one of either. Says which it is.
pub struct Rounds {
    warmup: Duration,
    secs: Duration,
    begun: Option<(bool, Instant)>,
}

impl Rounds {
    pub fn new(a: &Args) -> Rounds {
        let secs = |k, default| Duration::from_secs_f64(a.num(k, default));
        Rounds { warmup: secs("warmup", 3.0), secs: secs("secs", 15.0), begun: None }
    }
}

impl Iterator for Rounds {
    type Item = bool;

    fn next(&mut self) -> Option<bool> {
        let (measured, begun) = match self.begun {
            None => (false, Instant::now()),
            Some((false, begun)) if begun.elapsed() >= self.warmup => (true, Instant::now()),
            Some((true, begun)) if begun.elapsed() >= self.secs => return None,
            Some(still) => still,
        };
        self.begun = Some((measured, begun));
        Some(measured)
    }
}

/// `work` for each of the items, `conc` at a time: the items again, or an error.
pub async fn each<T: 'static, F>(items: Vec<T>, conc: usize, work: impl Fn(T) -> F) -> R<Vec<T>>
where
    F: Future<Output = R<T>> + 'static,
{
    let turns = Rc::new(Semaphore::new(conc));
    let begin = |item| {
        let (turns, work) = (Rc::clone(&turns), work(item));
        spawn_local(async move {
            let _turn = turns.acquire().await.map_err(|e| e.to_string())?;
            work.await
        })
    };
    let begun: Vec<JoinHandle<R<T>>> = items.into_iter().map(begin).collect();
    let mut done = vec![];
    for task in begun {
        done.push(task.await.map_err(|e| e.to_string())??);
    }
    Ok(done)
}

/// How many statements or commands the database has had from its clients, by its own count: what `--database-calls` prints.
fn calls(cx: &Ctx) -> R<f64> {
    let Some(command) = &cx.database_calls else { return Ok(0.0) };
    let told = Command::new("sh").args(["-c", command]).stderr(Stdio::inherit()).output();
    let told = told.map_err(|e| format!("--database-calls: {e}"))?;
    let told = String::from_utf8_lossy(&told.stdout);
    told.trim().parse().map_err(|_| format!("--database-calls printed {told:?}, not a number"))
}
