"""What became of each message, by kind of recipient, and which promise of docs/operating.md ("What survives") it breaks."""
from collections import Counter

KINDS = ('offline', 'detached', 'resumed', 'slow', 'wavering', 'plain', 'both')
MODES = ('always', 'detached', 'memory')
COLUMNS = ('sent', 'accepted', 'delivered', 'not delivered', 'promised to survive', 'of these lost', 'twice', 'again', 'disorder', 'bounced')


def user(session):
    """whose session that is: that of a `both` that is connected is called otherwise than its user"""
    return session.replace('beside', 'both')


def survives(mode, kind, waited):
    """whether an accepted message is promised to survive a kill; `waited`: it had come while there was no connection"""
    if mode == 'always' or kind == 'offline':
        return True
    return mode == 'detached' and (kind in ('detached', 'both') or kind == 'resumed' and waited)


def resumes(mode, kind):
    """whether a session goes on after the restart; None: it depends on the moment"""
    if kind in ('plain', 'brief') or mode == 'memory':
        return False
    if kind == 'wavering':
        return True if mode == 'always' else None
    return kind in ('detached', 'both') or mode == 'always'


class Message:
    def __init__(self, sender, to, kind, waited):
        self.sender, self.to, self.kind, self.waited = sender, to, kind, waited
        self.accepted = self.bounced = False
        self.before = Counter()  # how often it came to each session before the node died
        self.settled = False     # ... and was acknowledged, which the server is known to have read
        self.after = Counter()   # how often it came after that

    def came(self, session, again_is_right):
        """how often it came to one session, and whether that is too often"""
        before, after = self.before[session], self.after[session]
        return before, after, max(before, after) > 1 if again_is_right else before + after > 1


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
        if resumed != resumes(self.mode, kind) is not None:
            self.breaks(f'{who} was {"" if resumed else "not "}resumed after the restart')

    def round(self, number, messages, before, after, went_on):
        """`messages`: by id. `before`, `after`: by session, the ids in the order in which they came; `went_on`: those that
        were resumed"""
        for who in sorted(before.keys() | after.keys()):
            last = self.take(number, messages, 'before', who, before.get(who, []), {})
            self.take(number, messages, 'after', who, after.get(who, []), last if who in went_on else {})
        lost = Counter()
        for id, m in messages.items():
            c = self.counts[m.kind]
            to = m.before.keys() | m.after.keys()
            # who goes on gets it whoever else has it
            missed = {who for who in went_on if user(who) == m.to} - to
            c['sent'] += 1
            c['accepted'] += m.accepted
            c['bounced'] += m.bounced
            c['delivered'] += bool(to)
            c['promised to survive'] += self.promises(m)
            if m.accepted and not m.bounced and (missed or not to):
                c['not delivered'] += 1
                if self.promises(m):
                    c['of these lost'] += 1
                    lost[m.kind, min(missed, default=m.to)] += 1
            for who in to:
                # its session is gone, and it had not been acknowledged: so it should come again
                again_is_right = who not in went_on and not m.settled
                b, a, twice = m.came(who, again_is_right)
                c['again'] += bool(a and b and again_is_right)
                if twice:
                    c['twice'] += 1
                    self.breaks(f'round {number}: {id} came to {who} {b} times before and {a} times after the node {self.died()}')
        for (kind, who), n in lost.items():
            self.breaks(f'round {number}: {n} accepted messages to {who} ({kind}) are lost, the node {self.died()}')
        self.old |= set(messages)

    def died(self):
        return 'was stopped' if self.stopped else 'was killed'

    def take(self, number, messages, attribute, who, ids, last):
        """`last`: what came last from each sender in this session"""
        for id in ids:
            m = messages.get(id)
            if m is None or m.to != user(who):
                self.breaks(f'round {number}: {id} came to {who}, {"again" if id in self.old else "for another"}')
                continue
            getattr(m, attribute)[who] += 1
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
