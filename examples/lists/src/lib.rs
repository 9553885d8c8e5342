//! A module with a service of its own: lists of people, `family@lists.example.org`. What one of them writes to
//! the list, all others get from it.
//!
//! It shows what rooms and the like are made of: a domain, addresses below it, what service discovery says of them,
//! and a supervised process for each, which does one thing at a time: so all get the messages in one order. A node
//! that is built with it reads its options from `[modules.lists]`.

use actors::{
    cx::{Answer, IqCx, Target},
    env::Env,
    future::BoxFuture,
    hooks::ServiceInfo,
    modules::disco::of_service,
    registrar::{Module, Registrar, Xep},
    routing,
};
use config::{Raw, Value, Wrong};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use supervision::{CallError, ChildSpec, Cx, InitError, Next, Reply, Server};
use xmpp::{
    Element,
    error::StanzaError,
    jid::{BareJid, Jid},
    payload::disco::{self, InfoQuery, ItemsQuery},
    stanza::{Kind, Stanza, Type},
};

config::section! {
    /// Lists of people: what one of them writes to the list, all others get.
    pub struct ListsConfig {
        /// The domain of the lists; a name without a dot is one below the first host.
        pub domain: String = "lists".to_owned(),
        /// The lists and who is on them.
        pub lists: Vec<List> = Vec::new(), in ..=1_000,
    }
}

/// A list, as it is configured.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    name: String,
    people: BTreeSet<BareJid>,
}

impl List {
    fn parse(text: &str) -> Option<Self> {
        let (name, people) = text.split_once(':')?;
        let name = BareJid::new(name.trim(), "localhost").ok()?.node()?.to_owned();
        let people: Result<_, _> = people.split_whitespace().map(str::parse).collect();
        Some(Self { name, people: people.ok()? })
    }
}

impl Value for List {
    type Measure = config::value::Unlimited;

    fn kind() -> String {
        "list of people".to_owned()
    }

    fn example() -> String {
        "\"family: juliet@example.org romeo@example.org\"".to_owned()
    }

    fn read(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<Self> {
        let list = raw.text().and_then(Self::parse);
        if list.is_none() {
            wrong.push(Wrong::kind::<Self>(raw));
        }
        list
    }

    fn toml(&self) -> Option<String> {
        let people: Vec<&str> = self.people.iter().map(BareJid::as_str).collect();
        Some(format!("\"{}: {}\"", self.name, people.join(" ")))
    }
}

/// How long a message may take to be with all who are on a list.
const DEADLINE: Duration = Duration::from_secs(30);

/// The module.
#[derive(Debug)]
pub struct Lists {
    domain: String,
    lists: BTreeMap<String, Arc<BTreeSet<BareJid>>>,
}

impl Module for Lists {
    const NAME: &'static str = "lists";
    const XEPS: &'static [Xep] = &[];
    type Config = ListsConfig;

    fn new(config: ListsConfig) -> Self {
        let mut all = BTreeMap::<String, BTreeSet<BareJid>>::new();
        for List { name, people } in config.lists {
            // on several lines it is one list
            all.entry(name).or_default().extend(people);
        }
        let lists = all.into_iter().map(|(name, people)| (name, Arc::new(people))).collect();
        Self { domain: config.domain, lists }
    }

    fn register(on: &mut Registrar<'_, Self>) {
        let info = ServiceInfo {
            domain: on.module().domain.clone(),
            category: "component",
            ty: "generic",
            name: "Lists".to_owned(),
            features: &[],
        };
        on.service(info, Self::stanza)
            .service_iq_get::<InfoQuery>(Self::info)
            .service_iq_get::<ItemsQuery>(Self::items);
    }

    fn children(self: &Arc<Self>, env: &Arc<Env>) -> Vec<ChildSpec> {
        let child = |(name, people): (&String, &Arc<BTreeSet<BareJid>>)| {
            let args = (Arc::clone(env), name.clone(), Arc::clone(people));
            // beside the processes of other modules
            ChildSpec::server::<Post>(&format!("{}_{name}", Self::NAME), move || args.clone())
        };
        self.lists.iter().map(child).collect()
    }
}

/// Under which name the process of a list is found.
fn process(list: &str) -> String {
    format!("lists/{list}")
}

impl Lists {
    /// Whether that address belongs to a list that `from` is on.
    fn is_on(&self, list: &Jid, from: &Jid) -> bool {
        let people = list.node().and_then(|name| self.lists.get(name));
        people.is_some_and(|people| people.contains(&from.bare()))
    }

