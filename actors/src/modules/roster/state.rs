//! The subscription states of RFC 6121 appendix A, as pure functions: a state and a stanza give the
//! next state and what becomes of the stanza.
//!
//! A state is kept as what it is made of. "None + Pending Out/In" is a subscription of none with
//! `ask` and `pending`; the nine states of section A.1 are the combinations that can be reached.

use storage::{RosterItem, Subscription};
use xmpp::stanza::Type;

/// What a user's server knows of one contact's subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Who sees whom.
    pub subscription: Subscription,
    /// The user asked to see the contact ("Pending Out").
    pub ask: bool,
    /// The contact asked to see the user ("Pending In").
    pub pending: bool,
    /// The user has approved a request that may come (section 3.4).
    pub approved: bool,
}

impl State {
    /// The state of a contact.
    pub fn of(item: &RosterItem) -> Self {
        Self {
            subscription: item.subscription,
            ask: item.ask,
            pending: item.request.is_some(),
            approved: item.approved,
        }
    }

    fn set(&mut self, to: bool, from: bool) {
        self.subscription = Subscription::of(to, from);
    }

    /// The contact sees the user, or does not any more.
    fn set_from(&mut self, from: bool) {
        self.set(self.subscription.has_to(), from);
    }

    /// The user sees the contact, or does not any more.
    fn set_to(&mut self, to: bool) {
        self.set(to, self.subscription.has_from());
    }
}

/// A stanza of the user (section A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// The next state.
    pub next: State,
    /// It goes on to the contact.
    pub route: bool,
}

/// A stanza of the contact (section A.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// The next state.
    pub next: State,
    /// It goes on to the user's clients.
    pub deliver: bool,
    /// What the server answers in the user's name.
    pub reply: Option<Type>,
}

/// Section A.2. Any other type changes nothing.
pub fn outbound(state: State, ty: Type) -> Outbound {
    let mut next = state;
    let from = state.subscription.has_from();
    let route = match ty {
        Type::Subscribe => {
            next.ask = !state.subscription.has_to();
            true
        }
        Type::Unsubscribe => {
            next.set_to(false);
            next.ask = false;
            true
        }
        Type::Subscribed if state.pending => {
            next.set_from(true);
            next.pending = false;
            true
        }
        // section 3.4.2: approved in advance
        Type::Subscribed => {
            next.approved |= !from;
            false
        }
        Type::Unsubscribed => {
            next.set_from(false);
            next.pending = false;
            next.approved = false;
            from || state.pending
        }
        _ => false,
    };
    Outbound { next, route }
}

