//! Many users and operations, and a database that is away, loses what it is asked, and loses answers, as a seed says: what was
//! acknowledged is there, once, in its order; what was refused is not.

use super::{ANY, Fault, Options, Running, fake, message, names, user};
use crate::{
    BoxFuture, OfflineStore, Sessions, StoreError, StoredSession, Whose, conformance::all,
};
use std::{collections::BTreeMap, time::Duration};
use xmpp::jid::BareJid;

/// Xorshift.
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}

/// Well for a while, away for a while, and some of what is asked, or answered, gets lost.
pub(super) fn weather(seed: u64) -> impl FnMut() -> Fault + Send {
    let (mut dice, mut left, mut away) = (Dice(seed), 0, true);
    move || {
        if left == 0 {
            (left, away) = (dice.throw(40), !away);
        }
        left = left.saturating_sub(1);
        match dice.throw(10) {
            _ if away => Fault::Away,
            0 => Fault::Before,
            1 => Fault::After,
            _ => Fault::None,
        }
    }
}

/// What one user should have.
#[derive(Debug, Default)]
struct Model {
    /// By number, the names of what waits, and of what a session holds.
    plain: BTreeMap<u64, String>,
    held: BTreeMap<u64, String>,
    /// The last epoch that was acknowledged, and the last that was tried.
    epoch: [u64; 2],
    /// Not known to be there or not.
    unsure: Vec<String>,
}

const KEYS: usize = 1;

/// Does so many things with one user.
async fn act(running: &Running, me: BareJid, mut dice: Dice, steps: usize) -> Model {
    let (mut model, journaled) = (Model::default(), &running.journaled);
    let key = format!("{me}/{KEYS}");
    for n in 0..steps {
        let name = format!("{n}");
        let any =
            |of: &BTreeMap<u64, String>, at: usize| of.keys().nth(at % of.len().max(1)).copied();
        let at = dice.throw(8);
        match dice.throw(10) {
            0..4 => match running.push(&me, &name).await {
                Ok(id) => drop(model.plain.insert(id, name)),
                Err(StoreError::Timeout) => model.unsure.push(name),
                Err(error) => assert!(error.is_away(), "{error}"),
            },
            4 => {
                let two = vec![(1, message(&name)), (1, message(&format!("{name}b")))];
                let held = journaled.append(&me, vec![key.clone()], two, ANY, None).await;
                match held {
                    Ok(ids) => model.held.extend(ids.into_iter().zip([name.clone(), name + "b"])),
                    Err(StoreError::Timeout) => model.unsure.extend([name.clone(), name + "b"]),
                    Err(error) => assert!(error.is_away(), "{error}"),
                }
            }
            5 => {
                let Some(id) = any(&model.plain, at) else { continue };
                let removed = journaled.remove(&me, vec![id]).await;
                settle(&removed, &mut model.plain, &mut model.unsure, id);
            }
            6 => {
                let Some(id) = any(&model.held, at) else { continue };
                let taken = journaled.acknowledge(&me, &key, vec![id]).await;
                settle(&taken, &mut model.held, &mut model.unsure, id);
            }
            7 => {
                let Some(id) = any(&model.plain, at) else { continue };
                let held = journaled.hold(&me, &key, vec![id]).await;
                let name = model.plain.remove(&id).unwrap();
                match held {
                    Ok(()) => drop(model.held.insert(id, name)),
                    Err(StoreError::Timeout) => model.unsure.push(name),
                    Err(_) => drop(model.plain.insert(id, name)),
                }
            }
            8 => {
                model.epoch[1] += 1;
                let (key, user, epoch) = (key.clone(), me.clone(), model.epoch[1]);
                let session =
                    StoredSession { key, user, epoch, until: 1, handled: 0, frozen: vec![7; 99] };
                if journaled.put(session).await == Ok(()) {
                    model.epoch[0] = epoch;
                }
            }
            // what is read is what should be there
            _ => {
                let Ok(page) = OfflineStore::page(&**journaled, &me, 0, 999, 1 << 30).await else {
                    continue;
                };
                same(&model.plain, &names(&page), &model.unsure);
            }
        }
    }
    model
}

/// What became of a message that was to go.
fn settle(
    result: &Result<(), StoreError>,
    of: &mut BTreeMap<u64, String>,
    unsure: &mut Vec<String>,
    id: u64,
) {
    match result {
        Ok(()) => drop(of.remove(&id)),
        Err(StoreError::Timeout) => unsure.extend(of.remove(&id)),
        Err(_) => {}
    }
}

/// In the order of numbers, each once, but for those that may be there or not.
fn same(expected: &BTreeMap<u64, String>, found: &[String], unsure: &[String]) {
    let sure: Vec<&String> = found.iter().filter(|name| !unsure.contains(name)).collect();
    assert_eq!(sure, expected.values().collect::<Vec<_>>(), "unsure: {unsure:?}");
    let mut once = found.to_vec();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), found.len(), "{found:?}");
}

async fn world(seed: u64, max_bytes: usize) -> [usize; 3] {
    // shown when it fails
    eprintln!("seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let users: Vec<BareJid> = (0..12).map(|n| user(&format!("u{n}@x"))).collect();
    let fake = fake(&[]);
    users.iter().for_each(|user| fake.account(user));
    let options = Options { max_bytes, retry: Duration::from_millis(1), ..Options::default() };
    let running = Running::start(dir.path(), options, &fake).await;
    fake.faults(weather(seed));
    let models = users.iter().enumerate().map(|(n, user)| -> BoxFuture<'_, Model> {
        let dice = Dice(seed.wrapping_mul(31) + n as u64 + 1);
        Box::pin(act(&running, user.clone(), dice, 40))
    });
    let models = all(models).await;
    // in another process, which has only the file
    running.stop().await;
    fake.faults(weather(seed + 1));
    let running = Running::start(dir.path(), options, &fake).await;
    while running.waiting() > 0 {
        drop(running.journaled.release(Whose::All, 0).await);
    }
    fake.every(Fault::None);
    for (user, model) in users.iter().zip(&models) {
        same(&model.plain, &running.names(user).await.unwrap(), &model.unsure);
        let key = format!("{user}/{KEYS}");
        let held = running.journaled.held(user, &key, 0, 999, 1 << 30).await.unwrap();
        same(&model.held, &names(&held), &model.unsure);
        let kept = running.journaled.take(user, &key, None).await.unwrap();
        let epoch = kept.map_or(0, |session| session.epoch);
        assert!(model.epoch[0] <= epoch && epoch <= model.epoch[1], "{epoch} {model:?}");
    }
    let totals = running.totals();
    running.stop().await;
    totals
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_whatever_happens() {
    for seed in 1..=6 {
        let [_, _, dropped] = world(seed, 1 << 20).await;
        assert_eq!(dropped, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_when_the_journal_is_full_most_of_the_time() {
    for seed in 100..104 {
        world(seed, 5_000).await;
    }
}
