//! Sessions: kept, taken, released. What becomes of the messages they hold: `held`.

use super::{Case, STRANGE, account, all, cases, forget, full, give_way, strange};
use crate::{
    BoxFuture, OfflineLimits, OfflineMessage, StoreError, StoredSession, Stores, Whose,
    sessions::{MAX_FROZEN, MAX_PAGE},
};
use xmpp::{jid::BareJid, stanza::Stanza};

pub(super) async fn suite(stores: &Stores) {
    cases!(stores,
        sessions_of_all_users_come_in_pages_in_the_order_of_keys
        what_sessions_that_are_not_kept_hold_is_released_in_steps
        a_session_comes_back_as_it_was_put
        a_session_is_replaced_by_a_later_epoch_only
        a_session_has_a_limit_in_bytes
        one_of_many_takes_a_session
        a_session_is_taken_by_its_user_with_its_epoch
        a_key_is_its_user_s
        a_session_holds_its_messages_when_it_is_taken_and_put_again
        any_characters_are_kept
        removing_an_account_removes_its_sessions
        nothing_is_kept_for_an_account_that_is_gone
    );
}

/// Cases put what no other may find.
pub(super) const MANY: OfflineLimits = OfflineLimits::messages(1000);

pub(super) fn message(body: &str) -> Result<Stanza, StoreError> {
    message_from("a@x/r", body)
}

pub(super) fn message_from(from: &str, body: &str) -> Result<Stanza, StoreError> {
    let xml = format!("<message from='{from}' to='b@x' type='chat'><body>{body}</body></message>");
    Stanza::parse(xml.as_bytes()).ok_or_else(|| StoreError::Corrupt(format!("a bad test: {xml}")))
}

pub(super) fn session(user: &BareJid, key: &str, epoch: u64) -> StoredSession {
    let frozen = format!("{key} {epoch}").into_bytes();
    StoredSession {
        key: key.to_owned(),
        user: user.clone(),
        epoch,
        until: 1_000 + epoch,
        handled: 7,
        frozen,
    }
}

pub(super) async fn append(
    stores: &Stores,
    user: &BareJid,
    holders: &[&str],
    bodies: &[&str],
) -> Result<Vec<u64>, StoreError> {
    let messages = bodies.iter().zip(1_000_000..).map(|(body, at)| Ok((at, message(body)?)));
    let messages: Result<Vec<_>, StoreError> = messages.collect();
    let holders = holders.iter().map(|&key| key.to_owned()).collect();
    stores.sessions.append(user, holders, messages?, MANY, None).await
}

pub(super) async fn held(
    stores: &Stores,
    user: &BareJid,
    key: &str,
) -> Result<Vec<String>, StoreError> {
    Ok(bodies(&stores.sessions.held(user, key, 0, 1000, usize::MAX).await?))
}

/// The offline messages; as many are counted.
pub(super) async fn waiting(stores: &Stores, user: &BareJid) -> Result<Vec<String>, StoreError> {
    let page = stores.offline.page(user, 0, 1000, usize::MAX).await?;
    assert!(page.is_sorted_by(|a, b| a.id < b.id));
    assert_eq!(stores.offline.count(user).await?, page.len());
    Ok(bodies(&page))
}

pub(super) fn bodies(page: &[OfflineMessage]) -> Vec<String> {
    page.iter().filter_map(|m| m.stanza.text_of("body")).collect()
}

/// How many messages there are, held or not.
pub(super) async fn room(stores: &Stores, user: &BareJid) -> Result<usize, StoreError> {
    for limit in 0..100 {
        let limits = OfflineLimits::messages(limit);
        if let Ok(id) = stores.offline.push(user, 1_000_000, message("room")?, limits).await {
            stores.offline.remove(user, vec![id]).await?;
            return Ok(limit - 1);
        }
    }
    Err(StoreError::Corrupt("there is no end".to_owned()))
}

