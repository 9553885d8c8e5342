"""What became of each message, by kind of recipient, and which promise of docs/operating.md ("What survives") it breaks."""
from collections import Counter

KINDS = ('offline', 'detached', 'resumed', 'slow', 'wavering', 'plain')
MODES = ('always', 'detached', 'memory')
COLUMNS = ('sent', 'accepted', 'delivered', 'lost', 'promised', 'twice', 'again', 'disorder', 'bounced')


def survives(mode, kind, waited):
    """whether an accepted message is promised to survive a kill; `waited`: it had come while there was no connection"""
    if mode == 'always' or kind == 'offline':
        return True
    return mode == 'detached' and (kind == 'detached' or kind == 'resumed' and waited)


def resumes(mode, kind, stopped):
    """whether a session goes on after the restart; None: it depends on the moment"""
    if kind == 'plain' or mode == 'memory':
        return False
    if kind == 'wavering':
        return True if mode == 'always' and not stopped else None
    return kind == 'detached' or mode == 'always' and not stopped


class Message:
    def __init__(self, sender, to, kind, waited):
        self.sender, self.to, self.kind, self.waited = sender, to, kind, waited
        self.accepted = self.bounced = False
        self.before = 0        # how often it came before the node died
        self.settled = False   # ... and was acknowledged, which the server is known to have read
        self.after = 0         # how often it came after that


class Judge:
    def __init__(self, mode):
        self.mode = mode
        self.counts = {kind: Counter() for kind in KINDS}
        self.broken = []
        self.old = set()      # the messages of rounds that are over
        self.stopped = False  # the node was told to stop in this round, and not killed

    def breaks(self, what):
        self.broken.append(what)

    def promises(self, m):
        return m.accepted and not m.bounced and (self.stopped or survives(self.mode, m.kind, m.waited))

    def session(self, kind, who, resumed):
        if resumed != resumes(self.mode, kind, self.stopped) is not None:
            self.breaks(f'{who} was {"" if resumed else "not "}resumed after the restart')

    def round(self, number, messages, before, after, went_on):
        """`messages`: by id. `before`, `after`: by recipient, the ids in the order in which they came; `went_on`: those who
        resumed"""
        for who in sorted(before.keys() | after.keys()):
            last = self.take(number, messages, 'before', who, before.get(who, []), {})
            self.take(number, messages, 'after', who, after.get(who, []), last if who in went_on else {})
        lost = Counter()
        for id, m in messages.items():
            c = self.counts[m.kind]
            c['sent'] += 1
            c['accepted'] += m.accepted
            c['bounced'] += m.bounced
            c['delivered'] += bool(m.before or m.after)
            c['promised'] += self.promises(m)
            if m.accepted and not (m.before or m.after or m.bounced):
                c['lost'] += 1
                if self.promises(m):
                    lost[m.kind, m.to] += 1
            if m.before and m.after and not m.settled and m.to not in went_on:
                c['again'] += 1  # its session is gone, and it had not been acknowledged: so it should be
                twice = m.before > 1 or m.after > 1
            else:
                twice = m.before + m.after > 1
            if twice:
                c['twice'] += 1
                self.breaks(f'round {number}: {id} came to {m.to} {m.before} times before and {m.after} times after the node {self.died()}')
        for (kind, who), n in lost.items():
            self.breaks(f'round {number}: {n} accepted messages to {who} ({kind}) are lost, the node {self.died()}')
        self.old |= set(messages)

    def died(self):
        return 'was stopped' if self.stopped else 'was killed'

    def take(self, number, messages, attribute, who, ids, last):
        """`last`: what came last from each sender in this session"""
        for id in ids:
            m = messages.get(id)
            if m is None or m.to != who:
                self.breaks(f'round {number}: {id} came to {who}, {"again" if id in self.old else "for another"}')
                continue
            setattr(m, attribute, getattr(m, attribute) + 1)
            if id <= last.get(m.sender, -1):
                self.counts[m.kind]['disorder'] += 1
                self.breaks(f'round {number}: {id} came to {who} after {last[m.sender]}, {attribute} the node {self.died()}')
            last[m.sender] = max(id, last.get(m.sender, -1))
        return last

    def table(self, kills, stops, power):
        lines = [f'\n### {self.mode}: {kills} kills, {stops} clean stops, {power}\n',
                 '| recipient | ' + ' | '.join(COLUMNS) + ' |', '|---' * (len(COLUMNS) + 1) + '|']
        for kind in KINDS:
            c = self.counts[kind]
            lines.append(f'| {kind} | ' + ' | '.join(f'{c[name]:,}' for name in COLUMNS) + ' |')
        return '\n'.join(lines)
