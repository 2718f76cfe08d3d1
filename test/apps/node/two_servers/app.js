// The first server is the application; the second one listens for itself, and the first tells where.
const http = require('http');

const first = http.createServer((req, res) => res.end(JSON.stringify({ first: first.address(), second: second.address() })));
const second = http.createServer((req, res) => res.end('second\n'));
first.listen(3000, 'localhost');
second.listen(0, '127.0.0.1');
