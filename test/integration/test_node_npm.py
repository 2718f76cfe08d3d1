"""Node applications that others wrote, from npm: Express, ws, Fastify; through Apache and doors.  Where the registry can
not be reached there are no such tests, rather than skipped ones."""
import json
import os
import subprocess

import pytest

from lib import client, npm
from lib.lives import lives_through
from test_node import PROXY_HTTP, WebSocket, behind_apache, tcp_ports_of


pytestmark = pytest.mark.slow

EXPRESS = '''
const express = require('express');
const { WebSocketServer } = require('ws');
const app = express();
app.set('trust proxy', 'loopback');
app.use(express.json({ limit: '5mb' }));
app.get('/', (req, res) => res.json({ ip: req.ip, protocol: req.protocol, host: req.hostname, pid: process.pid }));
app.post('/sum', (req, res) => res.json({ sum: req.body.reduce((a, b) => a + b, 0) }));
app.use('/files', express.static('files'));
app.get('/fail', () => { throw new Error('Express catches this'); });
const server = app.listen(process.env.PORT || 3000, () => console.log('listening on', server.address().port));
new WebSocketServer({ server, path: '/socket' }).on('connection', ws => ws.on('message', data => {
    if (String(data) === 'end') ws.close();
    else ws.send(String(data));
}));
'''
FASTIFY = '''
const fastify = require('fastify')();
fastify.get('/', async () => ({ pid: process.pid }));
fastify.listen({ port: 3000 }).then(address => console.log('fastify', address));
'''
GENERATED = 'module.exports = require("express")().get("/", (req, res) => res.send("www"));'
WWW = '''#!/usr/bin/env node
var app = require('../app');
var server = require('http').createServer(app);
server.listen('3000');
server.on('listening', () => {
    var addr = server.address();
    console.log('Listening on ' + (typeof addr === 'string' ? 'pipe ' + addr : 'port ' + addr.port));
});
'''


def install(box, *packages):
    root = box.path('app')
    os.makedirs(root, exist_ok=True)
    box.write('app/package.json', '{"private": true, "scripts": {"start": "node ./bin/www"}}')
    done = subprocess.run(['npm', 'install', '--no-audit', '--no-fund', '--ignore-scripts', *packages], cwd=root, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    assert done.returncode == 0, done.stdout
    return root


def test_express_and_ws(box):
    """Through Apache and a door, with a kill and a stop."""
    root = install(box, 'express@4', 'ws@8')
    box.write('app/app.js', EXPRESS)
    box.write('app/files/big.bin', 'f' * 3_000_000)
    p, web = behind_apache(box, root, PROXY_HTTP)
    try:
        r = client.request(web.address, '/', headers={'X-Forwarded-For': '6.6.6.6'}, host='www.example.org').json()
        assert (r['ip'], r['protocol'], r['host']) == ('127.0.0.1', 'http', 'www.example.org')
        body = json.dumps(list(range(50_000))).encode()

        def look(address, headers):
            sent = dict(headers, **{'Content-Type': 'application/json'})
            assert client.request(address, '/sum', 'POST', sent, body).json() == {'sum': sum(range(50_000))}
            assert len(client.request(address, '/files/big.bin', headers=headers).body) == 3_000_000
            assert client.request(address, '/fail', headers=headers).status == 500
            assert client.request(address, '/none', headers=headers).status == 404
            with client.Connection(address) as c:
                ws = WebSocket(c, '/socket', headers)
                assert ws.echo('one', 'x' * 50_000)
                ws.send('end')
                c.octets(2)
        lives_through(box, p, web.address, look)
        p.wait_log('listening on 3000')
    finally:
        web.stop()


def test_express_as_its_generator_writes_it(box):
    """bin/www makes the server: startup_file names it, or package.json does."""
    root = install(box, 'express@4')
    box.write('app/app.js', GENERATED)
    box.write('app/bin/www', WWW)
    p = box.start(passenger={'max_pool_size': 2}, processes=2, apps={
        'www': {'root': root, 'startup_file': 'bin/www', 'type': 'node', 'host': 'a.example.org'},
        'package': {'root': root, 'startup_file': 'package.json', 'host': 'b.example.org'}})
    assert p.get('/', host='a.example.org').text == 'www' and p.get('/', host='b.example.org').text == 'www'
    p.wait_log('Listening on port 3000')


def test_fastify(box):
    """It listens on every address that localhost has; the first is ours, and nothing else stays open."""
    root = install(box, 'fastify@4')
    box.write('app/app.js', FASTIFY)
    p = box.start(passenger={'max_pool_size': 2}, app={'root': root, 'min_instances': 2}, processes=2)
    assert {d.request('/').json()['pid'] for d in p.doors()} == {x['pid'] for x in p.processes()}
    p.wait_log('output: fastify http')
    assert [tcp_ports_of(x['pid']) for x in p.processes()] == [[], []]


if not os.environ.get(npm.ANSWERS):
    del test_express_and_ws, test_express_as_its_generator_writes_it, test_fastify
