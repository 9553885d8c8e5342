"""What is measured: a case is a command of xload with its options."""

def churn(tls, mech, **k):
    return 'churn', dict(tls=tls, mech=mech, conc=64, size=100, **k)


CASES = {
    'churn-tls-scram':   churn('starttls', 'scram-sha-1'),
    'churn-tls-plain':   churn('starttls', 'plain'),
    'churn-tcp-scram':   churn('none', 'scram-sha-1'),
    'churn-tcp-plain':   churn('none', 'plain'),
    'churn-tls-scram256': churn('starttls', 'scram-sha-256'),
    'churn-tls-resume':  churn('starttls', 'scram-sha-1', **{'tls-resume': 'true'}),
    'churn-dtls-scram':  churn('direct', 'scram-sha-1'),
    'churn-open-200':    churn('starttls', 'scram-sha-1', rate=200),
    'churn-tls-sasl2':   churn('starttls', 'scram-sha-1', sasl2='require'),
    'chat-tcp-w1':   ('chat', dict(tls='none', pairs=100, window=1, size=100)),
    'chat-tcp-w8':   ('chat', dict(tls='none', pairs=100, window=8, size=100)),
    'chat-tls-w1':   ('chat', dict(tls='starttls', pairs=100, window=1, size=100)),
    'chat-tls-w8':   ('chat', dict(tls='starttls', pairs=100, window=8, size=100)),
    'chat-tcp-1k':   ('chat', dict(tls='none', pairs=100, window=1, size=1000)),
    'chat-tls-bare': ('chat', dict(tls='starttls', pairs=100, window=1, size=100, to='bare')),
    'chat-open-1000': ('chat', dict(tls='starttls', pairs=100, rate=1000, size=100)),
    'chat-open-3000': ('chat', dict(tls='starttls', pairs=100, rate=3000, size=100)),
    'muc-100':  ('fanout-muc', dict(tls='none', occupants=100, window=4, size=100)),
    'muc-500':  ('fanout-muc', dict(tls='none', occupants=500, window=4, size=100)),
    'muc-tls-100': ('fanout-muc', dict(tls='starttls', occupants=100, window=4, size=100)),
    'pubsub-100': ('fanout-pubsub', dict(tls='none', subscribers=100, window=4, size=100)),
    'pubsub-500': ('fanout-pubsub', dict(tls='none', subscribers=500, window=4, size=100)),
    'pubsub-persist-100': ('fanout-pubsub', dict(tls='none', subscribers=100, window=4, size=100, persist=1)),
    'pubsub-tls-100': ('fanout-pubsub', dict(tls='starttls', subscribers=100, window=4, size=100)),
    'roster-toggle': ('roster-presence', dict(tls='none', groups=10, contacts=20, mode='toggle')),
    'roster-relogin': ('roster-presence', dict(tls='none', groups=10, contacts=20, mode='relogin')),
    # sessions of XEP-0198 that are lost and resumed, and messages to those that wait for it
    'churn-sm':      churn('starttls', 'scram-sha-1', sm='true'),
    'detach-resume': ('resume', dict(tls='starttls', conc=32, each=8, sm='true')),
    'chat-detached': ('chat-detached', dict(tls='starttls', pairs=32, burst=100, window=8, size=100, sm='true')),
    # what is kept in a store, and log-ons by its accounts; in each of its runs `logon` has users whom the server has not seen
    'offline-50':  ('offline', dict(tls='starttls', pairs=64, burst=50, window=8, size=100, sm='true')),
    'logon-plain': ('logon', dict(tls='starttls', mech='plain', conc=4)),
    'logon-scram': ('logon', dict(tls='starttls', mech='scram-sha-256', conc=4)),
    'idle-tcp-2000':  ('idle', dict(tls='none', conns=2000, quiet='10')),
    'idle-tls-2000':  ('idle', dict(tls='starttls', conns=2000, quiet='10')),
    'idle-tcp-10000': ('idle', dict(tls='none', conns=10000, quiet='10,60')),
    'idle-tls-10000': ('idle', dict(tls='starttls', conns=10000, quiet='10,60')),
}
# how many users a run of `logon` has
FRESH = 40
# cases and accounts
PRESETS = {
    'quick': (['churn-tls-scram', 'chat-tls-w1', 'chat-tls-w8', 'idle-tcp-2000', 'idle-tls-2000', 'muc-100',
               'pubsub-100', 'roster-toggle'], 2400),
    # what `delivery.durability` costs: bench/run --modes
    'sessions': (['churn-sm', 'detach-resume', 'chat-detached', 'churn-tls-scram', 'chat-tls-w8'], 2400),
    # beside SQLite a MongoDB, beside Mnesia PostgreSQL and SQLite: bench/run --stores
    'stores': (['offline-50', 'churn-tls-scram'], 1000),
    # accounts of an existing application: bench/run --accounts
    'accounts': (['logon-plain', 'logon-scram'], FRESH),
    'full': ([c for c in CASES if c not in ('churn-tls-sasl2', 'churn-tls-scram256', 'churn-open-200', 'chat-open-3000', 'logon-plain', 'logon-scram')], 10400),
}
# the one figure of a command that ratios are made of
KEY = {
    'churn': ('server_cpu_ms_per_session', 'CPU ms a session'),
    'chat': ('server_cpu_us_per_message', 'CPU us a message'),
    'resume': ('server_cpu_ms_per_resumption', 'CPU ms a resumption'),
    'chat-detached': ('server_cpu_us_per_message', 'CPU us a message'),
    'offline': ('cpu_us_per_message', 'CPU us a message, database included'),
    'logon': ('cpu_us_per_later', 'CPU us a log-on, database included'),
    'fanout-muc': ('server_cpu_us_per_delivery', 'CPU us a delivery'),
    'fanout-pubsub': ('server_cpu_us_per_delivery', 'CPU us a delivery'),
    'roster-presence': ('server_cpu_us_per_presence', 'CPU us a presence'),
    'idle': ('quiet.-1.bytes_per_conn_pss', 'bytes a connection'),
}
# of a server that counts it: law 7, a stanza is parsed once and its content written by copying bytes
XML = [('parses/stanza in', 'parses_per_stanza', 3), ('serialised/stanza out', 'serialised_per_stanza', 3)]


