//! A web service as a source of accounts.

use super::{Checked, HttpAuth, HttpError};
use crate::source::{Entry, Found, Secret, Source};
use std::time::Duration;
use storage::{StoreError, StoreFuture};
use supervision::ChildSpec;
use xmpp::jid::BareJid;

/// When it may be asked again.
const LATER: Duration = Duration::from_secs(1);

impl From<HttpError> for StoreError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Full | HttpError::Paused => Self::Unavailable { retry_after: LATER },
            error if error.is_down() => Self::Unavailable { retry_after: LATER },
            error => Self::Failed(format!("authentication by HTTP: {error}")),
        }
    }
}

impl HttpAuth {
    /// The user, if the service says so. It has no keys of users: a name is a user.
    fn entry(
        &self,
        user: &BareJid,
        Checked { result, disabled, fingerprint }: Checked,
    ) -> Option<Entry> {
        let id = user.as_str().to_owned();
        result.then_some(Entry { id, disabled, secret: Secret::Ask, fingerprint })
    }
}

impl Source for HttpAuth {
    fn find<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Found> {
        Box::pin(async move {
            let entry = self.entry(user, self.exists(user).await?);
            Ok(entry.map_or(Found::Nobody, Found::User))
        })
    }

    fn check<'a>(&'a self, user: &'a BareJid, password: &'a str) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(async move { Ok(self.entry(user, HttpAuth::check(self, user, password).await?)) })
    }

    fn set_password<'a>(
        &'a self,
        user: &'a BareJid,
        password: &'a str,
    ) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(async move {
            match HttpAuth::set_password(self, user, password).await {
                Err(HttpError::NotAllowed) => Ok(None),
                answer => Ok(self.entry(user, answer?)),
            }
        })
    }

    fn children(&self) -> Vec<ChildSpec> {
        vec![self.tree("connections")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_says_of_an_application_that_is_away_is_that_it_is_away() {
        for status in [429, 502, 503, 504] {
            assert!(StoreError::from(HttpError::Status(status)).is_away(), "{status}");
        }
        for status in [201, 302, 401, 404, 500] {
            assert!(!StoreError::from(HttpError::Status(status)).is_away(), "{status}");
        }
    }
}
