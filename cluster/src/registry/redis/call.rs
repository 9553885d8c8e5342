//! One call: let in or refused, with a deadline, and what its end means.

use super::{
    RedisRegistry,
    scripts::Script,
    stats::{Operation, count},
};
use crate::{BoxFuture, RegistryError};
use bytes::Bytes;
use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientLike, LuaInterface},
    types::{Key, Value},
};
use parking_lot::Mutex;
use std::{
    future::Future,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// When to try again what could not be done.
pub(super) const AWAY: RegistryError =
    RegistryError::Unavailable { retry_after: Duration::from_secs(1) };
/// Calls in a row that were not answered, after which none is made until one is.
const FAILURES: u32 = 3;

/// Counts calls that were not answered.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
    last: Mutex<Option<String>>,
}

impl Breaker {
    pub(super) fn is_open(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= FAILURES
    }

    pub(super) fn last(&self) -> Option<String> {
        self.last.lock().clone()
    }

    pub(super) fn note(&self, why: String) {
        *self.last.lock() = Some(why);
    }

    fn worked(&self) {
        if self.failures.load(Ordering::Relaxed) > 0
            && self.failures.swap(0, Ordering::Relaxed) >= FAILURES
        {
            tracing::info!("the registry answers again");
        }
    }

    fn failed(&self, why: String) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 == FAILURES {
            tracing::error!(why, "the registry does not answer: calls are refused until it does");
        }
        self.note(why);
    }
}

impl RedisRegistry {
    /// Makes a call, if Redis is there and not too many are on their way.
    pub(super) async fn call<T>(
        &self,
        operation: Operation,
        client: &Client,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, RegistryError> {
        let seat = match self.breaker.is_open() || !client.is_connected() {
            true => None,
            false => self.seats.try_acquire().ok(),
        };
        let Some(_seat) = seat else {
            count(&self.stats.refused);
            return Err(AWAY);
        };
        self.try_call(operation, call).await
    }

    /// The same, whatever is known of Redis.
    pub(super) async fn try_call<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, RegistryError> {
        let began = Instant::now();
        let answer = timeout(self.options.deadline, call).await;
        let took = began.elapsed();
        let answer = match answer {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(ErrorKind::Timeout, "no answer in time")),
        };
        self.stats.took(operation, took, answer.is_ok());
        let error = match answer {
            Ok(answer) => {
                self.breaker.worked();
                return Ok(answer);
            }
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::Timeout => count(&self.stats.timeouts),
            _ => count(&self.stats.errors),
        }
        match error.kind() {
            ErrorKind::Timeout | ErrorKind::IO | ErrorKind::Canceled => {
                self.breaker.failed(error.to_string());
            }
            _ => self.breaker.note(error.to_string()),
        }
        Err(AWAY)
    }

    /// Runs a script.
    pub(super) async fn run(
        &self,
        operation: Operation,
        client: &Client,
        (script, keys, args): (&Script, Vec<Key>, Vec<Value>),
    ) -> Result<Vec<Value>, RegistryError> {
        let answer = self.call(operation, client, evaluate(client, script, keys, args)).await?;
        Ok(array(answer))
    }
}

/// By its name, and by its text where the server does not know that yet. Boxed: the library's futures have 14 KB.
pub(super) fn evaluate<'a>(
    client: &'a Client,
    script: &'a Script,
    keys: Vec<Key>,
    args: Vec<Value>,
) -> BoxFuture<'a, Result<Value, Error>> {
    Box::pin(async move {
        let known = client.evalsha(script.sha.as_str(), keys.clone(), args.clone()).await;
        match known {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                client.eval(script.text.as_str(), keys, args).await
            }
            answer => answer,
        }
    })
}

/// Its parts; of one value, that one.
pub(super) fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        value => vec![value],
    }
}

/// The first number.
pub(super) fn status(answer: &[Value]) -> i64 {
    answer.first().and_then(Value::as_i64).unwrap_or(i64::MIN)
}

pub(super) fn bytes(value: impl AsRef<[u8]>) -> Value {
    Value::Bytes(Bytes::copy_from_slice(value.as_ref()))
}
