//! Offline messages.

use super::{Case, account, all, cases, forget, full, give_way, strange};
use crate::{BoxFuture, OfflineLimits, OfflineMessage, StoreError, Stores};
use std::collections::BTreeSet;
use xmpp::{jid::BareJid, stanza::Stanza};

pub(super) async fn suite(stores: &Stores) {
    cases!(stores,
        messages_that_are_too_old_are_forgotten
        a_message_comes_back_as_it_was_kept
        messages_come_in_pages_in_the_order_of_arrival
        a_page_has_a_limit_in_bytes
        messages_are_removed_by_id_and_only_from_their_user
        no_more_than_the_limit_wait
        they_have_a_limit_in_bytes
        no_sender_has_more_than_a_share
        an_id_is_never_used_again
        messages_can_be_put_behind_the_others
        messages_after_one_can_be_put_behind_the_others
        what_many_push_at_once_is_all_there
        many_that_push_at_once_do_not_pass_the_limit
    );
}

fn message(body: &str) -> Result<Stanza, StoreError> {
    let body = body.replace('&', "&amp;").replace('<', "&lt;").replace(']', "&#93;");
    let xml = format!("<message from='a@x/r' to='b@x' type='chat'><body>{body}</body></message>");
    parse(&xml)
}

fn parse(xml: &str) -> Result<Stanza, StoreError> {
    Stanza::parse(xml.as_bytes()).ok_or_else(|| StoreError::Corrupt(format!("a bad test: {xml}")))
}

async fn push(stores: &Stores, user: &BareJid, at: u64, body: &str) -> Case {
    stores.offline.push(user, at, message(body)?, OfflineLimits::messages(1000)).await?;
    Ok(())
}

async fn page(stores: &Stores, user: &BareJid) -> Result<Vec<OfflineMessage>, StoreError> {
    stores.offline.page(user, 0, 1000, usize::MAX).await
}

fn bodies(page: &[OfflineMessage]) -> Vec<String> {
    page.iter().filter_map(|m| m.stanza.text_of("body")).collect()
}

/// First, because what expires is of all users.
async fn messages_that_are_too_old_are_forgotten(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@expire.x").await?, account(stores, "other@expire.x").await?);
    for at in [30, 10, 20] {
        push(stores, &one, at, &at.to_string()).await?;
        push(stores, &other, at + 5, &at.to_string()).await?;
    }
    // so that a cache has them
    assert_eq!((stores.offline.count(&one).await?, stores.offline.count(&other).await?), (3, 3));
    assert_eq!(stores.offline.expire(10, 100).await?, 0);
    assert_eq!(stores.offline.expire(20, 1).await?, 1);
    assert_eq!(bodies(&page(stores, &one).await?), ["30", "20"]);
    assert_eq!(stores.offline.expire(20, 0).await?, 0);
    assert_eq!(stores.offline.expire(25, 100).await?, 2);
    assert_eq!((stores.offline.count(&one).await?, stores.offline.count(&other).await?), (1, 2));
    assert_eq!(bodies(&page(stores, &one).await?), ["30"]);
    assert_eq!(bodies(&page(stores, &other).await?), ["30", "20"]);
    assert_eq!(stores.offline.expire(100, usize::MAX).await?, 3);
    assert_eq!(page(stores, &other).await?, []);
    Ok(())
}

async fn a_message_comes_back_as_it_was_kept(stores: &Stores) -> Case {
    let one = account(stores, "jürgen@kept.x").await?;
    let large = "x🦀".repeat(100_000);
    let kept = [
        message(&strange())?,
        message(&large)?,
        parse("<message id='&apos;1&quot;' xml:lang='de'><body><![CDATA[<&]]></body></message>")?,
        parse(
            "<message p:a='1' xmlns:p='urn:p'><p:x xmlns:p='urn:q'><y xmlns=''/></p:x></message>",
        )?,
        parse("<message type='normal'/>")?,
        Stanza::new(xmpp::stanza::Kind::Message, xmpp::stanza::Type::Headline)
            .append("<a xmlns='urn:a'/>")
            .with_id("x"),
    ];
    for (at, stanza) in (1_700_000_000_000..).zip(&kept) {
        stores.offline.push(&one, at, stanza.clone(), OfflineLimits::messages(100)).await?;
    }
    let page = page(stores, &one).await?;
    assert_eq!(page.len(), kept.len());
    for ((at, stanza), message) in (1_700_000_000_000..).zip(&kept).zip(page) {
        assert_eq!((message.at, message.stanza.to_xml()), (at, stanza.to_xml()));
        assert_eq!(message.stanza.head.children, stanza.head.children);
    }
    Ok(())
}

