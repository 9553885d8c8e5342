//! Messages that are held: by whom, until when, and what becomes of them.

use super::{
    Case, account, all, cases, forget, full, give_way,
    sessions::{MANY, append, bodies, held, message, message_from, room, session, waiting},
};
use crate::{BoxFuture, OfflineLimits, StoreError, StoredSession, Stores, Whose};
use std::collections::BTreeSet;

pub(super) async fn suite(stores: &Stores) {
    cases!(stores,
        what_is_held_never_gets_too_old
        what_is_held_is_nobody_else_s
        messages_without_a_holder_are_offline_messages
        a_holder_that_is_named_twice_holds_once
        all_of_the_messages_are_kept_or_none
        what_many_append_at_once_is_all_there_in_order
        what_is_held_comes_in_pages
        a_message_is_forgotten_when_its_last_holder_is_done
        what_nobody_has_is_an_offline_message_in_its_old_place
        acknowledging_again_changes_nothing
        what_is_held_can_be_removed_but_not_moved
        a_message_that_waits_for_nobody_can_be_held
        what_a_client_sent_counts_with_its_session_or_not_at_all
    );
}

async fn what_is_held_never_gets_too_old(stores: &Stores) -> Case {
    let one = account(stores, "one@old.held.x").await?;
    // all that the cases before have left
    stores.offline.expire(u64::from(u32::MAX), usize::MAX).await?;
    append(stores, &one, &["k"], &["a", "b"]).await?;
    append(stores, &one, &[], &["c"]).await?;
    assert_eq!(stores.offline.expire(2_000_000, 1).await?, 1);
    assert_eq!(stores.offline.expire(2_000_000, 9).await?, 0);
    assert_eq!(held(stores, &one, "k").await?, ["a", "b"]);
    stores.sessions.expire(&one, "k").await?;
    assert_eq!(stores.offline.expire(1_000_001, 9).await?, 1);
    assert_eq!(waiting(stores, &one).await?, ["b"]);
    assert_eq!(stores.offline.expire(2_000_000, 9).await?, 1);
    assert_eq!(room(stores, &one).await?, 0);
    Ok(())
}

async fn what_is_held_is_nobody_else_s(stores: &Stores) -> Case {
    let one = account(stores, "one@hold.held.x").await?;
    assert_eq!(waiting(stores, &one).await?.len(), 0);
    append(stores, &one, &[], &["a"]).await?;
    append(stores, &one, &["1"], &["b"]).await?;
    append(stores, &one, &["1", "2"], &["c"]).await?;
    append(stores, &one, &[], &["d"]).await?;
    assert_eq!(waiting(stores, &one).await?, ["a", "d"]);
    assert_eq!(held(stores, &one, "1").await?, ["b", "c"]);
    assert_eq!(held(stores, &one, "2").await?, ["c"]);
    assert_eq!(held(stores, &one, "3").await?.len(), 0);
    // it takes room all the same
    assert_eq!(room(stores, &one).await?, 4);
    let limits = OfflineLimits { share: 50, ..OfflineLimits::messages(8) };
    assert_eq!(stores.offline.push(&one, 1, message("e")?, limits).await, full(4));
    let bytes = message("a")?.weight() * 5 - 1;
    let limits = OfflineLimits { bytes, ..MANY };
    assert_eq!(stores.offline.push(&one, 1, message("e")?, limits).await, full(bytes));
    Ok(())
}

async fn messages_without_a_holder_are_offline_messages(stores: &Stores) -> Case {
    let one = account(stores, "one@plain.held.x").await?;
    let before = append(stores, &one, &[], &["a", "b"]).await?;
    stores.offline.push(&one, 1, message("c")?, MANY).await?;
    let page = stores.offline.page(&one, 0, 9, usize::MAX).await?;
    assert_eq!(bodies(&page), ["a", "b", "c"]);
    assert_eq!(page.iter().map(|m| m.id).take(2).collect::<Vec<_>>(), before);
    assert_eq!(page.iter().map(|m| m.at).collect::<Vec<_>>(), [1_000_000, 1_000_001, 1]);
    // no messages are none, whatever the limits
    let nothing = OfflineLimits::messages(0);
    for holders in [vec![], vec!["k".to_owned()]] {
        assert_eq!(
            stores.sessions.append(&one, holders, Vec::new(), nothing, None).await?,
            [0_u64; 0]
        );
    }
    assert_eq!(waiting(stores, &one).await?, ["a", "b", "c"]);
    Ok(())
}

