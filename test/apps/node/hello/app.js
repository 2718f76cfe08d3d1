// Answers 12 bytes, whatever is asked.
require('http').createServer((req, res) => {
	res.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': 12 });
	res.end('hello world\n');
}).listen(3000);
