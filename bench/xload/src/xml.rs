//! An incremental stream splitter (no tree is built) and a few look-ups in a complete stanza.
use memchr::{memchr, memchr3, memmem};
use std::ops::Range;

#[derive(Debug, Clone, PartialEq)]
pub enum Ev {
    /// `<stream:stream …>` (bytes of the tag)
    Open(Range<usize>),
    /// a complete child of the stream
    Stanza(Range<usize>),
    /// `</stream:stream>`
    Close,
}

#[derive(Default)]
pub struct Scanner {
    depth: u32,
    pos: usize,
    in_tag: bool,
    quote: u8,
    tag: usize,
    start: usize,
}

impl Scanner {
    pub fn reset(&mut self) {
        *self = Scanner::default();
    }
    /// the buffer lost its first `n` bytes
    pub fn shift(&mut self, n: usize) {
        self.pos -= n;
        self.tag = self.tag.saturating_sub(n);
        self.start = self.start.saturating_sub(n);
    }
    /// first byte still needed
    pub fn keep(&self) -> usize {
        if self.depth >= 2 {
            self.start
        } else if self.in_tag {
            self.tag
        } else {
            self.pos
        }
    }
    pub fn next(&mut self, b: &[u8]) -> Result<Option<Ev>, String> {
        loop {
            if !self.in_tag {
                match memchr(b'<', &b[self.pos..]) {
                    None => {
                        self.pos = b.len();
                        return Ok(None);
                    }
                    Some(i) => {
                        self.tag = self.pos + i;
                        self.pos = self.tag + 1;
                        self.in_tag = true;
                        self.quote = 0;
                        if self.depth == 1 {
                            self.start = self.tag;
                        }
                    }
                }
            }
            // inside a tag: find its '>' outside of quotes
            loop {
                if self.quote != 0 {
                    match memchr(self.quote, &b[self.pos..]) {
                        None => {
                            self.pos = b.len();
                            return Ok(None);
                        }
                        Some(i) => {
                            self.pos += i + 1;
                            self.quote = 0;
                        }
                    }
                }
                match memchr3(b'>', b'\'', b'"', &b[self.pos..]) {
                    None => {
                        self.pos = b.len();
                        return Ok(None);
                    }
                    Some(i) => {
                        let c = b[self.pos + i];
                        self.pos += i + 1;
                        if c == b'>' {
                            break;
                        }
                        self.quote = c;
                    }
                }
            }
            self.in_tag = false;
            let end = self.pos; // one past '>'
            match b[self.tag + 1] {
                b'?' | b'!' => continue,
                b'/' => {
                    if self.depth == 0 {
                        return Err("unbalanced closing tag".into());
                    }
                    self.depth -= 1;
                    if self.depth == 1 {
                        return Ok(Some(Ev::Stanza(self.start..end)));
                    }
                    if self.depth == 0 {
                        return Ok(Some(Ev::Close));
                    }
                }
                _ => {
                    if b[end - 2] == b'/' {
                        if self.depth == 1 {
                            return Ok(Some(Ev::Stanza(self.start..end)));
                        }
                    } else {
                        self.depth += 1;
                        if self.depth == 1 {
                            return Ok(Some(Ev::Open(self.tag..end)));
                        }
                    }
                }
            }
        }
    }
}

/// name of the root element
pub fn name(s: &[u8]) -> &[u8] {
    let e = s[1..]
        .iter()
        .position(|c| matches!(c, b' ' | b'/' | b'>' | b'\n' | b'\t' | b'\r'))
        .unwrap_or(s.len() - 1);
    &s[1..1 + e]
}

/// attribute of the root element, raw (not unescaped)
pub fn attr<'a>(s: &'a [u8], want: &str) -> Option<&'a str> {
    let mut i = 1 + name(s).len();
    let w = want.as_bytes();
    loop {
        while i < s.len() && s[i].is_ascii_whitespace() {
            i += 1;
        }
        if i >= s.len() || s[i] == b'>' || s[i] == b'/' {
            return None;
        }
        let ns = i;
        while i < s.len() && s[i] != b'=' && !s[i].is_ascii_whitespace() {
            i += 1;
        }
        let n = &s[ns..i];
        while i < s.len() && s[i] != b'\'' && s[i] != b'"' {
            i += 1;
        }
        if i >= s.len() {
            return None;
        }
        let q = s[i];
        let vs = i + 1;
        let ve = vs + memchr(q, &s[vs..])?;
        if n == w {
            return std::str::from_utf8(&s[vs..ve]).ok();
        }
        i = ve + 1;
    }
}

