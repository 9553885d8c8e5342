//! A handler that panics: one client is concerned, and operators see everything of it.

use crate::support::{Program, Tcp, TestNode, block_on};
use actors::{
    cx::SessionCx,
    hooks::{Flow, Order},
    registrar::{Module, Registrar, Xep},
    testkit::script::follow,
};
use xmpp::stanza::Stanza;

config::section! {
    /// Nothing to configure.
    pub struct NoConfig {}
}

/// Panics at a message that has the word in it.
struct Trap;

impl Module for Trap {
    const NAME: &'static str = "trap";
    const XEPS: &'static [Xep] = &[];
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.inbound(Order::Main, Self::spring);
    }
}

impl Trap {
    fn spring(&self, _: &mut SessionCx<'_>, stanza: &Stanza) -> Flow {
        assert!(!stanza.to_xml().contains("spring the trap"), "the trap was sprung");
        Flow::Continue
    }
}

#[test]
fn a_panic_ends_one_client_s_stream_and_is_shown() {
    block_on(async {
        let options = "storage.backend = 'memory'";
        let node = TestNode::with(options, |setup| {
            setup.modules.add_with::<Trap>(NoConfig {});
        })
        .await;
        let script = "\
account a@localhost pw
account b@localhost pw
A = a@localhost/one
B = b@localhost/two
A C: <message to='b@localhost/two' id='1'><body>spring the trap</body></message>
A S: <stream:error><internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
A S: </stream:stream>
A S: eof
";
        let mut tcp = Tcp::of(&node);
        follow(script, &mut tcp).await.unwrap_or_else(|e| panic!("{e}"));
        let after = "\
password a@localhost pw
B S: nothing
B C: <message to='b@localhost/two'><body>alive</body></message>
B S: <message><body>alive</body></message>
A = a@localhost/one
A C: <message to='b@localhost/two'><body>again</body></message>
B S: <message from='a@localhost/one'><body>again</body></message>
";
        follow(after, &mut tcp).await.unwrap_or_else(|e| panic!("{e}"));
        drop(tcp);
        let program = Program::new("");
        let socket = node.socket().display().to_string();
        let say = |args: &[&str]| {
            let args = [&["--socket", &socket], args].concat();
            program.say(&args).good()
        };
        let (list, page, json) = tokio::task::block_in_place(|| {
            (
                say(&["crash", "list"]),
                say(&["crash", "show", "1"]),
                say(&["crash", "list", "--json"]),
            )
        });
        let lines: Vec<&str> = list.lines().collect();
        assert!(lines[0].starts_with("id  time (UTC)") && lines[2] == "1 crash", "{list}");
        assert!(
            lines[1].contains("/c2s/connections/#") && lines[1].ends_with("the trap was sprung")
        );
        for part in [
            "process    /c2s/connections/#1 (connection)",
            "ancestors  /c2s/connections, /c2s, /",
            "reason     the trap was sprung",
            "location   tests/it/crashes.rs:",
            "status     a@localhost/one",
            "build      ",
            "spring the trap</body></message>",
            "backtrace:",
            "crashes::Trap::spring",
        ] {
            assert!(page.contains(part), "{part}\n\n{page}");
        }
        assert!(json.contains("\"id\":1,"), "{json}");
        node.stop().await;
    });
}