async fn messages_come_in_pages_in_the_order_of_arrival(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@pages.x").await?, account(stores, "other@pages.x").await?);
    assert_eq!((page(stores, &one).await?.len(), stores.offline.count(&one).await?), (0, 0));
    for n in 0..10_u64 {
        // the order is that of arrival, whatever the clock says
        push(stores, &one, 1_000_000 - n, &n.to_string()).await?;
        push(stores, &other, 1_000_000, "other").await?;
    }
    let mut found: Vec<OfflineMessage> = Vec::new();
    loop {
        let after = found.last().map_or(0, |m| m.id);
        let page = stores.offline.page(&one, after, 4, usize::MAX).await?;
        assert!(page.len() <= 4);
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(bodies(&found), expected);
    assert!(found.is_sorted_by(|a, b| a.id < b.id));
    assert_eq!(stores.offline.page(&one, 0, 0, usize::MAX).await?, []);
    assert_eq!(stores.offline.page(&one, u64::MAX, 9, usize::MAX).await?, []);
    assert_eq!(stores.offline.count(&one).await?, 10);
    Ok(())
}

async fn a_page_has_a_limit_in_bytes(stores: &Stores) -> Case {
    let one = account(stores, "one@heavy.x").await?;
    let large = "x".repeat(10_000);
    for body in ["a", "b", &large, "c", &large] {
        push(stores, &one, 1_000_000, body).await?;
    }
    let (mut pages, mut after) = (Vec::new(), 0);
    loop {
        let page = stores.offline.page(&one, after, 100, 5_000).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        pages.push(page.len());
    }
    assert_eq!(pages, [2, 1, 1, 1], "one that is larger comes alone");
    Ok(())
}

async fn messages_are_removed_by_id_and_only_from_their_user(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@removed.x").await?, account(stores, "other@removed.x").await?);
    for body in ["a", "b", "c"] {
        push(stores, &one, 1_000_000, body).await?;
        push(stores, &other, 1_000_000, body).await?;
    }
    assert_eq!(stores.offline.count(&one).await?, 3);
    let ids: Vec<u64> = page(stores, &one).await?.iter().map(|m| m.id).collect();
    stores.offline.remove(&other, ids.clone()).await?;
    assert_eq!((stores.offline.count(&one).await?, stores.offline.count(&other).await?), (3, 3));
    let mut gone: Vec<u64> = ids.into_iter().take(2).collect();
    gone.extend([u64::MAX, 0]);
    stores.offline.remove(&one, gone.clone()).await?;
    assert_eq!(bodies(&page(stores, &one).await?), ["c"]);
    assert_eq!(stores.offline.count(&one).await?, 1);
    stores.offline.remove(&one, gone).await?;
    stores.offline.remove(&one, Vec::new()).await?;
    assert_eq!(stores.offline.count(&one).await?, 1);
    Ok(())
}

async fn no_more_than_the_limit_wait(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@limit.x").await?, account(stores, "other@limit.x").await?);
    for body in ["a", "b"] {
        stores.offline.push(&one, 1_000_000, message(body)?, OfflineLimits::messages(2)).await?;
    }
    assert_eq!(
        stores.offline.push(&one, 1_000_000, message("c")?, OfflineLimits::messages(2)).await,
        full(2)
    );
    assert_eq!(
        stores.offline.push(&one, 1_000_000, message("c")?, OfflineLimits::messages(0)).await,
        full(0)
    );
    stores.offline.push(&other, 1_000_000, message("a")?, OfflineLimits::messages(2)).await?;
    assert_eq!(bodies(&page(stores, &one).await?), ["a", "b"]);
    let first = page(stores, &one).await?.into_iter().take(1).map(|m| m.id).collect();
    stores.offline.remove(&one, first).await?;
    stores.offline.push(&one, 1_000_000, message("d")?, OfflineLimits::messages(2)).await?;
    assert_eq!(bodies(&page(stores, &one).await?), ["b", "d"]);
    Ok(())
}

async fn they_have_a_limit_in_bytes(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@bytes.x").await?, account(stores, "other@bytes.x").await?);
    let large = message(&"x".repeat(10_000))?;
    // what is large may be the start tag as well
    let tag = parse(&format!("<message a='{}'/>", "y".repeat(10_000)))?;
    for large in [large, tag] {
        let bytes = large.weight() * 2 + 100;
        let limits = OfflineLimits { bytes, ..OfflineLimits::messages(100) };
        for _ in 0..2 {
            stores.offline.push(&one, 1_000_000, large.clone(), limits).await?;
        }
        assert_eq!(stores.offline.push(&one, 1_000_000, large.clone(), limits).await, full(bytes));
        assert_eq!(stores.offline.push(&one, 1_000_000, message("x")?, limits).await, full(bytes));
        stores.offline.push(&other, 1_000_000, large.clone(), limits).await?;
        let first = page(stores, &one).await?.into_iter().take(1).map(|m| m.id).collect();
        stores.offline.remove(&one, first).await?;
        stores.offline.push(&one, 1_000_000, message("x")?, limits).await?;
        for of in [&one, &other] {
            forget(stores, of).await?;
        }
    }
    Ok(())
}

/// However many resources they use, and whether it is messages or bytes they fill it with.
async fn no_sender_has_more_than_a_share(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@share.x").await?, account(stores, "other@share.x").await?);
    let from = |from: &str| parse(&format!("<message from='{from}'><body>b</body></message>"));
    let limits = OfflineLimits { share: 50, ..OfflineLimits::messages(4) };
    let push = |to, stanza| stores.offline.push(to, 1_000_000, stanza, limits);
    push(&one, from("a@x/1")?).await?;
    push(&one, from("a@x/2")?).await?;
    for resource in ["a@x/1", "a@x/3", "a@x"] {
        assert_eq!(push(&one, from(resource)?).await, full(2));
    }
    push(&other, from("a@x/1")?).await?;
    push(&one, from("b@x/1")?).await?;
    // what is put behind the others is still theirs
    let ids = page(stores, &one).await?.iter().map(|m| m.id).take(2).collect();
    stores.offline.move_back(&one, ids).await?;
    assert_eq!(push(&one, from("a@x/4")?).await, full(2));
    push(&one, from("b@x/2")?).await?;
    assert_eq!(push(&one, from("c@x/1")?).await, full(4));
    let first = page(stores, &one).await?;
    let first =
        first.iter().find(|m| m.stanza.head.from.as_ref().is_some_and(|f| f.node() == Some("a")));
    stores.offline.remove(&one, first.map(|m| m.id).into_iter().collect()).await?;
    push(&one, from("a@x/5")?).await?;

    let bytes = message(&"x".repeat(10_000))?.weight() * 2 + 100;
    let limits = OfflineLimits { messages: 100, bytes, share: 50 };
    let push = |stanza| stores.offline.push(&other, 1_000_000, stanza, limits);
    forget(stores, &other).await?;
    push(message(&"x".repeat(10_000))?).await?;
    assert_eq!(push(message("a@x")?).await, full(bytes / 2));
    push(from("b@x")?).await?;
    Ok(())
}

async fn an_id_is_never_used_again(stores: &Stores) -> Case {
    let one = account(stores, "one@ids.x").await?;
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        push(stores, &one, 1_000_000, "x").await?;
        let ids: Vec<u64> = page(stores, &one).await?.iter().map(|m| m.id).collect();
        assert!(ids.iter().all(|id| seen.last().is_none_or(|last| last < id)));
        seen.extend(ids.clone());
        stores.offline.remove(&one, ids).await?;
    }
    assert_eq!(seen.len(), 5);
    Ok(())
}

