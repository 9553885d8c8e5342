//! What a client shows as it is: a password (RFC 4616), or a token (RFC 7628).

use super::{
    super::{
        effects::Scope,
        state::{Access, Exchange, Phase, Session},
    },
    BASE64,
};
use crate::{metrics::Login, throttle::Proof};
use auth::Candidate;
use base64::Engine;
use std::{borrow::Cow, sync::Arc};
use storage::Account;
use xmpp::{
    jid::BareJid,
    ns,
    sasl::{
        self, Failure, ScramKeys,
        bearer::{Bearer, Challenge, Status},
        plain::Plain,
    },
};

/// What a client is told of a token that is not good; why is for whoever made it to know.
const INVALID: Challenge<'static> =
    Challenge { status: Status::InvalidToken, scope: None, openid_configuration: None };

impl Session {
    pub(super) fn plain(&mut self, plain: Plain, scope: &mut Scope<'_>) {
        let authzid = (!plain.authzid.is_empty()).then_some(plain.authzid.as_str());
        let user = match self.named(&plain.authcid, authzid) {
            Ok(user) => user,
            Err(failure) => return self.fail_sasl(failure, Login::Refused, scope),
        };
        let host = self.stream.host.as_deref().unwrap_or_default();
        // the password may be any where accounts are not ours
        let prepared = plain.prepared().map(Cow::into_owned);
        if prepared.is_none() && scope.env.accounts.offer(host).is_none() {
            return self.fail_sasl(Failure::NotAuthorized, Login::Failed, scope);
        }
        self.look_up(user, scope, move |session, scope, user, candidate, mut attempt| {
            let proof = match attempt.prove() {
                Ok(proof) => proof,
                Err(wait) => return session.throttled(&plain.authcid, wait, scope),
            };
            if let Some(candidate) = candidate.as_ref().filter(|c| c.is_foreign()) {
                return session.check_elsewhere(candidate.clone(), plain.password, proof, scope);
            }
            // the cheapest hash, which every account has that got its keys here: an unknown user
            // must cost the same
            let hash = sasl::Hash::Sha1;
            let account = candidate.as_ref().and_then(Candidate::account);
            let keys = account.and_then(|account| account.cheapest());
            let fake = ScramKeys::fake(hash, &scope.env.secret, &plain.authcid);
            let right = keys.unwrap_or(&fake).verify(&prepared.unwrap_or_default());
            let access = Access::of(account.map(|a| &**a));
            let checked = if right { access.check() } else { Err(Failure::NotAuthorized) };
            match user {
                Some(user) => session.checked(user, checked, proof, scope),
                None => session.fail_sasl(Failure::NotAuthorized, Login::Refused, scope),
            }
        });
    }

    /// A password was looked at.
    fn checked(
        &mut self,
        user: BareJid,
        checked: Result<(), Failure>,
        proof: Proof,
        scope: &mut Scope<'_>,
    ) {
        match checked {
            Ok(()) => {
                proof.right();
                self.succeed(user, None, scope);
            }
            Err(failure) => self.refuse_user(&user, failure, scope),
        }
    }

    /// The password of an account that belongs to another application.
    fn check_elsewhere(
        &mut self,
        candidate: Candidate,
        password: String,
        proof: Proof,
        scope: &mut Scope<'_>,
    ) {
        let env = Arc::clone(scope.env);
        scope.fx.job(
            async move {
                let checked = env.accounts.check(&candidate, &password).await;
                (candidate.user().clone(), checked)
            },
            move |session, scope, (user, checked)| match checked {
                Ok(account) => {
                    let checked = session.seen(account.as_deref());
                    session.checked(user, checked, proof, scope);
                }
                Err(error) => session.store_failed(&error, scope),
            },
        );
    }

    /// Whether whoever has proven to have this account may log on.
    fn seen(&mut self, account: Option<&Account>) -> Result<(), Failure> {
        self.stream.account = account.map(Account::mark);
        Access::of(account).check()
    }

    /// A token (RFC 7628): it says itself whose it is.
    pub(super) fn bearer(&mut self, bearer: Bearer, scope: &mut Scope<'_>) {
        let Some(host) = self.stream.host.clone() else {
            return self.fail_sasl(Failure::NotAuthorized, Login::Refused, scope);
        };
        let env = Arc::clone(scope.env);
        let mut attempt = match env.throttle.begin("", self.stream.conn.peer) {
            Ok(attempt) => attempt,
            Err(wait) => return self.throttled("", wait, scope),
        };
        let proof = match attempt.prove() {
            Ok(proof) => proof,
            Err(wait) => return self.throttled("", wait, scope),
        };
        scope.fx.job(
            async move {
                let found = env.accounts.bearer(&host, &bearer.token).await;
                (bearer.authzid, found)
            },
            move |session, scope, (authzid, found)| match found {
                Ok(Some((user, account))) => {
                    let other = authzid.is_some_and(|id| id.parse() != Ok(user.clone()));
                    let checked = match other {
                        true => Err(Failure::InvalidAuthzid),
                        false => session.seen(Some(&account)),
                    };
                    session.checked(user, checked, proof, scope);
                }
                // section 3.2.2: the client is told why, says that it has heard it, and is refused then
                Ok(None) => {
                    session.stream.phase = Phase::Sasl(Exchange::Told);
                    let text = BASE64.encode(INVALID.to_json());
                    let ns = ns::SASL;
                    scope.fx.out.nonza(format!("<challenge xmlns='{ns}'>{text}</challenge>"));
                }
                Err(error) => session.store_failed(&error, scope),
            },
        );
    }

    /// The client has proven who it is, and its account is kept here from now on.
    pub(super) fn take_over(
        &mut self,
        user: BareJid,
        account: Account,
        last: String,
        scope: &mut Scope<'_>,
    ) {
        let env = Arc::clone(scope.env);
        scope.fx.job(
            async move {
                let admitted = env.accounts.admit(&user, account).await;
                (user, admitted)
            },
            move |session, scope, (user, admitted)| match admitted {
                Ok(account) => match session.seen(Some(&account)) {
                    Ok(()) => session.succeed(user, Some(&last), scope),
                    Err(failure) => session.refuse_user(&user, failure, scope),
                },
                Err(error) => session.store_failed(&error, scope),
            },
        );
    }
}
