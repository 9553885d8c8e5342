//! kill -9 in the middle of it: what was acknowledged is in the database in the end, once, in its order.
//!
//! The test starts itself as another process, which writes and prints what was acknowledged. Its database keeps what it made in a
//! file.

use super::{Fake, OfflineStore, Options, Running, names, random::weather, user};
use crate::{BoxFuture, conformance::all};
use std::{
    collections::BTreeMap,
    env,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::runtime::Builder;
use xmpp::jid::BareJid;

/// Where the other process writes.
const DIR: &str = "STORAGE_JOURNAL_KILL_TEST_DIR";
const ROUND: &str = "STORAGE_JOURNAL_KILL_TEST_ROUND";
const ROUNDS: usize = 8;

fn users() -> Vec<BareJid> {
    (0..6).map(|n| user(&format!("u{n}@x"))).collect()
}

async fn start(dir: &Path) -> Running {
    let fake = Arc::new(Fake::of_file(&dir.join("database"), &users()));
    let options = Options { retry: Duration::from_millis(1), ..Options::default() };
    Running::start(dir, options, &fake).await
}

/// Writes until it is killed: each user's messages one after the other.
async fn write(dir: &Path, round: usize) {
    let running = start(dir).await;
    running.fake.faults(weather(round as u64));
    let all_users = users();
    let tasks = all_users.iter().enumerate().map(|(of, user)| -> BoxFuture<'_, ()> {
        let running = &running;
        Box::pin(async move {
            for n in 0.. {
                let name = format!("{round:03}-{n:06}");
                if running.push(user, &name).await.is_ok() {
                    writeln!(io::stdout(), "ack {of} {name}").unwrap();
                }
            }
        })
    });
    all(tasks).await;
}

/// What is in the database in the end, by user.
async fn kept(dir: &Path) -> Vec<Vec<String>> {
    let running = start(dir).await;
    let mut kept = Vec::new();
    for user in users() {
        let all = usize::MAX;
        let page = OfflineStore::page(&*running.journaled, &user, 0, all, all).await.unwrap();
        kept.push(names(&page));
    }
    assert_eq!((running.waiting(), running.totals()[2]), (0, 0));
    running.stop().await;
    kept
}

#[test]
fn a_killed_process_loses_nothing_and_doubles_nothing() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Some(dir) = env::var_os(DIR) {
        let round = env::var(ROUND).unwrap().parse().unwrap();
        return runtime.block_on(write(Path::new(&dir), round));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for round in 1..=ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("journal::tests::kill::a_killed_process_loses_nothing_and_doubles_nothing")
            .env(DIR, dir.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut acks = lines.filter_map(|line| {
            let (of, name) = line.strip_prefix("ack ")?.split_once(' ')?;
            Some((of.parse::<usize>().ok()?, name.to_owned()))
        });
        let mut note = |(of, name)| acknowledged.entry(of).or_default().push(name);
        acks.by_ref().take(round * 23).for_each(&mut note);
        child.kill().unwrap();
        // what it said before it died counts
        acks.for_each(note);
        assert!(!child.wait().unwrap().success());
        // every other process is killed while it still has to do with what the one before left
        if round % 2 == 0 {
            let kept = runtime.block_on(kept(dir.path()));
            for (of, acknowledged) in &acknowledged {
                let kept = &kept[*of];
                // the names grow: each once, and in order
                assert!(kept.is_sorted_by(|one, next| one < next), "round {round}: {kept:?}");
                let lost: Vec<_> =
                    acknowledged.iter().filter(|name| kept.binary_search(name).is_err()).collect();
                assert!(lost.is_empty(), "round {round}: {lost:?} of {}", acknowledged.len());
            }
        }
    }
    assert!(acknowledged.values().map(Vec::len).sum::<usize>() >= 23 * 36);
}
