// Streams ?n= parts (3) with ?ms= milliseconds (0) before each but the first.  Says on stderr when the client goes early.
require('http').createServer(async (req, res) => {
	const query = new URL(req.url, 'http://x').searchParams;
	const count = Number(query.get('n') ?? 3);
	const ms = Number(query.get('ms') ?? 0);
	res.on('close', () => res.writableFinished || console.error('stream: the client is gone'));
	for (let number = 0; number < count && !res.destroyed; number++) {
		if (number && ms) await new Promise(resolve => setTimeout(resolve, ms));
		res.write(`part ${number}\n`);
	}
	res.end();
}).listen({ port: 3000 });
