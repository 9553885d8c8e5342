"""Tables and ratios of results, as they were appended to JSONL files: for people, and as JSON for machines."""
import json, os, statistics

from .cases import CASES, KEY, SHOW


def get(d, path):
    for k in path.split('.'):
        if isinstance(d, list):
            d = d[int(k)] if d else None
        else:
            d = d.get(k) if d else None
        if d is None:
            return None
    return d


def load(files):
    """case -> server -> results; and the cases in the order of their table"""
    rows = {}
    for name in files:
        with open(name) as f:
            for line in f:
                r = json.loads(line)
                rows.setdefault(r['case'], {}).setdefault(r['server'], []).append(r)
    return rows, [c for c in CASES if c in rows] + [c for c in rows if c not in CASES]


def command(row):
    return next(iter(row.values()))[0]['cmd']


def good(results, path):
    return [x for x in (get(r, path) for r in results if r.get('ok')) if x is not None]


def failures(results):
    return sum(not r.get('ok') and not r.get('skipped') for r in results)


def cell(values, digits):
    if not values:
        return '-'
    text = f'{statistics.median(values):.{digits}f}'
    if min(values) != max(values):
        text += f' ({min(values):.{digits}f}–{max(values):.{digits}f})'
    return text


def details(rows, order):
    """one table a command: medians (lowest–highest) of the clean runs"""
    groups = {}
    for c in order:
        groups.setdefault(command(rows[c]), []).append(c)
    for cmd, cases in groups.items():
        cols = SHOW.get(cmd, [])
        print(f'\n### {cmd}\n')
        print('| case | server | runs | ' + ' | '.join(c[0] for c in cols) + ' | other CPU % | spin us |')
        print('|---|---|---|' + '---|' * (len(cols) + 2))
        for c in cases:
            for server, results in rows[c].items():
                if all(r.get('skipped') for r in results):
                    print(f'| {c} | {server} | n/a: {results[0]["skipped"]} |')
                    continue
                bad = failures(results)
                ok = sum(bool(r.get('ok')) for r in results)
                cells = [cell(good(results, path), digits) for _, path, digits in cols]
                other = [100 * r['other_cpu_s'] / (os.cpu_count() * r['wall_s'])
                         for r in results if r.get('ok') and r.get('wall_s')]
                cells += [cell(other, 0), cell([x for x in good(results, 'spin_us') if x], 0)]
                print(f"| {c} | {server} | {ok}{f' (+{bad} failed)' if bad else ''} | " + ' | '.join(cells) + ' |')


def ratios(rows, order, peers, targets):
    """case -> the one figure that counts, of every server, and its ratio to the better peer"""
    out = {}
    for c in order:
        path, unit = KEY[command(rows[c])]
        med = {}
        for server, results in rows[c].items():
            v = good(results, path)
            med[server] = statistics.median(v) if v else None
        best = min((med[p] for p in peers if med.get(p)), default=None)
        ratio = {s: m / best for s, m in med.items() if m is not None and best}
        target = targets.get(c)
        out[c] = dict(
            figure=path, unit=unit, median=med, best_peer=best, ratio=ratio, target=target,
            reached={s: r <= target for s, r in ratio.items() if s not in peers} if target else None,
            failed={s: failures(r) for s, r in rows[c].items() if failures(r)},
            skipped={s: r[0]['skipped'] for s, r in rows[c].items() if all(x.get('skipped') for x in r)})
    return out


def number(v):
    return '-' if v is None else f'{v:.0f}' if v >= 1000 else f'{v:.3g}'


def print_ratios(out, peers):
    servers = list(dict.fromkeys(s for r in out.values() for s in r['median']))
    peers = [p for p in peers if p in servers]
    ours = [s for s in servers if s not in peers]
    print(f'\n### ratios (to the better of {", ".join(peers) or "none"}; below 1 is better)\n')
    heads = ['case', 'figure'] + servers + [f'{s} : best peer' for s in ours] + ['target']
    print('| ' + ' | '.join(heads) + ' |\n' + '|---' * len(heads) + '|')
    for c, r in out.items():
        cells = [c, r['unit']] + [number(r['median'].get(s)) for s in servers]
        for s in ours:
            mark = '' if r['reached'] is None or s not in r['reached'] else ' reached' if r['reached'][s] else ' missed'
            cells.append(number(r['ratio'].get(s)) + mark)
        cells.append(f'at most {r["target"]:.3g}' if r['target'] else '-')
        print('| ' + ' | '.join(cells) + ' |')
    for c, r in out.items():
        for s, why in r['skipped'].items():
            print(f'left out: {c} of {s}: {why}')
        for s, n in r['failed'].items():
            print(f'failed: {c} of {s}: {n} of its runs')


def summary(files, peers, targets, json_out=None):
    """prints it all; 1 when a case failed, no figure decides it"""
    rows, order = load(files)
    details(rows, order)
    out = ratios(rows, order, peers, targets)
    print_ratios(out, peers)
    if json_out:
        with open(json_out, 'w') as f:
            json.dump(out, f, indent=1)
    return 1 if any(r['failed'] for r in out.values()) else 0
