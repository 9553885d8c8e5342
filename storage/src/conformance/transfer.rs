//! All that is kept of a user, as one value.

use super::{Case, account, cases, user};
use crate::{
    Activity, Everything, OfflineLimits, RosterChange, RosterItem, StoredSession, Stores, Struck,
    quarantine::OUT,
};
use xmpp::{
    jid::BareJid,
    stanza::{Kind, Stanza, Type},
};

pub(super) async fn suite(stores: &Stores) {
    cases!(stores,
        a_user_is_given_away_and_taken_over_with_everything
        what_is_taken_over_goes_on_as_before
        taking_over_twice_is_as_once_and_replaces_what_is_there
        users_are_listed_in_pages_of_all_hosts
    );
}

const MANY: OfflineLimits = OfflineLimits::messages(99);

fn message(id: &str) -> Stanza {
    let xml = format!("<message id='{id}' from='b@x/r'><body>{id} &amp; ü</body></message>");
    Stanza::parse(xml.as_bytes()).unwrap_or_else(|| Stanza::new(Kind::Message, Type::Chat))
}

fn ids(all: &Everything) -> Vec<(u64, usize)> {
    all.messages.iter().map(|kept| (kept.message.id, kept.holders.len())).collect()
}

/// A user with something of everything. The numbers of the messages: one that waits, one that a session holds which
/// is kept, one that two hold and one of them has, one in quarantine.
async fn furnished(
    stores: &Stores,
    name: &str,
) -> Result<(BareJid, [u64; 4]), Box<dyn std::error::Error + Send + Sync>> {
    let user = account(stores, name).await?;
    let mut item = RosterItem::new("b@x".parse()?);
    item.groups = vec!["g".to_owned()];
    stores.rosters.change(&user, 0, RosterChange::Put(item), 9).await?;
    let gone = RosterItem::new("gone@x".parse()?);
    stores.rosters.change(&user, 1, RosterChange::Put(gone), 9).await?;
    stores.rosters.change(&user, 2, RosterChange::Remove("gone@x".parse()?), 9).await?;
    let struck = stores.offline.push(&user, 1, message("struck"), MANY).await?;
    let mut last = struck;
    for n in 1..=OUT {
        let outcome = stores.quarantine.strike(&user, "", last, 5, usize::MAX).await?;
        if outcome == Struck::Last {
            let page = stores.offline.page(&user, 0, 9, usize::MAX).await?;
            last = page.last().map_or(last, |message| message.id);
        }
        assert_eq!(n == OUT, matches!(outcome, Struck::Quarantined(_)), "{n}: {outcome:?}");
    }
    let waits = stores.offline.push(&user, 7, message("waits"), MANY).await?;
    stores.quarantine.strike(&user, "", waits, 5, usize::MAX).await?;
    let (own, other) = (format!("{name} 1"), format!("{name} 2"));
    let session = StoredSession {
        key: own.clone(),
        user: user.clone(),
        epoch: 3,
        until: 4,
        handled: 5,
        frozen: vec![0, 255],
    };
    stores.sessions.put(session).await?;
    let held = vec![(8, message("held"))];
    let held = stores.sessions.append(&user, vec![own.clone()], held, MANY, None).await?;
    let both = vec![(9, message("both"))];
    let both = stores.sessions.append(&user, vec![own, other.clone()], both, MANY, None).await?;
    stores.sessions.acknowledge(&user, &other, both.clone()).await?;
    stores.vcards.set(&user, "<vCard xmlns='vcard-temp'/>".to_owned()).await?;
    let private = ["b", "a"].map(|name| ("ns".to_owned(), name.to_owned(), format!("<{name}/>")));
    stores.private.set(&user, private.to_vec(), 9).await?;
    stores.blocklists.add(&user, vec!["c@x".parse()?, "x".parse()?], 9).await?;
    let activity = Activity { at: 6, status: "bye".to_owned() };
    stores.activity.set(vec![(user.clone(), activity)]).await?;
    let first = |ids: Vec<u64>| ids.first().copied().unwrap_or_default();
    Ok((user, [waits, first(held), first(both), last]))
}

