"""What a disk keeps when the power fails: made of the records of unsynced.so (see unsynced.c)."""
import os, random, shutil, struct, subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD = struct.Struct('<IIIIQ')
MAGIC = 0x534e5955
SECTOR = 512


def shim(work):
    """builds the library; gives its path"""
    out = os.path.join(work, 'unsynced.so')
    subprocess.run([os.environ.get('CC', 'cc'), '-shared', '-fPIC', '-O2', '-Wall', '-Wno-nonnull', '-o', out,
                    os.path.join(HERE, 'unsynced.c')], check=True)
    return out


def records(log):
    """(kind, name, at, data) of each; a last one that is not whole is none"""
    with open(log, 'rb') as f:
        raw = f.read()
    i = 0
    while i + HEAD.size <= len(raw):
        magic, kind, n, m, at = HEAD.unpack_from(raw, i)
        i += HEAD.size
        if magic != MAGIC:
            raise ValueError(f'{log}: no record at {i - HEAD.size}')
        if i + n + m > len(raw):
            return
        yield chr(kind), raw[i:i + n].decode(), at, raw[i + n:i + n + m]
        i += n + m


class File:
    def __init__(self, content=b''):
        self.content = bytearray(content)  # what is on the disk
        self.pending = []                  # (at, data), or (length, None): it was cut
        self.gone = 0                      # how many of the pending ones were synced before

    def apply(self, at, data):
        if data is None:
            del self.content[at:]
            self.content.extend(bytes(at - len(self.content)))
            return
        if len(self.content) < at:
            self.content.extend(bytes(at - len(self.content)))
        self.content[at:at + len(data)] = data

    def mark(self):
        return self.gone + len(self.pending)

    def sync(self, mark):
        for one in self.pending[:max(0, mark - self.gone)]:
            self.apply(*one)
        del self.pending[:max(0, mark - self.gone)]
        self.gone = max(self.gone, mark)


class Disk:
    """`base`: the directory as it was, all of it safe"""

    def __init__(self, base):
        self.safe = {}
        for at, _, names in os.walk(base):
            for name in names:
                path = os.path.join(at, name)
                if os.path.isfile(path) and not name.endswith('-shm'):
                    with open(path, 'rb') as f:
                        self.safe[os.path.relpath(path, base)] = File(f.read())
        self.live = dict(self.safe)
        self.moves = []  # what was done to names and is not synced
        self.moved = 0
        self.begun = {}
        self.counts = dict(writes=0, syncs=0)

    def name_op(self, table, op, name, arg):
        if op == 'C':
            table[name] = arg
        elif op == 'U':
            table.pop(name, None)
        elif name in table:
            table[arg] = table.pop(name)

    def play(self, log):
        for kind, name, at, data in records(log):
            if name.endswith('-shm'):
                continue
            if kind in 'CUR':
                arg = File() if kind == 'C' else data.decode()
                self.name_op(self.live, kind, name, arg)
                self.moves.append((kind, name, arg))
            elif kind in 'WT':
                self.counts['writes'] += 1
                file = self.live.get(name)
                if file:
                    file.pending.append((at, data if kind == 'W' else None))
            elif kind == 'B':
                file = self.live.get(name)
                self.begun[at] = (file, file.mark()) if file else (None, self.moved + len(self.moves))
            elif kind == 'E' and at in self.begun:
                self.counts['syncs'] += 1
                file, mark = self.begun.pop(at)
                if file:
                    file.sync(mark)
                else:
                    self.sync_names(mark - self.moved)

    def sync_names(self, n):
        """a directory's sync covers all of them: there is one that has files which come and go"""
        for op in self.moves[:max(0, n)]:
            self.name_op(self.safe, *op)
        del self.moves[:max(0, n)]
        self.moved += max(0, n)

    def lose_power(self, kept, rng):
        """`drop`: nothing that was not synced is there. `some`: any of it may be, in sectors of 512 bytes, in no order"""
        lost = sum(len(f.pending) for f in self.live.values())
        if kept == 'some':
            self.sync_names(rng.randint(0, len(self.moves)))
            for file in self.safe.values():
                for at, data in file.pending:
                    how = rng.randrange(3)
                    if how == 0:
                        continue
                    if how == 1 or data is None:
                        file.apply(at, data)
                        continue
                    for i in range(0, len(data), SECTOR):
                        if rng.random() < 0.5:
                            file.apply(at + i, data[i:i + SECTOR])
        return lost

    def write(self, where):
        """the files of a directory become these"""
        for at, _, names in os.walk(where):
            for name in names:
                path = os.path.join(at, name)
                if os.path.isfile(path):
                    os.remove(path)
        for name, file in self.safe.items():
            path = os.path.join(where, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), 'wb') as f:
                f.write(file.content)


class Power:
    """the power of one node: its data directory, and what is recorded of it since it started"""

    def __init__(self, work, data, kept, seed, delay=2000):
        self.data, self.kept, self.rng = data, kept, random.Random(seed)
        self.base, self.log = os.path.join(work, 'base'), os.path.join(work, 'unsynced.log')
        self.lib, self.delay = shim(work), delay
        self.lost = self.syncs = 0

    def on(self):
        """to be called before the node starts: what is there is safe. Its environment"""
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.copytree(self.data, self.base, ignore=lambda at, names: [n for n in names if n.endswith(('.sock', '-shm'))])
        if os.path.exists(self.log):
            os.remove(self.log)
        return dict(LD_PRELOAD=self.lib, UNSYNCED_LOG=self.log, UNSYNCED_ROOT=self.data, UNSYNCED_DELAY=str(self.delay))

    def off(self):
        """to be called when the node is dead"""
        disk = Disk(self.base)
        disk.play(self.log)
        self.syncs += disk.counts['syncs']
        self.lost += disk.lose_power(self.kept, self.rng)
        disk.write(self.data)
