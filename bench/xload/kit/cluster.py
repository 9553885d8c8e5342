"""A cluster of this project's nodes, each a process, with a Redis and a MongoDB of their own; in network namespaces or on loopback."""
import json, os, shutil, signal, socket, subprocess, sys, time, urllib.error, urllib.request

from .servers import KIT, ROOT, prio

NAMES = ['n1', 'n2', 'n3']
CONFIG = """\
server.node = '{name}'
c2s.starttls = ['{host}:{c2s}']
c2s.direct_tls = []
c2s.require_tls = false
c2s.max_connections_per_address = 100000
http.listen = ['{host}:{http}']
limits.session_rate = 0
limits.address_rate = 0
log.level = '{level}'
storage.backend = 'mongodb'
mongodb.uri = '{mongodb}'
"""
MEMBER = """\
cluster.name = 'bench'
cluster.listen = '{host}:{link}'
cluster.address = '{host}:{link}'
cluster.lease = '{lease}'
cluster.credentials = '{credentials}'
redis.uri = 'redis://{redis}'
"""
CERTIFICATE = """
[[certificate]]
file = '{work}/crt.pem'
key = '{work}/key.pem'
"""


def run(*words, **more):
    """a command that has to succeed; what it printed"""
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    if done.returncode:
        raise RuntimeError(f'{" ".join(map(str, words))}: {(done.stdout + done.stderr).strip()[-500:]}')
    return done.stdout


def until(what, is_so, patience=60.0):
    """seconds until it was so"""
    begun = time.monotonic()
    while not is_so():
        if time.monotonic() - begun > patience:
            raise RuntimeError(f'not in {patience:.0f} s: {what}')
        time.sleep(0.02)
    return time.monotonic() - begun


def program():
    """the release program; MANGROVE=PATH takes that one"""
    if os.environ.get('MANGROVE'):
        return os.path.abspath(os.environ['MANGROVE'])
    subprocess.run(['cargo', 'build', '--release', '--quiet', '-p', 'mangrove'], check=True, cwd=ROOT)
    return os.path.join(ROOT, os.environ.get('CARGO_TARGET_DIR') or 'target', 'release', 'mangrove')


def what_stores_need():
    """the environment of mongod.py: a mongod, and a Python with its client"""
    run(os.path.join(ROOT, 'bench', 'install-peers'), '--cluster')
    mongod = os.environ.get('MONGOD') or run('cargo', 'xtask', 'mongod', cwd=ROOT).strip().splitlines()[-1]
    venv = os.path.join(ROOT, os.environ.get('CARGO_TARGET_DIR') or 'target', 'bench', 'venv', 'bin', 'python')
    return dict(os.environ, MONGOD=mongod), venv


class Loopback:
    """all on 127.0.0.1"""
    services = '127.0.0.1'
    parts = False

    def host(self, _):
        return '127.0.0.1'

    def inside(self, _):
        return []

    def end(self):
        pass


