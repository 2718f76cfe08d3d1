// Streams ?n= bytes (1048576) of the letter x in parts of 64 KiB; with ?length=1 it says so in Content-Length.
const { pipeline, Readable } = require('stream');

const PART = Buffer.alloc(65536, 'x');

function* letters(bytes) {
	for (let left = bytes; left > 0; left -= PART.length) yield left >= PART.length ? PART : PART.subarray(0, left);
}

require('http').createServer((req, res) => {
	const query = new URL(req.url, 'http://x').searchParams;
	const bytes = Number(query.get('n') ?? 1048576);
	res.setHeader('Content-Type', 'application/octet-stream');
	if (query.has('length')) res.setHeader('Content-Length', bytes);
	pipeline(Readable.from(letters(bytes)), res, () => {});
}).listen(3000);
