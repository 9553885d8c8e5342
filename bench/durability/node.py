"""A node, started, killed, and told to stop."""
import json, os, signal, subprocess, urllib.request

CONFIG = """\
c2s.starttls = ['127.0.0.1:0']
c2s.direct_tls = []
c2s.require_tls = false
c2s.max_connections_per_address = 10000
http.listen = ['127.0.0.1:0']
limits.session_rate = 0
limits.address_rate = 0
log.level = 'warn'
delivery.durability = '{mode}'
"""
LAST = 90  # seconds in which it stops


class Node:
    def __init__(self, program, work, mode):
        self.program, self.work, self.mode = program, work, mode
        self.config, self.data = os.path.join(work, 'mangrove.toml'), os.path.join(work, 'data')
        os.makedirs(self.data, mode=0o700)
        with open(self.config, 'w') as f:
            f.write(CONFIG.format(mode=mode))
        self.process, self.power = None, None
        self.log = open(os.path.join(work, 'log'), 'ab')

    def accounts(self, names):
        lines = ''.join(f'{name}@localhost secret\n' for name in names)
        subprocess.run([self.program, 'account', 'import', '--data', self.data], input=lines.encode(), check=True,
                       stdout=subprocess.DEVNULL, stderr=self.log)

    def start(self):
        env = dict(os.environ, **(self.power.on() if self.power else {}))
        self.process = subprocess.Popen([self.program, 'run', '--json', '--config', self.config, '--data', self.data],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, env=env,
                                        cwd=self.work)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f'the node does not start, see {self.log.name}')
        at = json.loads(line)['addresses']
        self.port = int(at['starttls'][0].rsplit(':', 1)[1])
        self.http = at['http'][0]

    def metric(self, name):
        # no proxy: it is a node on this machine
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f'http://{self.http}/metrics', timeout=10) as page:
            lines = page.read().decode().splitlines()
        return sum(float(line.rsplit(' ', 1)[1]) for line in lines if line.startswith((name + ' ', name + '{')))

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.over()

    def stop(self):
        """in good order"""
        self.process.send_signal(signal.SIGTERM)
        if status := self.over():
            raise RuntimeError(f'the node was told to stop and did with status {status}, see {self.log.name}')

    def over(self):
        try:
            return self.process.wait(LAST)
        except subprocess.TimeoutExpired:
            raise RuntimeError('the node does not stop') from None
        finally:
            self.process.stdout.close()
            self.end_it()

    def end_it(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def lose_power(self):
        """what was not synced before it was killed is gone"""
        if self.power:
            self.power.off()

    def end(self):
        self.end_it()
        self.log.close()
