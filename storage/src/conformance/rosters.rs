//! Rosters.

use super::{Case, STRANGE, all, cases, full, give_way, user};
use crate::{
    Account, Roster, RosterChange, RosterItem, RosterWrite, StoreError, Stores, Subscription,
    rosters::TOMBSTONES,
};
use std::{error::Error, sync::Arc};
use xmpp::jid::{BareJid, Jid};

pub(super) async fn suite(stores: &Stores) {
    cases!(stores,
        a_roster_that_was_never_changed_is_empty_at_version_0
        an_item_comes_back_as_it_was_put
        each_change_makes_a_new_version
        a_change_of_an_old_version_is_refused
        there_are_no_more_items_than_the_limit
        a_removed_item_leaves_a_trace_for_a_while
        two_that_change_one_roster_lose_nothing
        the_roster_of_a_new_account_starts_again
        several_rosters_are_changed_together
        of_several_rosters_all_are_changed_or_none
        what_many_change_in_two_rosters_is_the_same_in_both
    );
}

/// A user, who has an account.
async fn owner(stores: &Stores, name: &str) -> Result<BareJid, Box<dyn Error + Send + Sync>> {
    let owner = user(name)?;
    stores.accounts.create(vec![(owner.clone(), Account::default())]).await?;
    Ok(owner)
}

fn item(jid: &str) -> Result<RosterItem, xmpp::jid::JidError> {
    Ok(RosterItem::new(jid.parse()?))
}

async fn put(stores: &Stores, user: &BareJid, ver: u64, item: RosterItem) -> Changed {
    stores.rosters.change(user, ver, RosterChange::Put(item), 1000).await
}

async fn remove(stores: &Stores, user: &BareJid, ver: u64, jid: &str) -> Changed {
    let jid: Jid = jid.parse().map_err(|_| StoreError::Corrupt("a bad test".to_owned()))?;
    stores.rosters.change(user, ver, RosterChange::Remove(jid), 1000).await
}

type Changed = Result<Arc<Roster>, StoreError>;

async fn a_roster_that_was_never_changed_is_empty_at_version_0(stores: &Stores) -> Case {
    let one = owner(stores, "one@never.x").await?;
    assert_eq!(*stores.rosters.get(&one).await?, Roster::default());
    assert_eq!(remove(stores, &one, 0, "nobody@x").await?.ver, 0);
    Ok(())
}

async fn an_item_comes_back_as_it_was_put(stores: &Stores) -> Case {
    let one = owner(stores, "jürgen@put.x").await?;
    let full = RosterItem {
        name: STRANGE.to_owned(),
        groups: vec![String::new(), "Freunde & Co".to_owned(), "'\"\\".to_owned()],
        subscription: Subscription::From,
        ask: true,
        request: Some(format!("<presence type='subscribe'>{}</presence>", "é".repeat(100_000))),
        approved: true,
        hidden: true,
        ..item("kontakt@bücher.x/R 'é\"")?
    };
    let after = put(stores, &one, 0, full.clone()).await?;
    let expected = RosterItem { ver: 1, ..full };
    assert_eq!(after.items, std::slice::from_ref(&expected));
    assert_eq!(*stores.rosters.get(&one).await?, *after);
    let changed = RosterItem { request: None, subscription: Subscription::Both, ..expected };
    let after = put(stores, &one, 1, changed.clone()).await?;
    assert_eq!(after.items, [RosterItem { ver: 2, ..changed }]);
    assert_eq!(*stores.rosters.get(&one).await?, *after);
    Ok(())
}

async fn each_change_makes_a_new_version(stores: &Stores) -> Case {
    let (one, other) = (owner(stores, "one@ver.x").await?, owner(stores, "one@ver.x.y").await?);
    put(stores, &one, 0, item("b@x")?).await?;
    put(stores, &one, 1, item("a@x")?).await?;
    put(stores, &one, 2, item("b@x")?).await?;
    let after = remove(stores, &one, 3, "nobody@x").await?;
    assert_eq!(after.ver, 3);
    let versions: Vec<_> = after.items.iter().map(|i| (i.jid.as_str(), i.ver)).collect();
    assert_eq!(versions, [("a@x", 2), ("b@x", 3)]);
    assert_eq!(*stores.rosters.get(&one).await?, *after);
    assert_eq!(stores.rosters.get(&other).await?.ver, 0);
    Ok(())
}

