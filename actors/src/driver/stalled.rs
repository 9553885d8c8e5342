//! When a client is given up that does not read.

use super::*;
use crate::{
    registrar::Modules,
    session::out::Dialect,
    testkit::{World, WorldOptions},
};
use std::{convert::Infallible, time::Duration};

#[test]
fn a_client_that_takes_some_of_it_is_waited_for() {
    World::block_on(async {
        let world = World::new(Modules::default(), WorldOptions::default()).await;
        let start = Instant::now();
        let conn = Conn {
            peer: [127, 0, 0, 1].into(),
            starttls: false,
            tls_required: false,
            tls: None,
            dialect: Dialect::Document,
        };
        let mut driver = Driver::new(conn, &world.env, start);
        let at = |s| start + Duration::from_secs(s);
        let mut write = |written, s| {
            let Ok(()) = driver.write(|_| Ok::<_, Infallible>(written), || at(s));
            driver.deadlines.at(Deadline::Stall)
        };
        // nothing has to leave the output for that: it may wait in TLS
        assert_eq!(write(Written::Nothing, 0), Some(at(0) + STALL));
        assert_eq!(write(Written::Nothing, 10), Some(at(0) + STALL));
        assert_eq!(write(Written::Some, 20), Some(at(20) + STALL));
        assert_eq!(write(Written::Nothing, 30), Some(at(20) + STALL));
        assert_eq!(write(Written::All, 40), None);
        drop(driver);
        world.stop().await;
    });
}
