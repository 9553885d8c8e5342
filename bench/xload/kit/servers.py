"""A server under test, started and ended by scripts, and xload run against it."""
import fcntl, json, os, shlex, signal, subprocess, sys, urllib.request

KIT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(os.path.dirname(KIT))


def stop_servers_on_sigterm():
    """makes SIGTERM an exception, so that what must be done at the end is done"""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def build():
    """xload in release form; gives its path"""
    subprocess.run(['cargo', 'build', '--release', '--quiet', '-p', 'xload'], check=True, cwd=ROOT)
    target = os.environ.get('CARGO_TARGET_DIR') or os.path.join(ROOT, 'target')
    return os.path.join(ROOT, target, 'release', 'xload')


def prio(pid, n):
    """the priority of a session's scheduling group, where the kernel has such groups"""
    try:
        with open(f'/proc/{pid}/autogroup', 'w') as f:
            f.write(str(n))
    except OSError:
        pass


def read_env(path):
    """KEY=VALUE lines, the value quoted as for a shell or not"""
    with open(path) as f:
        pairs = [line.strip().split('=', 1) for line in f if '=' in line]
    return {k: shlex.split(v)[0] if v[:1] in ("'", '"') else v for k, v in pairs}


class Server:
    """`spec`: the name of a folder under peers/, or NAME=START[,arg...]. Its data is kept under `work`."""

    def __init__(self, spec, work, priority=0):
        name, eq, cmd = spec.partition('=')
        self.name = name
        self.cmd = cmd.split(',') if eq else [os.path.join(KIT, 'peers', name, 'start.sh')]
        self.w = os.path.join(work, name)
        self.prio = priority
        self.env, self.warm = None, False
        os.makedirs(self.w, exist_ok=True)

    def start(self):
        if self.env:
            return
        # the server gets its own session, whose scheduling group then gets the priority
        try:
            subprocess.run([self.cmd[0], self.w] + self.cmd[1:], check=True)
        except BaseException:
            self.end()
            raise
        self.env = read_env(self.w + '/server.env')
        for p in self.env['STOP_PIDS'].split(','):
            prio(p, self.prio)

    def end(self):
        subprocess.run([os.path.join(KIT, 'peers', 'stop.sh'), self.w])

    def stop(self):
        if self.env:
            self.end()
            self.env, self.warm = None, False

    @property
    def clear(self):
        """how to log on at the least cost"""
        return 'none' if self.env.get('PLAIN', '1') != '0' else 'starttls'

    def counts(self):
        """(stanzas in, stanzas out, contents parsed after framing, elements serialised) so far, by the server's own counters;
        None where it has no METRICS or lacks one of these"""
        at = self.env.get('METRICS')
        if not at:
            return None
        names = ('mangrove_stanzas_total{direction="in"', 'mangrove_stanzas_total{direction="out"',
                 'mangrove_content_parsed_total', 'mangrove_content_serialised_total')
        try:
            # no proxy: it is a server on this machine
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f'http://{at}/metrics', timeout=5) as page:
                lines = page.read().decode().splitlines()
        except OSError:
            return None
        found = [[float(x.rsplit(' ', 1)[1]) for x in lines if x.startswith(name)] for name in names]
        return [sum(values) for values in found] if all(found) else None

    def lacks(self, cmd, opts):
        """why a case can't run against this server, or None"""
        e, clear = self.env, opts.get('tls') == 'none'
        if cmd == 'fanout-muc' and not e.get('MUC'):
            return 'no MUC'
        if cmd == 'fanout-pubsub' and not e.get('PUBSUB'):
            return 'no pubsub'
        if opts.get('tls') == 'direct' and not e.get('TLSPORT'):
            return 'no direct TLS'
        if clear and e.get('PLAIN', '1') == '0':
            return 'no logins without TLS'
        if clear and opts.get('mech') == 'plain' and e.get('PLAIN_TLS_ONLY') == '1':
            return 'PLAIN inside TLS only'
        return None

    def accounts(self, tool, users):
        """user0 ... userN-1, all with the password `secret`; false when that failed"""
        e, how = self.env, self.env.get('REGISTER', 'ibr')
        if how == 'none':
            return True
        if how == 'batch':
            lines = ''.join(f'user{i}@{e["DOMAIN"]} secret\n' for i in range(users))
            p = subprocess.run(e['REGISTER_BATCH_CMD'], shell=True, input=lines, text=True, capture_output=True, timeout=900)
            print(self.name, 'accounts by batch', p.returncode, (p.stdout + p.stderr)[-300:].strip(), flush=True)
            return p.returncode == 0
        r = tool.run(self, 'register', dict(tls=self.clear, users=users, conc=16), lock=False, timeout=900)
        shown = ('ok', 'users', 'existed', 'per_s', 'cpu_ms_per_account', 'fatal', 'stderr')
        print(self.name, 'register', json.dumps({k: r.get(k) for k in shown}), flush=True)
        return r.get('ok')

    def prepare(self, tool, users, mech='scram-sha-1', seen=True):
        """the accounts, and, if they are to be `seen`, every one logged on once, which fills the generator's cache of salted passwords"""
        mark = self.w + '/users'
        if os.path.exists(mark):
            with open(mark) as f:
                if int(f.read()) >= users:
                    return True
        self.start()
        if not self.accounts(tool, users):
            return False
        ok = not seen or self.log_all_on(tool, users, mech)
        if ok:
            with open(mark, 'w') as f:
                f.write(str(users))
        return ok

    def log_all_on(self, tool, users, mech):
        for first in range(0, users, 2000):
            n = min(2000, users - first)
            opts = dict(tls=self.clear, conns=n, first=first, users=n, quiet=0, mech=mech)
            r = tool.run(self, 'idle', opts, lock=False, timeout=900)
            if not r.get('ok'):
                print(self.name, 'logins of all accounts failed:', r.get('fatal') or r.get('stderr'), flush=True)
                return False
        return True

    def args(self, cmd, opts):
        e = self.env
        port = e['TLSPORT'] if opts.get('tls', 'starttls') == 'direct' else e['PORT']
        a = [cmd, '--host', e['HOST'], '--port', port, '--domain', e['DOMAIN'], '--pid', e['PIDS'],
             '--scram-cache', self.w + '/scram', '--label', self.name]
        if cmd == 'fanout-muc':
            a += ['--muc', e['MUC']]
        if cmd == 'fanout-pubsub':
            a += ['--pubsub', e['PUBSUB']]
        if cmd in ('offline', 'logon') and e.get('DATABASE_PIDS'):
            a += ['--database-pid', e['DATABASE_PIDS'], '--database-calls', e['DATABASE_CALLS']]
        for k, v in {'mech': 'scram-sha-1', **opts}.items():
            a += ['--' + k, str(v)]
        return a


class Tool:
    """the xload program; `lock`: a file to flock around each load"""

    def __init__(self, path, lock='', priority=0):
        self.path, self.lock, self.prio = path, lock, priority

    def run(self, server, cmd, opts, lock=True, timeout=88, show_errors=False):
        f = None
        if lock and self.lock and 'lock' not in opts:
            f = open(self.lock, 'a')
            fcntl.flock(f, fcntl.LOCK_EX)
        try:
            p = subprocess.Popen([self.path] + server.args(cmd, opts), stdout=subprocess.PIPE,
                                 stderr=None if show_errors else subprocess.PIPE, text=True, start_new_session=True)
            prio(p.pid, self.prio)
            try:
                out, err = p.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                p.kill()
                out, err = p.communicate()
                return dict(ok=False, cmd=cmd, fatal='timeout', stderr=(err or '')[-500:])
            except BaseException:
                p.kill()
                raise
        finally:
            if f:
                f.close()
        try:
            r = json.loads(out.strip().splitlines()[-1])
        except (ValueError, IndexError):
            r = dict(ok=False, cmd=cmd, fatal='no result')
        if not r.get('ok'):
            r['stderr'] = (err or '')[-800:]
        return r