/// Those that came before are held, or were sent.
async fn messages_after_one_can_be_put_behind_the_others(stores: &Stores) -> Case {
    let one = account(stores, "one@after.x").await?;
    let other = account(stores, "other@after.x").await?;
    let mut ids = Vec::new();
    for n in 0..4 {
        let message = message(&n.to_string())?;
        ids.push(stores.offline.push(&one, n, message, OfflineLimits::messages(1000)).await?);
    }
    push(stores, &other, 1_000_000, "x").await?;
    let others = page(stores, &other).await?;
    let held = vec![(9, message("held")?)];
    let limits = OfflineLimits::messages(1000);
    let held = stores.sessions.append(&one, vec!["k".to_owned()], held, limits, None).await?;
    let (first, last) = (ids.first().copied().unwrap_or(0), held.first().copied().unwrap_or(0));
    push(stores, &one, 1_000_000, "new").await?;
    let before = page(stores, &one).await?;
    // none of them is before that
    let (none, all) = (BTreeSet::new(), ids.iter().copied().collect());
    let of_last = ids.last().copied().unwrap_or(0);
    stores.offline.move_back_after(&one, of_last, last, none.clone()).await?;
    assert_eq!(page(stores, &one).await?, before);
    stores.offline.move_back_after(&one, first, last, all).await?;
    assert_eq!(page(stores, &one).await?, before, "what is new stays behind them");
    stores.offline.move_back_after(&one, first, last, none).await?;
    let kept = page(stores, &one).await?;
    assert_eq!(bodies(&kept), ["0", "1", "2", "3", "new"]);
    let moved: Vec<u64> = kept.iter().skip(1).map(|m| m.id).collect();
    assert!(moved.iter().all(|id| *id > last) && moved.is_sorted());
    assert_eq!(kept.iter().map(|m| m.at).take(4).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(page(stores, &other).await?, others);
    stores.sessions.expire(&one, "k").await?;
    assert_eq!(bodies(&page(stores, &one).await?), ["0", "held", "1", "2", "3", "new"]);
    Ok(())
}

async fn messages_can_be_put_behind_the_others(stores: &Stores) -> Case {
    let (one, other) =
        (account(stores, "one@back.x").await?, account(stores, "other@back.x").await?);
    let mut ids = Vec::new();
    for n in 0..4 {
        let message = message(&n.to_string())?;
        ids.push(
            stores
                .offline
                .push(&one, 1_000_000 + n, message, OfflineLimits::messages(1000))
                .await?,
        );
    }
    let kept = page(stores, &one).await?;
    assert_eq!(kept.iter().map(|m| m.id).collect::<Vec<_>>(), ids);
    // the last is not this user's
    push(stores, &other, 1_000_000, "x").await?;
    let others = page(stores, &other).await?;
    let moved = [2, 0].iter().filter_map(|n| ids.get(*n).copied());
    let moved = moved.chain(others.iter().map(|m| m.id)).collect();
    stores.offline.move_back(&one, moved).await?;
    let kept = page(stores, &one).await?;
    assert_eq!(bodies(&kept), ["1", "3", "2", "0"]);
    assert_eq!(kept.last().map(|m| m.at), Some(1_000_000), "when it arrived does not change");
    assert!(kept.is_sorted_by_key(|m| m.id));
    assert_eq!(page(stores, &other).await?, others);
    assert_eq!((stores.offline.count(&one).await?, stores.offline.count(&other).await?), (4, 1));
    Ok(())
}

async fn what_many_push_at_once_is_all_there(stores: &Stores) -> Case {
    let one = account(stores, "one@many.x").await?;
    let pushing = (0..64).map(|task| {
        let one = &one;
        let pushing: BoxFuture<'_, Case> = Box::pin(async move {
            for n in 0..4 {
                give_way().await;
                push(stores, one, 1_000_000, &format!("{task:02}-{n}")).await?;
            }
            Ok(())
        });
        pushing
    });
    all(pushing).await.into_iter().collect::<Result<Vec<()>, _>>()?;
    let page = page(stores, &one).await?;
    assert!(page.is_sorted_by(|a, b| a.id < b.id));
    let bodies = bodies(&page);
    let distinct: BTreeSet<&String> = bodies.iter().collect();
    assert_eq!((distinct.len(), stores.offline.count(&one).await?), (256, 256));
    for task in 0..64 {
        let prefix = format!("{task:02}-");
        let of_task: Vec<&String> = bodies.iter().filter(|b| b.starts_with(&prefix)).collect();
        assert!(of_task.len() == 4 && of_task.is_sorted());
    }
    Ok(())
}

async fn many_that_push_at_once_do_not_pass_the_limit(stores: &Stores) -> Case {
    let one = account(stores, "one@race.x").await?;
    let message = message("x")?;
    let pushing = (0..64).map(|_| {
        stores.offline.push(&one, 1_000_000, message.clone(), OfflineLimits::messages(10))
    });
    let answers = all(pushing).await;
    assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 10);
    assert!(answers.into_iter().all(|a| a.is_ok() || a == full(10)));
    assert_eq!((page(stores, &one).await?.len(), stores.offline.count(&one).await?), (10, 10));
    Ok(())
}