async fn a_change_of_an_old_version_is_refused(stores: &Stores) -> Case {
    let one = owner(stores, "one@conflict.x").await?;
    put(stores, &one, 0, item("a@x")?).await?;
    let before = put(stores, &one, 1, item("b@x")?).await?;
    for ver in [0, 1, 3, u64::MAX] {
        let conflict = Err(StoreError::Conflict { now: 2 });
        assert_eq!(put(stores, &one, ver, item("c@x")?).await, conflict);
        assert_eq!(remove(stores, &one, ver, "a@x").await, conflict);
    }
    assert_eq!(*stores.rosters.get(&one).await?, *before);
    Ok(())
}

async fn there_are_no_more_items_than_the_limit(stores: &Stores) -> Case {
    let one = owner(stores, "one@limit.x").await?;
    put(stores, &one, 0, item("a@x")?).await?;
    put(stores, &one, 1, item("b@x")?).await?;
    let more = RosterChange::Put(item("c@x")?);
    assert_eq!(stores.rosters.change(&one, 2, more.clone(), 2).await, full(2));
    assert_eq!(stores.rosters.get(&one).await?.ver, 2);
    let same = RosterChange::Put(item("a@x")?);
    // also when the limit was lowered
    assert_eq!(stores.rosters.change(&one, 2, same, 1).await?.ver, 3);
    remove(stores, &one, 3, "b@x").await?;
    assert_eq!(stores.rosters.change(&one, 4, more, 2).await?.items.len(), 2);
    Ok(())
}

async fn a_removed_item_leaves_a_trace_for_a_while(stores: &Stores) -> Case {
    let one = owner(stores, "one@trace.x").await?;
    for n in 0..=TOMBSTONES as u64 {
        let jid = format!("c{n}@x");
        put(stores, &one, 2 * n, item(&jid)?).await?;
        remove(stores, &one, 2 * n + 1, &jid).await?;
    }
    let roster = stores.rosters.get(&one).await?;
    assert_eq!((roster.items.len(), roster.removed.len(), roster.floor), (0, TOMBSTONES, 2));
    let first = roster.removed.first().map(|(jid, ver)| (jid.as_str(), *ver));
    assert_eq!(first, Some(("c1@x", 4)));
    let after = put(stores, &one, roster.ver, item("c1@x")?).await?;
    assert_eq!((after.removed.len(), after.floor), (TOMBSTONES - 1, 2));
    assert_eq!(*stores.rosters.get(&one).await?, *after);
    Ok(())
}

