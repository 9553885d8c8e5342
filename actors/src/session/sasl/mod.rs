//! Authentication (RFC 6120 section 6): mechanisms on offer, the exchange, its end.
//!
//! An unknown user is answered like a known one with a wrong password, down to the salt and the
//! work that is done (RFC 5802 section 9).

mod shown;

use super::{
    effects::{Action, Scope},
    state::{Access, Challenged, Exchange, Phase, Session},
};
use crate::{account, env::Env, metrics::Login, sessions, throttle::Attempt};
use auth::{Candidate, Offer};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use std::{sync::Arc, time::Duration};
use storage::{Account, StoreError};
use xmpp::{
    error::{StreamError, StreamErrorCondition as Condition},
    jid::BareJid,
    nonza::Nonza,
    ns,
    sasl::{self, Bindings, Failure, First, MAX_MESSAGE, Mechanism, bearer::Bearer, plain::Plain},
};

impl Access {
    fn of(account: Option<&Account>) -> Self {
        account.map_or(Self::Unknown, |a| if a.disabled { Self::Disabled } else { Self::Good })
    }

    fn check(self) -> Result<(), Failure> {
        match self {
            Self::Unknown => Err(Failure::NotAuthorized),
            Self::Disabled => Err(Failure::AccountDisabled),
            Self::Good => Ok(()),
        }
    }
}

/// None: what was named is no address.
type Found = Option<Candidate>;

