// Answers after ?ms= milliseconds (100), or when the file ?gate= is there; with ?block=1 it holds the whole process meanwhile.
const fs = require('fs');
require('http').createServer((req, res) => {
	const query = new URL(req.url, 'http://x').searchParams;
	const ms = Number(query.get('ms') ?? 100);
	const answer = () => res.end(`slept ${ms}\n`);
	if (query.has('gate')) {
		const end = Date.now() + 60000;
		const look = () => fs.existsSync(query.get('gate')) || Date.now() > end ? answer() : setTimeout(look, 10);
		look();
		return;
	}
	if (!query.has('block')) {
		setTimeout(answer, ms);
		return;
	}
	for (const end = Date.now() + ms; Date.now() < end;);
	answer();
}).listen(3000, '127.0.0.1');
