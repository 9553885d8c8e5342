//! vCards, private XML, blocklists, last activity, and what removing an account takes with it.

use super::{Case, STRANGE, all, cases, full, user};
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
        a_vcard_is_kept_replaced_and_purged
        private_elements_are_kept_by_namespace_and_name
        private_elements_are_set_all_or_none
        private_elements_are_limited
        blocked_addresses_are_added_and_removed
        blocked_addresses_are_limited
        what_many_block_at_once_is_all_there
        last_activity_is_kept_replaced_and_purged
        a_removed_user_leaves_nothing
    );
}

async fn vcard(stores: &Stores, user: &BareJid) -> Result<Option<Arc<str>>, StoreError> {
    VcardStore::get(&*stores.vcards, user).await
}

async fn a_vcard_is_kept_replaced_and_purged(stores: &Stores) -> Case {
    let (one, other) = (user("one@vcard.x")?, user("other@vcard.x")?);
    assert_eq!(vcard(stores, &one).await?, None);
    let large = format!("<vCard xmlns='vcard-temp'>{}</vCard>", "é'\"".repeat(200_000));
    VcardStore::set(&*stores.vcards, &one, large.clone()).await?;
    VcardStore::set(&*stores.vcards, &other, STRANGE.to_owned()).await?;
    assert_eq!(vcard(stores, &one).await?.as_deref(), Some(&*large));
    assert_eq!(vcard(stores, &other).await?.as_deref(), Some(STRANGE));
    VcardStore::set(&*stores.vcards, &one, String::new()).await?;
    assert_eq!(vcard(stores, &one).await?.as_deref(), Some(""));
    VcardStore::purge(&*stores.vcards, &one).await?;
    VcardStore::purge(&*stores.vcards, &one).await?;
    assert_eq!(vcard(stores, &one).await?, None);
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
    let (one, other) = (user("one@private.x")?, user("other@private.x")?);
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
    PrivateStore::purge(&*stores.private, &one).await?;
    assert_eq!(private(stores, &one, "urn:a", "b").await, None);
    Ok(())
}

async fn private_elements_are_set_all_or_none(stores: &Stores) -> Case {
    let one = user("one@atomic.x")?;
    PrivateStore::set(&*stores.private, &one, vec![element("a", "1", "old")], 2).await?;
    let more = vec![element("a", "1", "new"), element("a", "2", "new"), element("a", "3", "new")];
    assert_eq!(PrivateStore::set(&*stores.private, &one, more, 2).await, full(2));
    assert_eq!(private(stores, &one, "a", "1").await.as_deref(), Some("old"));
    assert_eq!(private(stores, &one, "a", "2").await, None);
    Ok(())
}

async fn private_elements_are_limited(stores: &Stores) -> Case {
    let (one, other) = (user("one@plimit.x")?, user("other@plimit.x")?);
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
    let (one, other) = (user("one@block.x")?, user("other@block.x")?);
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
    BlocklistStore::purge(&*stores.blocklists, &other).await?;
    assert_eq!(blocked(stores, &other).await?, [""; 0]);
    Ok(())
}

async fn blocked_addresses_are_limited(stores: &Stores) -> Case {
    let one = user("one@blimit.x")?;
    stores.blocklists.add(&one, jids(&["a@x"])?, 2).await?;
    assert_eq!(stores.blocklists.add(&one, jids(&["b@x", "c@x"])?, 2).await, full(2));
    assert_eq!(blocked(stores, &one).await?, ["a@x"]);
    assert_eq!(stores.blocklists.add(&one, jids(&["a@x", "b@x"])?, 2).await?.len(), 2);
    assert_eq!(stores.blocklists.add(&one, jids(&["b@x"])?, 1).await?.len(), 2);
    Ok(())
}

async fn what_many_block_at_once_is_all_there(stores: &Stores) -> Case {
    let one = user("one@brace.x")?;
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

async fn last_activity_is_kept_replaced_and_purged(stores: &Stores) -> Case {
    let (one, other) = (user("one@last.x")?, user("other@last.x")?);
    let get = async |user: &BareJid| ActivityStore::get(&*stores.activity, user).await;
    assert_eq!(get(&one).await?, None);
    let first = Activity { at: 1_700_000_000_000, status: STRANGE.to_owned() };
    let then = Activity { at: 1_700_000_000_001, status: String::new() };
    ActivityStore::set(&*stores.activity, vec![(one.clone(), first.clone())]).await?;
    ActivityStore::set(&*stores.activity, vec![(other.clone(), first.clone())]).await?;
    assert_eq!(get(&one).await?, Some(first.clone()));
    ActivityStore::set(&*stores.activity, vec![(one.clone(), then.clone())]).await?;
    assert_eq!(get(&one).await?, Some(then));
    ActivityStore::purge(&*stores.activity, &one).await?;
    assert_eq!((get(&one).await?, get(&other).await?), (None, Some(first)));
    Ok(())
}

async fn a_removed_user_leaves_nothing(stores: &Stores) -> Case {
    let (one, other) = (user("one@gone.x")?, user("other@gone.x")?);
    for user in [&one, &other] {
        stores.accounts.create(vec![(user.clone(), Account::default())]).await?;
        let put = RosterChange::Put(RosterItem::new("a@x".parse()?));
        stores.rosters.change(user, 0, put, 9).await?;
        let stanza = Stanza::new(Kind::Message, Type::Chat);
        stores.offline.push(user, 1_000_000, stanza, OfflineLimits::messages(9)).await?;
        VcardStore::set(&*stores.vcards, user, "x".to_owned()).await?;
        PrivateStore::set(&*stores.private, user, vec![element("a", "b", "x")], 9).await?;
        stores.blocklists.add(user, jids(&["a@x"])?, 9).await?;
        let activity = Activity { at: 1, status: String::new() };
        ActivityStore::set(&*stores.activity, vec![(user.clone(), activity)]).await?;
    }
    assert!(stores.remove(&one).await?);
    assert!(!stores.remove(&one).await?);
    assert!(has_nothing(stores, &one).await?);
    assert!(!has_nothing(stores, &other).await?);
    assert!(stores.remove(&other).await?);
    Ok(())
}

async fn has_nothing(stores: &Stores, user: &BareJid) -> Result<bool, StoreError> {
    let rest = [
        AccountStore::get(&*stores.accounts, user).await?.is_some(),
        RosterStore::get(&*stores.rosters, user).await?.ver > 0,
        stores.offline.count(user).await? > 0,
        !OfflineStore::page(&*stores.offline, user, 0, 9, usize::MAX).await?.is_empty(),
        vcard(stores, user).await?.is_some(),
        private(stores, user, "a", "b").await.is_some(),
        !BlocklistStore::get(&*stores.blocklists, user).await?.is_empty(),
        ActivityStore::get(&*stores.activity, user).await?.is_some(),
    ];
    Ok(rest == [false; 8])
}
