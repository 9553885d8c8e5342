//! All accounts of a node, whoever has them: what sessions log on by. `store` is what everybody else sees.

use crate::{
    account::{as_kept, as_seen, as_there, is_gone, is_revoked},
    candidate::{Behind, Candidate, Refused},
    foreign::{Foreign, ForeignOptions},
    pool::Figures,
    source::{Entry, Found, Secret, Source},
};
use std::{collections::HashMap, fmt, sync::Arc};
use storage::{Account, AccountStore, StoreError};
use supervision::ChildSpec;
use tokio::time::Instant;
use xmpp::{
    jid::BareJid,
    sasl::{Hash, ScramKeys},
};

/// What the users of a host can log on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// SCRAM.
    pub scram: bool,
    /// PLAIN, whatever else the configuration says of it.
    pub plain: bool,
    /// OAUTHBEARER.
    pub bearer: bool,
}

/// What became of an account that changed where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing that matters to its sessions.
    Same,
    /// It is not there any more, or disabled, or has another password: whoever has logged on is to prove it anew.
    Revoked,
    /// It is another one of the same name: the old one is to be removed here.
    Another,
}

/// All accounts of a node.
pub struct Accounts {
    pub(crate) own: Arc<dyn AccountStore>,
    foreign: HashMap<String, Foreign>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accounts(foreign: {:?})", self.foreign.keys())
    }
}

impl Accounts {
    /// Accounts that are all in this store, until a host is [given](Accounts::with) to a source.
    pub fn new(own: Arc<dyn AccountStore>) -> Self {
        Self { own, foreign: HashMap::new() }
    }

    /// The users of `host` (a prepared domain) are with that source.
    #[must_use]
    pub fn with(mut self, host: &str, source: Arc<dyn Source>, options: ForeignOptions) -> Self {
        self.foreign.insert(host.to_owned(), Foreign::new(source, options));
        self
    }

