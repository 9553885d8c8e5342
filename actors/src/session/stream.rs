//! Opening a stream: header, features, STARTTLS (RFC 6120 sections 4 and 5).

use super::{
    effects::{Action, Scope},
    state::{Phase, Session, Tls},
};
use crate::{
    cx::{IqCx, Target},
    env::Env,
    hooks::Stage,
    iq,
};
use xmpp::{
    error::{StanzaError, StreamError, StreamErrorCondition as Condition},
    framer::StreamHeader,
    jid::Jid,
    nonza::Nonza,
    ns,
    payload::limits,
    stanza::Stanza,
    stream::Opening,
};

impl Session {
    /// The client's stream header (RFC 6120 section 4.7).
    pub(super) fn open(&mut self, header: &StreamHeader, scope: &mut Scope<'_>) {
        if self.stream.opened {
            // a second header without a restart (section 4.3.3)
            return self.fail(&StreamError::new(Condition::InvalidXml), scope);
        }
        if let Err(condition) = self.admit(header, scope) {
            return self.fail(&StreamError::new(condition), scope);
        }
        // who names no user has not said who it is
        self.send_header(header.from.as_ref().filter(|from| from.node().is_some()), scope);
        self.send_features(scope);
        self.stream.phase = match self.stream.phase {
            Phase::Authenticated => Phase::Authenticated,
            _ => Phase::Features,
        };
    }

    /// Whether the header is one that a stream can begin with; notes the host.
    fn admit(&mut self, header: &StreamHeader, scope: &Scope<'_>) -> Result<(), Condition> {
        if header.malformed_address {
            return Err(Condition::ImproperAddressing);
        }
        let hosts = &scope.env.hosts;
        let host = match &header.to {
            Some(to) if to.node().is_none() && to.resource().is_none() => {
                hosts.find(to).ok_or(Condition::HostUnknown)?
            }
            Some(_) => return Err(Condition::HostUnknown),
            // section 4.7.2
            None => return Err(Condition::ImproperAddressing),
        };
        if let Some(user) = &self.stream.user {
            // a restart must not change the host that was authenticated for
            if user.domain() != &*host {
                return Err(Condition::HostUnknown);
            }
            // section 4.9.3.9, for an address of another user; some clients name their host
            let another = |from: &Jid| from.node().is_some() && from.bare() != *user;
            if header.from.as_ref().is_some_and(another) {
                return Err(Condition::InvalidFrom);
            }
        }
        self.stream.host = Some(host);
        if header.version_1() { Ok(()) } else { Err(Condition::UnsupportedVersion) }
    }

    /// The response header (section 4.7): to the bare JID that the client named, if it did.
    pub(super) fn send_header(&mut self, to: Option<&Jid>, scope: &mut Scope<'_>) {
        let host = self.stream.host.clone().or_else(|| scope.env.hosts.default());
        let to = to.map(Jid::bare_jid);
        let to = to.as_ref().map(Jid::as_str);
        let id = scope.env.stream_id();
        scope.fx.out.open(&Opening { from: host.as_deref(), to, id: &id });
        self.stream.opened = true;
    }

    /// What the client may do now.
    fn send_features(&self, scope: &mut Scope<'_>) {
        let Scope { env, fx } = scope;
        fx.out.features(|out| self.offer(env, out));
    }

