//! A host whose accounts belong to another application: who gets in with what, what is kept here, and what ends when
//! something changes there.

use super::{SASL, auth, outcome, response, say};
use ::auth::{
    Accounts, Change, Changes, Entry, ForeignOptions, Found, HashPool, PoolLimits, Secret, Source,
};
use actors::{
    account,
    modules::vcard::{VcardConfig, VcardModule},
    registrar::Modules,
    session::state::Tls,
    testkit::{
        World, WorldOptions, keys,
        scram::Client,
        script::{Got, Wire, header},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use parking_lot::Mutex;
use std::{cell::RefCell, collections::BTreeMap, sync::Arc, time::Duration};
use storage::{AccountStore, StoreError, StoreFuture};
use tokio::{sync::Notify, time::Instant};
use xmpp::{
    jid::BareJid,
    sasl::{Hash, Mechanism},
};

const SHA_256: Mechanism = Mechanism::Scram { hash: Hash::Sha256, plus: false };
const REFUSED: Duration = Duration::from_secs(1);
const AWAY: StoreError = StoreError::Unavailable { retry_after: Duration::from_secs(1) };

/// The id of those who cannot be told from others.
const SEVERAL: &str = "several";

/// Users with passwords as they are, which only the application can see.
#[derive(Default)]
struct Application {
    users: Mutex<BTreeMap<BareJid, User>>,
    away: Mutex<bool>,
    changed: Mutex<Vec<Change>>,
    bell: Notify,
}

#[derive(Clone)]
struct User {
    id: &'static str,
    password: &'static str,
    disabled: bool,
    scram: bool,
}

fn entry(user: &User) -> Entry {
    let secret = if user.scram { Secret::Keys(keys(user.password)) } else { Secret::Ask };
    let fingerprint = Some(user.password.to_owned());
    Entry { id: user.id.to_owned(), disabled: user.disabled, secret, fingerprint }
}

impl Application {
    fn set(&self, name: &str, user: User) {
        self.users.lock().insert(jid(name), user);
    }

    fn remove(&self, name: &str) {
        self.users.lock().remove(&jid(name));
    }

    fn tell(&self, change: Change) {
        self.changed.lock().push(change);
        self.bell.notify_one();
    }

    /// The user as the source would say it.
    fn tell_of(&self, name: &str) {
        let now = self.users.lock().get(&jid(name)).map(entry);
        self.tell(Change::User(jid(name), now));
    }

    fn check_away(&self) -> Result<(), StoreError> {
        if *self.away.lock() { Err(AWAY) } else { Ok(()) }
    }
}

impl Source for Application {
    fn find<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Found> {
        Box::pin(async move {
            self.check_away()?;
            let users = self.users.lock();
            if users.get(user).is_some_and(|user| user.id == SEVERAL) {
                return Err(StoreError::Corrupt("two have that name".to_owned()));
            }
            Ok(users.get(user).map_or(Found::Nobody, |user| Found::User(entry(user))))
        })
    }

    fn check<'a>(&'a self, user: &'a BareJid, password: &'a str) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(async move {
            self.check_away()?;
            let users = self.users.lock();
            Ok(users.get(user).filter(|user| user.password == password).map(entry))
        })
    }
}

/// The source as the node has it: the test keeps the application.
struct Watched(Arc<Application>);

impl Source for Watched {
    fn find<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Found> {
        self.0.find(user)
    }

    fn check<'a>(&'a self, user: &'a BareJid, password: &'a str) -> StoreFuture<'a, Option<Entry>> {
        self.0.check(user, password)
    }

    fn watch(&self) -> StoreFuture<'_, Option<Box<dyn Changes>>> {
        let of = Arc::clone(&self.0);
        Box::pin(async move { Ok(Some(Box::new(Following(of)) as Box<dyn Changes>)) })
    }
}

struct Following(Arc<Application>);

impl Changes for Following {
    fn next(&mut self) -> StoreFuture<'_, Change> {
        Box::pin(async move {
            loop {
                self.0.check_away()?;
                let change = self.0.changed.lock().pop();
                match change {
                    Some(change) => return Ok(change),
                    None => self.0.bell.notified().await,
                }
            }
        })
    }
}

thread_local! {
    /// That of the test in this thread.
    static APPLICATION: RefCell<Option<Arc<Application>>> = const { RefCell::new(None) };
}

