'use strict';
// The Node loader: runs an application as `node app.js` would and puts the
// first http.Server that listens on our socket.  Started as `node LOADER` with
//
//   fd 0     end of file means: finish what you have and stop
//   fd 1, 2  output, captured by whoever started us
//   fd 3     the listening unix socket; what is spoken there is HTTP/1.1
//   fd 4     the control descriptor: arguments in, READY or ERROR out
//
// (docs/session-protocol.md, Start and Stop.)  It parses no HTTP, checks no
// password, and never speaks to the network.  Node itself marks 3 and 4
// close-on-exec before this runs, so the application's children do not get them.
//
// The build drops lines that hold only a comment.

const cluster = require('cluster');
const { EventEmitter } = require('events');
const fs = require('fs');
const http = require('http');
const Module = require('module');
const net = require('net');
const path = require('path');
const util = require('util');

const LISTENER = 3;
const CONTROL = 4;
const TICK_MS = 50;
// So long an application that has shutdown code of its own may take once nothing is in flight.
const GOODBYE_MS = 10000;

let server; // the application's, once it listens
let ready = false;
let stopping = false;
let failure = ''; // why it will not start, when an exception said so
const sockets = new Set();

// --- what is said to the spawner ---

function tell(line) {
	try {
		fs.writeSync(CONTROL, line.replace(/[\r\n\0]+/g, ' ').slice(0, 1000) + '\n');
	} catch {
		// Whoever would have read it is gone: end of file on 0 stops us.
	}
}

// name NUL value NUL … NUL; it stays on a blocking read, since nothing can begin without them.
function readArguments() {
	const chunk = Buffer.alloc(65536);
	let bytes = Buffer.alloc(0);
	for (;;) {
		const count = fs.readSync(CONTROL, chunk);
		if (!count) throw new Error('the arguments on descriptor 4 are incomplete');
		bytes = Buffer.concat([bytes, chunk.subarray(0, count)]);
		const words = bytes.toString().split('\0');
		const values = {};
		// What stands behind the last NUL is not complete, and never a name.
		for (let i = 0; i < words.length - 1; i += 2) {
			if (!words[i]) return values;
			values[words[i]] = words[i + 1];
		}
	}
}

// The application gets /dev/null as standard input: nothing that it reads there
// could ever come, and what it starts must not hold our pipe.  (Node can not
// dup; opening the descriptor's own name does the same.)
function takeLifeline() {
	const fd = fs.openSync('/proc/self/fd/0', 'r');
	fs.closeSync(0);
	fs.openSync('/dev/null', 'r');
	return fd;
}

// --- backtraces ---

// Node is one thread, and this runs on it: what can be told is what waits, never where a loop hangs.
function backtrace() {
	const lines = inFlight().map(({ req }) => `    in flight: ${req.method} ${req.url}`);
	const counts = {};
	for (const name of process.getActiveResourcesInfo?.() ?? []) counts[name] = (counts[name] ?? 0) + 1;
	fs.writeSync(2, [
		`========== Process ${process.pid}: the event loop is turning; it waits for ==========`,
		...ready ? [] : ['    an http.Server of its main thread to listen: no https, http2 or net server is taken (docs/node.md)'],
		...lines,
		...Object.keys(counts).map(name => `    ${counts[name]} × ${name}`),
		'========== end ==========\n',
	].join('\n'));
}

// --- stop ---

// The answers that are not yet complete.  An upgraded connection has none.
function inFlight() {
	return [...sockets].map(socket => socket._httpMessage).filter(Boolean);
}

function closeIdle() {
	if (server.closeIdleConnections) server.closeIdleConnections();
	else for (const socket of sockets) if (!socket._httpMessage && socket.parser) socket.end();
}

// Is there code of the application's own that ends it?  It is called unless the signal has done so.
function tellApplication(signalled) {
	const handlers = process.listenerCount('SIGTERM') > 1;
	if (PhusionPassenger.emit('exit') || process.emit('message', 'shutdown')) return true;
	if (handlers && !signalled) {
		process.off('SIGTERM', terminate);
		process.emit('SIGTERM', 'SIGTERM', 15);
		process.prependListener('SIGTERM', terminate);
	}
	return handlers;
}

// Whatever lies in our sockets has begun and is answered: nothing is closed before it could be read.
function stop(signalled, closedByApplication) {
	if (stopping) return;
	if (!ready && closedByApplication) failure ||= 'it closed its server before that had listened';
	else stopping = true;
	if (!ready) process.exit();
	const polite = !closedByApplication && tellApplication(signalled);
	let left = polite ? GOODBYE_MS / TICK_MS : 0;
	setInterval(() => {
		const answers = inFlight();
		for (const answer of answers) if (!answer.headersSent) answer.shouldKeepAlive = false;
		if (!polite && server.listening) server.close();
		closeIdle();
		if (!answers.length && left-- <= 0) process.exit();
	}, TICK_MS).unref();
}

// The application's handlers run too, by themselves.  A second SIGTERM, or one after end of file, ends it at once.
function terminate() {
	if (stopping) process.exit(143);
	stop(true);
}

// --- the server ---

// Out-of-band work, while nobody waits: the listeners of PhusionPassenger.on('oob_work'); what they return is awaited.
async function workOutOfBand(response) {
	for (const work of PhusionPassenger.listeners('oob_work')) {
		try {
			await work.call(PhusionPassenger);
		} catch (error) {
			console.error(`*** Exception in on('oob_work') (process ${process.pid}):`, error);
		}
	}
	response.end('done');
}

