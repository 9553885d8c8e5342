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
            // whoever stands before it says so, or it does itself
            HttpError::Full
            | HttpError::Paused
            | HttpError::Deadline
            | HttpError::Broken(_)
            | HttpError::Status(429 | 502..=504) => Self::Unavailable { retry_after: LATER },
            HttpError::Status(_) | HttpError::Malformed | HttpError::NotAllowed => {
                Self::Failed(format!("authentication by HTTP: {error}"))
            }
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

    /// Who is known here logs on then, whether nobody answers or whoever stands before it does.
    #[test]
    fn a_service_that_is_not_there_is_away() {
        let away = |error: HttpError| {
            matches!(StoreError::from(error), StoreError::Unavailable { .. } | StoreError::Timeout)
        };
        for status in [429, 502, 503, 504] {
            assert!(away(HttpError::Status(status)), "{status}");
        }
        for status in [201, 204, 301, 400, 401, 403, 404, 500] {
            assert!(!away(HttpError::Status(status)), "{status}");
        }
        assert!(away(HttpError::Deadline) && !away(HttpError::Malformed));
    }
}
