//! Streams put together at random out of every construct of XML, most of them legal.

/// A generator of numbers (xorshift64*): the same seed gives the same streams.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(bits).unwrap() % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

const DECLARATIONS: &[&str] = &[
    "<?xml version='1.0'?>",
    "<?xml version=\"1.0\" encoding='utf-8'?>\n",
    "<?xml version='1.0' standalone='no'?>",
    "<?xml  version = '1.0'\tencoding=\"UTF-8\"\r\nstandalone='yes' ?>\r\n\t ",
    "<?xml version='1.1'?>",
    "<?xml version='1.0' encoding='latin-1'?>",
    "<![CDATA[]]>",
    "<?xml version='1.0'?><![CDATA[]]>",
    "<!DOCTYPE a>",
    "\u{feff}",
];

const HEADERS: &[&str] = &[
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    "<stream:stream to='a.b' version='1.0' xml:lang='de' xmlns='jabber:client'\n\
     xmlns:stream=\"http://etherx.jabber.org/streams\">",
    "<stream:stream xmlns:p='urn:p' xmlns='jabber:client' xmlns:q='urn:header?a=b&amp;c'\r\
     xmlns:stream='http://etherx.jabber.org/streams' >",
    "<stream:stream xmlns:p='urn:p' xmlns:stream='http://etherx.jabber.org/streams'>",
    "<stream:stream xmlns:c='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    "<stream xmlns='http://etherx.jabber.org/streams' xmlns:c='jabber:client' xmlns:p='urn:p'>",
    "<stream xmlns='http://etherx.jabber.org/streams' xml:lang='x y'>",
];

const NAMES: &[&str] = &[
    "body",
    "x",
    "y",
    "a",
    "query",
    "_",
    "a-1.b",
    "\u{e9}t\u{e9}",
    "\u{43f}",
    "\u{4e2d}\u{6587}",
    "xmlx",
    "XML",
    "body",
    "message",
    "iq",
    "stream",
];
const ODD_NAMES: &[&str] = &["\u{370}", "a\u{10000}", "1a", "-", "a:b:c", ":a", "a:", "a\u{ffff}"];

const PREFIXES: &[&str] = &["p", "q", "r", "c", "xml", "stream", "\u{e9}", "xmlx"];

const NAMESPACES: &[&str] = &[
    "urn:a",
    "urn:b",
    "jabber:client",
    "http://jabber.org/protocol/disco#info",
    "urn:xmpp:sm:3",
    "x",
    "http://h/%C3?a='b'",
    "urn:ietf:params:xml:ns:xmpp-sasl",
    "jabber:iq:roster",
];
const ODD_NAMESPACES: &[&str] = &[
    "",
    "http://www.w3.org/2000/xmlns/",
    "http://www.w3.org/XML/1998/namespace",
    "a}b",
    "a b",
    "\u{fc}",
    "%zz",
    "a#b#c",
    "http://etherx.jabber.org/streams",
    "1:a",
    "&#9;",
    "http://h:x/",
];

const TEXTS: &[&str] = &[
    "hello",
    " ",
    "\n",
    "\t",
    "\r\n",
    "\r",
    "\r\r\n\r",
    "&lt;",
    "&amp;",
    "&gt;",
    "&apos;&quot;",
    ">",
    "'\"",
    "]",
    "]]",
    "]]&gt;",
    "]&#93;>",
    "&#65;",
    "&#x1F600;",
    "&#13;",
    "&#xD;&#10;",
    "&#9;",
    "\u{e9}",
    "\u{1f600}",
    "\u{10ffff}",
    "\u{7f}",
    "\u{85}\u{2028}",
    "\u{fffd}",
    "\u{feff}",
    "<![CDATA[]]>",
    "<![CDATA[x]]>",
    "<![CDATA[<a b='c'>&amp;</a>]]>",
    "<![CDATA[]]]]>",
    "<![CDATA[]>]]>",
    "<![CDATA[]]]]><![CDATA[>]]>",
    "<![CDATA[ \r\n\r]]>",
    "<![CDATA[</message>]]>",
    "<![CDATA[]]><![CDATA[]]>",
    "]]<![CDATA[]]>",
    "]<![CDATA[]]]>",
    "<![CDATA[\r]]>",
    "]\r]\r",
];
const ODD_TEXTS: &[&str] = &[
    "]]>",
    "&",
    "&foo;",
    "&#0;",
    "&#1;",
    "&#xFFFE;",
    "&#xD800;",
    "&#x110000;",
    "&#000000065;",
    "&;",
    "&#;",
    "&#x;",
    "\u{0}",
    "\u{1}",
    "\u{b}",
    "\u{fffe}",
    "\u{ffff}",
    "<!-- c -->",
    "<!---->",
    "<?p x?>",
    "<?xml version='1.0'?>",
    "<!DOCTYPE a>",
    "<![CDATA[\u{1}]]>",
    "<![CDATA[",
    "<![CDAT[x]]>",
    "<",
    "<!",
    "<x<!--",
    "< a/>",
    "<a / >",
    "</",
    "<a b/>",
    "<a b=c/>",
    "<a b='<'/>",
    "<a b='1'c='2'/>",
];

