//! Sessions of several nodes: whose is which, and how they move from one to another.

use super::{
    Case, account, all, cases, forget, give_way,
    sessions::{append, held, room, session, waiting},
    user,
};
use crate::{BoxFuture, StoredSession, Stores, Whose, sessions::TERM};

pub(super) async fn suite(stores: &Stores) {
    cases!(stores,
        each_node_has_its_own_sessions_and_what_they_hold
        a_session_that_is_adopted_has_what_it_held
        one_of_many_adopts_a_session
        a_session_is_adopted_by_its_user_with_its_epoch
        what_its_node_before_still_puts_is_not_the_session
    );
}

async fn each_node_has_its_own_sessions_and_what_they_hold(stores: &Stores) -> Case {
    let (one, other) = (
        account(stores, "one@nodes.sessions.x").await?,
        account(stores, "other@nodes.sessions.x").await?,
    );
    // what the cases before have left
    while stores.sessions.release(Whose::All, 99).await? > 0 {}
    // one name begins as another does, and names are as odd as they like
    let nodes = [
        Whose::Nobody,
        Whose::Node("a"),
        Whose::Node("a@h"),
        Whose::Node("b $where 'é"),
        Whose::Node("\u{1f980}"),
    ];
    for whose in nodes {
        for (user, token) in [(&one, "1"), (&other, "2"), (&one, "_3z")] {
            stores.sessions.put(session(user, &whose.key(token), 1)).await?;
            append(stores, user, &[&whose.key(token), &whose.key("gone")], &["x"]).await?;
        }
    }
    for whose in nodes {
        let all = [whose.key("1"), whose.key("2"), whose.key("_3z")];
        let mut found = Vec::new();
        while let [next] =
            &*stores.sessions.page(whose, found.last().map_or("", String::as_str), 1).await?
        {
            found.push(next.key.clone());
        }
        assert_eq!(found, all);
        // whatever it is after
        let mut some = Vec::new();
        for after in nodes.map(|node| node.key("2")) {
            let page = stores.sessions.page(whose, &after, 9).await?;
            assert!(page.iter().all(|session| session.key > after));
            some.push(page.into_iter().map(|session| session.key).collect::<Vec<_>>());
        }
        assert!(some.iter().any(|found| *found == all[2..]));
        assert!(some.iter().all(|found| found.is_empty() || *found == all || *found == all[2..]));
    }
    assert_eq!(stores.sessions.page(Whose::All, "", 99).await?.len(), 15);
    assert_eq!(stores.sessions.page(Whose::Node("a@"), "", 99).await?, []);
    assert_eq!(stores.sessions.release(Whose::Node("a@"), 99).await?, 0);
    for (n, whose) in nodes.into_iter().enumerate() {
        assert_eq!(stores.sessions.release(whose, 2).await?, 2);
        assert_eq!(stores.sessions.release(whose, 9).await?, 1);
        assert_eq!(stores.sessions.release(whose, 9).await?, 0);
        let gone = stores.sessions.held(&one, &whose.key("gone"), 0, 9, usize::MAX).await?;
        assert_eq!(gone, []);
        if let Some(next) = nodes.get(n + 1) {
            assert_eq!(held(stores, &one, &next.key("gone")).await?, ["x", "x"]);
        }
        assert_eq!(held(stores, &one, &whose.key("1")).await?, ["x"], "it is kept");
    }
    for user in [&one, &other] {
        forget(stores, user).await?;
    }
    Ok(())
}

async fn a_session_that_is_adopted_has_what_it_held(stores: &Stores) -> Case {
    let one = account(stores, "one@adopt.sessions.x").await?;
    let [a, b, c] = ["a", "b", "c"].map(|node| Whose::Node(node).key("adopt"));
    stores.sessions.put(session(&one, &a, 1)).await?;
    append(stores, &one, &[&a], &["1"]).await?;
    append(stores, &one, &[&a, "other"], &["2"]).await?;
    append(stores, &one, &["other"], &["3"]).await?;
    // it holds one of them already, as one that was not told of all
    let both = append(stores, &one, &[&a, &b], &["4"]).await?;
    append(stores, &one, &[], &["5"]).await?;
    let found = |session: Option<StoredSession>| session.map(|session| session.key);
    assert_eq!(found(stores.sessions.find(&one, "adopt").await?), Some(a.clone()));
    let adopted = StoredSession { key: b.clone(), epoch: 1 + TERM, ..session(&one, &a, 1) };
    assert_eq!(stores.sessions.adopt(&one, &a, Some(1), &b).await?, Some(adopted.clone()));
    assert_eq!(stores.sessions.find(&one, "adopt").await?, Some(adopted.clone()));
    assert_eq!(held(stores, &one, &a).await?.len(), 0);
    assert_eq!(held(stores, &one, &b).await?, ["1", "2", "4"]);
    assert_eq!(held(stores, &one, "other").await?, ["2", "3"]);
    assert_eq!(stores.sessions.release(Whose::All, 0).await?, 0);
    assert_eq!(stores.sessions.take(&one, &a, None).await?, None);
    // once more, by a node that did not hear that it was done; and by another
    assert_eq!(stores.sessions.adopt(&one, &a, Some(1), &b).await?, Some(adopted.clone()));
    assert_eq!(stores.sessions.adopt(&one, &a, Some(1), &c).await?, None);
    assert_eq!(stores.sessions.adopt(&one, &a, Some(2), &b).await?, None);
    // within a node, whatever its epoch
    let again = StoredSession { epoch: 1 + 2 * TERM, ..adopted };
    assert_eq!(stores.sessions.adopt(&one, &b, None, &b).await?, Some(again.clone()));
    assert_eq!(stores.sessions.adopt(&one, &b, Some(1 + TERM), &b).await?, None);
    assert_eq!(held(stores, &one, &b).await?, ["1", "2", "4"]);
    stores.sessions.acknowledge(&one, &b, both).await?;
    stores.sessions.expire(&one, "other").await?;
    assert_eq!(waiting(stores, &one).await?, ["3", "5"]);
    assert_eq!(stores.sessions.take(&one, &b, None).await?, Some(again));
    assert_eq!(stores.sessions.find(&one, "adopt").await?, None);
    stores.sessions.expire(&one, &b).await?;
    assert_eq!(waiting(stores, &one).await?, ["1", "2", "3", "5"]);
    assert_eq!(room(stores, &one).await?, 4);
    Ok(())
}