async fn a_holder_that_is_named_twice_holds_once(stores: &Stores) -> Case {
    let one = account(stores, "one@twice.held.x").await?;
    let ids = append(stores, &one, &["k", "l", "k", "k"], &["a"]).await?;
    assert_eq!(held(stores, &one, "k").await?, ["a"]);
    stores.sessions.acknowledge(&one, "k", ids).await?;
    assert_eq!(held(stores, &one, "k").await?.len(), 0);
    stores.sessions.expire(&one, "l").await?;
    assert_eq!(room(stores, &one).await?, 0);
    Ok(())
}

async fn all_of_the_messages_are_kept_or_none(stores: &Stores) -> Case {
    let one = account(stores, "one@limits.held.x").await?;
    let put = |holders: &[&str], count, limits| {
        let holders = holders.iter().map(|&key| key.to_owned()).collect();
        let messages = message("x").map(|message| vec![(1, message); count]);
        let one = &one;
        async move { stores.sessions.append(one, holders, messages?, limits, None).await }
    };
    let weight = message("x")?.weight();
    for holders in [&[][..], &["k"], &["k", "l"]] {
        for (limits, limit) in [
            (OfflineLimits::messages(2), 2),
            (OfflineLimits { bytes: weight * 3 - 1, ..MANY }, weight * 3 - 1),
            (OfflineLimits { share: 25, ..OfflineLimits::messages(8) }, 2),
        ] {
            assert_eq!(put(holders, 3, limits).await, full(limit));
            assert_eq!(room(stores, &one).await?, 0);
            assert_eq!(held(stores, &one, "k").await?.len(), 0);
            assert_eq!(put(holders, 2, limits).await?.len(), 2);
            // together with what is there
            assert_eq!(put(&["m"], 1, limits).await, full(limit));
            forget(stores, &one).await?;
        }
    }
    // each sender has a share
    let from = |from: &str| Ok::<_, StoreError>((1, message_from(from, "x")?));
    let limits = OfflineLimits { share: 50, ..OfflineLimits::messages(4) };
    let many = vec![from("a@x/1")?, from("b@x/1")?, from("a@x/2")?, from("a@x")?];
    let few = vec![from("a@x/1")?, from("b@x/1")?, from("a@x/2")?, from("b@x/2")?];
    let holders = || vec!["k".to_owned()];
    let three = OfflineLimits::messages(3);
    assert_eq!(stores.sessions.append(&one, holders(), few.clone(), three, None).await, full(3));
    assert_eq!(stores.sessions.append(&one, holders(), many, limits, None).await, full(2));
    assert_eq!(stores.sessions.append(&one, holders(), few, limits, None).await?.len(), 4);
    Ok(())
}

async fn what_many_append_at_once_is_all_there_in_order(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@many.held.x").await?, account(stores, "other@many.held.x").await?);
    let appending = (0..64).map(|task| {
        let (one, other) = (&one, &other);
        let appending: BoxFuture<'_, Result<Vec<u64>, StoreError>> = Box::pin(async move {
            let mut ids = Vec::new();
            for n in 0..2 {
                give_way().await;
                let (a, b) = (format!("{task:02}-{n}a"), format!("{task:02}-{n}b"));
                let holders: &[&str] = if task % 2 == 0 { &["k", "l"] } else { &["k"] };
                ids.extend(append(stores, one, holders, &[&a, &b]).await?);
                append(stores, other, &[], &["other"]).await?;
            }
            Ok(ids)
        });
        appending
    });
    let ids: Result<Vec<Vec<u64>>, _> = all(appending).await.into_iter().collect();
    let ids = ids?;
    assert!(ids.iter().all(|ids| ids.is_sorted_by(|a, b| a < b)));
    let ids: BTreeSet<u64> = ids.into_iter().flatten().collect();
    let page = stores.sessions.held(&one, "k", 0, 1000, usize::MAX).await?;
    assert!(page.iter().map(|m| m.id).eq(ids));
    let order = bodies(&page);
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 256);
    for task in 0..64 {
        let prefix = format!("{task:02}-");
        let of_task: Vec<&String> = order.iter().filter(|b| b.starts_with(&prefix)).collect();
        assert!(of_task.len() == 4 && of_task.is_sorted());
        // two that came together are together
        let place = order.iter().position(|body| *body == format!("{prefix}0a"));
        assert_eq!(place.and_then(|n| order.get(n + 1)), Some(&format!("{prefix}0b")));
    }
    let shared = held(stores, &one, "l").await?;
    let even = |body: &&String| {
        body.get(..2).and_then(|n| n.parse().ok()).is_some_and(|n: u32| n.is_multiple_of(2))
    };
    assert!(shared.iter().eq(order.iter().filter(even)));
    assert_eq!(
        (waiting(stores, &one).await?.len(), waiting(stores, &other).await?.len()),
        (0, 128)
    );
    Ok(())
}

