//! Accounts.

use super::{Case, all, cases, user};
use crate::{Account, Origin, Stores};
use std::sync::Arc;
use xmpp::{
    jid::BareJid,
    sasl::{Hash, ScramKeys},
};

pub(super) async fn suite(stores: &Stores) {
    cases!(stores,
        an_empty_store_says_so
        an_account_comes_back_as_it_was_created
        an_account_that_exists_is_left_as_it_is
        of_many_that_create_the_same_account_one_does
        ten_thousand_are_created_at_once
        keys_are_replaced_as_a_whole
        a_removed_account_is_gone_and_can_be_created_again
        an_account_of_another_application_is_taken_over_and_not_mixed_up_with_the_next
        a_list_is_in_pages_in_order_and_of_one_host
    );
}

fn keys(seed: u8) -> Vec<ScramKeys> {
    let key = |hash, n: u8| ScramKeys {
        hash,
        salt: vec![seed, n, 0, 255, b'\''],
        iterations: 4096 + u32::from(seed),
        stored_key: vec![seed; 64],
        server_key: vec![n; 64],
    };
    vec![key(Hash::Sha256, 1), key(Hash::Sha512, 2), key(Hash::Sha1, 3)]
}

fn account(seed: u8) -> Account {
    let created = 1_700_000_000_000 + u64::from(seed);
    Account { keys: keys(seed), created, disabled: seed == 9, origin: None }
}

async fn get(stores: &Stores, user: &BareJid) -> Result<Option<Account>, crate::StoreError> {
    Ok(stores.accounts.get(user).await?.map(|account| Account::clone(&account)))
}

async fn an_empty_store_says_so(stores: &Stores) -> Case {
    assert!(stores.accounts.is_empty().await?);
    assert_eq!(stores.accounts.list("host.one", None, 10).await?, []);
    Ok(())
}

async fn an_account_comes_back_as_it_was_created(stores: &Stores) -> Case {
    let (plain, other) = (user("plain@created.x")?, user("jürgen_%@bücher.x")?);
    // that it is not there may be remembered, but not for longer than it is so
    assert_eq!(get(stores, &plain).await?, None);
    let bare = Account { keys: Vec::new(), ..account(9) };
    let new = vec![(plain.clone(), account(1)), (other.clone(), bare.clone())];
    assert_eq!(stores.accounts.create(new).await?, 2);
    assert_eq!(get(stores, &plain).await?, Some(account(1)));
    assert_eq!(get(stores, &other).await?, Some(bare));
    assert_eq!(get(stores, &user("plain@created.y")?).await?, None);
    assert!(!stores.accounts.is_empty().await?);
    assert_eq!(stores.accounts.create(Vec::new()).await?, 0);
    Ok(())
}

async fn an_account_that_exists_is_left_as_it_is(stores: &Stores) -> Case {
    let (old, new) = (user("old@exists.x")?, user("new@exists.x")?);
    stores.accounts.create(vec![(old.clone(), account(1))]).await?;
    let more =
        vec![(old.clone(), account(2)), (new.clone(), account(3)), (new.clone(), account(4))];
    assert_eq!(stores.accounts.create(more).await?, 1);
    assert_eq!(get(stores, &old).await?, Some(account(1)));
    assert_eq!(get(stores, &new).await?, Some(account(3)));
    Ok(())
}

async fn of_many_that_create_the_same_account_one_does(stores: &Stores) -> Case {
    let one = user("one@race.x")?;
    let tries = (0..64).map(|n| stores.accounts.create(vec![(one.clone(), account(n))]));
    let created: Vec<usize> = all(tries).await.into_iter().collect::<Result<_, _>>()?;
    assert_eq!(created.iter().sum::<usize>(), 1);
    let winner = created.iter().position(|n| *n == 1).and_then(|n| u8::try_from(n).ok());
    assert_eq!(get(stores, &one).await?, winner.map(account));
    Ok(())
}

async fn ten_thousand_are_created_at_once(stores: &Stores) -> Case {
    let mut new = Vec::new();
    for n in 0..10_000 {
        new.push((user(&format!("u{n:05}@many.x"))?, Account::default()));
    }
    let last = new.last().cloned();
    assert_eq!(stores.accounts.create(new).await?, 10_000);
    let page = stores.accounts.list("many.x", None, 20_000).await?;
    assert_eq!((page.len(), page.last()), (10_000, last.as_ref().map(|(user, _)| user)));
    Ok(())
}

async fn keys_are_replaced_as_a_whole(stores: &Stores) -> Case {
    let (one, other) = (user("one@keys.x")?, user("other@keys.x")?);
    stores.accounts.create(vec![(one.clone(), account(1)), (other.clone(), account(2))]).await?;
    // so that a cache has it
    assert_eq!(get(stores, &one).await?, Some(account(1)));
    let new: Vec<ScramKeys> = keys(7).into_iter().take(1).collect();
    assert!(stores.accounts.set_keys(&one, new.clone()).await?);
    assert_eq!(get(stores, &one).await?, Some(Account { keys: new, ..account(1) }));
    assert_eq!(get(stores, &other).await?, Some(account(2)));
    let nobody = user("nobody@keys.x")?;
    assert!(!stores.accounts.set_keys(&nobody, keys(3)).await?);
    assert_eq!(get(stores, &nobody).await?, None);
    Ok(())
}

