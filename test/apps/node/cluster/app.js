// A program that forks when it is the primary, and serves when it is a worker.
const cluster = require('cluster');
const http = require('http');

if (cluster.isMaster || cluster.isPrimary) {
	for (let i = 0; i < 4; i++) cluster.fork();
} else {
	http.createServer((req, res) => res.end(`worker ${cluster.worker.id} of ${process.pid}\n`)).listen(3000);
}
