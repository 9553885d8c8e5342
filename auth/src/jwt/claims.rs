//! What a token says.

use super::{LEEWAY, Policy, TokenError};
use serde_json::{Map, Value};
use std::time::Duration;
use xmpp::jid::BareJid;

/// What a token says that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub user: BareJid,
    /// When it expires, in seconds since 1970; it is taken for [`LEEWAY`] longer.
    pub expires: u64,
    /// Its own name (`jti`).
    pub id: Option<String>,
}

impl Claims {
    /// Reads the JSON of a token whose signature is right.
    pub(super) fn read(json: &[u8], policy: &Policy, now: u64) -> Result<Self, TokenError> {
        let claims: Map<String, Value> =
            serde_json::from_slice(json).map_err(|_| TokenError::Malformed("its claims"))?;
        let expires = date(&claims, "exp")?.ok_or(TokenError::Expired)?;
        if now >= expires.saturating_add(LEEWAY) {
            return Err(TokenError::Expired);
        }
        if date(&claims, "nbf")?.is_some_and(|begins| begins > now.saturating_add(LEEWAY)) {
            return Err(TokenError::NotYet);
        }
        if let Some(issuer) = &policy.issuer
            && text(&claims, "iss")? != Some(issuer)
        {
            return Err(TokenError::Other("iss"));
        }
        for_us(claims.get("aud"), &policy.audience)?;
        let user = text(&claims, &policy.user)?.and_then(|user| user_of(user, &policy.host));
        let id = text(&claims, "jti")?.map(str::to_owned);
        Ok(Self { user: user.ok_or(TokenError::User)?, expires, id })
    }
}

/// A claim that is text. One of another type is no claim that is not there: it is refused.
fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenError::Malformed("a claim is no text")),
    }
}

/// `NumericDate` (RFC 7519 section 2): seconds since 1970, perhaps with a fraction, which is cut off.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, TokenError> {
    /// What a float holds exactly.
    const MOST: f64 = 9_007_199_254_740_992.0;
    let Some(value) = claims.get(name) else { return Ok(None) };
    let date = value.as_u64().or_else(|| {
        let float = value.as_f64().filter(|float| (0.0..=MOST).contains(float))?;
        Some(Duration::try_from_secs_f64(float).ok()?.as_secs())
    });
    date.map(Some).ok_or(TokenError::Malformed("a date"))
}

/// RFC 7519 section 4.1.3: a text, or several.
fn for_us(audience: Option<&Value>, us: &[String]) -> Result<(), TokenError> {
    let is_us = |value: &Value| value.as_str().is_some_and(|name| us.iter().any(|us| us == name));
    let fits = match audience {
        None => us.is_empty(),
        Some(Value::Array(names)) => names.iter().any(is_us),
        Some(name) => is_us(name),
    };
    if fits { Ok(()) } else { Err(TokenError::Other("aud")) }
}

fn user_of(user: &str, host: &str) -> Option<BareJid> {
    let at_host = BareJid::new("x", host).ok()?;
    let jid = match user.contains('@') {
        true => user.parse::<BareJid>().ok()?,
        false => BareJid::new(user, host).ok()?,
    };
    (jid.as_str().contains('@') && jid.domain() == at_host.domain()).then_some(jid)
}
