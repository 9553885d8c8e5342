//! Strikes against messages, and the quarantine.

use super::{
    Case, account, all, cases,
    sessions::{MANY, append, held, message, message_from, room, session, waiting},
};
use crate::{
    BoxFuture, StoreError, Stores,
    quarantine::{LAST, OUT, Quarantined, Struck},
};
use xmpp::jid::BareJid;

pub(super) async fn suite(stores: &Stores) {
    cases!(stores,
        a_message_goes_behind_the_others_and_then_into_quarantine
        strikes_go_with_a_message_wherever_it_is_moved
        a_session_lets_go_of_what_it_is_ended_over
        what_others_hold_stays_where_it_is
        what_is_not_there_has_no_strikes
        as_many_strikes_count_as_there_were_at_once
        the_quarantine_of_a_user_has_a_limit_in_bytes
        the_quarantine_is_listed_in_pages
        a_message_that_is_restored_waits_again_without_a_strike
        a_message_that_is_discarded_is_gone
        removing_an_account_removes_what_is_in_quarantine
    );
}

const AMPLE: usize = usize::MAX;

async fn strike(stores: &Stores, user: &BareJid, id: u64) -> Result<Struck, StoreError> {
    stores.quarantine.strike(user, "", id, 5, AMPLE).await
}

/// The number of the first that waits.
async fn first(stores: &Stores, user: &BareJid) -> Result<u64, StoreError> {
    let page = stores.offline.page(user, 0, 1, usize::MAX).await?;
    Ok(page.first().map_or(0, |m| m.id))
}

/// Strikes against the message with this body until it is in quarantine: its number there.
async fn put_away(stores: &Stores, user: &BareJid, body: &str) -> Result<u64, StoreError> {
    loop {
        let page = stores.offline.page(user, 0, 1000, usize::MAX).await?;
        let found = page.iter().find(|m| m.stanza.text_of("body").as_deref() == Some(body));
        let Some(id) = found.map(|m| m.id) else { return Ok(0) };
        if let Struck::Quarantined(_) = strike(stores, user, id).await? {
            return Ok(id);
        }
    }
}

async fn ids(stores: &Stores, user: &BareJid) -> Result<Vec<u64>, StoreError> {
    let all = stores.quarantine.quarantined(Some(user), 0, 1000).await?;
    Ok(all.iter().map(|kept| kept.id).collect())
}

async fn a_message_goes_behind_the_others_and_then_into_quarantine(stores: &Stores) -> Case {
    let one = account(stores, "one@poison.quarantine.x").await?;
    let before = append(stores, &one, &[], &["p", "a"]).await?;
    let poison = before.first().copied().unwrap_or_default();
    for n in 1..LAST {
        assert_eq!(strike(stores, &one, poison).await?, Struck::Counted(n));
        assert_eq!(waiting(stores, &one).await?, ["p", "a"]);
        assert_eq!(
            stores.offline.page(&one, 0, 1, AMPLE).await?.first().map(|m| m.strikes),
            Some(n)
        );
    }
    assert_eq!(strike(stores, &one, poison).await?, Struck::Last);
    assert_eq!(waiting(stores, &one).await?, ["a", "p"]);
    assert_eq!(strike(stores, &one, poison).await?, Struck::Gone, "it has another number");
    let page = stores.offline.page(&one, 0, 9, AMPLE).await?;
    assert_eq!(page.iter().map(|m| m.strikes).collect::<Vec<_>>(), [0, LAST]);
    let poison = page.last().map(|m| m.id).unwrap_or_default();
    for n in LAST + 1..OUT {
        assert_eq!(strike(stores, &one, poison).await?, Struck::Counted(n));
    }
    let stanza = message("p")?;
    let struck = stores.quarantine.strike(&one, "", poison, 77, AMPLE).await?;
    assert_eq!(struck, Struck::Quarantined(stanza.clone()));
    assert_eq!(waiting(stores, &one).await?, ["a"]);
    assert_eq!(room(stores, &one).await?, 1, "it takes no room where it was");
    let seen = Quarantined {
        id: poison,
        user: one.clone(),
        from: "a@x".parse().ok(),
        at: 1_000_000,
        since: 77,
        bytes: stanza.weight(),
    };
    let listed = stores.quarantine.quarantined(Some(&one), 0, 9).await?;
    let content = stores.quarantine.content(poison).await?;
    assert_eq!((listed, content), (vec![seen.clone()], Some((seen, stanza))));
    assert_eq!(strike(stores, &one, poison).await?, Struck::Gone);
    Ok(())
}

