//! A host whose users are with a [`Source`]: what is offered to them, and what those who are unknown look like.

use crate::{
    formats::Stored,
    pool::HashPool,
    source::{Entry, Secret, Source},
};
use parking_lot::Mutex;
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};
use storage::{Account, StoreError};
use tokio::sync::MutexGuard;
use xmpp::{
    jid::BareJid,
    sasl::{Hash, ScramKeys},
};

/// When to come again, if more passwords are looked at than can be.
const BUSY: Duration = Duration::from_secs(5);

/// Most iterations that are done at once, in a few milliseconds; keys that applications have made may want hundreds of times as
/// many.
const AT_ONCE: u32 = 16_384;

/// What can be set for such a host.
#[derive(Clone, Debug)]
pub struct ForeignOptions {
    /// SCRAM is offered too, for the users whose keys are known; the others have to fall back to PLAIN.
    pub scram: bool,
    /// Tokens are taken (OAUTHBEARER).
    pub bearer: bool,
    /// When a refusal is told, after the try began: so that it says nothing of how much there was to do.
    pub refuse_after: Duration,
    /// Where hashes are computed; all hosts have the same.
    pub pool: HashPool,
}

pub(crate) struct Foreign {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) options: ForeignOptions,
    usual: Mutex<Usual>,
    /// Whose account is being changed: each user has one of these.
    turns: [Turns; 64],
    hasher: RandomState,
}

type Turns = tokio::sync::Mutex<()>;

/// What users of the host have: those that are not there look the same.
#[derive(Default)]
struct Usual {
    stored: Option<Arc<Stored>>,
    /// Iterations and length of the salt.
    keys: Vec<(Hash, u32, usize)>,
}

impl Foreign {
    pub(crate) fn new(source: Arc<dyn Source>, options: ForeignOptions) -> Self {
        Self {
            source,
            options,
            usual: Mutex::default(),
            turns: std::array::from_fn(|_| Turns::default()),
            hasher: RandomState::default(),
        }
    }

    /// Waits until nobody else changes what is known of the user.
    pub(crate) async fn turn(&self, user: &BareJid) -> Option<MutexGuard<'_, ()>> {
        let hash = self.hasher.hash_one(user);
        let place = usize::try_from(hash % self.turns.len() as u64).ok()?;
        Some(self.turns.get(place)?.lock().await)
    }

    pub(crate) async fn verify(
        &self,
        user: &BareJid,
        stored: &Arc<Stored>,
        password: &str,
    ) -> Result<bool, StoreError> {
        let verified = self.options.pool.verify(user.as_str(), stored, password).await;
        verified.map_err(|_| StoreError::Unavailable { retry_after: BUSY })
    }

    /// Whether it is the password that the account's keys were made of, if there are keys.
    pub(crate) async fn by_keys(
        &self,
        user: &BareJid,
        account: Option<&Account>,
        password: &str,
    ) -> Result<Option<bool>, StoreError> {
        let Some(keys) = account.and_then(Account::cheapest) else { return Ok(None) };
        if keys.iterations <= AT_ONCE {
            return Ok(Some(keys.verify(password)));
        }
        let stored = Arc::new(Stored::from(keys.clone()));
        self.verify(user, &stored, password).await.map(Some)
    }

    /// Somebody has this.
    pub(crate) fn note(&self, entry: &Entry) {
        let mut usual = self.usual.lock();
        match &entry.secret {
            Secret::Stored(stored) => usual.stored = Some(Arc::new(stored.decoy())),
            Secret::Keys(keys) => {
                usual.keys = keys.iter().map(|k| (k.hash, k.iterations, k.salt.len())).collect();
            }
            Secret::Ask | Secret::Unusable(_) => {}
        }
    }

    /// What the password of somebody who is not there is checked with: as much work as another's.
    pub(crate) fn usual(&self) -> Option<Arc<Stored>> {
        self.usual.lock().stored.clone()
    }

    /// Keys of somebody who has none: [`ScramKeys::fake`].
    pub(crate) fn fake(&self, hash: Hash, secret: &[u8], user: &str) -> ScramKeys {
        let usual = self.usual.lock().keys.iter().find(|(of, ..)| *of == hash).copied();
        match usual {
            Some((_, iterations, salt)) => ScramKeys::fake_as(hash, secret, user, iterations, salt),
            None => ScramKeys::fake(hash, secret, user),
        }
    }
}