const VALUES: &[&str] = &[
    "1",
    "a b",
    "",
    "&lt;&amp;&gt;",
    "&apos;&quot;",
    "&#9;&#10;&#13;",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "x\r",
    "\rx",
    "\r\r\n",
    "\r&amp;",
    ">",
    "]]>",
    "\u{e9}\u{1f600}",
    "&#x41;",
    "/>",
    "=",
    "  a  ",
    "\u{7f}",
];
const ODD_VALUES: &[&str] = &["<", "&", "&foo;", "\u{1}", "\u{fffe}", "&#0;", "&#xFFFF;"];

const BETWEEN: &[&str] = &[
    " ",
    "\n",
    "\r\n",
    "\r",
    "<![CDATA[]]>",
    "<![CDATA[ ]]>",
    "text",
    "<!-- -->",
    "<?p?>",
    "&#32;",
    "</stream:stream>",
    "</stream>",
    "<stream:stream>",
    "</message>",
    "\u{0}",
    "\u{feff}",
];

/// How often something that is not legal is put in: one in so many.
const ODD: usize = 60;

pub struct Generator {
    random: Random,
    out: String,
    /// Prefixes that are declared, most of the time.
    declared: Vec<&'static str>,
}

impl Generator {
    /// A stream.
    pub fn stream(seed: u64) -> Vec<u8> {
        let mut random = Random::new(seed);
        let odd = random.one_in(3);
        let mut g = Self { random, out: String::new(), declared: vec!["xml"] };
        let header = g.random.pick(HEADERS);
        if g.random.one_in(3) {
            let declaration = if g.random.one_in(8) {
                g.random.pick(DECLARATIONS)
            } else {
                DECLARATIONS[g.random.below(4)]
            };
            g.out.push_str(declaration);
        }
        g.out.push_str(header);
        for prefix in ["p", "q", "c", "stream"] {
            if header.contains(&format!("xmlns:{prefix}=")) {
                g.declared.push(prefix);
            }
        }
        for _ in 0..=g.random.below(3) {
            if g.random.one_in(12) {
                let between = g.random.pick(BETWEEN);
                g.out.push_str(between);
            }
            g.first_level(header);
        }
        if !g.random.one_in(8) {
            let end = if header.starts_with("<stream:") { "</stream:stream>" } else { "</stream>" };
            g.out.push_str(end);
        }
        let mut bytes = std::mem::take(&mut g.out).into_bytes();
        if odd {
            g.damage(&mut bytes);
        }
        bytes
    }

    fn first_level(&mut self, header: &str) {
        let name = self.random.pick(&["message", "presence", "iq", "message", "r", "auth"]);
        let before = self.declared.len();
        if self.random.one_in(6) && header.contains("xmlns:c=") {
            self.element(&format!("c:{name}"), "", 0);
        } else if header.contains("xmlns='jabber:client'") && !matches!(name, "r" | "auth") {
            let own = if self.random.one_in(6) { " xmlns='jabber:client'" } else { "" };
            self.element(name, own, 0);
        } else if matches!(name, "r" | "auth") {
            self.element(name, " xmlns='urn:xmpp:sm:3'", 0);
        } else {
            self.element(name, " xmlns='jabber:client'", 0);
        }
        self.declared.truncate(before);
    }

    fn space(&mut self) {
        let space = self.random.pick(&[" ", " ", " ", "\n", "\t", "\r\n", "\r", "  "]);
        self.out.push_str(space);
    }