async fn keys(stores: &Stores, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
    let page = stores.sessions.page(Whose::All, after, limit).await?;
    Ok(page.into_iter().map(|session| session.key).collect())
}

/// Whose session sends it: that says nothing of it either.
async fn nothing_is_kept_for_an_account_that_is_gone(stores: &Stores) -> Case {
    let (one, sender) = (
        account(stores, "one@gone.sessions.x").await?,
        account(stores, "a@gone.sessions.x").await?,
    );
    stores.sessions.put(session(&sender, "sender", 1)).await?;
    let held = append(stores, &one, &["k"], &["before"]).await?;
    assert!(stores.accounts.remove(&one, 0).await?);
    let none = StoreError::NoAccount(one.as_str().to_owned());
    assert_eq!(stores.sessions.put(session(&one, "k", 1)).await, Err(none.clone()));
    for holders in [vec![], vec!["k".to_owned()]] {
        let by = Some(("sender".to_owned(), 8));
        let new = vec![(1, message("x")?)];
        let appended = stores.sessions.append(&one, holders, new, MANY, by).await;
        assert_eq!(appended, Err(none.clone()));
    }
    stores.sessions.hold(&one, "k", held).await?;
    assert_eq!(stores.sessions.take(&one, "k", None).await?, None);
    let one = account(stores, "one@gone.sessions.x").await?;
    assert_eq!(self::held(stores, &one, "k").await?.len(), 0);
    assert_eq!((waiting(stores, &one).await?.len(), room(stores, &one).await?), (0, 0));
    assert_eq!(stores.sessions.take(&sender, "sender", None).await?.map(|s| s.handled), Some(7));
    Ok(())
}

/// First, because pages are of all users.
async fn sessions_of_all_users_come_in_pages_in_the_order_of_keys(stores: &Stores) -> Case {
    let (one, other) = (
        account(stores, "one@page.sessions.x").await?,
        account(stores, "other@page.sessions.x").await?,
    );
    assert_eq!(stores.sessions.page(Whose::All, "", 10).await?, []);
    for (n, key) in ["d", "b", "e", "a", "c", "B"].into_iter().enumerate() {
        let user = if n % 2 == 0 { &one } else { &other };
        stores.sessions.put(session(user, key, 1)).await?;
        append(stores, user, &[key, "not kept"], &["x"]).await?;
    }
    assert_eq!(keys(stores, "", 4).await?, ["B", "a", "b", "c"]);
    assert_eq!(keys(stores, "c", 4).await?, ["d", "e"]);
    assert_eq!(keys(stores, "bb", 1).await?, ["c"]);
    assert_eq!((keys(stores, "e", 4).await?.len(), keys(stores, "", 0).await?.len()), (0, 0));
    let all = stores.sessions.page(Whose::All, "", usize::MAX).await?;
    assert_eq!(all.last(), Some(&session(&one, "e", 1)));
    assert_eq!(all.first(), Some(&session(&other, "B", 1)));
    stores.sessions.take(&one, "d", None).await?;
    stores.sessions.expire(&one, "e").await?;
    assert_eq!(keys(stores, "a", 9).await?, ["b", "c"]);

    // and of no more than so many bytes
    for key in ["f1", "f2", "f3", "f4", "f5", "f6"] {
        let frozen = vec![7; MAX_FROZEN];
        stores.sessions.put(StoredSession { frozen, ..session(&one, key, 1) }).await?;
    }
    assert_eq!(MAX_PAGE / MAX_FROZEN, 4);
    assert_eq!(keys(stores, "e", 9).await?, ["f1", "f2", "f3", "f4"]);
    assert_eq!(keys(stores, "f4", 9).await?, ["f5", "f6"]);
    for user in [&one, &other] {
        forget(stores, user).await?;
    }
    assert_eq!(stores.sessions.page(Whose::All, "", 10).await?, []);
    Ok(())
}