fn accounts(own: Arc<dyn AccountStore>) -> Accounts {
    let application = APPLICATION.with_borrow(|of| of.as_ref().map(Arc::clone)).unwrap();
    let pool = HashPool::new(PoolLimits::default()).unwrap();
    let options = ForeignOptions { scram: true, bearer: false, refuse_after: REFUSED, pool };
    Accounts::new(own).with("localhost", Arc::new(Watched(application)), options)
}

fn jid(name: &str) -> BareJid {
    format!("{name}@localhost").parse().unwrap()
}

const ROMEO: User = User { id: "1", password: "pencil", disabled: false, scram: false };

struct Scene {
    world: World,
    application: Arc<Application>,
}

impl Scene {
    fn play(act: impl AsyncFnOnce(&mut Self)) {
        World::block_on(async {
            let application = Arc::<Application>::default();
            application.set("romeo", ROMEO);
            APPLICATION.set(Some(Arc::clone(&application)));
            let tls = Tls { exporter: Some(vec![7; 32]), end_point: None, sni: None };
            let options = WorldOptions { tls: Some(tls), accounts, ..WorldOptions::default() };
            let mut modules = Modules::default();
            modules.add_with::<VcardModule>(VcardConfig::default());
            let world = World::new(modules, options).await;
            let mut scene = Self { world, application };
            act(&mut scene).await;
            scene.world.stop().await;
        });
    }

    /// A stream that is open; what it offers.
    async fn open(&mut self, name: &str) -> String {
        self.world.connect(name).await;
        self.world.send(name, &header("localhost"), true).await;
        assert!(matches!(self.world.next(name, true).await, Got::Open(_)));
        match self.world.next(name, true).await {
            Got::Element(features) => features.to_xml(),
            other => panic!("{other:?}"),
        }
    }

    /// What comes of a password, and after how long.
    async fn plain(&mut self, name: &str, user: &str, password: &str) -> (String, Duration) {
        self.open(name).await;
        let since = Instant::now();
        let message = BASE64.encode(format!("\0{user}\0{password}"));
        let mut got = say(&mut self.world, name, &auth(Mechanism::Plain, &message)).await;
        while matches!(got, Got::Nothing) {
            self.world.pass(Duration::from_millis(10)).await;
            got = self.world.next(name, true).await;
        }
        (outcome(&got), since.elapsed())
    }

    async fn scram(&mut self, name: &str, user: &str, password: &str) -> String {
        self.open(name).await;
        let mut client = Client::new(Hash::Sha256, user, password);
        let got = say(&mut self.world, name, &auth(SHA_256, &client.first())).await;
        let Got::Element(challenge) = got else { return outcome(&got) };
        if challenge.name() != "challenge" {
            return outcome(&Got::Element(challenge));
        }
        let proof = client.last(&challenge.text()).unwrap();
        outcome(&say(&mut self.world, name, &response(&proof)).await)
    }

    /// Goes on with a stream that has logged on: a session.
    async fn bind(&mut self, name: &str) {
        self.world.send(name, &header("localhost"), true).await;
        for _ in 0..2 {
            self.world.next(name, true).await;
        }
        let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
        let bound = say(&mut self.world, name, bind).await;
        assert!(matches!(&bound, Got::Element(e) if e.name() == "iq"), "{bound:?}");
    }

    /// What a session hears, or nothing.
    async fn hears(&mut self, name: &str) -> String {
        self.world.pass(Duration::from_millis(500)).await;
        format!("{:?}", self.world.next(name, true).await)
    }
}

#[test]
fn whoever_is_right_there_is_in_and_has_keys_here_from_then_on() {
    Scene::play(async |scene| {
        let features = scene.open("F").await;
        assert!(features.contains("<mechanism>PLAIN") && features.contains("SCRAM-SHA-256<"));
        assert!(!features.contains("OAUTHBEARER"));
        assert_eq!(scene.scram("S", "romeo", "pencil").await, "not-authorized", "not known yet");
        let (got, took) = scene.plain("P", "romeo", "pencil").await;
        assert_eq!((got.as_str(), took), ("success", Duration::ZERO));
        assert_eq!(scene.scram("T", "romeo", "pencil").await, "success");
        assert_eq!(scene.scram("U", "romeo", "pen").await, "not-authorized");
        scene.bind("P").await;
        scene.bind("T").await;
    });
}

