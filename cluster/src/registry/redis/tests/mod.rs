//! What only this registry promises.

use super::{Options, RedisRegistry, Servers};
use crate::{
    registry::conformance::{Pair, Registry, all, eventually},
    testkit::{RedisServer, redis_cluster},
};
use std::{sync::Arc, time::Duration};
use supervision::{SupervisorRef, SupervisorSpec, System};

mod emptied;
mod faults;
mod places;

/// A registry at work.
struct Running {
    registry: Arc<RedisRegistry>,
    root: SupervisorRef,
}

impl Running {
    /// With a deadline for machines that have other things to do.
    async fn start(options: Options) -> Self {
        let running =
            Self::start_hasty(Options { deadline: Duration::from_secs(5), ..options }).await;
        running.complete().await;
        running
    }

    async fn start_hasty(options: Options) -> Self {
        let registry = RedisRegistry::open(options).await.unwrap();
        let tree = SupervisorSpec::one_for_one().child(RedisRegistry::child(&registry));
        let root = System::new("test").start(tree).await.unwrap();
        Self { registry, root }
    }

    /// It knows who is where, and is asked by any of its connections.
    async fn complete(&self) {
        let complete = async || {
            let shown = self.registry.shown();
            shown.complete && shown.connected == shown.connections
        };
        eventually("it is known who is where", complete).await;
    }
}

/// Of that server; a node that starts believes an empty one at once.
fn at(server: &RedisServer) -> Options {
    let servers = Servers::One("127.0.0.1".to_owned(), server.port());
    Options { servers, grace: Duration::ZERO, ..Options::default() }
}

async fn conforms(options: Options) {
    let (one, two) = (Running::start(options.clone()).await, Running::start(options).await);
    let (a, b): (Arc<dyn Registry>, Arc<dyn Registry>) =
        (Arc::clone(&one.registry) as _, Arc::clone(&two.registry) as _);
    all(&Pair { a, b }).await;
    one.root.stop().await;
    two.root.stop().await;
}

#[tokio::test]
async fn it_keeps_what_registries_promise() {
    let server = RedisServer::start(&[]).await.unwrap();
    conforms(at(&server)).await;
}

#[tokio::test]
async fn so_does_one_in_a_redis_cluster() {
    let servers = redis_cluster().await.unwrap();
    let members = servers.iter().map(|one| ("127.0.0.1".to_owned(), one.port())).collect();
    let cluster =
        Options { servers: Servers::Cluster(members), grace: Duration::ZERO, ..Options::default() };
    conforms(cluster).await;
}