/// text of the first `<tag …>text</tag>` anywhere in the stanza, raw
pub fn text<'a>(s: &'a [u8], tag: &str) -> Option<&'a [u8]> {
    let mut from = 0;
    let t = tag.as_bytes();
    loop {
        let i = from + memchr(b'<', &s[from..])?;
        let r = &s[i + 1..];
        if r.len() > t.len() && r.starts_with(t) && matches!(r[t.len()], b'>' | b' ' | b'/') {
            let gt = i + 1 + memchr(b'>', r)?;
            if s[gt - 1] == b'/' {
                return Some(b"");
            }
            let e = gt + 1 + memchr(b'<', &s[gt + 1..])?;
            return Some(&s[gt + 1..e]);
        }
        from = i + 1;
    }
}

pub fn has(s: &[u8], needle: &str) -> bool {
    memmem::find(s, needle.as_bytes()).is_some()
}

pub fn unescape(s: &[u8]) -> Vec<u8> {
    let mut o = Vec::with_capacity(s.len());
    let mut i = 0;
    while i < s.len() {
        if s[i] == b'&' {
            let r = &s[i..];
            let (c, n) = if r.starts_with(b"&amp;") {
                (b'&', 5)
            } else if r.starts_with(b"&lt;") {
                (b'<', 4)
            } else if r.starts_with(b"&gt;") {
                (b'>', 4)
            } else if r.starts_with(b"&quot;") {
                (b'"', 6)
            } else if r.starts_with(b"&apos;") || r.starts_with(b"&#x27;") {
                (b'\'', 6)
            } else if r.starts_with(b"&#39;") {
                (b'\'', 5)
            } else {
                (b'&', 1)
            };
            o.push(c);
            i += n;
        } else {
            o.push(s[i]);
            i += 1;
        }
    }
    o
}

pub fn bare(jid: &str) -> &str {
    jid.split('/').next().unwrap_or(jid)
}

#[cfg(test)]
mod tests {
    use super::*;
    fn feed(chunks: &[&str]) -> Vec<String> {
        let mut sc = Scanner::default();
        let mut b: Vec<u8> = vec![];
        let mut out = vec![];
        for c in chunks {
            b.extend_from_slice(c.as_bytes());
            while let Some(e) = sc.next(&b).unwrap() {
                out.push(match e {
                    Ev::Open(r) => format!("O{}", String::from_utf8_lossy(&b[r])),
                    Ev::Stanza(r) => format!("S{}", String::from_utf8_lossy(&b[r])),
                    Ev::Close => "C".into(),
                });
            }
            let k = sc.keep();
            b.drain(..k);
            sc.shift(k);
        }
        out
    }
    const DOC: &str = "<?xml version='1.0'?><stream:stream a='>'> <a/>\n<b x=\"'>\"><c/><d>t'x</d></b><m><body>q</body></m></stream:stream>";
    #[test]
    fn whole_and_bytewise() {
        let want = vec![
            "O<stream:stream a='>'>",
            "S<a/>",
            "S<b x=\"'>\"><c/><d>t'x</d></b>",
            "S<m><body>q</body></m>",
            "C",
        ];
        assert_eq!(feed(&[DOC]), want);
        let bytes: Vec<String> = DOC.chars().map(|c| c.to_string()).collect();
        let refs: Vec<&str> = bytes.iter().map(|s| s.as_str()).collect();
        assert_eq!(feed(&refs), want);
        for cut in 1..DOC.len() {
            let (head, tail) = DOC.split_at(cut);
            assert_eq!(feed(&[head, tail]), want);
        }
    }
    #[test]
    fn lookups() {
        let s = b"<message from='a@b/c' type=\"chat\"><x/><body xml:lang='en'>hi &amp; &lt;</body></message>";
        assert_eq!(name(s), b"message");
        assert_eq!(attr(s, "from"), Some("a@b/c"));
        assert_eq!(attr(s, "type"), Some("chat"));
        assert_eq!(attr(s, "to"), None);
        assert_eq!(unescape(text(s, "body").unwrap()), b"hi & <");
        assert_eq!(attr(b"<presence/>", "type"), None);
        assert_eq!(name(b"<presence/>"), b"presence");
    }
}