    /// What comes for the lists and is no question.
    fn stanza(&self, env: &Arc<Env>, stanza: Stanza) -> BoxFuture<()> {
        let (Some(to), Some(from)) = (stanza.head.to.clone(), stanza.head.from.clone()) else {
            return Box::pin(async {});
        };
        let refused = match (stanza.head.kind, stanza.head.ty) {
            // nobody is seen here
            (Kind::Presence, Type::Subscribe) => {
                let no = Stanza::presence(Type::Unsubscribed).with_from(Some(to));
                let (env, no) = (Arc::clone(env), no.with_to(Some(from)));
                return Box::pin(async move { routing::send(&env, no).await });
            }
            // nor does a list write to a list
            (Kind::Message, _) if from.domain() == to.domain() => return Box::pin(async {}),
            (Kind::Message, Type::Normal | Type::Chat | Type::Headline) => {
                match to.node().is_some_and(|name| self.lists.contains_key(name)) {
                    _ if to.resource().is_some() => Some(StanzaError::service_unavailable()),
                    false => Some(StanzaError::item_not_found()),
                    true if self.is_on(&to, &from) => None,
                    true => Some(StanzaError::forbidden()),
                }
            }
            (Kind::Presence, _) | (Kind::Message, Type::Error) => return Box::pin(async {}),
            _ => Some(StanzaError::service_unavailable()),
        };
        Box::pin(posted(Arc::clone(env), stanza, to, refused))
    }

    /// Says of a list what it is to those who are on it.
    fn info(&self, cx: &mut IqCx<'_, '_>, query: InfoQuery) -> Answer {
        let node = query.node.filter(|node| !node.is_empty());
        match (cx.target, cx.from, cx.target.service(cx.env)) {
            (Target::Service(to), Some(from), Some(service)) if node.is_none() => {
                let info = match to.node() {
                    None => of_service(cx.env, &service.info),
                    Some(name) if self.is_on(to, from) => disco::info(
                        None,
                        &[("component", "generic", name)],
                        &[xmpp::ns::DISCO_INFO],
                    ),
                    Some(_) => return StanzaError::item_not_found().into(),
                };
                result(&info)
            }
            _ => StanzaError::item_not_found().into(),
        }
    }

    /// The lists that who asks is on.
    fn items(&self, cx: &mut IqCx<'_, '_>, query: ItemsQuery) -> Answer {
        let node = query.node.filter(|node| !node.is_empty());
        match (cx.target, cx.from) {
            (Target::Service(to), Some(from)) if to.node().is_none() && node.is_none() => {
                let own = self.lists.iter().filter(|(_, people)| people.contains(&from.bare()));
                result(&disco::items(None, own.map(|(name, _)| format!("{name}@{}", to.domain()))))
            }
            _ => StanzaError::item_not_found().into(),
        }
    }
}

fn result(element: &Element) -> Answer {
    Answer::Result(element.to_xml().into_bytes())
}

/// Gives the process of a list a message, and waits until it has passed it on.
async fn posted(env: Arc<Env>, message: Stanza, to: Jid, refused: Option<StanzaError>) {
    let error = match refused {
        Some(error) => error,
        None => {
            let list = env.process::<Msg>(&process(to.node().unwrap_or_default()));
            let copy = message.clone();
            let answer = match list {
                Some(list) => list.call(|reply| Msg::Post(copy, reply), DEADLINE).await,
                None => Err(CallError::Gone(None)),
            };
            match answer {
                // it still passes it on
                Ok(()) | Err(CallError::Timeout) => return,
                Err(CallError::Full) => StanzaError::resource_constraint(),
                Err(_) => StanzaError::internal_server_error(),
            }
        }
    };
    if let Some(later) = routing::bounce(&env, &message, &error) {
        later.await;
    }
}

/// The process of a list.
struct Post {
    env: Arc<Env>,
    people: Arc<BTreeSet<BareJid>>,
}

enum Msg {
    Post(Stanza, Reply<()>),
}

impl Server for Post {
    type Args = (Arc<Env>, String, Arc<BTreeSet<BareJid>>);
    type Msg = Msg;
    const NAME: &'static str = "list";
    /// Of messages; each is one that its sender waits with.
    const INBOX: usize = 64;

    async fn init((env, name, people): Self::Args, cx: &mut Cx<Msg>) -> Result<Self, InitError> {
        cx.register(&process(&name))?;
        Ok(Self { env, people })
    }

    async fn handle(&mut self, Msg::Post(message, reply): Msg, _: &mut Cx<Msg>) -> Next {
        let from = message.head.from.as_ref().map(Jid::bare);
        let message = message.with_from(message.head.to.clone());
        for to in self.people.iter().filter(|to| Some(*to) != from.as_ref()) {
            routing::send(&self.env, message.with_to(Some(to.clone().into()))).await;
        }
        reply.send(());
        Next::Continue
    }
}

#[cfg(test)]
mod tests;