async fn two_that_change_one_roster_lose_nothing(stores: &Stores) -> Case {
    let one = owner(stores, "one@race.x").await?;
    let add = |who: u32| {
        let one = &one;
        let adding: crate::BoxFuture<'_, Case> = Box::pin(async move {
            for n in 0..20 {
                let item = item(&format!("{who}-{n}@x"))?;
                loop {
                    let ver = stores.rosters.get(one).await?.ver;
                    give_way().await;
                    match put(stores, one, ver, item.clone()).await {
                        Ok(_) => break,
                        Err(StoreError::Conflict { now }) => assert_ne!(now, ver),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Ok(())
        });
        adding
    };
    all((0..3).map(add)).await.into_iter().collect::<Result<Vec<()>, _>>()?;
    let roster = stores.rosters.get(&one).await?;
    assert_eq!((roster.ver, roster.items.len()), (60, 60));
    let mut versions: Vec<u64> = roster.items.iter().map(|i| i.ver).collect();
    versions.sort_unstable();
    assert!(versions.into_iter().eq(1..=60));
    Ok(())
}

async fn the_roster_of_a_new_account_starts_again(stores: &Stores) -> Case {
    let (one, other) = (owner(stores, "one@again.x").await?, owner(stores, "other@again.x").await?);
    put(stores, &one, 0, item("a@x")?).await?;
    remove(stores, &one, 1, "a@x").await?;
    put(stores, &one, 2, item("b@x")?).await?;
    put(stores, &other, 0, item("a@x")?).await?;
    assert!(stores.accounts.remove(&one, 3).await?);
    assert_eq!(*stores.rosters.get(&one).await?, Roster::default());
    assert_eq!(stores.rosters.get(&other).await?.items.len(), 1);
    owner(stores, "one@again.x").await?;
    assert_eq!(put(stores, &one, 3, item("a@x")?).await, Err(StoreError::Conflict { now: 0 }));
    assert_eq!(put(stores, &one, 0, item("c@x")?).await?.items.len(), 1);
    Ok(())
}

fn write(user: &BareJid, ver: u64, jid: &str) -> Result<RosterWrite, xmpp::jid::JidError> {
    Ok(RosterWrite { user: user.clone(), ver, change: RosterChange::Put(item(jid)?) })
}

async fn several_rosters_are_changed_together(stores: &Stores) -> Case {
    let (one, two) = (owner(stores, "one@all.x").await?, owner(stores, "two@all.x").await?);
    put(stores, &two, 0, item("a@x")?).await?;
    let gone = RosterChange::Remove("a@x".parse()?);
    let all = vec![
        write(&one, 0, "a@x")?,
        RosterWrite { user: two.clone(), ver: 1, change: gone },
        write(&one, 1, "b@x")?,
    ];
    let after = stores.rosters.change_all(all, 9).await?;
    let seen: Vec<_> = after.iter().map(|r| (r.ver, r.items.len())).collect();
    assert_eq!(seen, [(1, 1), (2, 0), (2, 2)], "each as it is after its change");
    assert_eq!(stores.rosters.get(&one).await?.items.len(), 2);
    assert_eq!(stores.rosters.get(&two).await?.ver, 2);
    let keep = RosterWrite { user: two.clone(), ver: 2, change: RosterChange::Keep };
    let kept = stores.rosters.change_all(vec![keep], 9).await?;
    assert_eq!(kept.iter().map(|r| r.ver).collect::<Vec<_>>(), [2]);
    assert_eq!(stores.rosters.change_all(Vec::new(), 9).await?, []);
    Ok(())
}

async fn of_several_rosters_all_are_changed_or_none(stores: &Stores) -> Case {
    let (one, two) = (owner(stores, "one@none.x").await?, owner(stores, "two@none.x").await?);
    let nobody = user("nobody@none.x")?;
    put(stores, &two, 0, item("a@x")?).await?;
    let conflict = StoreError::Conflict { now: 1 };
    let no_account = StoreError::NoAccount(nobody.as_str().to_owned());
    let cases = [
        (write(&two, 0, "b@x")?, conflict.clone()),
        (write(&two, 1, "b@x")?, StoreError::Full { limit: 1 }),
        (write(&one, 0, "b@x")?, StoreError::Conflict { now: 1 }),
        (write(&nobody, 0, "b@x")?, no_account),
        (RosterWrite { user: two.clone(), ver: 2, change: RosterChange::Keep }, conflict.clone()),
    ];
    for (bad, error) in cases {
        let all = vec![write(&one, 0, "a@x")?, bad.clone()];
        assert_eq!(stores.rosters.change_all(all, 1).await, Err(error.clone()));
        // whether a cache has it or not
        for _ in 0..2 {
            assert_eq!(*stores.rosters.get(&one).await?, Roster::default(), "{error}");
            assert_eq!(stores.rosters.get(&two).await?.ver, 1, "{error}");
        }
    }
    assert_eq!(*stores.rosters.get(&nobody).await?, Roster::default());
    Ok(())
}

async fn what_many_change_in_two_rosters_is_the_same_in_both(stores: &Stores) -> Case {
    let (one, two) = (owner(stores, "one@both.x").await?, owner(stores, "two@both.x").await?);
    let writer = |who: u32| {
        let (one, two) = (&one, &two);
        let writing: crate::BoxFuture<'_, Case> = Box::pin(async move {
            // in either order
            let [one, two] = if who.is_multiple_of(2) { [one, two] } else { [two, one] };
            for n in 0..20 {
                loop {
                    let a = stores.rosters.get(one).await?.ver;
                    give_way().await;
                    let b = stores.rosters.get(two).await?.ver;
                    let put = RosterChange::Put(RosterItem {
                        name: format!("{who}-{n}"),
                        ..item("both@x")?
                    });
                    let write = |user: &BareJid, ver| RosterWrite {
                        user: user.clone(),
                        ver,
                        change: put.clone(),
                    };
                    match stores.rosters.change_all(vec![write(one, a), write(two, b)], 9).await {
                        Ok(_) => break,
                        Err(StoreError::Conflict { .. }) => give_way().await,
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Ok(())
        });
        writing
    };
    all((0..3).map(writer)).await.into_iter().collect::<Result<Vec<()>, _>>()?;
    let (one, two) = (stores.rosters.get(&one).await?, stores.rosters.get(&two).await?);
    assert_eq!((one.ver, &one.items), (60, &two.items));
    Ok(())
}