async fn what_is_held_comes_in_pages(stores: &Stores) -> Case {
    let one = account(stores, "one@heavy.held.x").await?;
    let large = "x".repeat(10_000);
    for body in ["a", "b", &large, "c", &large] {
        append(stores, &one, &["k"], &[body]).await?;
        append(stores, &one, &["l"], &["other"]).await?;
        append(stores, &one, &[], &["plain"]).await?;
    }
    for (limit, expected) in [(100, &[2, 1, 1, 1][..]), (1, &[1; 5])] {
        let (mut pages, mut after) = (Vec::new(), 0);
        loop {
            let page = stores.sessions.held(&one, "k", after, limit, 5_000).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            pages.push(page.len());
        }
        assert_eq!(pages, expected, "one that is larger comes alone");
    }
    assert_eq!(stores.sessions.held(&one, "k", 0, 0, usize::MAX).await?, []);
    assert_eq!(stores.sessions.held(&one, "k", u64::MAX, 9, usize::MAX).await?, []);
    Ok(())
}

/// Whichever way each of them is done: the first has it, in the end it is forgotten.
async fn a_message_is_forgotten_when_its_last_holder_is_done(stores: &Stores) -> Case {
    let one = account(stores, "one@done.held.x").await?;
    for first_has_it in [true, false] {
        for (first, last) in [("k", "l"), ("l", "k")] {
            let ids = append(stores, &one, &["k", "l"], &["a"]).await?;
            if first_has_it {
                stores.sessions.acknowledge(&one, first, ids.clone()).await?;
            } else {
                stores.sessions.expire(&one, first).await?;
            }
            assert_eq!(held(stores, &one, first).await?.len(), 0);
            assert_eq!(held(stores, &one, last).await?, ["a"], "it is still to have it");
            assert_eq!((waiting(stores, &one).await?.len(), room(stores, &one).await?), (0, 1));
            if first_has_it {
                stores.sessions.expire(&one, last).await?;
            } else {
                stores.sessions.acknowledge(&one, last, ids).await?;
            }
            assert_eq!(room(stores, &one).await?, 0);
        }
    }
    // both have it
    let ids = append(stores, &one, &["k", "l"], &["a"]).await?;
    for key in ["k", "l"] {
        assert_eq!(room(stores, &one).await?, 1);
        stores.sessions.acknowledge(&one, key, ids.clone()).await?;
    }
    assert_eq!(room(stores, &one).await?, 0);
    // a node that starts lets go of what one has
    let ids = append(stores, &one, &["k", "l"], &["a"]).await?;
    stores.sessions.acknowledge(&one, "k", ids).await?;
    while stores.sessions.release(Whose::All, 9).await? > 0 {}
    assert_eq!(room(stores, &one).await?, 0);
    Ok(())
}

async fn what_nobody_has_is_an_offline_message_in_its_old_place(stores: &Stores) -> Case {
    let one = account(stores, "one@place.held.x").await?;
    append(stores, &one, &[], &["a"]).await?;
    let ids = append(stores, &one, &["k", "l"], &["b", "c"]).await?;
    append(stores, &one, &[], &["d"]).await?;
    stores.sessions.expire(&one, "k").await?;
    stores.sessions.expire(&one, "k").await?;
    assert_eq!(waiting(stores, &one).await?, ["a", "d"]);
    stores.sessions.expire(&one, "l").await?;
    assert_eq!(waiting(stores, &one).await?, ["a", "b", "c", "d"]);
    let page = stores.offline.page(&one, 0, 9, usize::MAX).await?;
    assert_eq!(page.iter().map(|m| m.id).skip(1).take(2).collect::<Vec<_>>(), ids);
    // it is like any other
    stores.offline.move_back(&one, ids.into_iter().take(1).collect()).await?;
    assert_eq!(waiting(stores, &one).await?, ["a", "c", "d", "b"]);
    Ok(())
}

