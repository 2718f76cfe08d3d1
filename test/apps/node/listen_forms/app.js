// Listens in the form that FORM names, and answers what of it was heard.
const { once } = require('events');
const http = require('http');
const { promisify } = require('util');

const heard = [];
const server = http.createServer((req, res) => res.end(JSON.stringify({ heard, address: server.address() })));
const callback = () => heard.push('callback');
const forms = {
	port: () => server.listen(3000, callback),
	text: () => server.listen('3000', callback),
	host: () => server.listen(3000, '0.0.0.0', callback),
	backlog: () => server.listen(3000, '0.0.0.0', 10, callback),
	path: () => server.listen('/nowhere/at/all.sock', callback),
	options: () => server.listen({ port: 3000, host: '::', exclusive: true }, callback),
	options_path: () => server.listen({ path: '/nowhere/at/all.sock' }, callback),
	nothing: () => server.listen(),
	only_callback: () => server.listen(callback),
	missing: () => server.listen(undefined, undefined, callback),
	zero: () => server.listen(null, callback),
	passenger: () => server.listen('passenger', callback),
	chained: () => server.listen(3000).on('listening', callback),
	event: () => once(server.listen(3000), 'listening').then(callback),
	promise: () => promisify(server.listen.bind(server))(3000).then(callback),
	// As frameworks set them.
	tuned: () => Object.assign(server.listen(3000, callback), { keepAliveTimeout: 1, timeout: 0 }),
};
server.keepAliveTimeout = 1;
forms[process.env.FORM]();
