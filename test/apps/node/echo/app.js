// Answers method, URL, headers, and length and SHA-1 of the body, as JSON.
const { createHash } = require('crypto');

require('http').createServer((req, res) => {
	const digest = createHash('sha1');
	let length = 0;
	req.on('data', piece => {
		digest.update(piece);
		length += piece.length;
	});
	req.on('end', () => {
		res.setHeader('Content-Type', 'application/json');
		res.end(JSON.stringify({ method: req.method, url: req.url, headers: req.headers, length, sha1: digest.digest('hex'),
			trailers: req.trailers, pid: process.pid }));
	});
}).listen();