class Namespaces:
    """Each node in a network namespace of its own, on a bridge; clients and stores are outside, at the bridge's address."""
    parts = True

    def __init__(self):
        self.tag = f'mg{os.getpid() % 10000}'
        self.net = f'10.213.{os.getpid() % 250 + 1}'
        self.services = f'{self.net}.254'
        self.made = []
        try:
            run('ip', 'link', 'add', self.tag, 'type', 'bridge')
            self.made.append(('ip', 'link', 'del', self.tag))
            run('ip', 'addr', 'add', f'{self.services}/24', 'dev', self.tag)
            run('ip', 'link', 'set', self.tag, 'up')
            for name in NAMES:
                self.add(name)
        except BaseException:
            self.end()
            raise

    @staticmethod
    def why_not():
        """why there can be none here, or None"""
        if not shutil.which('ip') or not shutil.which('bridge'):
            return 'there is no ip or bridge (iproute2)'
        name = f'mgtry{os.getpid() % 10000}'
        try:
            run('ip', 'netns', 'add', name)
            run('ip', 'netns', 'del', name)
        except RuntimeError as e:
            return str(e)

    def add(self, name):
        ns, outside = f'{self.tag}-{name}', f'{self.tag}{name}'
        run('ip', 'netns', 'add', ns)
        self.made.append(('ip', 'netns', 'del', ns))
        run('ip', 'link', 'add', outside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', ns)
        run('ip', 'link', 'set', outside, 'master', self.tag, 'up')
        for words in (('addr', 'add', f'{self.host(name)}/24', 'dev', 'eth0'), ('link', 'set', 'eth0', 'up'), ('link', 'set', 'lo', 'up')):
            run('ip', '-n', ns, *words)

    def host(self, name):
        return f'{self.net}.{NAMES.index(name) + 1}'

    def inside(self, name):
        return ['ip', 'netns', 'exec', f'{self.tag}-{name}']

    def cut(self, name, is_cut):
        """from everything: nothing goes through its cable, and nobody is told"""
        run('ip', 'link', 'set', f'{self.tag}{name}', 'down' if is_cut else 'up')

    def part(self, names, are_parted):
        """from one another and nothing else: isolated ports of a bridge do not reach one another"""
        for name in names:
            run('bridge', 'link', 'set', 'dev', f'{self.tag}{name}', 'isolated', 'on' if are_parted else 'off')

    def end(self):
        for words in reversed(self.made):
            subprocess.run(words, stderr=subprocess.DEVNULL)


def free_port(host):
    with socket.socket() as s:
        s.bind((host, 0))
        return s.getsockname()[1]


class Redis:
    def __init__(self, host, work):
        self.host, self.port, self.work, self.process = host, free_port(host), work, None
        self.start()

    def start(self):
        """empty"""
        self.process = subprocess.Popen(
            ['redis-server', '--port', str(self.port), '--bind', self.host, '--protected-mode', 'no', '--save', '', '--appendonly', 'no',
             '--dir', self.work, '--loglevel', 'warning'],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until('Redis answers', lambda: self.say('PING') == b'+PONG\r\n', 10)

    def say(self, words):
        try:
            with socket.create_connection((self.host, self.port), 5) as s:
                s.sendall((words + '\r\n').encode())
                return s.recv(1 << 20)
        except OSError:
            return b''

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def cpu(self):
        return cpu(self.process.pid)


def cpu(pid):
    """seconds that a process has used"""
    with open(f'/proc/{pid}/stat') as f:
        fields = f.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Node:
    def __init__(self, cluster, name):
        self.cluster, self.name, self.process = cluster, name, None
        self.host = cluster.net.host(name)
        self.c2s, self.http, self.link = (free_port(cluster.net.services) for _ in range(3))
        self.work = os.path.join(cluster.work, name)
        os.makedirs(os.path.join(self.work, 'data'), mode=0o700)
        with open(os.path.join(self.work, 'mangrove.toml'), 'w') as f:
            f.write(cluster.config(self))

    @property
    def place(self):
        return ['--config', os.path.join(self.work, 'mangrove.toml'), '--data', os.path.join(self.work, 'data')]

    @property
    def at(self):
        return f'{self.host}:{self.c2s}'

    def start(self):
        """it listens when this returns, and may not be ready"""
        inside = self.cluster.net.inside(self.name)
        with open(os.path.join(self.work, 'log'), 'ab') as log:
            self.process = subprocess.Popen([*inside, self.cluster.program, 'run', '--json', *self.place], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=log, cwd=self.work)
        line = self.process.stdout.readline()
        self.process.stdout.close()
        if not line:
            self.kill()
            raise RuntimeError(f'{self.name} does not start, see {log.name}')

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def signal(self, number):
        self.process.send_signal(number)

    def asks(self, path):
        """(status, text); None: no answer"""
        try:
            # no proxy: it is a node on this machine
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f'http://{self.host}:{self.http}{path}', timeout=2) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except OSError:
            return None

    def ready(self):
        return (self.asks('/ready') or (0,))[0] == 200

    def metric(self, name):
        lines = (self.asks('/metrics') or (0, ''))[1].splitlines()
        return sum(float(line.rsplit(' ', 1)[1]) for line in lines if line.startswith((name + ' ', name + '{')))


class Cluster:
    """Of these names; `alone`: the one node has no cluster. `lease` is cluster.lease."""

    def __init__(self, program, work, net=None, names=NAMES, lease='4s', level='info', alone=False, more=''):
        self.program, self.work, self.net, self.names, self.lease = program, work, net or Loopback(), names, lease
        self.level, self.alone, self.more, self.nodes, self.redis, self.mongod = level, alone, more, {}, None, None
        os.makedirs(os.path.join(work, 'log'))
        try:
            self.stores()
            run(os.path.join(KIT, 'peers', 'gen-cert.sh'), work)
            run(program, 'cluster', 'init', *names, cwd=work)
            self.nodes = {name: Node(self, name) for name in names}
        except BaseException:
            self.end()
            raise

    def stores(self):
        env, python = what_stores_need()
        host, port = self.net.services, free_port(self.net.services)
        # so long the database keeps what a killed node was at
        told = run(python, os.path.join(KIT, 'peers', 'mongod.py'), 'start', self.work, port, host, 'transactionLifetimeLimitSeconds=8', env=env)
        self.mongod, self.mongodb = int(told), f'mongodb://{host}:{port}/?replicaSet=rs0'
        if not self.alone:
            self.redis = Redis(host, self.work)

    def config(self, node):
        redis = self.redis and f'{self.redis.host}:{self.redis.port}'
        values = dict(name=node.name, host=node.host, c2s=node.c2s, http=node.http, link=node.link, lease=self.lease, mongodb=self.mongodb,
                      redis=redis, level=self.level, work=self.work, credentials=os.path.join(self.work, 'cluster', node.name))
        return (CONFIG + ('' if self.alone else MEMBER) + self.more + CERTIFICATE).format(**values)

    def accounts(self, users):
        """user0 ... userN-1, all with the password `secret`"""
        first = next(iter(self.nodes.values()))
        run(self.program, 'account', 'import', *first.place, input=''.join(f'user{n}@localhost secret\n' for n in range(users)))

    def start(self):
        for node in self.nodes.values():
            node.start()
        return self.all_ready()

    def all_ready(self, patience=60.0):
        """seconds until all nodes that run are"""
        running = [node for node in self.nodes.values() if node.alive()]
        return until('all nodes are ready', lambda: all(node.ready() for node in running), patience)

    def no_journal(self, patience=120.0):
        """seconds until no node has anything in its journal that the database has not"""
        running = [node for node in self.nodes.values() if node.alive()]
        return until('the journals are empty', lambda: not any(node.metric('mangrove_journal_waiting') for node in running), patience)

    @property
    def addresses(self):
        return ','.join(node.at for node in self.nodes.values())

    def pids(self):
        """of nodes, of Redis, of MongoDB"""
        return [node.process.pid for node in self.nodes.values() if node.alive()], [self.redis.process.pid] if self.redis else [], [self.mongod]

    def end(self):
        for node in self.nodes.values():
            if node.alive():
                node.signal(signal.SIGCONT)
            node.kill()
        if self.redis:
            self.redis.kill()
        if self.mongod:
            try:
                os.kill(self.mongod, signal.SIGKILL)
            except ProcessLookupError:
                pass


class Roam:
    """xload roam: it runs until `result`. It is told how to go on: `quiet`, and then `look`."""

    def __init__(self, xload, cluster, priority=0, **opts):
        words = [xload, 'roam', '--nodes', cluster.addresses, '--tls', 'none', '--domain', 'localhost', '--sm', '--list', '--src', '1',
                 '--scram-cache', os.path.join(cluster.work, 'scram')]
        for name, value in opts.items():
            words += ['--' + name, str(value)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        prio(self.process.pid, priority)

    def until(self, event):
        for line in self.process.stdout:
            told = json.loads(line)
            if told.get('event') == event:
                return told
        raise RuntimeError('xload roam has ended')

    def tell(self, line):
        """how many messages are missing when it has come to rest"""
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()
        return self.until('rests')['missing']

    def result(self):
        last = '{}'
        self.process.stdin.close()
        for line in self.process.stdout:
            last = line
        self.process.wait()
        return json.loads(last)

    def end(self):
        self.process.kill()
        self.process.wait()


def note(text):
    print(text, file=sys.stderr, flush=True)
