//! vCards, private XML, blocklists, last activity, and what removing an account takes with it.

use super::{Case, STRANGE, account, all, cases, full};
use crate::{
    Account, AccountStore, Activity, ActivityStore, Blocklist, BlocklistStore, BoxFuture,
    OfflineLimits, OfflineStore, PrivateStore, RosterChange, RosterItem, RosterStore, StoreError,
    Stores, VcardStore,
};
use std::sync::Arc;
use xmpp::{
    jid::{BareJid, Jid},
    stanza::{Kind, Stanza, Type},
};

pub(super) async fn suite(stores: &Stores) {
    cases!(stores,
        a_vcard_is_kept_and_replaced
        private_elements_are_kept_by_namespace_and_name
        private_elements_are_set_all_or_none
        private_elements_are_limited
        blocked_addresses_are_added_and_removed
        blocked_addresses_are_limited
        what_many_block_at_once_is_all_there
        last_activity_is_kept_and_replaced
        a_removed_user_leaves_nothing
        an_account_whose_roster_was_changed_is_not_removed
        nothing_is_written_for_an_account_that_is_gone
    );
}

async fn vcard(stores: &Stores, user: &BareJid) -> Result<Option<Arc<str>>, StoreError> {
    VcardStore::get(&*stores.vcards, user).await
}

async fn a_vcard_is_kept_and_replaced(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@vcard.x").await?, account(stores, "other@vcard.x").await?);
    assert_eq!(vcard(stores, &one).await?, None);
    let large = format!("<vCard xmlns='vcard-temp'>{}</vCard>", "é'\"".repeat(200_000));
    VcardStore::set(&*stores.vcards, &one, large.clone()).await?;
    VcardStore::set(&*stores.vcards, &other, STRANGE.to_owned()).await?;
    assert_eq!(vcard(stores, &one).await?.as_deref(), Some(&*large));
    assert_eq!(vcard(stores, &other).await?.as_deref(), Some(STRANGE));
    VcardStore::set(&*stores.vcards, &one, String::new()).await?;
    assert_eq!(vcard(stores, &one).await?.as_deref(), Some(""));
    assert_eq!(vcard(stores, &other).await?.as_deref(), Some(STRANGE));
    Ok(())
}

fn element(ns: &str, name: &str, xml: &str) -> (String, String, String) {
    (ns.to_owned(), name.to_owned(), xml.to_owned())
}

async fn private(stores: &Stores, user: &BareJid, ns: &str, name: &str) -> Option<String> {
    PrivateStore::get(&*stores.private, user, ns, name).await.ok().flatten()
}

async fn private_elements_are_kept_by_namespace_and_name(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@private.x").await?, account(stores, "other@private.x").await?);
    let large = "é'\"".repeat(100_000);
    let elements = vec![
        element("urn:a", "b", "1"),
        element("urn:a", "B", "2"),
        element("urn:", "ab", &large),
        element(STRANGE, "é", STRANGE),
        element("urn:a", "b", "the last one counts"),
    ];
    PrivateStore::set(&*stores.private, &one, elements, 9).await?;
    let kept = private(stores, &one, "urn:a", "b").await;
    assert_eq!(kept.as_deref(), Some("the last one counts"));
    assert_eq!(private(stores, &one, "urn:a", "B").await.as_deref(), Some("2"));
    assert_eq!(private(stores, &one, "urn:", "ab").await, Some(large));
    assert_eq!(private(stores, &one, STRANGE, "é").await.as_deref(), Some(STRANGE));
    assert_eq!(private(stores, &one, "urn:ab", "").await, None);
    assert_eq!(private(stores, &other, "urn:a", "b").await, None);
    Ok(())
}

async fn private_elements_are_set_all_or_none(stores: &Stores) -> Case {
    let one = account(stores, "one@atomic.x").await?;
    PrivateStore::set(&*stores.private, &one, vec![element("a", "1", "old")], 2).await?;
    let more = vec![element("a", "1", "new"), element("a", "2", "new"), element("a", "3", "new")];
    assert_eq!(PrivateStore::set(&*stores.private, &one, more, 2).await, full(2));
    assert_eq!(private(stores, &one, "a", "1").await.as_deref(), Some("old"));
    assert_eq!(private(stores, &one, "a", "2").await, None);
    Ok(())
}