async fn strikes_go_with_a_message_wherever_it_is_moved(stores: &Stores) -> Case {
    let one = account(stores, "one@move.quarantine.x").await?;
    let ids = append(stores, &one, &[], &["p", "a"]).await?;
    strike(stores, &one, *ids.first().unwrap_or(&0)).await?;
    stores.offline.move_back(&one, ids).await?;
    let id = first(stores, &one).await?;
    assert_eq!(strike(stores, &one, id).await?, Struck::Counted(2));
    stores.sessions.hold(&one, "k", vec![id]).await?;
    let kept = stores.sessions.held(&one, "k", 0, 9, AMPLE).await?;
    assert_eq!(kept.iter().map(|m| m.strikes).collect::<Vec<_>>(), [2]);
    stores.sessions.expire(&one, "k").await?;
    assert_eq!(strike(stores, &one, id).await?, Struck::Last);
    Ok(())
}

async fn a_session_lets_go_of_what_it_is_ended_over(stores: &Stores) -> Case {
    let one = account(stores, "one@held.quarantine.x").await?;
    stores.sessions.put(session(&one, "k.quarantine", 1)).await?;
    let ids = append(stores, &one, &["k.quarantine"], &["p", "a"]).await?;
    let id = *ids.first().unwrap_or(&0);
    let struck = stores.quarantine.strike(&one, "k.quarantine", id, 5, AMPLE).await?;
    assert_eq!(struck, Struck::Counted(1));
    assert_eq!(held(stores, &one, "k.quarantine").await?, ["a"]);
    assert_eq!(waiting(stores, &one).await?, ["p"]);
    // in its old place
    stores.sessions.expire(&one, "k.quarantine").await?;
    assert_eq!(waiting(stores, &one).await?, ["p", "a"]);
    Ok(())
}

async fn what_others_hold_stays_where_it_is(stores: &Stores) -> Case {
    let one = account(stores, "one@others.quarantine.x").await?;
    let ids = append(stores, &one, &["k", "l"], &["p"]).await?;
    let id = *ids.first().unwrap_or(&0);
    for n in [1, 2, 2, 2] {
        let struck = stores.quarantine.strike(&one, "k", id, 5, AMPLE).await?;
        assert_eq!(struck, Struck::Counted(n));
    }
    assert_eq!(held(stores, &one, "l").await?, ["p"]);
    // one of them has it
    append(stores, &one, &["k", "l"], &["q"]).await?;
    let kept = stores.sessions.held(&one, "k", 0, 9, AMPLE).await?;
    let other = kept.first().map(|m| m.id).unwrap_or_default();
    stores.sessions.acknowledge(&one, "l", vec![other]).await?;
    assert_eq!(stores.quarantine.strike(&one, "k", other, 5, AMPLE).await?, Struck::Gone);
    stores.sessions.expire(&one, "l").await?;
    assert_eq!(waiting(stores, &one).await?, ["p"]);
    assert_eq!(strike(stores, &one, id).await?, Struck::Last);
    Ok(())
}

async fn what_is_not_there_has_no_strikes(stores: &Stores) -> Case {
    let (one, other) = (
        account(stores, "one@none.quarantine.x").await?,
        account(stores, "other@none.quarantine.x").await?,
    );
    let ids = append(stores, &one, &[], &["p"]).await?;
    let id = *ids.first().unwrap_or(&0);
    assert_eq!(strike(stores, &other, id).await?, Struck::Gone);
    assert_eq!(strike(stores, &one, id).await?, Struck::Counted(1));
    stores.offline.remove(&one, vec![id]).await?;
    assert_eq!(strike(stores, &one, id).await?, Struck::Gone);
    assert_eq!(stores.quarantine.content(id).await?, None);
    assert_eq!(stores.quarantine.restore(id).await?, None);
    Ok(())
}

