//! An application that does not always say whether a password is another.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use auth::{Accounts, Entry, ForeignOptions, Found, HashPool, PoolLimits, Secret, Seen, Source};
use std::{sync::Arc, time::Duration};
use storage::{MemoryStore, StoreFuture};
use xmpp::jid::BareJid;

/// What it says with the answer to `exists`, and to `check`.
struct Application([Option<&'static str>; 2]);

impl Application {
    fn entry(&self, of: usize) -> Entry {
        let fingerprint = self.0[of].map(str::to_owned);
        Entry { id: "romeo".to_owned(), disabled: false, secret: Secret::Ask, fingerprint }
    }
}

impl Source for Application {
    fn find<'a>(&'a self, _: &'a BareJid) -> StoreFuture<'a, Found> {
        Box::pin(async { Ok(Found::User(self.entry(0))) })
    }

    fn check<'a>(&'a self, _: &'a BareJid, password: &'a str) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(async move { Ok((password == "pencil").then(|| self.entry(1))) })
    }
}

#[tokio::test]
async fn a_log_on_ends_no_session_unless_the_password_is_said_to_be_another() {
    let user: BareJid = "romeo@example.org".parse().unwrap();
    for (says, revokes) in [
        ([Some("1"), Some("1")], false),
        ([None, Some("1")], false),
        ([Some("1"), None], false),
        ([None, None], false),
        ([Some("2"), Some("1")], true),
    ] {
        let pool = HashPool::new(PoolLimits::default()).unwrap();
        let refuse_after = Duration::ZERO;
        let options = ForeignOptions { scram: true, bearer: false, refuse_after, pool };
        let accounts = Accounts::new(Arc::new(MemoryStore::new()));
        let accounts = accounts.with("example.org", Arc::new(Application(says)), options);
        for n in 0..3 {
            let candidate = accounts.candidate(&user).await.unwrap();
            assert_eq!(candidate.revokes(), revokes && n > 0, "{says:?}, log-on {n}");
            let seen = accounts.seen(&user, candidate.entry()).await.unwrap();
            assert_eq!(seen == Seen::Revoked, revokes && n > 0, "{says:?}, log-on {n}");
            let candidate = accounts.candidate(&user).await.unwrap();
            assert!(accounts.check(&candidate, "pencil").await.unwrap().is_some());
            assert!(accounts.check(&candidate, "wrong").await.unwrap().is_none());
        }
    }
}
