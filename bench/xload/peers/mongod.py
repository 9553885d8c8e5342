#!/usr/bin/env python3
"""A MongoDB for a server under test: mongod.py COMMAND ..., with pymongo.

start WORKDIR PORT [HOST [NAME=VALUE ...]]   starts a replica set of one member on loopback, or HOST, with its data under WORKDIR (MONGOD=PATH:
                     the program), with these parameters; prints its pid
calls PORT           prints how many commands that are about data it has had so far, by its own count
users PORT FORMAT    reads `user@domain password` lines into app.users as {login: {name, password}}, hashed by the library whose
                     format it is: bcrypt, argon2, django (PBKDF2), werkzeug (scrypt)
"""
import os, subprocess, sys, time

from pymongo import MongoClient

# what a driver asks for its own sake
NOT_DATA = {'hello', 'isMaster', 'ismaster', 'ping', 'serverStatus', 'buildInfo', 'getParameter', 'replSetGetStatus', 'endSessions'}


def client(port, host='127.0.0.1'):
    return MongoClient(host, int(port), directConnection=True, serverSelectionTimeoutMS=20000)


def start(work, port, host='127.0.0.1', *parameters):
    data = os.path.join(work, 'mongod')
    os.makedirs(data, exist_ok=True)
    mongod = subprocess.Popen(
        [os.environ['MONGOD'], '--dbpath', data, '--port', port, '--bind_ip', host, '--replSet', 'rs0', '--nounixsocket',
         '--wiredTigerCacheSizeGB', '0.5', '--setParameter', 'diagnosticDataCollectionEnabled=false',
         *(word for parameter in parameters for word in ('--setParameter', parameter)),
         '--logpath', os.path.join(work, 'log', 'mongod.log')],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    admin = client(port, host).admin
    admin.command('ping')
    if not os.path.exists(data + '/initiated'):
        admin.command('replSetInitiate', {'_id': 'rs0', 'members': [{'_id': 0, 'host': f'{host}:{port}'}]})
        open(data + '/initiated', 'w').close()
    while not admin.command('hello')['isWritablePrimary']:
        time.sleep(0.1)
    print(mongod.pid)


def calls(port):
    commands = client(port).admin.command('serverStatus')['metrics']['commands']
    print(sum(c['total'] for name, c in commands.items() if isinstance(c, dict) and name not in NOT_DATA))


def hasher(form):
    if form == 'bcrypt':
        import bcrypt
        return lambda password: bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()
    if form == 'argon2':
        from argon2 import PasswordHasher
        return PasswordHasher().hash
    if form == 'django':
        from django.conf import settings
        from django.contrib.auth.hashers import make_password
        settings.configure()
        return make_password
    if form == 'werkzeug':
        from werkzeug.security import generate_password_hash
        return generate_password_hash
    sys.exit(f'unknown format {form}')


def users(port, form):
    hashed, users = hasher(form), client(port).app.users
    users.create_index('login.name')
    for line in sys.stdin:
        jid, password = line.split()
        name = jid.split('@')[0]
        users.replace_one({'login.name': name}, {'login': {'name': name, 'password': hashed(password)}}, upsert=True)


if __name__ == '__main__':
    command = {'start': start, 'calls': calls, 'users': users}.get(sys.argv[1] if len(sys.argv) > 1 else '')
    if not command:
        sys.exit(__doc__)
    command(*sys.argv[2:])
