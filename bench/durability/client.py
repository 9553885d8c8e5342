"""An XMPP client over TCP, as small as can be, with XEP-0198 or without. expat reads; nothing is shared with the server."""
import base64, hashlib, hmac, os, socket, threading, time
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

SM = 'urn:xmpp:sm:3'
STREAMS = 'http://etherx.jabber.org/streams'
PASSWORD = 'secret'


def scram(salt, rounds, text):
    """RFC 5802: the proof of the password"""
    salted = hashlib.pbkdf2_hmac('sha1', PASSWORD.encode(), salt, rounds)
    key = hmac.digest(salted, b'Client Key', 'sha1')
    signature = hmac.digest(hashlib.sha1(key).digest(), text.encode(), 'sha1')
    return base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()


class Gone(Exception):
    """the connection has ended, or the stream"""


class Element:
    def __init__(self, name, attrs):
        ns, _, self.name = name.rpartition(' ')
        self.ns, self.attrs, self.text, self.children = ns, attrs, '', []

    def child(self, name):
        return next((c for c in self.children if c.name == name), None)


class Stream:
    """One connection: elements come in, text goes out."""

    def __init__(self, port, buffer=None):
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(30)
        try:
            self.socket.connect(('127.0.0.1', port))
        except OSError as e:
            raise Gone(str(e)) from None
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def begin(self):
        self.parser = expat.ParserCreate(namespace_separator=' ')
        self.parser.StartElementHandler, self.parser.EndElementHandler = self.start, self.end
        self.parser.CharacterDataHandler = self.characters
        self.path, self.ready = [], []
        self.send("<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='localhost' version='1.0' "
                  f"xmlns:stream='{STREAMS}'>")
        return self.next()

    def start(self, name, attrs):
        element = Element(name, attrs)
        if len(self.path) > 1:
            self.path[-1].children.append(element)
        self.path.append(element)

    def characters(self, text):
        if len(self.path) > 1:
            self.path[-1].text += text

    def end(self, _):
        element = self.path.pop()
        if len(self.path) == 1:
            self.ready.append(element)

    def send(self, text):
        try:
            self.socket.sendall(text.encode())
        except OSError as e:
            raise Gone(str(e)) from None

    def next(self, patience=30.0):
        """the next element; None: there was none in that time"""
        end = time.monotonic() + patience
        while not self.ready:
            try:
                self.socket.settimeout(max(0.001, end - time.monotonic()))
                data = self.socket.recv(65536)
            except TimeoutError:
                return None
            except OSError as e:
                raise Gone(str(e)) from None
            if not data:
                raise Gone('end of file')
            self.parser.Parse(data)
        element = self.ready.pop(0)
        if (element.ns, element.name) == (STREAMS, 'error'):
            raise Gone(', '.join(c.text or c.name for c in element.children))
        return element

    def close(self):
        self.socket.close()