    fn element(&mut self, name: &str, own: &str, depth: usize) {
        let before = self.declared.len();
        self.out.push('<');
        self.out.push_str(name);
        self.out.push_str(own);
        let mut used: Vec<String> = Vec::new();
        if own.is_empty() && depth > 0 && self.random.one_in(5) {
            self.space();
            let ns = self.namespace();
            self.attribute("xmlns", ns);
        }
        for _ in 0..self.random.below(3) {
            if !self.random.one_in(3) {
                continue;
            }
            let prefix = if self.random.one_in(ODD) {
                "xmlns"
            } else {
                self.random.pick(&["p", "q", "r", "\u{e9}", "xmlx"])
            };
            if !used.iter().any(|u| u == prefix) || self.random.one_in(ODD) {
                self.space();
                let ns = self.namespace();
                self.attribute(&format!("xmlns:{prefix}"), ns);
                self.declared.push(prefix);
                used.push(prefix.to_owned());
            }
        }
        for _ in 0..self.random.below(4) {
            let attr = match self.random.below(8) {
                0 => "xml:lang".to_owned(),
                1 => "id".to_owned(),
                2 | 3 => format!("{}:{}", self.prefix(), self.name()),
                _ => self.name().to_owned(),
            };
            if used.contains(&attr) && !self.random.one_in(ODD) {
                continue;
            }
            let value = if self.random.one_in(ODD) {
                self.random.pick(ODD_VALUES)
            } else {
                self.random.pick(VALUES)
            };
            self.space();
            self.attribute(&attr, value);
            used.push(attr);
        }
        if self.random.one_in(6) {
            self.space();
        }
        if self.random.one_in(4) {
            self.out.push_str("/>");
        } else {
            self.out.push('>');
            self.content(depth);
            self.out.push_str("</");
            self.out.push_str(name);
            if self.random.one_in(8) {
                self.space();
            }
            self.out.push('>');
        }
        self.declared.truncate(before);
    }

    fn content(&mut self, depth: usize) {
        for _ in 0..self.random.below(if depth == 0 { 5 } else { 3 }) {
            if depth < 6 && self.random.one_in(2) {
                let name = self.name();
                let name = if self.random.one_in(3) {
                    format!("{}:{name}", self.prefix())
                } else {
                    name.to_owned()
                };
                self.element(&name, "", depth + 1);
                continue;
            }
            match self.random.below(ODD * 20) {
                0 => {
                    // over a parser's buffer
                    let length = 65_530 + self.random.below(12);
                    let filler = self.random.pick(&["x", "\u{e9}", "]", "&lt;", "\u{1f600}"]);
                    self.out.push_str(&filler.repeat(length / filler.len()));
                }
                1..=20 => {
                    let odd = self.random.pick(ODD_TEXTS);
                    self.out.push_str(odd);
                }
                _ => {
                    let text = self.random.pick(TEXTS);
                    self.out.push_str(text);
                }
            }
        }
    }

    fn name(&mut self) -> &'static str {
        if self.random.one_in(ODD * 2) {
            self.random.pick(ODD_NAMES)
        } else {
            self.random.pick(NAMES)
        }
    }

    fn prefix(&mut self) -> &'static str {
        if self.random.one_in(ODD) {
            self.random.pick(PREFIXES)
        } else {
            self.declared[self.random.below(self.declared.len())]
        }
    }

    fn namespace(&mut self) -> &'static str {
        if self.random.one_in(ODD / 3) {
            self.random.pick(ODD_NAMESPACES)
        } else {
            self.random.pick(NAMESPACES)
        }
    }

    fn attribute(&mut self, name: &str, value: &str) {
        let equals = self.random.pick(&["=", "=", "=", "=", " = ", "=\n", "\t="]);
        let quote = match (value.contains('\''), value.contains('"')) {
            (true, _) => '"',
            (_, true) => '\'',
            _ => self.random.pick(&['\'', '"']),
        };
        self.out.push_str(&format!("{name}{equals}{quote}{value}{quote}"));
    }

    /// Takes out, doubles or changes something.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.random.below(2) {
            let at = self.random.below(bytes.len());
            let end = (at + 1 + self.random.below(12)).min(bytes.len());
            match self.random.below(5) {
                0 => drop(bytes.drain(at..end)),
                1 => bytes[at] = u8::try_from(self.random.below(256)).unwrap(),
                2 => {
                    let piece = bytes[at..end].to_vec();
                    let to = self.random.below(bytes.len());
                    drop(bytes.splice(to..to, piece));
                }
                3 => bytes.truncate(end),
                _ => {
                    let from = if self.random.one_in(2) { ODD_TEXTS } else { TEXTS };
                    let piece = self.random.pick(from).bytes();
                    drop(bytes.splice(at..at, piece));
                }
            }
            if bytes.is_empty() {
                return;
            }
        }
    }
}