/// As SASLprep would not have it, nor anything that is set here: it is for the application to say.
#[test]
fn a_password_gets_there_as_it_is() {
    for password in ["\u{7}bell", "x\u{ad}y", "Å"] {
        Scene::play(async |scene| {
            scene.application.set("romeo", User { password, ..ROMEO });
            assert_eq!(scene.plain("P", "romeo", password).await.0, "success", "{password:?}");
        });
    }
}

#[test]
fn every_refusal_takes_the_same_time_and_says_the_same() {
    Scene::play(async |scene| {
        scene.application.set("disabled", User { id: "2", disabled: true, ..ROMEO });
        scene.plain("K", "romeo", "pencil").await;
        scene.application.set("new", User { id: "3", ..ROMEO });
        scene.application.set("twice", User { id: SEVERAL, ..ROMEO });
        for user in ["romeo", "nobody", "disabled", "new", "twice"] {
            let (got, took) = scene.plain("X", user, "wrong").await;
            assert_eq!((got.as_str(), took), ("not-authorized", REFUSED), "{user}");
            assert_eq!(scene.scram("Y", user, "wrong").await, "not-authorized", "{user}");
        }
        // only who has the password is told
        assert_eq!(scene.plain("X", "disabled", "pencil").await.0, "account-disabled");
        *scene.application.away.lock() = true;
        for user in ["romeo", "nobody", "new"] {
            let (got, took) = scene.plain("X", user, "wrong").await;
            assert_eq!((got.as_str(), took), ("temporary-auth-failure", REFUSED), "{user}");
        }
    });
}

#[test]
fn who_was_here_before_is_let_in_while_the_application_is_away() {
    Scene::play(async |scene| {
        scene.application.set("juliet", User { id: "2", ..ROMEO });
        assert_eq!(scene.plain("P", "romeo", "pencil").await.0, "success");
        *scene.application.away.lock() = true;
        assert_eq!(scene.plain("P", "romeo", "pencil").await.0, "success");
        assert_eq!(scene.scram("S", "romeo", "pencil").await, "success");
        assert_eq!(scene.plain("J", "juliet", "pencil").await.0, "temporary-auth-failure");
    });
}

#[test]
fn keys_that_are_there_are_used_at_once() {
    Scene::play(async |scene| {
        scene.application.set("keyed", User { id: "2", scram: true, ..ROMEO });
        assert_eq!(scene.scram("S", "keyed", "pencil").await, "success");
        scene.bind("S").await;
        assert_eq!(scene.plain("P", "keyed", "pencil").await.0, "success");
        assert_eq!(scene.plain("Q", "keyed", "wrong").await.0, "not-authorized");
    });
}

/// The stream of changes, and where it does not say who it was.
#[test]
fn sessions_end_when_their_user_is_removed_disabled_or_has_another_password() {
    type Deed = fn(&Application);
    let deeds: [(&str, Deed); 3] = [
        ("removed", |there| there.remove("romeo")),
        ("disabled", |there| there.set("romeo", User { disabled: true, ..ROMEO })),
        ("changed", |there| there.set("romeo", User { password: "pen", ..ROMEO })),
    ];
    for (what, deed) in deeds {
        for says_who in [true, false] {
            Scene::play(async |scene| {
                scene.application.set("juliet", User { id: "2", ..ROMEO });
                scene.plain("P", "romeo", "pencil").await;
                scene.bind("P").await;
                scene.plain("J", "juliet", "pencil").await;
                scene.bind("J").await;
                // something else of the user's
                scene.application.tell_of("romeo");
                scene.application.tell(Change::Any);
                assert_eq!(scene.hears("P").await, "Nothing", "{what}");
                deed(&scene.application);
                match says_who {
                    true => scene.application.tell_of("romeo"),
                    false => scene.application.tell(Change::Any),
                }
                let heard = scene.hears("P").await;
                assert!(heard.contains("not-authorized"), "{what}: {heard}");
                assert_eq!(scene.hears("J").await, "Nothing", "{what}");
                assert_ne!(scene.scram("S", "romeo", "pencil").await, "success", "{what}");
                assert_ne!(scene.plain("P", "romeo", "pencil").await.0, "success", "{what}");
                let is_there = scene.world.env.stores.accounts.get(&jid("romeo")).await.unwrap();
                assert_eq!(is_there.is_some(), what != "removed");
            });
        }
    }
}