class Client:
    """A session. `resume`: whether it can be resumed, 'true' or 'false'; None: it has no XEP-0198 at all. `got`: what came to
    it, the ids of messages."""

    def __init__(self, port, user, resource='r', resume='true', presence=True, buffer=None):
        self.user, self.resource, self.resumable, self.pings = user, resource, resume, 0
        self.handled = 0          # stanzas of the server's
        self.sent = 0             # stanzas of ours, since <enable/>
        self.counted = 0          # of ours, that the server is known to have handled
        self.got, self.bounced, self.token = [], [], None
        self.lock = threading.Lock()
        self.connect(port, buffer)
        self.bind(presence)

    def connect(self, port, buffer=None):
        self.stream = Stream(port, buffer)
        self.stream.begin()
        nonce = base64.b64encode(os.urandom(18)).decode()
        bare = f'n={self.user},r={nonce}'
        challenge = self.sasl("auth mechanism='SCRAM-SHA-1'", 'n,,' + bare, 'challenge')
        given = dict(part.split('=', 1) for part in challenge.split(','))
        final = f"c=biws,r={given['r']}"
        proof = scram(base64.b64decode(given['s']), int(given['i']), f'{bare},{challenge},{final}')
        self.sasl('response', f'{final},p={proof}', 'success')
        self.stream.begin()

    def sasl(self, tag, text, wanted):
        text = base64.b64encode(text.encode()).decode()
        self.stream.send(f"<{tag} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{text}</{tag.split()[0]}>")
        try:
            answer = self.stream.next()
        except expat.ExpatError:
            # the stream that begins here is over before it was asked for (RFC 6120 section 4.9.1.2)
            raise Gone('at the log-on') from None
        if answer is None or answer.name != wanted:
            raise RuntimeError(f'{self.user}: {answer and answer.name} {[c.name for c in answer.children]}')
        return base64.b64decode(answer.text).decode()

    def bind(self, presence=True):
        self.stream.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                         f"<resource>{self.resource}</resource></bind></iq>")
        if self.stream.next().attrs['type'] != 'result':
            raise RuntimeError(f'{self.user}: no resource')
        if self.resumable:
            self.stream.send(f"<enable xmlns='{SM}' resume='{self.resumable}'/>")
            self.token = self.stream.next().attrs.get('id')
        self.handled = self.sent = self.counted = 0
        if presence:
            self.stanza('<presence/>')

    def resume(self, port):
        """over a new connection: the count of our stanzas that the server has handled, or None (it does not know the session)"""
        self.connect(port)
        if self.token is None:
            return None
        self.stream.send(f"<resume xmlns='{SM}' h='{self.handled}' previd={quoteattr(self.token)}/>")
        answer = self.stream.next()
        if answer.name == 'resumed':
            return int(answer.attrs['h'])
        if answer.child('item-not-found') is None:
            raise RuntimeError(f'{self.user}: {answer.name} {[c.name for c in answer.children]}')
        return None

    def stanza(self, text):
        with self.lock:
            self.sent += 1
            self.stream.send(text)

    def ask(self):
        with self.lock:
            self.stream.send(f"<r xmlns='{SM}'/>")

    def acknowledge(self):
        """all that came so far"""
        if self.resumable:
            with self.lock:
                self.stream.send(f"<a xmlns='{SM}' h='{self.handled}'/>")

    def take(self, patience=30.0):
        """reads one element; it, or None"""
        element = self.stream.next(patience)
        if element is None:
            return None
        if element.ns == SM:
            if element.name == 'a':
                self.counted = max(self.counted, int(element.attrs['h']))
            return element
        if element.name not in ('message', 'presence', 'iq'):
            raise Gone(f'{element.name} {[c.name for c in element.children]}')
        self.handled += 1
        if element.name == 'message':
            failed = element.attrs.get('type') == 'error'
            (self.bounced if failed else self.got).append(int(element.attrs['id']))
        return element

    def ping(self, patience=30.0):
        """what the server wrote before its answer has come"""
        self.pings += 1
        mine = f'p{self.pings}'
        self.stanza(f"<iq type='get' id='{mine}'><ping xmlns='urn:xmpp:ping'/></iq>")
        place = self.sent
        while True:
            element = self.take(patience)
            if element is None:
                raise RuntimeError(f'{self.user}: a ping is not answered')
            if element.name == 'iq' and element.attrs.get('id') == mine:
                self.counted = max(self.counted, place)  # nobody answers before it has handled
                return

    def all_counted(self):
        self.ask()
        while self.counted < self.sent:
            if self.take() is None:
                raise RuntimeError(f'{self.user}: {self.sent - self.counted} stanzas are not counted')

    def cut(self):
        self.stream.close()

    def leave(self):
        """in good order: all is acknowledged"""
        self.ping()
        self.acknowledge()
        self.ping()
        self.acknowledge()
        self.stream.send('</stream:stream>')
        try:
            while self.stream.next(5) is not None:
                pass
        except Gone:
            pass
        self.stream.close()
