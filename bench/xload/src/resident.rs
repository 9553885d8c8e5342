//! Clients that are online and say nothing, but answer what a server asks of a living client (XEP-0199, XEP-0198).

use std::rc::Rc;

use tokio::task::{JoinHandle, spawn_local};

use crate::R;
use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::end::End;
use crate::login::close_all;
use crate::xml;

/// A crowd of them.
pub struct Residents {
    end: Rc<End>,
    tasks: Vec<JoinHandle<Option<Conn>>>,
}

impl Residents {
    /// One that loses its connection, or is sent a message, is an error of the run.
    pub fn settle(cx: &Rc<Ctx>, conns: Vec<Conn>) -> Residents {
        let end = Rc::new(End::default());
        let tasks = conns.into_iter().map(|mut c| {
            let (cx, end) = (Rc::clone(cx), Rc::clone(&end));
            spawn_local(async move {
                match live(&mut c, &end).await {
                    Ok(()) => Some(c),
                    Err(e) => {
                        cx.err("idle client", &format!("{}: {e}", c.jid));
                        None
                    }
                }
            })
        });
        Residents { tasks: tasks.collect(), end }
    }

    /// All leave, with a proper end of their streams.
    pub async fn leave(self, cx: &Rc<Ctx>) {
        self.end.ring();
        let mut conns = vec![];
        for t in self.tasks {
            conns.extend(t.await.ok().flatten());
        }
        close_all(cx, conns).await;
    }
}

async fn live(c: &mut Conn, end: &End) -> R<()> {
    while !end.has_come() {
        let stanza = tokio::select! {
            biased;
            s = c.stanza() => s?,
            () = end.rung() => return Ok(()),
        };
        let answer = match c.sm_answer(&stanza) {
            Some(a) => Some(a),
            None => answer(c.bytes(&stanza))?,
        };
        if let Some(a) = answer {
            c.send(a.as_bytes()).await?;
        }
    }
    Ok(())
}

/// What a client says to this stanza, if anything.
fn answer(b: &[u8]) -> R<Option<String>> {
    match (xml::name(b), xml::attr(b, "type")) {
        (b"message", _) => {
            Err(format!("a message nobody expected: {}", String::from_utf8_lossy(b)))
        }
        (b"iq", Some("get" | "set")) => {
            let id = xml::attr(b, "id").unwrap_or("");
            let to = xml::attr(b, "from").map(|f| format!(" to='{f}'")).unwrap_or_default();
            Ok(Some(if xml::has(b, "urn:xmpp:ping") {
                format!("<iq type='result' id='{id}'{to}/>")
            } else {
                format!(
                    "<iq type='error' id='{id}'{to}><error type='cancel'>\
                     <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
                )
            }))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_answered_and_a_message_is_an_error() {
        let ping = b"<iq type='get' id='p1' from='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
        let pong = "<iq type='result' id='p1' to='localhost'/>".to_owned();
        assert_eq!(answer(ping), Ok(Some(pong)));
        assert_eq!(answer(b"<presence from='a@b/c'/>"), Ok(None));
        assert!(answer(b"<message from='a@b/c'><body>x</body></message>").is_err());
    }
}