async fn acknowledging_again_changes_nothing(stores: &Stores) -> Case {
    let one = account(stores, "one@again.held.x").await?;
    let ids = append(stores, &one, &["k", "l"], &["a", "b"]).await?;
    let first: Vec<u64> = ids.iter().copied().take(1).collect();
    for _ in 0..3 {
        let with_others = first.iter().copied().chain([0, u64::MAX]).collect();
        stores.sessions.acknowledge(&one, "k", with_others).await?;
        assert_eq!(held(stores, &one, "k").await?, ["b"]);
        assert_eq!(held(stores, &one, "l").await?, ["a", "b"]);
    }
    stores.sessions.acknowledge(&one, "l", [first.clone(), first.clone()].concat()).await?;
    stores.sessions.acknowledge(&one, "l", Vec::new()).await?;
    assert_eq!(
        (held(stores, &one, "l").await?, room(stores, &one).await?),
        (vec!["b".to_owned()], 1)
    );
    // one that never held it says so too, and one that let go of it
    stores.sessions.acknowledge(&one, "m", ids.clone()).await?;
    stores.sessions.expire(&one, "k").await?;
    assert_eq!(held(stores, &one, "l").await?, ["b"]);
    stores.sessions.expire(&one, "l").await?;
    assert_eq!(room(stores, &one).await?, 0);
    // what nobody holds is forgotten
    let ids = append(stores, &one, &["k"], &["a"]).await?;
    stores.sessions.expire(&one, "k").await?;
    assert_eq!(waiting(stores, &one).await?, ["a"]);
    stores.sessions.acknowledge(&one, "k", ids).await?;
    assert_eq!((waiting(stores, &one).await?.len(), room(stores, &one).await?), (0, 0));
    Ok(())
}

async fn what_is_held_can_be_removed_but_not_moved(stores: &Stores) -> Case {
    let (one, other) = (
        account(stores, "one@remove.held.x").await?,
        account(stores, "other@remove.held.x").await?,
    );
    let ids = append(stores, &one, &["k", "l"], &["a", "b"]).await?;
    append(stores, &one, &[], &["c"]).await?;
    stores.offline.move_back(&one, ids.clone()).await?;
    let page = stores.sessions.held(&one, "k", 0, 9, usize::MAX).await?;
    assert_eq!(page.iter().map(|m| m.id).collect::<Vec<_>>(), ids);
    let first: Vec<u64> = ids.into_iter().take(1).collect();
    stores.offline.remove(&other, first.clone()).await?;
    for _ in 0..2 {
        stores.offline.remove(&one, first.clone()).await?;
        assert_eq!(held(stores, &one, "k").await?, ["a", "b"], "they are still to have it");
    }
    stores.sessions.expire(&one, "k").await?;
    assert_eq!(held(stores, &one, "l").await?, ["a", "b"]);
    stores.sessions.expire(&one, "l").await?;
    assert_eq!(waiting(stores, &one).await?, ["b", "c"]);
    Ok(())
}

async fn a_message_that_waits_for_nobody_can_be_held(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@take.held.x").await?, account(stores, "other@take.held.x").await?);
    let ids = append(stores, &one, &[], &["a", "b", "c"]).await?;
    let shared = append(stores, &one, &["1"], &["d"]).await?;
    let hold = vec![ids[1], shared[0], u64::from(u32::MAX)];
    stores.sessions.hold(&other, "2", hold.clone()).await?;
    assert_eq!(waiting(stores, &one).await?, ["a", "b", "c"], "they are not that user's");
    for _ in 0..2 {
        stores.sessions.hold(&one, "2", hold.clone()).await?;
        assert_eq!(waiting(stores, &one).await?, ["a", "c"]);
        assert_eq!(held(stores, &one, "2").await?, ["b", "d"]);
    }
    assert_eq!(room(stores, &one).await?, 4);
    stores.sessions.acknowledge(&one, "1", shared).await?;
    stores.sessions.expire(&one, "2").await?;
    assert_eq!(waiting(stores, &one).await?, ["a", "b", "c"], "in its old place");
    assert_eq!(room(stores, &one).await?, 3);
    Ok(())
}

async fn what_a_client_sent_counts_with_its_session_or_not_at_all(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@count.held.x").await?, account(stores, "other@count.held.x").await?);
    let taken = async |key: &str| {
        let session = stores.sessions.take(&one, key, None).await?;
        Ok::<_, StoreError>(session.map(|session| session.handled))
    };
    let by = |handled| Some(("by".to_owned(), handled));
    let new = || message("a").map(|a| vec![(1, a)]);
    stores.sessions.put(session(&one, "by", 1)).await?;
    stores.sessions.append(&other, vec![], new()?, MANY, by(8)).await?;
    let none = OfflineLimits::messages(1);
    assert_eq!(stores.sessions.append(&other, vec![], new()?, none, by(9)).await, full(1));
    // it says 7
    stores.sessions.put(session(&one, "by", 2)).await?;
    assert_eq!(taken("by").await?, Some(8));
    stores.sessions.append(&other, vec![], new()?, MANY, by(9)).await?;
    assert_eq!(taken("by").await?, None);
    let before = StoredSession { handled: u32::MAX, ..session(&one, "by", 1) };
    stores.sessions.put(before).await?;
    stores.sessions.put(session(&one, "by", 2)).await?;
    assert_eq!(taken("by").await?, Some(7), "7 is after the wrap");
    Ok(())
}