def store(what, of):
    """the columns of a part that a database has to do with"""
    return [(f'{what}, server CPU us', of + '.server_cpu_us', 1), ('database CPU us', of + '.database_cpu_us', 1),
            ('database calls', of + '.database_calls', 2)]


# what a table shows: (column, path, digits)
SHOW = {
    'churn': [
        ('sessions/s', 'sessions_per_s', 0),
        ('server CPU ms/session', 'server_cpu_ms_per_session', 3),
        ('bound p50 ms', 'bound_ms.p50', 1),
        ('bound p95', 'bound_ms.p95', 1),
        ('bound p99', 'bound_ms.p99', 1),
        ('msg p50 ms', 'message_ms.p50', 2),
        ('msg p95', 'message_ms.p95', 1),
        ('msg p99', 'message_ms.p99', 1),
        ('PSS MB', 'server_pss_mb', 0),
        ('gen CPU ms/session', 'gen_cpu_ms_per_session', 3),
        *XML,
    ],
    'chat': [
        ('messages/s', 'messages_per_s', 0),
        ('server CPU us/message', 'server_cpu_us_per_message', 1),
        ('p50 ms', 'latency_ms.p50', 2),
        ('p95', 'latency_ms.p95', 2),
        ('p99', 'latency_ms.p99', 2),
        ('p99.9', 'latency_ms.p999', 1),
        ('gen CPU us/message', 'gen_cpu_us_per_message', 1),
        *XML,
    ],
    'resume': [
        ('resumed/s', 'resumed_per_s', 0),
        ('server CPU ms/resumption', 'server_cpu_ms_per_resumption', 3),
        ('resumed p50 ms', 'resume_ms.p50', 1),
        ('p95', 'resume_ms.p95', 1),
        ('p99', 'resume_ms.p99', 1),
        ('gen CPU ms/resumption', 'gen_cpu_ms_per_resumption', 3),
        *XML,
    ],
    'chat-detached': [
        ('messages/s', 'messages_per_s', 0),
        ('server CPU us/message', 'server_cpu_us_per_message', 1),
        ('counted p50 ms', 'accepted_ms.p50', 2),
        ('p95', 'accepted_ms.p95', 2),
        ('p99', 'accepted_ms.p99', 2),
        ('resumed p50 ms', 'resume_ms.p50', 1),
        ('p95', 'resume_ms.p95', 1),
        ('gen CPU us/message', 'gen_cpu_us_per_message', 1),
        *XML,
    ],
    'offline': [
        *store('stored', 'stored'), ('stored/s', 'stored.per_s', 0),
        *store('fetched', 'fetched'), ('fetched/s', 'fetched.per_s', 0),
        *store('logged on', 'logged_on'),
    ],
    'logon': [*store('first', 'first'), *store('later', 'later'), ('later/s', 'later.per_s', 0)],
    'fanout-muc': [
        ('deliveries/s', 'deliveries_per_s', 0),
        ('server CPU us/delivery', 'server_cpu_us_per_delivery', 2),
        ('p50 ms', 'latency_ms.p50', 1),
        ('p99', 'latency_ms.p99', 1),
        ('join us/presence', 'join_server_cpu_us_per_presence', 1),
        ('gen CPU us/delivery', 'gen_cpu_us_per_delivery', 1),
        *XML,
    ],
    'fanout-pubsub': [
        ('deliveries/s', 'deliveries_per_s', 0),
        ('server CPU us/delivery', 'server_cpu_us_per_delivery', 2),
        ('p50 ms', 'latency_ms.p50', 1),
        ('p99', 'latency_ms.p99', 1),
        ('gen CPU us/delivery', 'gen_cpu_us_per_delivery', 1),
        *XML,
    ],
    'roster-presence': [
        ('logons/s', 'cycles_per_s', 0),
        ('server CPU ms/logon', 'server_cpu_ms_per_cycle', 3),
        ('presences/s', 'presences_per_s', 0),
        ('server CPU us/presence', 'server_cpu_us_per_presence', 1),
        ('logon p50 ms', 'logon_ms.p50', 1),
        ('p99', 'logon_ms.p99', 1),
        *XML,
    ],
    'idle': [
        ('logins/s', 'logins_per_s', 0),
        ('server CPU ms/login', 'server_cpu_ms_per_login', 3),
        ('bytes/conn PSS at 10 s', 'quiet.0.bytes_per_conn_pss', 0),
        ('at the last look', 'quiet.-1.bytes_per_conn_pss', 0),
        ('kernel TCP bytes/conn', 'kernel_tcp_bytes_per_conn', 0),
        ('PSS before MB', 'pss_before_mb', 0),
        ('PSS after close MB', 'pss_after_close_mb', 0),
    ],
}
