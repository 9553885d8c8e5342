//! Resource binding (RFC 6120 section 7) and the session nobody needs any more (RFC 3921).

use super::{
    effects::{Action, Scope, TimerKey},
    state::{Phase, Session},
};
use crate::sessions::{self, Attached, BindError, Claim};
use std::sync::Arc;
use xmpp::{
    error::{StanzaError, StreamError, StreamErrorCondition as Condition},
    jid::{BareJid, Jid},
    payload::{Payload, bind::Bind},
    stanza::{Kind, Problem, Stanza, Type},
};

impl Session {
    /// After authentication only resource binding is allowed (RFC 6120 section 7.1).
    pub(super) fn before_bind(&mut self, stanza: &Stanza, scope: &mut Scope<'_>) {
        let Some(user) = self.stream.user.clone() else { return };
        // section 8.1.2.1
        let foreign = stanza.head.from.as_ref().is_some_and(|from| from.bare() != user);
        if foreign || stanza.head.problem == Some(Problem::From) {
            return self.fail(&StreamError::new(Condition::InvalidFrom), scope);
        }
        if stanza.head.problem == Some(Problem::To) {
            return self.refuse_bind(stanza, &StanzaError::jid_malformed(), scope);
        }
        let request = (stanza.head.kind == Kind::Iq && stanza.head.ty == Type::Set)
            .then(|| stanza.payload())
            .flatten()
            .and_then(|p| Bind::from_element(&p).ok())
            .filter(|_| self.to_server_or_account(stanza, &user));
        if let Some(away) = scope.env.cluster.as_ref().and_then(|cluster| cluster.sends_away()) {
            return self.fail(&away, scope);
        }
        let Some(bind) = request else {
            // section 7.1: anything else before binding is not authorized
            return self.fail(&StreamError::new(Condition::NotAuthorized), scope);
        };
        if stanza.head.id.is_none() {
            return self.refuse_bind(stanza, &StanzaError::bad_request(), scope);
        }
        let wanted = match bind.resource.filter(|r| !r.is_empty()) {
            None => None,
            Some(resource) => match user.with_resource(&resource) {
                Ok(full) => Some(full),
                // section 7.7.2.1
                Err(_) => return self.refuse_bind(stanza, &StanzaError::bad_request(), scope),
            },
        };
        let (env, stanza, account) = (Arc::clone(scope.env), stanza.clone(), self.stream.account);
        scope.fx.job(
            async move {
                // who has a session to resume comes here only if that is not what is wanted
                let patience = env.settings().negotiation_timeout / 4;
                if !sessions::calm(&env, patience).await {
                    return Err(BindError::NoMemory);
                }
                let claim = sessions::bind(&env, &user, wanted).await?;
                // whoever removes an account ends the sessions that are there by then: this one, or it is seen here
                match env.stores.accounts.get(&user).await {
                    Ok(now) if now.as_ref().map(|now| now.mark()) == account => Ok(claim),
                    Ok(_) => Err(BindError::NoAccount),
                    Err(_) => Err(BindError::Unavailable),
                }
            },
            move |session, scope, result| session.bind_done(&stanza, result, scope),
        );
    }

    fn refuse_bind(&mut self, stanza: &Stanza, error: &StanzaError, scope: &mut Scope<'_>) {
        self.answer(stanza, error, scope);
        self.refused(scope);
    }

    /// Whether a stanza is for the server itself or for the client's own account.
    fn to_server_or_account(&self, stanza: &Stanza, user: &BareJid) -> bool {
        let ours = |to: &Jid| {
            self.stream.host.as_deref() == Some(to.as_str()) || to.as_str() == user.as_str()
        };
        stanza.head.to.as_ref().is_none_or(ours)
    }

    fn bind_done(
        &mut self,
        stanza: &Stanza,
        result: Result<Claim, BindError>,
        scope: &mut Scope<'_>,
    ) {
        let attached = match result {
            Ok(claim) => claim.keep(),
            Err(BindError::NoAccount) => {
                let error = StreamError::new(Condition::NotAuthorized);
                return self.fail(&error.with_text("the account was removed"), scope);
            }
            // section 7.6.2.1
            Err(BindError::TooMany | BindError::NoMemory) => {
                return self.refuse_bind(stanza, &StanzaError::resource_constraint(), scope);
            }
            Err(BindError::Unavailable) => {
                return self.refuse_bind(stanza, &StanzaError::internal_server_error(), scope);
            }
        };
        let jid = attached.resource.jid().clone();
        self.enter(attached, scope);
        let reply = stanza.reply_result(&Bind::result(&jid));
        scope.fx.out.stanza(&reply);
        self.loaded(scope);
    }

    /// From now on the session is bound.
    pub(super) fn enter(&mut self, mut attached: Attached, scope: &mut Scope<'_>) {
        scope.fx.push(Action::Attach(Arc::clone(&attached.resource), attached.epoch));
        scope.fx.push(Action::Cancel(TimerKey::Negotiation));
        let timers = &attached.bound.timers;
        for row in &scope.env.hooks().timer {
            if let Some((_, length)) = timers.iter().find(|(module, _)| module == row.module) {
                scope.fx.push(Action::Timer(TimerKey::Module(row.module), *length));
            }
        }
        attached.bound.secure = self.stream.conn.tls.is_some();
        self.attached = Some(attached);
        self.stream.phase = Phase::Established;
    }

    /// Lets the modules load what they need of this session.
    pub(super) fn loaded(&mut self, scope: &mut Scope<'_>) {
        let hooks = scope.env.hooks();
        let Some(mut cx) = self.cx(scope) else { return };
        for row in &hooks.bound {
            cx.module = row.module;
            (row.run)(&mut cx);
        }
    }

    /// An error to a stanza of a client that is not bound yet.
    pub(super) fn answer(&self, stanza: &Stanza, error: &StanzaError, scope: &mut Scope<'_>) {
        scope.fx.out.stanza(&stanza.reply_error(error));
    }
}
