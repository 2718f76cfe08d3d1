// As applications for Phusion Passenger are written that choose their server themselves.
const http = require('http');

PhusionPassenger.configure({ autoInstall: false });
const other = http.createServer((req, res) => res.end('other\n')).listen(0, '127.0.0.1', () => {
	const server = http.createServer((req, res) => {
		let again;
		try {
			http.createServer().listen('passenger');
		} catch (error) {
			again = error.message;
		}
		res.end(JSON.stringify({ other: other.address().port, address: server.address(), again }));
	});
	server.listen('passenger');
});