async fn a_user_is_given_away_and_taken_over_with_everything(stores: &Stores) -> Case {
    let (user, [waits, held, both, struck]) = furnished(stores, "all@transfer.x").await?;
    let Some(all) = stores.transfer.export(&user).await? else { return Err("nothing".into()) };
    assert_eq!(ids(&all), [(waits, 0), (held, 1), (both, 1)]);
    assert_eq!(all.messages.iter().map(|k| k.delivered).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(all.messages.first().map(|kept| kept.message.strikes), Some(1));
    assert_eq!(all.quarantine.iter().map(|(seen, _)| seen.id).collect::<Vec<_>>(), [struck]);
    assert_eq!((all.roster.ver, all.roster.items.len(), all.roster.removed.len()), (3, 1, 1));
    let names: Vec<_> = all.private.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!((names, all.sessions.len()), (vec!["a", "b"], 1));
    let tally = all.tally();
    assert_eq!((tally.contacts, tally.messages, tally.blocked, tally.vcards), (1, 3, 2, 1));
    stores.accounts.remove(&user, 3).await?;
    assert_eq!(stores.transfer.export(&user).await?, None);
    stores.transfer.import(all.clone()).await?;
    let again = stores.transfer.export(&user).await?;
    assert_eq!(again.as_ref().map(Everything::tally), Some(tally));
    assert_eq!(again, Some(all));
    assert_eq!(stores.transfer.export(&self::user("nobody@transfer.x")?).await?, None);
    Ok(())
}

async fn what_is_taken_over_goes_on_as_before(stores: &Stores) -> Case {
    let (user, [waits, held, both, struck]) = furnished(stores, "on@transfer.x").await?;
    let Some(all) = stores.transfer.export(&user).await? else { return Err("nothing".into()) };
    // what a cache has of before
    assert_eq!(stores.offline.count(&user).await?, 1);
    stores.accounts.remove(&user, 3).await?;
    assert_eq!(stores.offline.count(&user).await?, 0);
    stores.transfer.import(all).await?;
    assert_eq!(stores.offline.count(&user).await?, 1);
    let page = stores.offline.page(&user, 0, 9, usize::MAX).await?;
    assert_eq!(page.iter().map(|m| (m.id, m.at)).collect::<Vec<_>>(), [(waits, 7)]);
    let key = "on@transfer.x 1";
    let page = stores.sessions.held(&user, key, 0, 9, usize::MAX).await?;
    assert_eq!(page.iter().map(|m| m.id).collect::<Vec<_>>(), [held, both]);
    let next = stores.offline.push(&user, 9, message("next"), MANY).await?;
    assert!(next > both && next > struck, "{next} is another's number");
    stores.sessions.expire(&user, key).await?;
    let page = stores.offline.page(&user, 0, 9, usize::MAX).await?;
    assert_eq!(page.iter().map(|m| m.id).collect::<Vec<_>>(), [waits, held, next]);
    let restored = stores.quarantine.restore(struck).await?;
    assert_eq!(restored.map(|(of, new)| (of, new > next)), Some((user.clone(), true)));
    assert_eq!(stores.rosters.get(&user).await?.ver, 3);
    assert_eq!(stores.blocklists.get(&user).await?.len(), 2);
    Ok(())
}

async fn taking_over_twice_is_as_once_and_replaces_what_is_there(stores: &Stores) -> Case {
    let (user, _) = furnished(stores, "twice@transfer.x").await?;
    let Some(all) = stores.transfer.export(&user).await? else { return Err("nothing".into()) };
    stores.offline.push(&user, 9, message("more"), MANY).await?;
    stores.vcards.set(&user, "<vCard xmlns='vcard-temp'><FN/></vCard>".to_owned()).await?;
    for _ in 0..2 {
        stores.transfer.import(all.clone()).await?;
        assert_eq!(stores.transfer.export(&user).await?.as_ref(), Some(&all));
    }
    // of an account that has nothing
    let bare = account(stores, "bare@transfer.x").await?;
    let Some(nothing) = stores.transfer.export(&bare).await? else { return Err("nothing".into()) };
    stores.transfer.import(Everything { user: user.clone(), ..nothing.clone() }).await?;
    let left = stores.transfer.export(&user).await?;
    assert_eq!(left, Some(Everything { user, ..nothing }));
    Ok(())
}

async fn users_are_listed_in_pages_of_all_hosts(stores: &Stores) -> Case {
    let mut made = Vec::new();
    for name in ["b@pages.x", "a@pages.y", "é@pages.x", "a@pages.x"] {
        made.push(account(stores, name).await?);
    }
    made.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    let mut all: Vec<String> = Vec::new();
    loop {
        let after = all.last().map_or("", String::as_str);
        let page = stores.transfer.users(after, 500).await?;
        assert!(page.len() <= 500);
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    assert!(all.is_sorted_by(|a, b| a < b), "in order, and nobody twice");
    let made: Vec<&str> = made.iter().map(BareJid::as_str).collect();
    all.retain(|user| made.contains(&user.as_str()));
    assert_eq!(all, made);
    Ok(())
}