/// Early, because what is released is of all users.
async fn what_sessions_that_are_not_kept_hold_is_released_in_steps(stores: &Stores) -> Case {
    let (one, other) = (
        account(stores, "one@release.sessions.x").await?,
        account(stores, "other@release.sessions.x").await?,
    );
    assert_eq!(stores.sessions.release(Whose::All, 10).await?, 0);
    for user in [&one, &other] {
        let key = format!("kept {user}");
        stores.sessions.put(session(user, &key, 1)).await?;
        append(stores, user, &[&key], &["kept"]).await?;
        append(stores, user, &[&key, "gone"], &["both"]).await?;
        append(stores, user, &["gone"], &["1", "2"]).await?;
        append(stores, user, &["gone", "gone too"], &["3"]).await?;
        append(stores, user, &[], &["plain"]).await?;
        assert_eq!(waiting(stores, user).await?, ["plain"]);
    }
    assert_eq!(stores.sessions.release(Whose::All, 0).await?, 0);
    let mut steps = Vec::new();
    loop {
        match stores.sessions.release(Whose::All, 3).await? {
            0 => break,
            some => steps.push(some),
        }
    }
    // of each user: both, 1, 2, and 3 twice
    assert_eq!(steps.iter().sum::<usize>(), 10);
    assert!(steps.iter().all(|step| *step <= 3));
    for user in [&one, &other] {
        assert_eq!(waiting(stores, user).await?, ["1", "2", "3", "plain"]);
        assert_eq!(held(stores, user, &format!("kept {user}")).await?, ["kept", "both"]);
        assert_eq!(held(stores, user, "gone").await?.len(), 0);
    }
    // one that was taken is not kept; one that was put again is
    let key = format!("kept {one}");
    stores.sessions.take(&one, &key, None).await?;
    stores.sessions.take(&other, &format!("kept {other}"), None).await?;
    stores.sessions.put(session(&one, &key, 2)).await?;
    assert_eq!(stores.sessions.release(Whose::All, usize::MAX).await?, 2);
    assert_eq!(waiting(stores, &other).await?, ["kept", "both", "1", "2", "3", "plain"]);
    assert_eq!(held(stores, &one, &key).await?, ["kept", "both"]);
    // nor is one that holds what was kept for it afterwards; what it has is forgotten with it
    let ids = append(stores, &other, &["later"], &["4", "5"]).await?;
    stores.offline.remove(&other, ids.into_iter().take(1).collect()).await?;
    assert_eq!(stores.sessions.release(Whose::All, 9).await?, 2);
    assert_eq!(waiting(stores, &other).await?, ["kept", "both", "1", "2", "3", "plain", "5"]);
    assert_eq!(stores.sessions.release(Whose::All, 9).await?, 0);
    forget(stores, &one).await?;
    Ok(())
}

async fn a_session_comes_back_as_it_was_put(stores: &Stores) -> Case {
    let one = account(stores, "one@put.sessions.x").await?;
    let frozen: Vec<u8> = (0..=255).collect();
    for (key, frozen) in [("put-1", frozen), ("put-2", Vec::new())] {
        let whole = StoredSession { frozen, until: 1_700_000_000_000, ..session(&one, key, 7) };
        stores.sessions.put(whole.clone()).await?;
        assert_eq!(stores.sessions.take(&one, key, None).await?, Some(whole));
        assert_eq!(stores.sessions.take(&one, key, None).await?, None);
    }
    Ok(())
}

