// Requests that do what no request should: /sleep, /spin (so does /hold: there is but one thread), /leak (100 MB, kept).
const kept = [];
require('http').createServer((req, res) => {
	const path = req.url.replace(/^\/\w+(?=\/)/, '');
	if (path === '/sleep') return;
	while (path === '/spin' || path === '/hold');
	if (path === '/leak') kept.push(Buffer.alloc(1e8, 'x'));
	res.end(`${process.pid}\n`);
}).listen(0);