async fn one_of_many_adopts_a_session(stores: &Stores) -> Case {
    let one = account(stores, "one@adopting.sessions.x").await?;
    let (from, to) = (Whose::Node("from").key("race"), |n| format!("~to-{n}~race"));
    for epoch in 1..=8 {
        stores.sessions.put(session(&one, &from, epoch)).await?;
        append(stores, &one, &[&from], &["x"]).await?;
        let adopting = (0..32).map(|n| {
            let (one, from) = (&one, &from);
            let adopting: BoxFuture<'_, _> = Box::pin(async move {
                give_way().await;
                let epoch = (n % 2 == 0).then_some(epoch);
                stores.sessions.adopt(one, from, epoch, &to(n)).await
            });
            adopting
        });
        let adopted: Result<Vec<_>, _> = all(adopting).await.into_iter().collect();
        let adopted: Vec<_> = adopted?.into_iter().flatten().collect();
        let [adopted] = &*adopted else { return Err(format!("{adopted:?}").into()) };
        assert_eq!(adopted.epoch, epoch + TERM);
        assert_eq!(stores.sessions.find(&one, "race").await?.as_ref(), Some(adopted));
        assert_eq!(held(stores, &one, &adopted.key).await?, ["x"]);
        forget(stores, &one).await?;
    }
    Ok(())
}

async fn a_session_is_adopted_by_its_user_with_its_epoch(stores: &Stores) -> Case {
    let (one, other) = (
        account(stores, "one@whose.sessions.x").await?,
        account(stores, "other@whose.sessions.x").await?,
    );
    stores.sessions.put(session(&one, "whose", 5)).await?;
    append(stores, &one, &["whose", "new"], &["a"]).await?;
    for (user, key, epoch) in [
        (&other, "whose", None),
        (&other, "whose", Some(5)),
        (&one, "whose", Some(4)),
        (&one, "Whose", None),
        (&one, "whose%", None),
        (&one, "", None),
    ] {
        assert_eq!(stores.sessions.adopt(user, key, epoch, "new").await?, None);
    }
    assert_eq!(stores.sessions.find(&other, "whose").await?, None);
    assert_eq!(stores.sessions.find(&one, "hose").await?, None);
    assert_eq!(held(stores, &one, "whose").await?, ["a"]);
    assert_eq!(
        stores.sessions.take(&one, "whose", Some(5)).await?,
        Some(session(&one, "whose", 5))
    );
    assert_eq!(stores.sessions.adopt(&one, "whose", None, "new").await?, None);
    let nobody = user("nobody@whose.sessions.x")?;
    assert_eq!(stores.sessions.adopt(&nobody, "whose", None, "new").await?, None);
    Ok(())
}

/// A node that was taken for dead goes on with it.
async fn what_its_node_before_still_puts_is_not_the_session(stores: &Stores) -> Case {
    let one = account(stores, "one@stale.sessions.x").await?;
    let [a, b] = ["a", "b"].map(|node| Whose::Node(node).key("stale"));
    stores.sessions.put(session(&one, &a, 7)).await?;
    assert!(stores.sessions.adopt(&one, &a, Some(7), &b).await?.is_some());
    stores.sessions.put(session(&one, &a, 99)).await?;
    append(stores, &one, &[&a], &["late"]).await?;
    let found = stores.sessions.find(&one, "stale").await?;
    assert_eq!(found.map(|session| session.key), Some(b.clone()));
    // it is gone, and what it holds is the session's
    assert_eq!(stores.sessions.adopt(&one, &a, Some(99), &b).await?, None);
    assert_eq!(stores.sessions.take(&one, &a, None).await?, None);
    assert_eq!(held(stores, &one, &b).await?, ["late"]);
    let kept = stores.sessions.take(&one, &b, None).await?;
    assert_eq!(kept.map(|session| session.epoch), Some(7 + TERM));
    Ok(())
}
