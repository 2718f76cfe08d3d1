// Answers after ?ms= milliseconds (100), or when the file ?gate= is there, in whose .inside it leaves a dot;
// with ?block=1 it holds the whole process meanwhile.
const fs = require('fs');
require('http').createServer((req, res) => {
	const query = new URL(req.url, 'http://x').searchParams;
	const ms = Number(query.get('ms') ?? 100);
	const answer = () => res.end(`slept ${ms}\n`);
	const gate = query.get('gate');
	const end = Date.now() + (gate ? 60000 : ms);
	const isOver = () => Date.now() >= end || (gate && fs.existsSync(gate));
	if (gate) fs.appendFileSync(gate + '.inside', '.');
	if (query.has('block')) {
		while (!isOver());
		answer();
	} else if (gate) {
		const look = () => isOver() ? answer() : setTimeout(look, 10);
		look();
	} else {
		setTimeout(answer, ms);
	}
}).listen(3000, '127.0.0.1');
