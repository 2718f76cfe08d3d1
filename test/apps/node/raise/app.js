// Throws in the handler of /raise, rejects in that of /reject; everything else answers.
require('http').createServer((req, res) => {
	if (req.url.startsWith('/raise')) throw new Error('raised in a handler');
	if (req.url.startsWith('/reject')) {
		Promise.reject(new Error('rejected in a handler'));
		return;
	}
	res.end('fine\n');
}).listen(3000);