/// Nobody has told of it yet.
#[test]
fn who_logs_on_with_the_new_password_ends_what_the_old_one_had_begun() {
    Scene::play(async |scene| {
        scene.plain("P", "romeo", "pencil").await;
        scene.bind("P").await;
        scene.application.set("romeo", User { password: "pen", ..ROMEO });
        assert_eq!(scene.plain("Q", "romeo", "pen").await.0, "success");
        scene.bind("Q").await;
        let heard = scene.hears("P").await;
        assert!(heard.contains("not-authorized"), "{heard}");
        scene.application.tell_of("romeo");
        assert_eq!(scene.hears("Q").await, "Nothing");
    });
}

/// One that proved its old password, and was not bound yet when it changed.
#[test]
fn a_session_that_is_not_bound_yet_does_not_slip_through() {
    Scene::play(async |scene| {
        scene.plain("P", "romeo", "pencil").await;
        scene.application.set("romeo", User { password: "pen", ..ROMEO });
        scene.application.tell_of("romeo");
        scene.world.pass(Duration::from_millis(10)).await;
        scene.world.send("P", &header("localhost"), true).await;
        for _ in 0..2 {
            scene.world.next("P", true).await;
        }
        let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
        let got = format!("{:?}", say(&mut scene.world, "P", bind).await);
        assert!(got.contains("not-authorized"), "{got}");
    });
}

/// It is the application's key that says who is who.
#[test]
fn another_user_of_the_same_name_gets_nothing_of_the_first_one() {
    for logs_on in [true, false] {
        Scene::play(async |scene| {
            scene.plain("P", "romeo", "pencil").await;
            scene.bind("P").await;
            let env = Arc::clone(&scene.world.env);
            let vcard = "<vCard xmlns='vcard-temp'/>".to_owned();
            env.stores.vcards.set(&jid("romeo"), vcard).await.unwrap();
            scene.application.set("romeo", User { id: "2", ..ROMEO });
            if logs_on {
                assert_eq!(scene.plain("Q", "romeo", "pencil").await.0, "success");
            } else {
                scene.application.tell_of("romeo");
            }
            let heard = scene.hears("P").await;
            assert!(heard.contains("not-authorized"), "{heard}");
            assert_eq!(env.stores.vcards.get(&jid("romeo")).await, Ok(None));
        });
    }
}

#[test]
fn users_have_an_account_here_as_soon_as_somebody_writes_to_them_and_only_they_do() {
    Scene::play(async |scene| {
        let accounts = &scene.world.env.stores.accounts;
        let found = accounts.get(&jid("romeo")).await.unwrap().unwrap();
        assert_eq!((found.keys.len(), accounts.get(&jid("nobody")).await), (0, Ok(None)));
        let vcard = "<vCard xmlns='vcard-temp'/>".to_owned();
        let vcards = &scene.world.env.stores.vcards;
        assert_eq!(vcards.set(&jid("romeo"), vcard.clone()).await, Ok(()));
        assert!(vcards.set(&jid("nobody"), vcard).await.is_err());
        // they are made and changed where they belong
        let elsewhere = Err(StoreError::Elsewhere("localhost".to_owned()));
        assert_eq!(accounts.set_keys(&jid("romeo"), keys("x")).await, elsewhere);
        let new = vec![(jid("new"), storage::Account::default())];
        assert!(accounts.create(new).await.is_err());
        assert_eq!(account::remove(&scene.world.env, &jid("romeo"), None).await, Ok(true));
    });
}

#[test]
fn nobody_gets_in_over_what_is_not_encrypted() {
    Scene::play(async |scene| {
        let plain = WorldOptions { accounts, ..WorldOptions::default() };
        let mut world = World::new(Modules::default(), plain).await;
        world.connect("X").await;
        world.send("X", &header("localhost"), true).await;
        world.next("X", true).await;
        let Got::Element(features) = world.next("X", true).await else { panic!("no features") };
        assert!(!features.to_xml().contains("PLAIN"), "{}", features.to_xml());
        let message = BASE64.encode("\0romeo\0pencil");
        let got = say(&mut world, "X", &auth(Mechanism::Plain, &message)).await;
        assert_eq!(outcome(&got), "encryption-required");
        assert!(format!("{got:?}").contains(SASL));
        world.stop().await;
        drop(scene.open("Y").await);
    });
}