async fn private_elements_are_limited(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@plimit.x").await?, account(stores, "other@plimit.x").await?);
    let two = vec![element("a", "1", "x"), element("a", "2", "x")];
    PrivateStore::set(&*stores.private, &one, two.clone(), 2).await?;
    let third = vec![element("a", "3", "x")];
    assert_eq!(PrivateStore::set(&*stores.private, &one, third.clone(), 2).await, full(2));
    PrivateStore::set(&*stores.private, &other, third, 2).await?;
    // replacing goes on, also when the limit was lowered
    PrivateStore::set(&*stores.private, &one, two, 1).await?;
    Ok(())
}

fn jids(texts: &[&str]) -> Result<Vec<Jid>, xmpp::jid::JidError> {
    texts.iter().map(|text| text.parse()).collect()
}

async fn blocked(stores: &Stores, user: &BareJid) -> Result<Vec<String>, StoreError> {
    let list = BlocklistStore::get(&*stores.blocklists, user).await?;
    Ok(list.iter().map(ToString::to_string).collect())
}

async fn blocked_addresses_are_added_and_removed(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@block.x").await?, account(stores, "other@block.x").await?);
    assert_eq!(blocked(stores, &one).await?, [""; 0]);
    let some = jids(&["c@x/R 'é\"%", "a@x", "b.x", "a@x"])?;
    let list = stores.blocklists.add(&one, some.clone(), 9).await?;
    assert_eq!(*list, some.iter().cloned().collect::<Blocklist>());
    stores.blocklists.add(&one, jids(&["a@x"])?, 9).await?;
    stores.blocklists.add(&other, jids(&["a@x"])?, 9).await?;
    assert_eq!(blocked(stores, &one).await?, ["a@x", "b.x", "c@x/R 'é\"%"]);
    let list = stores.blocklists.remove(&one, jids(&["a@x", "nobody@x"])?).await?;
    assert_eq!(list.len(), 2);
    assert_eq!(blocked(stores, &one).await?, ["b.x", "c@x/R 'é\"%"]);
    assert!(stores.blocklists.remove(&one, Vec::new()).await?.is_empty());
    assert_eq!(blocked(stores, &one).await?, [""; 0]);
    assert_eq!(blocked(stores, &other).await?, ["a@x"]);
    Ok(())
}

async fn blocked_addresses_are_limited(stores: &Stores) -> Case {
    let one = account(stores, "one@blimit.x").await?;
    stores.blocklists.add(&one, jids(&["a@x"])?, 2).await?;
    assert_eq!(stores.blocklists.add(&one, jids(&["b@x", "c@x"])?, 2).await, full(2));
    assert_eq!(blocked(stores, &one).await?, ["a@x"]);
    assert_eq!(stores.blocklists.add(&one, jids(&["a@x", "b@x"])?, 2).await?.len(), 2);
    assert_eq!(stores.blocklists.add(&one, jids(&["b@x"])?, 1).await?.len(), 2);
    Ok(())
}

async fn what_many_block_at_once_is_all_there(stores: &Stores) -> Case {
    let one = account(stores, "one@brace.x").await?;
    let adding = (0..32).map(|n| {
        let one = &one;
        let adding: BoxFuture<'_, Case> = Box::pin(async move {
            stores.blocklists.add(one, jids(&[&format!("{n}@x")])?, 100).await?;
            assert!(blocked(stores, one).await?.contains(&format!("{n}@x")));
            Ok(())
        });
        adding
    });
    all(adding).await.into_iter().collect::<Result<Vec<()>, _>>()?;
    assert_eq!(blocked(stores, &one).await?.len(), 32);
    Ok(())
}

async fn last_activity_is_kept_and_replaced(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@last.x").await?, account(stores, "other@last.x").await?);
    let get = async |user: &BareJid| ActivityStore::get(&*stores.activity, user).await;
    assert_eq!(get(&one).await?, None);
    let first = Activity { at: 1_700_000_000_000, status: STRANGE.to_owned() };
    let then = Activity { at: 1_700_000_000_001, status: String::new() };
    ActivityStore::set(&*stores.activity, vec![(one.clone(), first.clone())]).await?;
    ActivityStore::set(&*stores.activity, vec![(other.clone(), first.clone())]).await?;
    assert_eq!(get(&one).await?, Some(first.clone()));
    ActivityStore::set(&*stores.activity, vec![(one.clone(), then.clone())]).await?;
    assert_eq!(get(&one).await?, Some(then));
    assert_eq!(get(&other).await?, Some(first));
    Ok(())
}

async fn fill(stores: &Stores, user: &BareJid) -> Case {
    let stanza = Stanza::new(Kind::Message, Type::Chat);
    stores.offline.push(user, 1_000_000, stanza, OfflineLimits::messages(9)).await?;
    VcardStore::set(&*stores.vcards, user, "x".to_owned()).await?;
    PrivateStore::set(&*stores.private, user, vec![element("a", "b", "x")], 9).await?;
    stores.blocklists.add(user, jids(&["a@x"])?, 9).await?;
    let activity = Activity { at: 1, status: String::new() };
    ActivityStore::set(&*stores.activity, vec![(user.clone(), activity)]).await?;
    Ok(())
}

