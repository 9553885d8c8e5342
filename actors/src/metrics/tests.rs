//! Metrics of modules, and what is measured on the way of a session.

use super::{Counter, Histogram, Unit};
use crate::{
    hosts::Hosts,
    modules::offline::{OfflineConfig, OfflineModule},
    registrar::{Module, Modules, Registrar, Xep},
    resource::{Resource, Shares},
    testkit::{World, WorldOptions, metrics::values, script::follow},
};
use std::{collections::BTreeMap, time::Duration};

config::section! {
    /// No options.
    pub struct NoConfig {
        /// Not used.
        pub unused: bool = false,
    }
}

/// A module that registers nothing but these metrics.
#[derive(Debug)]
struct Counting<const N: usize> {
    seen: Counter,
    sizes: Histogram,
}

fn names(n: usize) -> [&'static str; 2] {
    [["seen", "size"], ["seen", "seen"], ["se-en", "size"], ["seen_total", "size"]][n]
}

impl<const N: usize> Module for Counting<N> {
    const NAME: &'static str = "counting";
    const XEPS: &'static [Xep] = &[];
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self { seen: Counter::default(), sizes: Histogram::new([1.0, 2.0]) }
    }

    fn register(on: &mut Registrar<'_, Self>) {
        let [seen, size] = names(N);
        on.counter(seen, "What was seen", |m| {
            m.seen.inc();
            &m.seen
        });
        on.histogram(size, "How large it was", Some(Unit::Bytes), |m| {
            m.sizes.observe(1.5);
            &m.sizes
        });
    }
}

fn of_module(values: &BTreeMap<String, f64>) -> Vec<(&str, f64)> {
    let of = values.iter().filter(|(name, _)| name.starts_with("mangrove_counting"));
    of.map(|(name, value)| (name.as_str(), *value)).collect()
}

#[test]
fn metrics_of_a_module_are_beside_those_of_the_node() {
    World::block_on(async {
        let mut modules = Modules::default();
        modules.add_with::<Counting<0>>(NoConfig::default());
        modules.add_with::<OfflineModule>(OfflineConfig::default());
        let world = World::new(modules, WorldOptions::default()).await;
        assert_eq!(
            of_module(&values(&world.env)),
            [
                ("mangrove_counting_seen_total", 1.0),
                ("mangrove_counting_size_bytes_bucket{le=\"+Inf\"}", 1.0),
                ("mangrove_counting_size_bytes_bucket{le=\"1\"}", 0.0),
                ("mangrove_counting_size_bytes_bucket{le=\"2\"}", 1.0),
                ("mangrove_counting_size_bytes_count", 1.0),
                ("mangrove_counting_size_bytes_sum", 1.5),
            ]
        );
        let all = values(&world.env);
        assert_eq!(all["mangrove_offline_stored_total"], 0.0);
        assert_eq!(all["mangrove_connections_total"], 0.0);
        world.stop().await;
    });
}

#[test]
fn names_that_prometheus_does_not_take_stop_the_start() {
    fn conflicts<const N: usize>() -> String {
        let mut modules = Modules::default();
        modules.add_with::<Counting<N>>(NoConfig::default());
        modules.build(&Hosts::new([])).map(|_| ()).unwrap_err().join("; ")
    }
    assert_eq!(conflicts::<1>(), "modules counting and counting both have a metric counting_seen");
    assert_eq!(conflicts::<2>(), "module counting: `counting_se-en` is no name for a metric");
    assert_eq!(conflicts::<3>(), "module counting: `counting_seen_total` is no name for a metric");
}

/// How many are in a bucket and those below it, by its upper end.
fn up_to(values: &BTreeMap<String, f64>, name: &str, le: &str) -> f64 {
    values[&format!("{name}_bucket{{le=\"{le}\"}}")]
}

#[test]
fn a_session_and_its_wait_are_measured_across_connections() {
    World::block_on(async {
        let mut world = World::new(Modules::default(), WorldOptions::default()).await;
        let script = "account juliet@localhost pencil
            J = juliet@localhost/balcony
            J C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
            J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
            J cut
            T: 20s
            K ~ juliet@localhost
            K C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>
            K S: <resumed xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>
            T: 50s
            L ~ juliet@localhost
            L C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>
            L S: <resumed xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>
            L C: </stream:stream>
            L S: </stream:stream>";
        follow(script, &mut world).await.unwrap();
        let seen = values(&world.env);
        // 20 s; then the connection was not known to be lost
        let wait = |le| up_to(&seen, "mangrove_resume_wait_seconds", le);
        assert_eq!((wait("0.5"), wait("15"), wait("30"), wait("+Inf")), (1.0, 1.0, 2.0, 2.0));
        assert_eq!(seen["mangrove_resumed_total"], 2.0);
        let session = |le| up_to(&seen, "mangrove_session_seconds", le);
        assert_eq!((session("60"), session("300"), session("+Inf")), (0.0, 1.0, 1.0));
        world.stop().await;
    });
}

#[test]
fn a_session_is_as_old_in_the_next_process() {
    World::block_on(async {
        let mut world = World::new(Modules::default(), WorldOptions::default()).await;
        let script = "account juliet@localhost pencil\nJ = juliet@localhost/balcony\nT: 100s";
        follow(script, &mut world).await.unwrap();
        let resources = world.env.table.resources(&"juliet@localhost".parse().unwrap());
        let frozen = serde_json::to_vec(&resources[0].freeze()).unwrap();
        tokio::time::advance(Duration::from_secs(7)).await;
        let frozen = serde_json::from_slice(&frozen).unwrap();
        let thawed = Resource::thaw(frozen, world.env.thawing(), &mut Shares::default());
        tokio::time::advance(Duration::from_secs(5)).await;
        // what lies between the two processes is nobody's
        assert_eq!(thawed.age().as_secs(), 105);
        assert_eq!(resources[0].age().as_secs(), 112);
        world.stop().await;
    });
}

#[test]
fn a_delivery_of_offline_messages_is_measured_as_one() {
    World::block_on(async {
        let mut modules = Modules::default();
        modules.add_with::<OfflineModule>(OfflineConfig::default());
        let mut world = World::new(modules, WorldOptions::default()).await;
        let mut script = "account romeo@localhost rose
            account juliet@localhost pencil
            R = romeo@localhost/orchard\n"
            .to_owned();
        // more than one page of them
        for n in 0..23 {
            script +=
                &format!("R C: <message to='juliet@localhost' id='{n}'><body>b</body></message>\n");
        }
        script += "J = juliet@localhost/balcony\nJ C: <presence/>\n";
        script += &(0..23).map(|n| format!("J S: <message id='{n}'/>\n")).collect::<String>();
        script += "J S: <presence/>\nJ S: nothing";
        follow(&script, &mut world).await.unwrap();
        let seen = values(&world.env);
        for (name, value) in [
            ("mangrove_offline_stored_total", 23.0),
            ("mangrove_offline_delivered_total", 23.0),
            ("mangrove_offline_delivery_messages_sum", 23.0),
            ("mangrove_offline_delivery_messages_count", 1.0),
        ] {
            assert_eq!(seen[name], value, "{name}");
        }
        world.stop().await;
    });
}