    /// RFC 6120 section 4.3.2, in the order of XEP-0170.
    fn offer(&self, env: &Env, out: &mut Vec<u8>) {
        let stage = if self.stream.user.is_some() {
            Stage::Authenticated
        } else {
            let host = self.stream.host.as_deref().unwrap_or_default();
            let own = env.accounts.offer(host).is_none();
            Stage::Unauthenticated { secure: self.stream.conn.tls.is_some(), own }
        };
        match stage {
            Stage::Unauthenticated { .. } => {
                if self.stream.conn.starttls && self.stream.conn.tls.is_none() {
                    let required = if self.stream.conn.tls_required { "<required/>" } else { "" };
                    out.extend_from_slice(
                        format!("<starttls xmlns='{}'>{required}</starttls>", ns::TLS).as_bytes(),
                    );
                }
                if self.may_authenticate() {
                    self.write_mechanisms(env, out);
                }
            }
            Stage::Authenticated => {
                out.extend_from_slice(
                    format!(
                        "<bind xmlns='{}'/><session xmlns='{}'><optional/></session><sm xmlns='{}'/>",
                        ns::BIND,
                        ns::SESSION,
                        ns::SM
                    )
                    .as_bytes(),
                );
            }
        }
        for row in &env.hooks().features {
            (row.run)(env, stage, out);
        }
        // XEP-0478
        let settings = env.settings();
        let max = if self.stream.user.is_some() {
            settings.max_stanza
        } else {
            settings.max_stanza_unauthenticated
        };
        limits::render(out, max, settings.idle_seconds());
    }

    /// Whether credentials may be sent now: under TLS, or where TLS is not required.
    pub(super) fn may_authenticate(&self) -> bool {
        self.stream.conn.tls.is_some() || !self.stream.conn.tls_required
    }

    /// `<starttls/>` (RFC 6120 section 5.4.2).
    pub(super) fn starttls(&mut self, nonza: &Nonza, scope: &mut Scope<'_>) -> bool {
        if nonza.name() != "starttls" {
            return false;
        }
        if !self.stream.conn.starttls
            || self.stream.conn.tls.is_some()
            || !matches!(self.stream.phase, Phase::Features)
        {
            scope.fx.out.nonza(format!("<failure xmlns='{}'/>", ns::TLS));
            scope.fx.end(None);
            self.stream.phase = Phase::Closed;
            return true;
        }
        scope.fx.out.nonza(format!("<proceed xmlns='{}'/>", ns::TLS));
        scope.fx.push(Action::StartTls);
        self.restart(scope);
        true
    }

    /// The TLS layer is up: what was learnt before it is forgotten (RFC 6120 section 5.4.3.3).
    pub(super) fn secured(&mut self, tls: Tls) {
        self.stream.conn.tls = Some(tls);
        self.stream.host = None;
        self.stream.phase = Phase::Header;
    }

    /// A new stream begins with the next bytes (RFC 6120 section 4.3.3).
    pub(super) fn restart(&mut self, scope: &mut Scope<'_>) {
        self.stream.opened = false;
        scope.fx.push(Action::Restart);
    }

    /// Stanzas before authentication: requests that a module answers then, and only under TLS since in-band
    /// registration carries a password (XEP-0077 section 3.1); anything else is `not-authorized` (RFC 6120
    /// section 4.9.3.12).
    pub(super) fn before_authentication(&mut self, stanza: Stanza, scope: &mut Scope<'_>) {
        let child = stanza.head.children.first().filter(|_| iq::is_request(&stanza));
        let child = child.filter(|_| matches!(self.stream.phase, Phase::Features));
        let known = child.is_some_and(|c| scope.env.hooks().iqs.before_auth(c.ns()));
        let target = match self.stream.host.clone().map(Target::Server) {
            Some(target) if known && self.stream.conn.tls.is_some() => target,
            // section 3.1: who does not support it says so
            _ if !known && child.is_some_and(|c| c.ns() == ns::REGISTER) => {
                return self.answer(&stanza, &StanzaError::service_unavailable(), scope);
            }
            _ => return self.fail(&StreamError::new(Condition::NotAuthorized), scope),
        };
        if let Err(error) = iq::check(&stanza) {
            return self.answer(&stanza, &error, scope);
        }
        let answer = iq::answer(&mut IqCx {
            env: scope.env,
            from: None,
            peer: Some(self.stream.conn.peer),
            target: &target,
            iq: &stanza,
            session: None,
        });
        let reply = async move { answer.to(&stanza).await };
        scope.fx.job(reply, |_, scope, reply| scope.fx.out.stanza(&reply));
    }
}