function answerOnOurSocket(asked) {
	// Never the first to close an idle connection: a request may be on its way.
	Object.defineProperty(server, 'keepAliveTimeout', { get: () => 0, set() {} });
	// How long a body may take is the balancer's to say (body_timeout).
	server.requestTimeout = server.headersTimeout = 0;
	server.address = () => server.listening ? asked : null;
	server.on('connection', socket => {
		sockets.add(socket);
		socket.once('close', () => sockets.delete(socket));
		// A unix socket has none; who looks for it means the proxy in front, and that is us.
		Object.defineProperties(socket, {
			remoteAddress: { value: '127.0.0.1' },
			remoteFamily: { value: 'IPv4' },
			remotePort: { value: 0 },
		});
	});
	const { close, emit } = server;
	server.emit = function (event, request, response) {
		// Only the balancer can send this field.
		if (event === 'request' && request.headers['!~request-oob-work']) return workOutOfBand(response);
		return emit.apply(this, arguments);
	};
	server.close = function (...callback) {
		close.apply(this, callback);
		stop(false, true);
		return this;
	};
}

const { listen } = net.Server.prototype;
net.Server.prototype.listen = function (...words) {
	const first = words[0];
	const options = first !== null && typeof first === 'object' ? first : { port: first, host: words[1] };
	const file = options.path ?? (typeof options.port === 'string' && isNaN(options.port) ? options.port : undefined);
	const named = file === 'passenger' || file === '/passenger';
	if (named && server) throw new Error("listen('passenger') was called before, or another server has our socket");
	const wanted = named || (PhusionPassenger.autoInstall && this instanceof http.Server);
	const port = Number(options.port) || 0;
	// The same port on another address means the same service (Fastify, for all that localhost is): we have that already.
	const twin = wanted && port && server && server !== this && port === server.address()?.port;
	if (!wanted || (server && !twin)) return listen.apply(this, words);
	const callback = words.pop();
	if (typeof callback === 'function') this.once('listening', callback);
	const asked = file ?? { address: typeof options.host === 'string' ? options.host : '127.0.0.1', family: 'IPv4', port };
	if (twin) {
		this.address = () => asked;
		process.nextTick(() => this.emit('listening'));
		return this;
	}
	server = this;
	answerOnOurSocket(asked);
	// Later than the application's own callbacks: when one of them throws, it is not ready.
	this.once('listening', () => setImmediate(() => {
		ready = true;
		tell('READY concurrency=0');
	}));
	return listen.call(this, { fd: LISTENER, signal: options.signal });
};

// --- the application ---

// `cluster` would make processes that nobody knows: a program that asks is told
// that it is a worker, and serves.  (An ES module that imports it gets the real
// one, since Node's own modules look there, but without fork.)
function tameCluster() {
	cluster.fork = () => {
		throw new Error('cluster.fork() is not for use under passenger, which starts the processes itself ' +
			'(min_instances, max_pool_size); let this one listen');
	};
	Module.syncBuiltinESMExports();
	const shim = Object.assign(Object.create(cluster), {
		isMaster: false,
		isPrimary: false,
		isWorker: true,
		worker: Object.assign(new EventEmitter(), { id: 1, process }),
	});
	const load = Module._load;
	Module._load = function (name, ...rest) {
		return name === 'cluster' || name === 'node:cluster' ? shim : load.call(this, name, ...rest);
	};
}

// package.json names the file: its start script when that is plain `node FILE`, else "main".
function startupFile(root, name) {
	const file = path.resolve(root, name);
	if (path.basename(file) !== 'package.json') return file;
	const { main, scripts } = JSON.parse(fs.readFileSync(file));
	const start = /^\s*node\s+([^\s-]\S*)\s*$/.exec(scripts?.start ?? '')?.[1] ?? main;
	if (!start) {
		throw new Error(`${file} names neither "main" nor a start script of the form "node FILE"; expected ` +
			'startup_file = FILE (and options in env.NODE_OPTIONS), or the whole script as command');
	}
	return require.resolve(path.resolve(path.dirname(file), start));
}

process.once('uncaughtExceptionMonitor', error => {
	failure = error?.stack ? `${error.name}: ${error.message}` : util.inspect(error);
});
process.on('exit', status => {
	if (ready || stopping) return;
	tell(`ERROR ${failure || `it ended with exit status ${status} before an http.Server listened; when another file ` +
		'makes the server (bin/www?), let startup_file name that one'}`);
	process.exitCode = status || 1;
});

const settings = readArguments();
const lifeline = new net.Socket({ fd: takeLifeline(), readable: true, writable: false });
lifeline.on('close', () => stop()).on('error', () => {}).resume().unref();
const control = new net.Socket({ fd: CONTROL });
control.on('data', text => String(text).includes('BACKTRACE\n') && backtrace()).on('error', () => {}).unref();
process.on('SIGTERM', terminate);
process.title = `Passenger NodeApp: ${settings.app_root} (${settings.environment})`;

global.PhusionPassenger = Object.assign(new EventEmitter(), {
	options: settings,
	autoInstall: true,
	configure({ autoInstall = true } = {}) {
		this.autoInstall = autoInstall;
	},
});
tameCluster();
process.argv.splice(1, Infinity, startupFile(settings.app_root, settings.startup_file));
process.mainModule = undefined;
Module.runMain();