async fn a_session_is_replaced_by_a_later_epoch_only(stores: &Stores) -> Case {
    let (one, other) = (
        account(stores, "one@epoch.sessions.x").await?,
        account(stores, "other@epoch.sessions.x").await?,
    );
    stores.sessions.put(session(&one, "epoch", 5)).await?;
    for late in [session(&one, "epoch", 5), session(&one, "epoch", 4), session(&other, "epoch", 9)]
    {
        let refused = stores.sessions.put(late).await;
        assert_eq!(refused, Err(StoreError::Conflict { now: 5 }));
    }
    stores.sessions.put(session(&one, "epoch", 7)).await?;
    stores.sessions.put(session(&one, "epoch too", 0)).await?;
    assert_eq!(stores.sessions.take(&one, "epoch", None).await?, Some(session(&one, "epoch", 7)));
    // once it is taken, nothing is there to be older than
    stores.sessions.put(session(&one, "epoch", 1)).await?;
    forget(stores, &one).await?;

    // of many that put at the same time, the latest is there, and each that was refused was told of a later one
    let putting = (1..=32).map(|n| stores.sessions.put(session(&one, "epoch", n * 7 % 33)));
    let answers = all(putting).await;
    for (answer, n) in answers.into_iter().zip(1..) {
        if let Err(refused) = answer {
            let later = matches!(refused, StoreError::Conflict { now } if now > n * 7 % 33);
            assert!(later, "{refused}");
        }
    }
    let last = stores.sessions.take(&one, "epoch", None).await?;
    assert_eq!(last.map(|session| session.epoch), Some(32));
    Ok(())
}

async fn a_session_has_a_limit_in_bytes(stores: &Stores) -> Case {
    let one = account(stores, "one@large.sessions.x").await?;
    let of =
        |bytes, epoch| StoredSession { frozen: vec![1; bytes], ..session(&one, "large", epoch) };
    stores.sessions.put(of(MAX_FROZEN, 1)).await?;
    assert_eq!(stores.sessions.put(of(MAX_FROZEN + 1, 2)).await, full(MAX_FROZEN));
    let kept = stores.sessions.take(&one, "large", Some(1)).await?;
    assert_eq!(kept.map(|session| session.frozen.len()), Some(MAX_FROZEN));
    Ok(())
}

async fn one_of_many_takes_a_session(stores: &Stores) -> Case {
    let one = account(stores, "one@race.sessions.x").await?;
    for epoch in 1..=8 {
        stores.sessions.put(session(&one, "race", epoch)).await?;
        let taking = (0..32).map(|n| {
            let one = &one;
            let taking: BoxFuture<'_, _> = Box::pin(async move {
                give_way().await;
                stores.sessions.take(one, "race", (n % 2 == 0).then_some(epoch)).await
            });
            taking
        });
        let taken: Result<Vec<_>, _> = all(taking).await.into_iter().collect();
        let taken: Vec<_> = taken?.into_iter().flatten().collect();
        assert_eq!(taken, [session(&one, "race", epoch)]);
    }
    Ok(())
}

async fn a_session_is_taken_by_its_user_with_its_epoch(stores: &Stores) -> Case {
    let (one, other) = (
        account(stores, "one@take.sessions.x").await?,
        account(stores, "other@take.sessions.x").await?,
    );
    stores.sessions.put(session(&one, "take", 5)).await?;
    for (user, key, epoch) in [
        (&other, "take", None),
        (&other, "take", Some(5)),
        (&one, "take", Some(4)),
        (&one, "take", Some(6)),
        (&one, "Take", None),
        (&one, "take%", None),
        (&one, "", None),
    ] {
        assert_eq!(stores.sessions.take(user, key, epoch).await?, None);
    }
    assert_eq!(stores.sessions.take(&one, "take", Some(5)).await?, Some(session(&one, "take", 5)));
    Ok(())
}

async fn a_key_is_its_user_s(stores: &Stores) -> Case {
    let (one, other) = (
        account(stores, "one@key.sessions.x").await?,
        account(stores, "other@key.sessions.x").await?,
    );
    stores.sessions.put(session(&one, "key", 1)).await?;
    let ids = append(stores, &one, &["key"], &["a"]).await?;
    let others = append(stores, &other, &["key"], &["b"]).await?;
    assert_eq!(held(stores, &one, "key").await?, ["a"]);
    assert_eq!(held(stores, &other, "key").await?, ["b"]);
    stores.sessions.acknowledge(&other, "key", ids.clone()).await?;
    stores.sessions.acknowledge(&one, "key", others).await?;
    stores.sessions.expire(&other, "key").await?;
    assert_eq!(held(stores, &one, "key").await?, ["a"]);
    assert_eq!(waiting(stores, &other).await?, ["b"]);
    assert_eq!(stores.sessions.take(&one, "key", Some(1)).await?, Some(session(&one, "key", 1)));
    Ok(())
}