async fn a_removed_user_leaves_nothing(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@gone.x").await?, account(stores, "other@gone.x").await?);
    for user in [&one, &other] {
        let put = RosterChange::Put(RosterItem::new("a@x".parse()?));
        stores.rosters.change(user, 0, put, 9).await?;
        fill(stores, user).await?;
    }
    assert!(stores.accounts.remove(&one, 1).await?);
    assert!(!stores.accounts.remove(&one, 1).await?);
    assert!(has_nothing(stores, &one).await?);
    assert!(!has_nothing(stores, &other).await?);
    assert!(stores.accounts.remove(&other, 1).await?);
    Ok(())
}

async fn an_account_whose_roster_was_changed_is_not_removed(stores: &Stores) -> Case {
    let one = account(stores, "one@stays.x").await?;
    let put = RosterChange::Put(RosterItem::new("a@x".parse()?));
    stores.rosters.change(&one, 0, put, 9).await?;
    fill(stores, &one).await?;
    for ver in [0, 2] {
        let conflict = Err(StoreError::Conflict { now: 1 });
        assert_eq!(stores.accounts.remove(&one, ver).await, conflict);
    }
    assert!(AccountStore::get(&*stores.accounts, &one).await?.is_some());
    assert_eq!(stores.rosters.get(&one).await?.items.len(), 1);
    assert_eq!(stores.offline.count(&one).await?, 1);
    assert!(stores.accounts.remove(&one, 1).await?);
    assert!(has_nothing(stores, &one).await?);
    Ok(())
}

/// What was on its way into a store when the account was removed.
async fn nothing_is_written_for_an_account_that_is_gone(stores: &Stores) -> Case {
    let one = account(stores, "one@new.x").await?;
    let other = account(stores, "other@new.x").await?;
    fill(stores, &other).await?;
    assert!(stores.accounts.remove(&one, 0).await?);
    let none = || Err(StoreError::NoAccount(one.as_str().to_owned()));
    let stanza = Stanza::new(Kind::Message, Type::Chat);
    let limits = OfflineLimits::messages(9);
    assert_eq!(stores.offline.push(&one, 1_000_000, stanza, limits).await, none().map(|()| 0));
    assert_eq!(VcardStore::set(&*stores.vcards, &one, "x".to_owned()).await, none());
    let elements = vec![element("a", "b", "x")];
    assert_eq!(PrivateStore::set(&*stores.private, &one, elements, 9).await, none());
    let blocked = stores.blocklists.add(&one, jids(&["a@x"])?, 9).await;
    assert_eq!(blocked.map(drop), none());
    // whoever else is written at once is written
    let activity = Activity { at: 2, status: String::new() };
    let both = [&one, &other].map(|user| (user.clone(), activity.clone()));
    ActivityStore::set(&*stores.activity, both.into()).await?;
    let written = ActivityStore::get(&*stores.activity, &other).await?;
    assert_eq!(written.as_ref(), Some(&activity));
    assert!(has_nothing(stores, &one).await?);

    let both = vec![(other.clone(), Account::default()), (one.clone(), Account::default())];
    assert_eq!(stores.accounts.create(both).await?, 1);
    assert!(stores.accounts.get(&one).await?.is_some());
    assert!(is_bare(stores, &one).await?);
    assert!(!is_bare(stores, &other).await?, "who exists already keeps everything");
    Ok(())
}

async fn has_nothing(stores: &Stores, user: &BareJid) -> Result<bool, StoreError> {
    let gone = AccountStore::get(&*stores.accounts, user).await?.is_none();
    Ok(gone && is_bare(stores, user).await?)
}

async fn is_bare(stores: &Stores, user: &BareJid) -> Result<bool, StoreError> {
    let rest = [
        RosterStore::get(&*stores.rosters, user).await?.ver > 0,
        stores.offline.count(user).await? > 0,
        !OfflineStore::page(&*stores.offline, user, 0, 9, usize::MAX).await?.is_empty(),
        vcard(stores, user).await?.is_some(),
        private(stores, user, "a", "b").await.is_some(),
        !BlocklistStore::get(&*stores.blocklists, user).await?.is_empty(),
        ActivityStore::get(&*stores.activity, user).await?.is_some(),
    ];
    Ok(rest == [false; 7])
}