async fn as_many_strikes_count_as_there_were_at_once(stores: &Stores) -> Case {
    let one = account(stores, "one@once.quarantine.x").await?;
    append(stores, &one, &[], &["p"]).await?;
    let id = first(stores, &one).await?;
    let strikes = (1..LAST).map(|_| stores.quarantine.strike(&one, "", id, 5, AMPLE));
    let mut struck = all(strikes.map(|s| -> BoxFuture<'_, _> { s })).await;
    struck.sort_by_key(|s| format!("{s:?}"));
    assert_eq!(struck, [Ok(Struck::Counted(1)), Ok(Struck::Counted(2))]);
    assert_eq!(strike(stores, &one, id).await?, Struck::Last);
    Ok(())
}

async fn the_quarantine_of_a_user_has_a_limit_in_bytes(stores: &Stores) -> Case {
    let (one, other) = (
        account(stores, "one@full.quarantine.x").await?,
        account(stores, "other@full.quarantine.x").await?,
    );
    let bytes = message("1")?.weight();
    for owner in [&one, &other] {
        append(stores, owner, &[], &["1"]).await?;
        put_away(stores, owner, "1").await?;
    }
    append(stores, &one, &[], &["2", "a"]).await?;
    for round in 0..2 {
        let mut struck = Vec::new();
        for _ in 0..if round == 0 { OUT } else { OUT - LAST } {
            let page = stores.offline.page(&one, 0, 9, AMPLE).await?;
            let found = page.iter().find(|m| m.stanza.text_of("body").as_deref() == Some("2"));
            let id = found.map(|m| m.id).unwrap_or_default();
            struck.push(stores.quarantine.strike(&one, "", id, 5, bytes * 2 - 1).await?);
        }
        assert_eq!(struck.last(), Some(&Struck::Full), "{round}");
        assert_eq!(waiting(stores, &one).await?, ["a", "2"]);
        assert_eq!(ids(stores, &one).await?.len(), 1);
    }
    // with room for it
    let page = stores.offline.page(&one, 0, 9, AMPLE).await?;
    let id = page.last().map(|m| m.id).unwrap_or_default();
    let mut struck = Struck::Gone;
    for _ in LAST..OUT {
        struck = stores.quarantine.strike(&one, "", id, 5, bytes * 2).await?;
    }
    assert_eq!(struck, Struck::Quarantined(message("2")?));
    assert_eq!(ids(stores, &one).await?.len(), 2);
    Ok(())
}

async fn the_quarantine_is_listed_in_pages(stores: &Stores) -> Case {
    let (one, other) = (
        account(stores, "one@list.quarantine.x").await?,
        account(stores, "other@list.quarantine.x").await?,
    );
    let mut expected = Vec::new();
    for (owner, body) in [(&one, "1"), (&other, "2"), (&one, "3")] {
        append(stores, owner, &[], &[body]).await?;
        expected.push(put_away(stores, owner, body).await?);
    }
    let before = expected.first().copied().unwrap_or_default() - 1;
    let listed = async |after, limit| -> Result<Vec<u64>, StoreError> {
        let page = stores.quarantine.quarantined(None, after, limit).await?;
        Ok(page.iter().map(|kept| kept.id).collect())
    };
    assert_eq!(listed(before, 2).await?, expected[..2]);
    assert_eq!(listed(expected[1], 2).await?, expected[2..]);
    assert_eq!(listed(expected[2], 2).await?.len(), 0);
    assert_eq!(ids(stores, &one).await?, [expected[0], expected[2]]);
    let page = stores.quarantine.quarantined(Some(&one), expected[0], 1).await?;
    assert_eq!(page.iter().map(|kept| kept.id).collect::<Vec<_>>(), expected[2..]);
    // who sent nothing that an address can be read from
    let no_one = crate::OfflineLimits { share: 100, ..MANY };
    stores.offline.push(&other, 1, message_from("shop.x", "4")?, no_one).await?;
    put_away(stores, &other, "4").await?;
    let page = stores.quarantine.quarantined(Some(&other), expected[2], 9).await?;
    let from: Vec<_> = page.iter().filter_map(|kept| kept.from.as_ref()).collect();
    assert_eq!(from.iter().map(|from| from.as_str()).collect::<Vec<_>>(), ["shop.x"]);
    Ok(())
}

async fn a_message_that_is_restored_waits_again_without_a_strike(stores: &Stores) -> Case {
    let one = account(stores, "one@release.quarantine.x").await?;
    append(stores, &one, &[], &["p"]).await?;
    let id = put_away(stores, &one, "p").await?;
    // so that a cache has it
    assert_eq!(stores.offline.count(&one).await?, 0);
    append(stores, &one, &[], &["a"]).await?;
    let Some((owner, new)) = stores.quarantine.restore(id).await? else {
        return Err("it is there".into());
    };
    assert_eq!((owner, new > id), (one.clone(), true));
    assert_eq!(waiting(stores, &one).await?, ["a", "p"]);
    let page = stores.offline.page(&one, new - 1, 9, AMPLE).await?;
    let page: Vec<_> = page.iter().map(|m| (m.id, m.at, m.strikes)).collect();
    assert_eq!(page, [(new, 1_000_000, 0)]);
    assert_eq!(stores.quarantine.restore(id).await?, None);
    assert_eq!(ids(stores, &one).await?.len(), 0);
    Ok(())
}

async fn a_message_that_is_discarded_is_gone(stores: &Stores) -> Case {
    let one = account(stores, "one@discard.quarantine.x").await?;
    append(stores, &one, &[], &["p"]).await?;
    let id = put_away(stores, &one, "p").await?;
    assert!(stores.quarantine.discard(id).await?);
    assert!(!stores.quarantine.discard(id).await?);
    assert_eq!((ids(stores, &one).await?.len(), waiting(stores, &one).await?.len()), (0, 0));
    Ok(())
}

async fn removing_an_account_removes_what_is_in_quarantine(stores: &Stores) -> Case {
    let (one, other) = (
        account(stores, "one@remove.quarantine.x").await?,
        account(stores, "other@remove.quarantine.x").await?,
    );
    for owner in [&one, &other] {
        append(stores, owner, &[], &["p", "a"]).await?;
        put_away(stores, owner, "p").await?;
    }
    assert!(stores.accounts.remove(&one, 0).await?);
    assert_eq!((ids(stores, &one).await?.len(), waiting(stores, &one).await?.len()), (0, 0));
    assert_eq!(ids(stores, &other).await?.len(), 1);
    assert_eq!(waiting(stores, &other).await?, ["a"]);
    Ok(())
}