/// Section A.3. Any other type changes nothing.
pub fn inbound(state: State, ty: Type) -> Inbound {
    let mut next = state;
    let (to, from) = (state.subscription.has_to(), state.subscription.has_from());
    let (deliver, reply) = match ty {
        Type::Subscribe if from => (false, Some(Type::Subscribed)),
        Type::Subscribe if state.approved => {
            next.set_from(true);
            next.pending = false;
            (false, Some(Type::Subscribed))
        }
        Type::Subscribe => {
            next.pending = true;
            (!state.pending, None)
        }
        Type::Unsubscribe if from || state.pending => {
            next.set_from(false);
            next.pending = false;
            (true, Some(Type::Unsubscribed))
        }
        Type::Subscribed if state.ask => {
            next.set_to(true);
            next.ask = false;
            (true, None)
        }
        Type::Unsubscribed if to || state.ask => {
            next.set_to(false);
            next.ask = false;
            (true, None)
        }
        _ => (false, None),
    };
    Inbound { next, deliver, reply }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nine states by their names in section A.1, in its order.
    const STATES: [&str; 9] = [
        "None",
        "None + Pending Out",
        "None + Pending In",
        "None + Pending Out+In",
        "To",
        "To + Pending In",
        "From",
        "From + Pending Out",
        "Both",
    ];

    fn state(name: &str) -> State {
        let (subscription, pending) = name.split_once(" + Pending ").unwrap_or((name, ""));
        State {
            subscription: match subscription {
                "To" => Subscription::To,
                "From" => Subscription::From,
                "Both" => Subscription::Both,
                _ => Subscription::None,
            },
            ask: pending.contains("Out"),
            pending: pending.contains("In"),
            approved: false,
        }
    }

    /// One row of a table: whether the stanza goes on, and the new state; "" for no change.
    type Row = (bool, &'static str);

    const OUTBOUND: [(Type, [Row; 9]); 4] = [
        (
            Type::Subscribe,
            [
                (true, "None + Pending Out"),
                (true, ""),
                (true, "None + Pending Out+In"),
                (true, ""),
                (true, ""),
                (true, ""),
                (true, "From + Pending Out"),
                (true, ""),
                (true, ""),
            ],
        ),
        (
            Type::Unsubscribe,
            [
                (true, ""),
                (true, "None"),
                (true, ""),
                (true, "None + Pending In"),
                (true, "None"),
                (true, "None + Pending In"),
                (true, ""),
                (true, "From"),
                (true, "From"),
            ],
        ),
        (
            Type::Subscribed,
            [
                (false, ""),
                (false, ""),
                (true, "From"),
                (true, "From + Pending Out"),
                (false, ""),
                (true, "Both"),
                (false, ""),
                (false, ""),
                (false, ""),
            ],
        ),
        (
            Type::Unsubscribed,
            [
                (false, ""),
                (false, ""),
                (true, "None"),
                (true, "None + Pending Out"),
                (false, ""),
                (true, "To"),
                (true, "None"),
                (true, "None + Pending Out"),
                (true, "To"),
            ],
        ),
    ];

    const INBOUND: [(Type, [Row; 9]); 4] = [
        (
            Type::Subscribe,
            [
                (true, "None + Pending In"),
                (true, "None + Pending Out+In"),
                (false, ""),
                (false, ""),
                (true, "To + Pending In"),
                (false, ""),
                (false, ""),
                (false, ""),
                (false, ""),
            ],
        ),
        (
            Type::Unsubscribe,
            [
                (false, ""),
                (false, ""),
                (true, "None"),
                (true, "None + Pending Out"),
                (false, ""),
                (true, "To"),
                (true, "None"),
                (true, "None + Pending Out"),
                (true, "To"),
            ],
        ),
        (
            Type::Subscribed,
            [
                (false, ""),
                (true, "To"),
                (false, ""),
                (true, "To + Pending In"),
                (false, ""),
                (false, ""),
                (false, ""),
                (true, "Both"),
                (false, ""),
            ],
        ),
        (
            Type::Unsubscribed,
            [
                (false, ""),
                (true, "None"),
                (false, ""),
                (true, "None + Pending In"),
                (true, "None"),
                (true, "None + Pending In"),
                (false, ""),
                (true, "From"),
                (true, "From"),
            ],
        ),
    ];

    /// What the server answers by itself: to a request that was granted already, and to every
    /// unsubscription that changes something.
    fn reply(ty: Type, name: &str, delivered: bool) -> Option<Type> {
        let sees = name.starts_with("From") || name == "Both";
        match ty {
            Type::Subscribe if sees => Some(Type::Subscribed),
            Type::Unsubscribe if delivered => Some(Type::Unsubscribed),
            _ => None,
        }
    }

    #[test]
    fn every_state_and_every_stanza_of_the_user() {
        for (ty, rows) in OUTBOUND {
            for (name, (route, new)) in STATES.into_iter().zip(rows) {
                let step = outbound(state(name), ty);
                let new = state(if new.is_empty() { name } else { new });
                let next = State { approved: false, ..step.next };
                assert_eq!((next, step.route), (new, route), "{ty:?} in {name}");
                // section 3.4.2: only "subscribed" without a request and without a subscription
                let approves = ty == Type::Subscribed && !route && !new.subscription.has_from();
                assert_eq!(step.next.approved, approves, "{ty:?} in {name}");
            }
        }
    }

    #[test]
    fn every_state_and_every_stanza_of_the_contact() {
        for (ty, rows) in INBOUND {
            for (name, (deliver, new)) in STATES.into_iter().zip(rows) {
                let step = inbound(state(name), ty);
                let new = state(if new.is_empty() { name } else { new });
                assert_eq!((step.next, step.deliver), (new, deliver), "{ty:?} in {name}");
                assert_eq!(step.reply, reply(ty, name, deliver), "{ty:?} in {name}");
            }
        }
    }

    #[test]
    fn an_approved_contact_is_let_in_without_asking_the_user() {
        for (name, new) in
            [("None", "From"), ("None + Pending Out", "From + Pending Out"), ("To", "Both")]
        {
            let approved = State { approved: true, ..state(name) };
            let step = inbound(approved, Type::Subscribe);
            assert_eq!(step.next, State { approved: true, ..state(new) });
            assert_eq!((step.deliver, step.reply), (false, Some(Type::Subscribed)));
            assert!(!outbound(approved, Type::Unsubscribed).next.approved);
        }
    }
}