async fn a_removed_account_is_gone_and_can_be_created_again(stores: &Stores) -> Case {
    let one = user("one@removed.x")?;
    assert!(!stores.accounts.remove(&one, 0).await?);
    stores.accounts.create(vec![(one.clone(), account(1))]).await?;
    assert_eq!(get(stores, &one).await?, Some(account(1)));
    assert!(stores.accounts.remove(&one, 0).await?);
    assert_eq!(get(stores, &one).await?, None);
    assert!(!stores.accounts.remove(&one, 0).await?);
    assert_eq!(stores.accounts.list("removed.x", None, 9).await?, []);
    let again = Account { keys: Vec::new(), ..account(2) };
    assert_eq!(stores.accounts.create(vec![(one.clone(), again.clone())]).await?, 1);
    assert_eq!(stores.accounts.get(&one).await?, Some(Arc::new(again)));
    Ok(())
}

/// An account that is `id` there.
fn foreign(id: &str, seed: u8) -> Account {
    let (id, fingerprint) = (id.to_owned(), format!("f{seed}"));
    Account { origin: Some(Origin { id, fingerprint, gone: seed == 7 }), ..account(seed) }
}

async fn an_account_of_another_application_is_taken_over_and_not_mixed_up_with_the_next(
    stores: &Stores,
) -> Case {
    let (one, own) = (user("one@foreign.x")?, user("own@foreign.x")?);
    let kept = async || get(stores, &one).await;
    assert_eq!(kept().await?, None);
    assert!(stores.accounts.adopt(&one, foreign("a", 1)).await?);
    assert_eq!(kept().await?, Some(foreign("a", 1)));
    stores.vcards.set(&one, "<vCard xmlns='vcard-temp'/>".to_owned()).await?;
    // as it is there now; it is the account that it was
    assert!(stores.accounts.adopt(&one, foreign("a", 9)).await?);
    let created = account(1).created;
    assert_eq!(kept().await?, Some(Account { created, ..foreign("a", 9) }));
    let bare = Account { keys: Vec::new(), ..foreign("a", 7) };
    assert!(stores.accounts.adopt(&one, bare.clone()).await?);
    assert_eq!(kept().await?, Some(Account { created, ..bare.clone() }));
    assert!(!stores.accounts.adopt(&one, foreign("b", 2)).await?);
    assert_eq!(kept().await?, Some(Account { created, ..bare }));
    assert!(stores.vcards.get(&one).await?.is_some());
    // what was kept of the other one's goes with it
    assert!(stores.accounts.remove(&one, 0).await?);
    assert!(stores.accounts.adopt(&one, foreign("b", 2)).await?);
    assert_eq!(kept().await?, Some(foreign("b", 2)));
    assert_eq!(stores.vcards.get(&one).await?, None);
    // one of this server's becomes one of theirs, with what it has
    stores.accounts.create(vec![(own.clone(), account(3))]).await?;
    stores.vcards.set(&own, "<vCard xmlns='vcard-temp'/>".to_owned()).await?;
    assert!(stores.accounts.adopt(&own, foreign("c", 4)).await?);
    let created = account(3).created;
    assert_eq!(get(stores, &own).await?, Some(Account { created, ..foreign("c", 4) }));
    assert!(stores.vcards.get(&own).await?.is_some());
    // keys alone
    assert!(stores.accounts.set_keys(&own, keys(5)).await?);
    let keys = keys(5);
    assert_eq!(get(stores, &own).await?, Some(Account { created, keys, ..foreign("c", 4) }));
    let marks: Vec<u64> = [foreign("a", 1), foreign("a", 2), foreign("b", 1), account(1)]
        .iter()
        .map(Account::mark)
        .collect();
    for (n, mark) in marks.iter().enumerate() {
        assert!(!marks.iter().skip(n + 1).any(|other| other == mark), "{marks:?}");
    }
    Ok(())
}

async fn a_list_is_in_pages_in_order_and_of_one_host(stores: &Stores) -> Case {
    let names = ["b", "a", "a.b", "a_b", "ab", "z", "é", "中", "a%"];
    let mut new = Vec::new();
    for name in names {
        new.push((user(&format!("{name}@list.x"))?, Account::default()));
        new.push((user(&format!("{name}@list.x.y"))?, Account::default()));
    }
    stores.accounts.create(new).await?;
    let mut expected: Vec<String> = names.iter().map(|name| format!("{name}@list.x")).collect();
    expected.sort();
    let mut found: Vec<BareJid> = Vec::new();
    loop {
        let page = stores.accounts.list("list.x", found.last(), 4).await?;
        assert!(page.len() <= 4);
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found.iter().map(BareJid::as_str).collect::<Vec<_>>(), expected);
    assert_eq!(stores.accounts.list("list.x", None, 0).await?, []);
    assert_eq!(stores.accounts.list("list", None, 9).await?, []);
    // an address that is not there is as good a place to go on from
    let between = user("aa@list.x")?;
    let rest = stores.accounts.list("list.x", Some(&between), 1).await?;
    assert_eq!(rest.first().map(BareJid::as_str), Some("ab@list.x"));
    Ok(())
}
