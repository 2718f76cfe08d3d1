// Reads the body and answers its length; with ?early=1 it answers at once and reads nothing.
require('http').createServer((req, res) => {
	if (req.url.includes('early=1')) {
		res.end('early\n');
		return;
	}
	let length = 0;
	req.on('data', piece => length += piece.length);
	req.on('end', () => res.end(`${length}\n`));
}).listen(3000);