async fn a_session_holds_its_messages_when_it_is_taken_and_put_again(stores: &Stores) -> Case {
    let one = account(stores, "one@resume.sessions.x").await?;
    // they are kept for it before it is
    append(stores, &one, &["resume"], &["a"]).await?;
    for epoch in 1..4 {
        stores.sessions.put(session(&one, "resume", epoch)).await?;
        assert_eq!(held(stores, &one, "resume").await?, ["a"]);
        assert!(stores.sessions.take(&one, "resume", Some(epoch)).await?.is_some());
        assert_eq!(held(stores, &one, "resume").await?, ["a"]);
        assert_eq!(waiting(stores, &one).await?.len(), 0);
    }
    stores.sessions.put(session(&one, "resume", 4)).await?;
    stores.sessions.expire(&one, "resume").await?;
    assert_eq!(stores.sessions.take(&one, "resume", None).await?, None);
    assert_eq!(waiting(stores, &one).await?, ["a"]);
    Ok(())
}

async fn any_characters_are_kept(stores: &Stores) -> Case {
    let one = account(stores, "jürgen%_$@strange.sessions.x").await?;
    let (plain, long) = (strange(), "k🦀".repeat(2000));
    for key in [STRANGE, &plain, &long, "%", "_", "'", " "] {
        let whole = StoredSession { frozen: key.into(), ..session(&one, key, 1) };
        stores.sessions.put(whole.clone()).await?;
        let ids = append(stores, &one, &[key, "other"], &["a", "b"]).await?;
        assert_eq!(held(stores, &one, key).await?, ["a", "b"]);
        stores.sessions.acknowledge(&one, key, ids.into_iter().take(1).collect()).await?;
        assert_eq!(held(stores, &one, key).await?, ["b"]);
        let before: String =
            key.chars().rev().skip(1).collect::<Vec<_>>().into_iter().rev().collect();
        assert_eq!(stores.sessions.page(Whose::All, &before, 1).await?.first(), Some(&whole));
        assert_eq!(stores.sessions.take(&one, key, Some(1)).await?, Some(whole));
        stores.sessions.expire(&one, key).await?;
        assert_eq!(held(stores, &one, "other").await?, ["a", "b"]);
        stores.sessions.expire(&one, "other").await?;
        assert_eq!(waiting(stores, &one).await?, ["b"]);
        forget(stores, &one).await?;
    }
    Ok(())
}

async fn removing_an_account_removes_its_sessions(stores: &Stores) -> Case {
    let (one, other) = (
        account(stores, "one@account.sessions.x").await?,
        account(stores, "other@account.sessions.x").await?,
    );
    for (user, key) in [(&one, "account"), (&other, "account too")] {
        stores.sessions.put(session(user, key, 1)).await?;
        append(stores, user, &[key, "other"], &["a"]).await?;
        append(stores, user, &[], &["b"]).await?;
    }
    assert!(stores.accounts.remove(&one, 0).await?);
    assert_eq!(stores.sessions.take(&one, "account", None).await?, None);
    assert_eq!(held(stores, &one, "other").await?.len(), 0);
    assert_eq!(waiting(stores, &one).await?.len(), 0);
    assert_eq!(held(stores, &other, "other").await?, ["a"]);
    assert_eq!(waiting(stores, &other).await?, ["b"]);
    assert!(stores.sessions.take(&other, "account too", None).await?.is_some());
    Ok(())
}
