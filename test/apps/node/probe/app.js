// The routes of test/apps/command/origin.py, so that the same tests run for Node.  What differs: /raise throws, which
// ends the process.
const { createHash } = require('crypto');
const fs = require('fs');
const { setTimeout: sleep } = require('timers/promises');

const inside = { now: 0, most: 0 };
const counts = new WeakMap();

// Waits ?ms=N, or until the file ?gate=FILE is there.
async function pause(query, ms) {
	if (!query.has('gate')) return sleep(Number(query.get('ms') ?? ms));
	for (const end = Date.now() + 60000; !fs.existsSync(query.get('gate')) && Date.now() < end;) await sleep(10);
}

const routes = {
	async '/hello'({ res }) {
		res.setHeader('Content-Type', 'text/plain');
		res.end(`hello from ${process.pid}\n`);
	},
	async '/sleep'({ query, json }) {
		await pause(query, 100);
		json();
	},
	async '/count'({ query, json }) {
		fs.appendFileSync(query.get('file'), `${process.pid} ${query.get('tag') ?? ''}\n`, { mode: 0o666 });
		await pause(query, 0);
		json();
	},
	async '/big'({ query, res }) {
		const block = Buffer.alloc(65536, 'z');
		res.setHeader('Content-Length', query.get('n'));
		for (let left = Number(query.get('n')); left > 0 && !res.destroyed; left -= block.length) {
			const room = res.write(left >= block.length ? block : block.subarray(0, left));
			if (!room) await new Promise(resolve => res.once('drain', resolve).once('close', resolve));
		}
		res.end();
	},
	async '/stream'({ query, res }) {
		for (let i = 0; i < Number(query.get('n')); i++) res.write('s'.repeat(1000));
		res.end();
	},
	async '/late'({ query, res }) {
		for (let i = 0; i < Number(query.get('n')); i++) {
			res.write(`line ${i}\n`);
			await sleep(20);
		}
		res.end();
	},
	async '/status'({ query, res, json }) {
		res.statusCode = Number(query.get('code'));
		json();
	},
	async '/header'({ query, res }) {
		for (const [name, value] of query) res.setHeader(name, value);
		res.end('ok');
	},
	async '/hints'({ res, json }) {
		res.writeEarlyHints({ link: '</style.css>; rel=preload' });
		json();
	},
	async '/trailers'({ res }) {
		res.setHeader('Trailer', 'X-Sum');
		res.write('ok');
		res.addTrailers({ 'X-Sum': '7' });
		res.end();
	},
	'/raise'() {
		throw new Error('raised in a handler');
	},
	async '/drop'({ req }) {
		req.socket.destroy();
	},
	async '/half'({ req, res }) {
		res.setHeader('Content-Length', 1000);
		res.write('x'.repeat(500), () => req.socket.destroy());
	},
	async '/exit'() {
		process.exit(7);
	},
	async '/inside'({ query, json }) {
		inside.most = Math.max(inside.most, ++inside.now);
		await pause(query, 50);
		inside.now--;
		json({ inside: inside.most });
	},
};

const server = require('http').createServer((req, res) => {
	const { pathname, search, searchParams } = new URL('http://x' + req.url);
	const count = (counts.get(req.socket) ?? 0) + 1;
	counts.set(req.socket, count);
	const digest = createHash('sha1');
	let length = 0;
	req.on('data', piece => {
		length += piece.length;
		digest.update(piece);
	});
	req.on('end', () => {
		const json = more => {
			res.setHeader('Content-Type', 'application/json');
			res.end(JSON.stringify({ pid: process.pid, method: req.method, target: req.url, path: pathname, query: search.slice(1),
				headers: req.headers, length, sha1: digest.digest('hex'), n: count, remote: null, environ: process.env, ...more }));
		};
		(routes[pathname] ?? (() => json()))({ req, res, query: searchParams, json });
	});
});
server.on('upgrade', (req, socket, head) => {
	socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
	socket.on('end', () => socket.end());
	socket.on('error', () => {});
	const echo = data => String(data) === 'bye\n' ? socket.end() : socket.write(data);
	if (head.length) echo(head);
	socket.on('data', echo);
});
server.listen(3000);