    /// The hosts whose users are with a source, and that.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &Arc<dyn Source>)> {
        self.foreign.iter().map(|(host, foreign)| (host.as_str(), &foreign.source))
    }

    /// The processes that verify passwords, if there are any to verify.
    pub fn children(&self) -> Vec<ChildSpec> {
        let pool = self.foreign.values().next().map(|foreign| foreign.options.pool.tree("hashes"));
        pool.into_iter().collect()
    }

    /// What verifying passwords does and has done.
    pub fn figures(&self) -> Option<Figures> {
        self.foreign.values().next().map(|foreign| foreign.options.pool.figures())
    }

    /// What the users of a host can log on with; `None`: what the configuration says.
    pub fn offer(&self, host: &str) -> Option<Offer> {
        let ForeignOptions { scram, bearer, .. } = self.foreign.get(host)?.options;
        Some(Offer { scram, plain: true, bearer })
    }

    /// Keys of a user who has none, which look like another's: see [`ScramKeys::fake`].
    pub fn fake(&self, host: &str, hash: Hash, secret: &[u8], user: &str) -> ScramKeys {
        match self.foreign.get(host) {
            Some(foreign) => foreign.fake(hash, secret, user),
            None => ScramKeys::fake(hash, secret, user),
        }
    }

    pub(crate) fn foreign(&self, user: &BareJid) -> Option<&Foreign> {
        self.foreign.get(user.domain())
    }

    /// Looks up whoever wants to log on.
    ///
    /// # Errors
    /// When that cannot be told now. A source that is away is none as long as the user is known from before.
    pub async fn candidate(&self, user: &BareJid) -> Result<Candidate, Refused> {
        let kept = self.own.get(user).await;
        let candidate = |account, behind, differs, revokes| {
            Ok(Candidate { user: user.clone(), account, behind, differs, revokes })
        };
        let Some(foreign) = self.foreign(user) else {
            return candidate(kept?, Behind::Own, false, false);
        };
        let kept = kept?;
        let found = match foreign.source.find(user).await {
            // whoever asks hears no more than of one who is not there
            Err(StoreError::Corrupt(why)) => {
                tracing::warn!(%user, why, "nobody can log on as this user");
                Ok(Found::Nobody)
            }
            found => found,
        };
        match found {
            Ok(Found::User(entry)) => {
                foreign.note(&entry);
                let Some(account) = as_there(kept.as_deref(), &entry) else {
                    tracing::info!(%user, "another account has this name now");
                    return Err(Refused::Another);
                };
                let differs = kept.as_deref() != Some(&account);
                let revokes = kept.is_some_and(|kept| is_revoked(&kept, &account, Some(&entry)));
                let behind = Behind::Source(Found::User(entry));
                candidate(Some(Arc::new(account)), behind, differs, revokes)
            }
            Ok(found @ Found::Nobody) => {
                let revokes = kept.is_some_and(|kept| kept.origin.is_some() && !is_gone(&kept));
                candidate(None, Behind::Source(found), false, revokes)
            }
            Ok(found @ Found::Untold) => candidate(kept, Behind::Source(found), false, false),
            // what is known from before may be believed
            Err(error) if error.is_away() => {
                let known = kept.filter(|kept| !is_gone(kept) && !kept.keys.is_empty());
                candidate(known, Behind::Away(error), false, false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether that is the password of a [foreign](Candidate::is_foreign) candidate: the account then, as it is kept from now on.
    /// Refusals all take the same time.
    ///
    /// # Errors
    /// When that cannot be told now.
    pub async fn check(
        &self,
        candidate: &Candidate,
        password: &str,
    ) -> Result<Option<Arc<Account>>, StoreError> {
        let Some(foreign) = self.foreign(&candidate.user) else { return Ok(None) };
        let since = Instant::now();
        let checked = self.try_check(foreign, candidate, password).await;
        if !matches!(checked, Ok(Some(_))) {
            tokio::time::sleep_until(since + foreign.options.refuse_after).await;
        }
        checked
    }

    async fn try_check(
        &self,
        foreign: &Foreign,
        candidate: &Candidate,
        password: &str,
    ) -> Result<Option<Arc<Account>>, StoreError> {
        let Candidate { user, account, behind, .. } = candidate;
        match behind {
            Behind::Own => Ok(None),
            // whoever is wrong, or unknown, is told the same
            Behind::Away(error) => match foreign.by_keys(user, account.as_deref(), password).await?
            {
                Some(true) => Ok(account.clone()),
                _ => Err(error.clone()),
            },
            Behind::Source(Found::Nobody) => self.in_vain(foreign, user, password).await,
            Behind::Source(Found::Untold) => {
                self.ask(foreign, user, account.as_deref(), password).await
            }
            Behind::Source(Found::User(entry)) => {
                if let Some(right) = foreign.by_keys(user, account.as_deref(), password).await? {
                    return match (right, candidate.to_admit()) {
                        (true, Some(account)) => self.admit(user, account).await.map(Some),
                        (true, None) => Ok(account.clone()),
                        (false, _) => Ok(None),
                    };
                }
                let right = match &entry.secret {
                    Secret::Stored(stored) => foreign.verify(user, stored, password).await?,
                    Secret::Ask => {
                        return self.ask(foreign, user, account.as_deref(), password).await;
                    }
                    Secret::Keys(_) | Secret::Unusable(_) => {
                        return self.in_vain(foreign, user, password).await;
                    }
                };
                if !right {
                    return Ok(None);
                }
                self.adopt_with(user, account.as_deref(), entry, password).await.map(Some)
            }
        }
    }

    /// As much work as for another.
    async fn in_vain(
        &self,
        foreign: &Foreign,
        user: &BareJid,
        password: &str,
    ) -> Result<Option<Arc<Account>>, StoreError> {
        if let Some(stored) = foreign.usual() {
            foreign.verify(user, &stored, password).await?;
        }
        Ok(None)
    }

    async fn ask(
        &self,
        foreign: &Foreign,
        user: &BareJid,
        kept: Option<&Account>,
        password: &str,
    ) -> Result<Option<Arc<Account>>, StoreError> {
        match foreign.source.check(user, password).await? {
            Some(entry) => self.adopt_with(user, kept, &entry, password).await.map(Some),
            None => Ok(None),
        }
    }

    /// The password was right: keys are made of it, if it can be seen when they are void.
    async fn adopt_with(
        &self,
        user: &BareJid,
        kept: Option<&Account>,
        entry: &Entry,
        password: &str,
    ) -> Result<Arc<Account>, StoreError> {
        let keys = entry.fingerprint.as_ref().and_then(|_| ScramKeys::fresh(password));
        let account = as_kept(kept, entry, keys.unwrap_or_default());
        self.admit(user, account).await
    }

    /// The user has proven who it is: the account is kept here as it is there.
    ///
    /// # Errors
    /// Those of the store; `Conflict` when the account here is another one meanwhile.
    pub async fn admit(
        &self,
        user: &BareJid,
        account: Account,
    ) -> Result<Arc<Account>, StoreError> {
        if !self.own.adopt(user, account).await? {
            return Err(StoreError::Conflict { now: 0 });
        }
        self.own.get(user).await?.ok_or_else(|| StoreError::NoAccount(user.as_str().to_owned()))
    }

    /// Whose token that is, of the users of a host. Wrong ones are told as late as wrong passwords.
    ///
    /// # Errors
    /// When that cannot be told now.
    pub async fn bearer(
        &self,
        host: &str,
        token: &str,
    ) -> Result<Option<(BareJid, Arc<Account>)>, StoreError> {
        let Some(foreign) = self.foreign.get(host) else { return Ok(None) };
        let since = Instant::now();
        let user = foreign.source.bearer(host, token).await?;
        let checked = match &user {
            Some(user) => {
                let kept = self.own.get(user).await?;
                self.ask(foreign, user, kept.as_deref(), token).await?
            }
            None => None,
        };
        if checked.is_none() {
            tokio::time::sleep_until(since + foreign.options.refuse_after).await;
        }
        Ok(user.zip(checked))
    }

    /// A user's entry as it is there now, or that there is none: keeps here what follows from it.
    ///
    /// # Errors
    /// Those of the store; nothing is known then.
    pub async fn seen(&self, user: &BareJid, entry: Option<&Entry>) -> Result<Seen, StoreError> {
        let Some(foreign) = self.foreign(user) else { return Ok(Seen::Same) };
        let _turn = foreign.turn(user).await;
        let Some(kept) = self.own.get(user).await? else { return Ok(Seen::Same) };
        if kept.origin.is_none() || as_seen(&kept, entry).as_ref() == Some(&*kept) {
            return Ok(Seen::Same);
        }
        // what was seen may be older than what is kept
        let entry = match foreign.source.find(user).await {
            Ok(Found::User(entry)) => Some(entry),
            Ok(Found::Nobody) => None,
            Ok(Found::Untold) => entry.cloned(),
            // nobody can tell who it is
            Err(StoreError::Corrupt(_)) => None,
            Err(error) => return Err(error),
        };
        let Some(now) = as_seen(&kept, entry.as_ref()) else {
            tracing::info!(%user, "another account has this name now");
            return Ok(Seen::Another);
        };
        if now == *kept {
            return Ok(Seen::Same);
        }
        let revoked = is_revoked(&kept, &now, entry.as_ref());
        match self.own.adopt(user, now).await? {
            true if revoked => Ok(Seen::Revoked),
            true => Ok(Seen::Same),
            false => Ok(Seen::Another),
        }
    }

    /// Gives a user another password, wherever it is kept; the sessions that there are go on. `false`: there is no such account.
    ///
    /// # Errors
    /// Those of the store or the source; `Elsewhere` when it is not for us to change.
    pub async fn set_password(&self, user: &BareJid, password: &str) -> Result<bool, StoreError> {
        let Some(foreign) = self.foreign(user) else {
            let Some(keys) = ScramKeys::fresh(password) else { return Ok(false) };
            return self.own.set_keys(user, keys).await;
        };
        // else who watches sees another password there than the one that is known here
        let _turn = foreign.turn(user).await;
        let kept = self.own.get(user).await?;
        match foreign.source.set_password(user, password).await? {
            Some(entry) => {
                self.adopt_with(user, kept.as_deref(), &entry, password).await?;
                Ok(true)
            }
            None => self.must_be_own(user).map(|()| false),
        }
    }

    pub(crate) fn must_be_own(&self, user: &BareJid) -> Result<(), StoreError> {
        match self.foreign(user) {
            Some(_) => Err(StoreError::Elsewhere(user.domain().to_owned())),
            None => Ok(()),
        }
    }
}