impl Session {
    fn bindings(&self) -> Bindings<'_> {
        self.stream.conn.tls.as_ref().map_or_else(Bindings::default, |tls| Bindings {
            exporter: tls.exporter.as_deref(),
            end_point: tls.end_point.as_deref(),
        })
    }

    /// What may be used on this stream, strongest first: PLAIN under TLS only, -PLUS where there is
    /// something to bind to.
    fn mechanisms(&self, env: &Env) -> Vec<Mechanism> {
        let bindable = !self.bindings().names().is_empty();
        let usable = |m: &Mechanism| match m {
            Mechanism::Plain | Mechanism::OAuthBearer => self.stream.conn.tls.is_some(),
            Mechanism::Scram { plus, .. } => !plus || bindable,
        };
        self.allowed(env).into_iter().filter(usable).collect()
    }

    /// What the host's users may use, whatever the stream.
    fn allowed(&self, env: &Env) -> Vec<Mechanism> {
        let configured = &env.settings().mechanisms;
        let host = self.stream.host.as_deref().unwrap_or_default();
        let Some(Offer { scram, plain, bearer }) = env.accounts.offer(host) else {
            return configured.clone();
        };
        let keys = configured.iter().copied().filter(|m| matches!(m, Mechanism::Scram { .. }));
        let keys = keys.filter(|_| scram);
        let token = bearer.then_some(Mechanism::OAuthBearer);
        keys.chain(token).chain(plain.then_some(Mechanism::Plain)).collect()
    }

    /// The feature of RFC 6120 section 6.3.3, and XEP-0440 beside it.
    pub(super) fn write_mechanisms(&self, env: &Env, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("<mechanisms xmlns='{}'>", ns::SASL).as_bytes());
        let mechanisms = self.mechanisms(env);
        for mechanism in &mechanisms {
            out.extend_from_slice(
                format!("<mechanism>{}</mechanism>", mechanism.name()).as_bytes(),
            );
        }
        out.extend_from_slice(b"</mechanisms>");
        if mechanisms.iter().any(|m| matches!(m, Mechanism::Scram { plus: true, .. })) {
            out.extend_from_slice(
                format!("<sasl-channel-binding xmlns='{}'>", ns::SASL_CB).as_bytes(),
            );
            for name in self.bindings().names() {
                out.extend_from_slice(format!("<channel-binding type='{name}'/>").as_bytes());
            }
            out.extend_from_slice(b"</sasl-channel-binding>");
        }
    }

    /// A nonza of SASL; `false` when it makes no sense here.
    pub(super) fn sasl(&mut self, nonza: &Nonza, scope: &mut Scope<'_>) -> bool {
        match (nonza.name(), &self.stream.phase) {
            ("auth", Phase::Features) => self.auth(nonza, scope),
            // the exchange so far is given up, as if it had been aborted
            ("auth", Phase::Sasl(_)) => {
                self.one_more_failed(scope);
                if !self.is_closed() {
                    self.auth(nonza, scope);
                }
            }
            ("response", Phase::Sasl(_)) => self.response(nonza, scope),
            // an answer to nothing
            ("response", Phase::Features) => {
                self.fail_sasl(Failure::NotAuthorized, Login::Failed, scope);
            }
            ("abort", Phase::Features | Phase::Sasl(_)) => {
                self.fail_sasl(Failure::Aborted, Login::Failed, scope);
            }
            _ => return false,
        }
        true
    }

    fn auth(&mut self, nonza: &Nonza, scope: &mut Scope<'_>) {
        // section 6.5.4: not without TLS, whatever it is
        if !self.may_authenticate() {
            return self.fail_sasl(Failure::EncryptionRequired, Login::Failed, scope);
        }
        let chosen = nonza.attr("mechanism").and_then(Mechanism::parse);
        let Some(mechanism) = chosen.filter(|m| self.mechanisms(scope.env).contains(m)) else {
            // it is ours, but not without TLS
            let unsafe_here = chosen.is_some_and(|m| self.allowed(scope.env).contains(&m))
                && self.stream.conn.tls.is_none();
            let failure =
                if unsafe_here { Failure::EncryptionRequired } else { Failure::InvalidMechanism };
            return self.fail_sasl(failure, Login::Failed, scope);
        };
        match nonza.text().trim() {
            "" => {
                self.stream.phase = Phase::Sasl(Exchange::First(mechanism));
                scope.fx.out.nonza(format!("<challenge xmlns='{}'/>", ns::SASL));
            }
            // section 6.4.2: an initial response without content
            "=" => self.first(mechanism, &[], scope),
            text => match decode(text) {
                Ok(message) => self.first(mechanism, &message, scope),
                Err(failure) => self.fail_sasl(failure, Login::Failed, scope),
            },
        }
    }

    fn response(&mut self, nonza: &Nonza, scope: &mut Scope<'_>) {
        let message = match decode(nonza.text().trim()) {
            Ok(message) => message,
            Err(failure) => return self.fail_sasl(failure, Login::Failed, scope),
        };
        let Phase::Sasl(exchange) =
            std::mem::replace(&mut self.stream.phase, Phase::Sasl(Exchange::Busy))
        else {
            return;
        };
        match exchange {
            Exchange::First(mechanism) => self.first(mechanism, &message, scope),
            Exchange::Proof(challenged) => {
                let Challenged { exchange, user, access, mut attempt, admit } = *challenged;
                let proof = match attempt.prove() {
                    Ok(proof) => proof,
                    Err(wait) => return self.throttled(user.as_str(), wait, scope),
                };
                let result = exchange.finish(&message);
                match result.and_then(|last| access.check().map(|()| last)) {
                    Ok(last) => {
                        proof.right();
                        match admit {
                            None => self.succeed(user, Some(&last), scope),
                            Some(account) => self.take_over(user, account, last, scope),
                        }
                    }
                    Err(failure) => self.refuse_user(&user, failure, scope),
                }
            }
            Exchange::Told => self.fail_sasl(Failure::NotAuthorized, Login::Refused, scope),
            // input waits for the job: not reached
            Exchange::Busy => self.fail_sasl(Failure::MalformedRequest, Login::Failed, scope),
        }
    }

    /// The client's first message: says who it is.
    fn first(&mut self, mechanism: Mechanism, message: &[u8], scope: &mut Scope<'_>) {
        self.stream.phase = Phase::Sasl(Exchange::Busy);
        match mechanism {
            Mechanism::Plain => match Plain::parse(message) {
                Ok(plain) => self.plain(plain, scope),
                Err(failure) => self.fail_sasl(failure, Login::Failed, scope),
            },
            Mechanism::OAuthBearer => match Bearer::parse(message) {
                Ok(bearer) => self.bearer(bearer, scope),
                Err(failure) => self.fail_sasl(failure, Login::Failed, scope),
            },
            Mechanism::Scram { hash, plus } => {
                let bound = Mechanism::Scram { hash, plus: true };
                let offered = self.mechanisms(scope.env).contains(&bound);
                match First::parse(message, plus, offered) {
                    Ok(first) => self.scram(hash, first, scope),
                    Err(failure) => self.fail_sasl(failure, Login::Failed, scope),
                }
            }
        }
    }

    /// Whom the client names: `Ok(None)` when it cannot be the name of any account.
    fn named(&self, authcid: &str, authzid: Option<&str>) -> Result<Option<BareJid>, Failure> {
        let Some(host) = &self.stream.host else { return Ok(None) };
        let user = BareJid::new(authcid, host).ok();
        // section 6.3.8: as whom the client may act
        match (authzid, &user) {
            (None, _) => Ok(user),
            (Some(id), Some(user)) if id.parse::<BareJid>().is_ok_and(|id| id == *user) => {
                Ok(Some(user.clone()))
            }
            _ => Err(Failure::InvalidAuthzid),
        }
    }

    /// A try begins: looks the user up unless it has to wait; `then` gets the account if there is one.
    fn look_up(
        &mut self,
        user: Option<BareJid>,
        scope: &mut Scope<'_>,
        then: impl FnOnce(&mut Self, &mut Scope<'_>, Option<BareJid>, Found, Attempt) + Send + 'static,
    ) {
        let env = Arc::clone(scope.env);
        let name = user.as_ref().map_or("", BareJid::as_str);
        let attempt = match env.throttle.begin(name, self.stream.conn.peer) {
            Ok(attempt) => attempt,
            Err(wait) => return self.throttled(name, wait, scope),
        };
        scope.fx.job(
            async move {
                let found = match &user {
                    Some(user) => account::candidate(&env, user).await.map(Some),
                    None => Ok(None),
                };
                (user, found)
            },
            move |session, scope, (user, found)| match found {
                Ok(candidate) => {
                    let account = candidate.as_ref().and_then(Candidate::account);
                    session.stream.account = account.map(|account| account.mark());
                    then(session, scope, user, candidate, attempt);
                }
                Err(error) => session.store_failed(&error, scope),
            },
        );
    }

    fn scram(&mut self, hash: sasl::Hash, first: First, scope: &mut Scope<'_>) {
        let user = match self.named(&first.username, first.authzid.as_deref()) {
            Ok(user) => user,
            Err(failure) => return self.fail_sasl(failure, Login::Refused, scope),
        };
        self.look_up(user, scope, move |session, scope, user, candidate, attempt| {
            let account = candidate.as_ref().and_then(Candidate::account);
            let account = account.and_then(|a| Some((a, a.keys_for(hash)?)));
            let access = Access::of(account.map(|(a, _)| &**a));
            let admit = candidate.as_ref().and_then(Candidate::to_admit);
            // by the prepared name: one account has one salt, however it is written; made for those
            // who exist too, since that takes its time
            let name = user.as_ref().map_or(first.username.as_str(), BareJid::as_str);
            let host = session.stream.host.as_deref().unwrap_or_default();
            let fake = scope.env.accounts.fake(host, hash, &scope.env.secret, name);
            let keys = account.map_or(fake, |(_, keys)| keys.clone());
            let nonce = scope.env.token();
            match first.challenge(keys, &nonce, &session.bindings()) {
                Ok((exchange, message)) => {
                    // a name that is no address fails in the end, like an unknown one
                    let user = user
                        .or_else(|| BareJid::new("unknown", session.stream.host.as_deref()?).ok());
                    let Some(user) = user else {
                        return session.fail_sasl(Failure::NotAuthorized, Login::Refused, scope);
                    };
                    let challenged = Challenged { exchange, user, access, attempt, admit };
                    session.stream.phase = Phase::Sasl(Exchange::Proof(Box::new(challenged)));
                    let text = BASE64.encode(message);
                    scope
                        .fx
                        .out
                        .nonza(format!("<challenge xmlns='{}'>{text}</challenge>", ns::SASL));
                }
                Err(failure) => session.fail_sasl(failure, Login::Failed, scope),
            }
        });
    }

    /// The client is who it says it is. While memory is short it waits for its answer: whether there is a session it
    /// may resume is for its owner to know.
    fn succeed(&mut self, user: BareJid, data: Option<&str>, scope: &mut Scope<'_>) {
        if scope.env.is_restoring() {
            return self.fail_sasl(Failure::TemporaryAuthFailure, Login::Failed, scope);
        }
        if sessions::admits(scope.env, &user) {
            return self.welcome(user, data, scope);
        }
        let patience = scope.env.settings().negotiation_timeout / 2;
        let (env, data) = (Arc::clone(scope.env), data.map(str::to_owned));
        scope.fx.job(
            async move { sessions::calm(&env, patience).await },
            move |session, scope, admitted| match admitted {
                true => session.welcome(user, data.as_deref(), scope),
                // section 6.5.10: clients try again
                false => session.fail_sasl(Failure::TemporaryAuthFailure, Login::NoMemory, scope),
            },
        );
    }

    /// Section 6.4.6.
    fn welcome(&mut self, user: BareJid, data: Option<&str>, scope: &mut Scope<'_>) {
        scope.env.metrics.login(Login::Ok);
        let data = data.map(|d| BASE64.encode(d)).unwrap_or_default();
        scope.fx.out.nonza(format!("<success xmlns='{}'>{data}</success>", ns::SASL));
        self.stream.user = Some(user);
        self.stream.phase = Phase::Authenticated;
        scope.fx.push(Action::Authenticated);
        self.restart(scope);
    }

    fn refuse_user(&mut self, user: &BareJid, failure: Failure, scope: &mut Scope<'_>) {
        tracing::info!(user = user.as_str(), peer = %self.stream.conn.peer, "login refused");
        self.fail_sasl(failure, Login::Refused, scope);
    }

    fn throttled(&mut self, user: &str, wait: Duration, scope: &mut Scope<'_>) {
        tracing::info!(user, peer = %self.stream.conn.peer, wait_s = wait.as_secs(), "login throttled");
        self.fail_sasl(Failure::TemporaryAuthFailure, Login::Throttled, scope);
    }

    /// In another process now: a try that is open counts here.
    pub(super) fn thaw_attempt(&mut self, env: &Env) {
        if let Phase::Sasl(Exchange::Proof(challenged)) = &mut self.stream.phase {
            challenged.attempt.thaw(&env.throttle);
        }
    }

    fn store_failed(&mut self, error: &StoreError, scope: &mut Scope<'_>) {
        tracing::warn!(%error, "an account could not be looked up");
        self.fail_sasl(Failure::TemporaryAuthFailure, Login::Failed, scope);
    }

    /// Section 6.4.5: the client may try again, but not for ever.
    fn fail_sasl(&mut self, failure: Failure, login: Login, scope: &mut Scope<'_>) {
        scope.env.metrics.login(login);
        scope.fx.out.nonza(failure.to_xml());
        self.stream.phase = Phase::Features;
        self.one_more_failed(scope);
    }

    /// Counts an attempt that came to nothing; with too many the stream ends.
    fn one_more_failed(&mut self, scope: &mut Scope<'_>) {
        self.stream.failures = self.stream.failures.saturating_add(1);
        if self.stream.failures >= scope.env.settings().max_sasl_failures {
            let error = StreamError::new(Condition::PolicyViolation);
            self.fail(&error.with_text("too many failed authentication attempts"), scope);
        }
    }
}

fn decode(text: &str) -> Result<Vec<u8>, Failure> {
    if text.len() > MAX_MESSAGE * 4 / 3 + 4 {
        return Err(Failure::MalformedRequest);
    }
    let message = if text == "=" { Ok(Vec::new()) } else { BASE64.decode(text) };
    message.map_err(|_| Failure::IncorrectEncoding)
}
